//! The system prompt: written in the resource, or a file that is read again when it changes.
//!
//! It is used once the model has taken it. With one that the model refuses, because it is longer than its context for
//! instance, every message would be refused: so a worker that begins with it takes no partition, and one that has worked
//! with another goes on with that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatbot_crds::config::{SystemPrompt, WorkerConfig};
use chatbot_message::Trace;
use chatbot_telemetry::{Health, Telemetry};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};
use uuid::Uuid;

use crate::Limits;
use crate::backoff::Backoff;
use crate::context;
use crate::inference::{Failure, Inference};

/// What a prompt is tried with.
const QUESTION: &str = "Hi";

/// What the model says of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    /// It refuses every message with it, in these words.
    Refused(String),
    /// It could not be asked: which says nothing of the prompt.
    Unsaid,
}

/// Puts prompts to the model, and tells at `/state` of one that it refuses.
pub(crate) struct Trial {
    inference: Arc<Inference>,
    config: WorkerConfig,
    limits: Limits,
    refused: Arc<Mutex<Option<String>>>,
}

impl Trial {
    pub(crate) fn new(
        inference: Arc<Inference>,
        config: &WorkerConfig,
        limits: &Limits,
        telemetry: &Telemetry,
    ) -> Self {
        let refused: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&refused);
        telemetry.report(move |state| {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            state.system_prompt_refused.clone_from(&told);
        });
        Self {
            inference,
            config: config.clone(),
            limits: limits.clone(),
            refused,
        }
    }

    /// The text to begin with, as soon as there is one that the model does not refuse.
    pub(crate) async fn first(&self, health: &Health) -> Arc<str> {
        let mut before = String::new();
        let mut backoff = Backoff::new(&self.limits);
        loop {
            let (reason, pause) = match self.read().await {
                Err(reason) => (reason, self.limits.prompt_interval),
                Ok(text) => match self.of(&text).await {
                    Verdict::Taken | Verdict::Unsaid => return text,
                    Verdict::Refused(reason) => (reason, backoff.next()),
                },
            };
            if reason != before {
                warn!("{reason}");
                health.unready(reason.clone());
                before = reason;
            }
            sleep(pause).await;
        }
    }

    /// Keeps the text as the file has it, for ever. A file that goes away later, and a text that the model refuses, leave
    /// the last one: answering on is better than falling silent.
    pub(crate) async fn follow(&self, current: &watch::Sender<Arc<str>>) {
        let mut backoff = Backoff::new(&self.limits);
        let mut pause = self.limits.prompt_interval;
        loop {
            sleep(pause).await;
            pause = self.limits.prompt_interval;
            let Ok(text) = self.read().await else {
                continue;
            };
            if text == *current.borrow() {
                self.tell(None);
                continue;
            }
            match self.of(&text).await {
                Verdict::Taken => {
                    info!("the system prompt has changed");
                    current.send_replace(text);
                    backoff = Backoff::new(&self.limits);
                }
                Verdict::Refused(reason) => {
                    warn!("{reason}; the one before is used");
                    pause = pause.max(backoff.next());
                }
                Verdict::Unsaid => {}
            }
        }
    }

    async fn read(&self) -> Result<Arc<str>, String> {
        match &self.config.system_prompt {
            None => Ok("".into()),
            Some(SystemPrompt::Text(text)) => Ok(text.as_str().into()),
            Some(SystemPrompt::File(path)) => {
                let read = tokio::fs::read_to_string(path).await;
                read.map(|text| text.trim().into())
                    .map_err(|error| format!("failed to read the system prompt {path}: {error}"))
            }
        }
    }

    async fn of(&self, text: &str) -> Verdict {
        if text.is_empty() {
            return self.told(None);
        }
        let entries = context::entries(&self.config, text, &[], 0, QUESTION);
        let most = self.config.max_answer_tokens;
        let trace = Trace::of(Uuid::new_v4());
        let deadline = Instant::now() + self.limits.prompt_patience;
        let mut backoff = Backoff::new(&self.limits);
        loop {
            let asking = self.inference.would_answer(&entries, most, trace);
            match timeout_at(deadline, asking).await {
                Ok(Ok(())) => {
                    let counting = self.inference.prompt_tokens(&entries);
                    let tokens = timeout_at(deadline, counting).await.ok().flatten();
                    let too_long = tokens.and_then(|tokens| self.too_long(tokens));
                    return self.told(too_long);
                }
                Ok(Err(Failure::Refused(words))) => return self.told(Some(words)),
                Ok(Err(Failure::Busy { .. } | Failure::Unusable(_) | Failure::Away(_))) => {}
                Err(_) => return Verdict::Unsaid,
            }
            let pause: Duration = backoff.next();
            if Instant::now() + pause >= deadline {
                return Verdict::Unsaid;
            }
            sleep(pause).await;
        }
    }

    /// The instances that are there may hold more than those that are asked for.
    fn too_long(&self, tokens: u32) -> Option<String> {
        let most = self.config.context_tokens;
        (tokens >= most).then(|| {
            format!("the conversation has {tokens} tokens and the context is to hold {most}, the answer included")
        })
    }

    fn told(&self, refusal: Option<String>) -> Verdict {
        let reason = refusal.map(|words| {
            format!("the model refuses every message with this system prompt: {words}")
        });
        self.tell(reason.clone());
        reason.map_or(Verdict::Taken, Verdict::Refused)
    }

    fn tell(&self, reason: Option<String>) {
        let mut told = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *told = reason;
    }
}
