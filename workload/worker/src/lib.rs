//! Answers messages: from `inbound`, through the session and the model, to replies in `response`.
//!
//! One owner per partition (the steps W1 to W11 of the message guarantee). What decides is pure and in modules of its
//! own: lanes, settled, seen, own, context. It never touches a platform, and inference only over HTTP.

mod answer;
mod backoff;
#[cfg(test)]
mod broken;
mod cache;
mod command;
mod context;
mod delivered;
mod effects;
mod epoch;
pub mod examine;
mod handle;
mod inference;
mod intake;
mod journal_io;
mod lanes;
mod limits;
mod linking;
mod membership;
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
mod ways;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chatbot_crds::config::{SystemPrompt, WorkerConfig};
use chatbot_queue::{Log, Member, Previews, Topic};
use chatbot_store::{Answers, Codes, View};
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
    /// Codes to link accounts by.
    pub codes: Arc<dyn Codes>,
    /// Where answers under way are shown.
    pub previews: Arc<dyn Previews>,
    /// Where answers are kept for other workers; used only if the configuration gives them a time to live.
    pub answers: Option<Arc<dyn Answers>>,
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
    /// Its place among the workers.
    member: Box<dyn Member>,
    view: Arc<dyn View>,
    codes: Arc<dyn Codes>,
    previews: Arc<dyn Previews>,
    known: cache::Known,
    inference: Arc<inference::Inference>,
    /// The system prompt; empty when there is none.
    prompt: watch::Sender<Arc<str>>,
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
        codes,
        previews,
        answers,
        telemetry,
        handle,
    } = surroundings;
    let health = telemetry.part("worker");
    let inference = inference::Inference::new(&config, &limits);
    let inference = Arc::new(inference.context("failed to set up the inference client")?);
    let trial = prompt::Trial::new(Arc::clone(&inference), &config, &limits, &telemetry);
    let Some(prompt) = shutdown.run_until_cancelled(trial.first(&health)).await else {
        return Ok(());
    };
    let member = log.join(GROUP, Topic::Inbound).await;
    let member = member.context("failed to join the group of the workers")?;
    let shared = Arc::new(Shared {
        worker: Uuid::new_v4(),
        inference,
        prompt: watch::Sender::new(prompt),
        places: Semaphore::new(limits.in_flight),
        metrics: metrics::Metrics::register(&telemetry, &view),
        known: cache::Known::new(&config, answers),
        config,
        limits,
        log,
        member,
        view,
        codes,
        previews,
        handle,
    });
    // Dropping this future ends every task: nothing of a worker outlives it.
    let mut background = JoinSet::new();
    background.spawn(report_health(Arc::clone(&shared), health.clone()));
    if let Some(SystemPrompt::File(_)) = &shared.config.system_prompt {
        let with = Arc::clone(&shared);
        background.spawn(async move { trial.follow(&with.prompt).await });
    }
    membership::follow(&shared, &shutdown).await?;
    health.unready("ended");
    background.shutdown().await;
    // Everybody else has let go of it by now.
    if let Some(shared) = Arc::into_inner(shared) {
        shared.member.close().await;
    }
    Ok(())
}

/// Ready when every partition suggested is owned; with none, too.
async fn report_health(shared: Arc<Shared>, health: Health) {
    let suggested = shared.member.suggested();
    loop {
        let partitions = suggested.borrow().as_ref().map(BTreeSet::len);
        match partitions {
            None => health.unready("waits for the group of the workers to settle"),
            Some(partitions) if shared.handle.owned() < partitions => {
                let owned = shared.handle.owned();
                health.unready(format!("owns {owned} of {partitions} partitions"));
            }
            Some(_) => health.ready(),
        }
        tokio::time::sleep(HEALTH_INTERVAL).await;
    }
}

const HEALTH_INTERVAL: Duration = Duration::from_millis(100);
