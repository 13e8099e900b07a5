//! The view of the journal that readers need in milliseconds, behind traits: in memory for one process, Redis in a
//! cluster.
//!
//! It holds no truth: sessions, and routes to REST platforms, are a fold over `response[p]` with a log position of its
//! own, so losing them costs a replay; a socket's route is announced by the gateway that holds the socket.

mod answers;
mod codes;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod memory;
pub mod redis;
mod route;

use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::Account;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use answers::{Answers, MemoryAnswers};
pub use codes::{ATTEMPTS, CODE_LIFE, Codes, MemoryCodes, Taken};
pub use route::{ANNOUNCE_EVERY, Route, Routes, SOCKET_LIFE, Socket};

/// What a session keeps.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Time without a turn after which a session starts anew.
    pub timeout: Duration,
    /// Turns kept, the latest; at least what the model is given.
    pub turns: usize,
}

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The position the view must be at for the update to apply.
    pub from: u64,
    /// The position it is at afterwards.
    pub to: u64,
    /// The fold at `to`, as the journal serialises it: kept, never read here.
    pub fold: String,
    /// Turns of counting replies between the two, in log order.
    pub turns: Vec<(Account, Turn)>,
    /// Where those replies went, in log order: the way back to chats that any gateway reaches. The epoch of each is the
    /// position of its reply.
    pub routes: Vec<(Account, Route)>,
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
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to reach the session store: {reason}")]
pub struct Unavailable {
    /// Why.
    pub reason: String,
}

/// Sessions by user.
#[async_trait]
pub trait View: Send + Sync {
    /// Position and fold of a partition's view; `(0, "")` when nothing is there.
    async fn position(&self, partition: u32) -> Result<(u64, String), Unavailable>;
    /// Applies an update if the view is at `update.from`; turns already there are skipped by position.
    async fn apply(&self, partition: u32, update: Update) -> Result<Applied, Unavailable>;
    /// The session of an account.
    async fn session(&self, partition: u32, account: &Account) -> Result<Session, Unavailable>;
    /// How often a session that was asked for was near, since the start; always 0 where none is kept near.
    fn near(&self) -> Lookups {
        Lookups::default()
    }
}

/// Totals of what was looked for in a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// It was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds of a span; the longest there are for one that is longer.
pub(crate) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// What tells the time, milliseconds since the epoch.
pub(crate) type Clock = std::sync::Arc<dyn Fn() -> i64 + Send + Sync>;
