//! Whether a server answers as a worker asks: one short question, again and again until one answer has come.
//!
//! A server can be up, and name its models, and refuse every question: the model has another name there, or it wants a
//! key. So whoever is to send users to it waits for one answer. After that nothing is asked any more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use chatbot_message::Trace;
use chatbot_telemetry::{Health, Telemetry};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::Limits;
use crate::backoff::Backoff;
use crate::context::Entry;
use crate::inference::{Failure, Inference};

const QUESTION: &str = "Hi";
/// Tokens of the answer: that one comes is enough, as in a synthetic conversation.
const TOKENS: u32 = 1;
/// As in the schema's default. A user's own is not given: another one would replace the pod.
const TEMPERATURE: f64 = 0.7;
/// Before asking again, the first time and at most. While the server cannot be reached it is always the first.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Spans and bounds of an examination; of a worker's, all that concern one question.
#[must_use]
pub fn limits() -> Limits {
    let (retry_first, retry_cap) = RETRY;
    Limits {
        retry_first,
        retry_cap,
        ..Limits::default()
    }
}

/// Asks the server at a base URL for a model until it has answered, and tells of it until `shutdown`.
pub async fn examine(
    url: &str,
    model: &str,
    limits: &Limits,
    telemetry: &Telemetry,
    shutdown: CancellationToken,
) -> Result<()> {
    let inference = Inference::at(url, model, TEMPERATURE, limits);
    let inference = inference.context("failed to set up the inference client")?;
    let examination = Examination {
        inference,
        health: telemetry.part("engine"),
        refused: Arc::default(),
    };
    let refused = Arc::clone(&examination.refused);
    telemetry.report(move |state| {
        let refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        state.engine_refused.clone_from(&refused);
    });
    let asking = examination.until_answered(limits);
    if shutdown.run_until_cancelled(asking).await.is_some() {
        shutdown.cancelled().await;
    }
    Ok(())
}

struct Examination {
    inference: Inference,
    health: Health,
    refused: Arc<Mutex<Option<String>>>,
}

impl Examination {
    async fn until_answered(&self, limits: &Limits) {
        let mut backoff = Backoff::new(limits);
        let mut before = String::new();
        while let Err(failure) = self.ask().await {
            let words = failure.to_string();
            let pause = if let Failure::Away(_) = failure {
                limits.retry_first
            } else {
                self.tell(Some(words.clone()));
                backoff.next()
            };
            if words != before {
                warn!("no answer yet: {words}");
                self.health.unready(words.clone());
                before = words;
            }
            sleep(pause).await;
        }
        info!("the server has answered");
        self.tell(None);
        self.health.ready();
    }

    async fn ask(&self) -> Result<String, Failure> {
        let entries = [Entry::question(QUESTION)];
        let trace = Trace::of(Uuid::new_v4());
        self.inference.ask(&entries, TOKENS, trace, None).await
    }

    fn tell(&self, refusal: Option<String>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = refusal;
    }
}
