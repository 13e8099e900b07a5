//! Answers messages: from `inbound`, through the session and the model, to replies in `response`.
//!
//! One owner per partition (the steps W1 to W11 of the message guarantee). What decides is pure and in modules of its
//! own: lanes, settled, seen, own, context. It never touches a platform, and inference only over HTTP.

mod answer;
mod backoff;
mod context;
mod epoch;
mod handle;
mod inference;
mod intake;
mod journal_io;
mod lanes;
mod limits;
mod metrics;
mod own;
mod partition;
mod preview;
mod prompt;
mod seen;
mod settled;
mod sse;
mod takeover;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chatbot_crds::config::{SystemPrompt, WorkerConfig};
use chatbot_queue::{Log, Previews};
use chatbot_store::View;
use chatbot_telemetry::{Health, Telemetry};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use handle::Handle;
pub use limits::Limits;

/// The consumer group of all workers of a cluster.
pub const GROUP: &str = "worker";

/// What a worker works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Where messages come from and replies go to.
    pub log: Arc<dyn Log>,
    /// The sessions.
    pub view: Arc<dyn View>,
    /// Where answers under way are shown.
    pub previews: Arc<dyn Previews>,
    /// Health and metrics.
    pub telemetry: Telemetry,
    /// Filled in with how the worker is doing.
    pub handle: Handle,
}

/// What every task of a worker knows.
pub(crate) struct Shared {
    /// This process, among owners.
    worker: Uuid,
    config: WorkerConfig,
    limits: Limits,
    log: Arc<dyn Log>,
    view: Arc<dyn View>,
    previews: Arc<dyn Previews>,
    inference: inference::Inference,
    prompt: watch::Sender<prompt::Current>,
    places: Semaphore,
    metrics: metrics::Metrics,
    handle: Handle,
}

/// Works until `shutdown`, then finishes what is under way and lets go.
pub async fn run(
    config: WorkerConfig,
    surroundings: Surroundings,
    limits: Limits,
    shutdown: CancellationToken,
) -> Result<()> {
    let Surroundings {
        log,
        view,
        previews,
        telemetry,
        handle,
    } = surroundings;
    let health = telemetry.part("worker");
    let shared = Arc::new(Shared {
        worker: Uuid::new_v4(),
        inference: inference::Inference::new(&config, &limits)
            .context("failed to set up the inference client")?,
        prompt: watch::Sender::new(prompt::initial(config.system_prompt.as_ref())),
        places: Semaphore::new(limits.in_flight),
        metrics: metrics::Metrics::register(&telemetry),
        config,
        limits,
        log,
        view,
        previews,
        handle,
    });
    // Dropping this future ends every task: nothing of a worker outlives it.
    let mut background = JoinSet::new();
    background.spawn(report_health(Arc::clone(&shared), health.clone()));
    if let Some(SystemPrompt::File(path)) = &shared.config.system_prompt {
        let (with, path) = (Arc::clone(&shared), PathBuf::from(path));
        background.spawn(async move {
            prompt::follow(&path, with.limits.prompt_interval, &with.prompt).await;
        });
    }
    let mut partitions = JoinSet::new();
    for partition in 0..shared.log.partitions() {
        let link = Arc::new(view::Link::new());
        let (with, keeping) = (Arc::clone(&shared), Arc::clone(&link));
        background.spawn(async move { view::keep(&with, partition, &keeping).await });
        partitions.spawn(partition::own(
            Arc::clone(&shared),
            partition,
            link,
            shutdown.clone(),
        ));
    }
    while let Some(ended) = partitions.join_next().await {
        ended.context("failed to own a partition")??;
    }
    health.unready("ended");
    Ok(())
}

/// Ready when the system prompt is there and every partition is owned.
async fn report_health(shared: Arc<Shared>, health: Health) {
    let partitions = usize::try_from(shared.log.partitions()).unwrap_or(usize::MAX);
    loop {
        let prompt = shared.prompt.borrow().clone();
        match prompt {
            Err(reason) => health.unready(reason),
            Ok(_) if shared.handle.owned() < partitions => {
                let owned = shared.handle.owned();
                health.unready(format!("owns {owned} of {partitions} partitions"));
            }
            Ok(_) => health.ready(),
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}

const HEALTH_INTERVAL: Duration = Duration::from_millis(100);
