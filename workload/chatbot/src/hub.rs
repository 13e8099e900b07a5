//! Gateway and worker in one process, the queue and the sessions in memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chatbot_crds::config::HubConfig;
use chatbot_queue::memory::{MemoryLog, MemoryPreviews};
use chatbot_store::MemoryCodes;
use chatbot_store::memory::{Keep, MemoryView};
use chatbot_telemetry::Telemetry;
use chatbot_worker::{Handle, Limits, Surroundings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Partitions of the logs in memory: users of different ones never wait for each other.
const PARTITIONS: u32 = 8;
/// Turns that a page shows again after a reload, even where the model is given fewer.
const SHOWN_TURNS: usize = 50;

/// Receives and answers messages, the channels' Secrets in a folder, until `shutdown`, or until one half fails, which
/// ends the other.
pub async fn serve(
    config: HubConfig,
    secrets: PathBuf,
    listener: TcpListener,
    telemetry: Telemetry,
    shutdown: CancellationToken,
) -> Result<()> {
    let log = Arc::new(MemoryLog::new(PARTITIONS));
    let view = Arc::new(MemoryView::new(Keep {
        turns: usize::try_from(config.worker.history_turns)
            .unwrap_or(usize::MAX)
            .max(SHOWN_TURNS),
        timeout: Duration::from_secs(config.worker.session_timeout_seconds),
    }));
    let previews = Arc::new(MemoryPreviews::default());
    let surroundings = Surroundings {
        log: log.clone(),
        view: view.clone(),
        codes: Arc::new(MemoryCodes::default()),
        previews: previews.clone(),
        // There are no other workers.
        answers: None,
        telemetry: telemetry.clone(),
        handle: Handle::default(),
    };
    let shutdown = shutdown.child_token();
    // The gateway stays until the worker has finished what it was at: its answers are for the pages that are open now.
    let finished = CancellationToken::new();
    let gateway = Box::pin(chatbot_gateway::run(
        config.gateway,
        chatbot_gateway::Surroundings {
            log,
            view,
            previews,
            telemetry,
            secrets,
        },
        listener,
        finished.clone(),
    ));
    let worker = Box::pin(chatbot_worker::run(
        config.worker,
        surroundings,
        Limits::default(),
        shutdown.clone(),
    ));
    // A half that ends, well or not, ends the other: neither is of use alone.
    let ends_worker = shutdown.drop_guard();
    let ends_gateway = finished.drop_guard();
    let (gateway, worker) = tokio::join!(
        async {
            let _guard = ends_worker;
            gateway.await
        },
        async {
            let _guard = ends_gateway;
            worker.await
        }
    );
    gateway.and(worker)
}
