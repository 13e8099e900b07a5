//! The view of the journal that readers need in milliseconds, behind a trait: in memory here, Redis in a cluster.
//!
//! It holds no truth: it is a fold over `response[p]` and keeps its own log position, so losing it costs a replay.

pub mod memory;

use async_trait::async_trait;
use chatbot_message::Account;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Position of the counting reply in `response[p]`.
    pub position: u64,
    /// Milliseconds since the epoch when the log took that reply.
    pub at: i64,
    /// The message that was answered.
    pub message_id: Uuid,
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
    /// Whether the answer was the fallback text: shown, but not given to the model as context.
    pub fallback: bool,
}

/// What one update of a partition's view appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The position the view must be at for the update to apply.
    pub from: u64,
    /// The position it is at afterwards.
    pub to: u64,
    /// The fold at `to`, as the journal serialises it: kept, never read here.
    pub fold: String,
    /// Turns of counting replies between the two, in log order.
    pub turns: Vec<(Account, Turn)>,
}

/// A session, with how far the view had read when it was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Position of the partition's view at that moment: a reader that needs more waits, and asks again.
    pub at: u64,
    /// Oldest turn first; empty when the session has expired or never was.
    pub turns: Vec<Turn>,
}

/// Result of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The view is at `to`.
    Done,
    /// The view is elsewhere (flushed, restored, failed over): continue from there.
    At {
        /// Its position.
        position: u64,
        /// The fold at that position; empty when nothing is known.
        fold: String,
    },
}

/// Why the view could not be used, for now.
#[derive(Clone, Debug, Error)]
#[error("failed to reach the session store: {reason}")]
pub struct Unavailable {
    /// Why.
    pub reason: String,
}

/// Sessions and routes by user.
#[async_trait]
pub trait View: Send + Sync {
    /// Position and fold of a partition's view; `(0, "")` when nothing is there.
    async fn position(&self, partition: u32) -> Result<(u64, String), Unavailable>;
    /// Applies an update if the view is at `update.from`; turns already there are skipped by position.
    async fn apply(&self, partition: u32, update: Update) -> Result<Applied, Unavailable>;
    /// The session of an account.
    async fn session(&self, partition: u32, account: &Account) -> Result<Session, Unavailable>;
}
