//! Sessions kept near, so that a session that has not changed is not sent again.
//!
//! They are kept right by the read itself and not by client tracking: whoever reads a session must learn in the same
//! moment where the view is, so the server is asked in any case, and says whether the last turn is still the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chatbot_message::Account;
use moka::future::Cache;

use crate::{Lookups, Turn};

/// Sessions by partition and account.
pub(crate) struct Near {
    sessions: Cache<(u32, Account), Arc<Vec<Turn>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a turn takes beside its texts, bytes.
const TURN: usize = size_of::<Turn>();

impl Near {
    /// At most so many bytes, each session as long as it may still be needed.
    pub(crate) fn new(max_bytes: u64, timeout: Duration) -> Self {
        let weigh = |(_, account): &(u32, Account), turns: &Arc<Vec<Turn>>| {
            let texts = turns
                .iter()
                .map(|turn| turn.question.len() + turn.answer.len() + TURN);
            let bytes = texts.sum::<usize>() + account.user.len() + TURN;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let sessions = Cache::builder()
            .weigher(weigh)
            .max_capacity(max_bytes)
            .time_to_idle(timeout)
            .build();
        Self {
            sessions,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) async fn get(&self, key: &(u32, Account)) -> Option<Arc<Vec<Turn>>> {
        self.sessions.get(key).await
    }

    pub(crate) fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) async fn put(&self, key: (u32, Account), turns: &Arc<Vec<Turn>>) {
        if turns.is_empty() {
            self.sessions.invalidate(&key).await;
        } else {
            self.sessions.insert(key, Arc::clone(turns)).await;
        }
    }

    pub(crate) fn lookups(&self) -> Lookups {
        Lookups {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}
