//! The view in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use chatbot_message::Account;

use crate::{Applied, Session, Turn, Unavailable, Update, View};

/// What a session keeps.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Time without a turn after which a session starts anew.
    pub timeout: Duration,
    /// Turns kept, the latest; at least what the model is given.
    pub turns: usize,
}

/// Sessions of every partition, in memory.
pub struct MemoryView {
    keep: Keep,
    now: fn() -> i64,
    partitions: Mutex<HashMap<u32, Partition>>,
}

#[derive(Default)]
struct Partition {
    position: u64,
    fold: String,
    sessions: HashMap<Account, Vec<Turn>>,
    swept_at: i64,
}

/// Milliseconds between two looks for sessions that have expired.
const SWEEP: i64 = 60_000;

impl MemoryView {
    /// An empty view.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self::with_clock(keep, || {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// An empty view that takes the time, in milliseconds since the epoch, from `now`.
    #[must_use]
    pub fn with_clock(keep: Keep, now: fn() -> i64) -> Self {
        Self {
            keep,
            now,
            partitions: Mutex::default(),
        }
    }

    /// Forgets everything, as a flushed store does.
    pub fn flush(&self) {
        self.partitions().clear();
    }

    /// Every section under this lock leaves the view whole, so another thread's panic does not take it away.
    fn partitions(&self) -> MutexGuard<'_, HashMap<u32, Partition>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn expired(&self, turns: &[Turn]) -> bool {
        let timeout = i64::try_from(self.keep.timeout.as_millis()).unwrap_or(i64::MAX);
        turns
            .last()
            .is_none_or(|last| (self.now)().saturating_sub(last.at) > timeout)
    }

    fn append(&self, turns: &mut Vec<Turn>, turn: Turn) {
        if turns
            .last()
            .is_some_and(|last| last.position >= turn.position)
        {
            return;
        }
        let timeout = i64::try_from(self.keep.timeout.as_millis()).unwrap_or(i64::MAX);
        if turns
            .last()
            .is_some_and(|last| turn.at.saturating_sub(last.at) > timeout)
        {
            turns.clear();
        }
        turns.push(turn);
        let excess = turns.len().saturating_sub(self.keep.turns);
        turns.drain(..excess);
    }
}

#[async_trait]
impl View for MemoryView {
    async fn position(&self, partition: u32) -> Result<(u64, String), Unavailable> {
        let partitions = self.partitions();
        let at = partitions
            .get(&partition)
            .map(|partition| (partition.position, partition.fold.clone()));
        Ok(at.unwrap_or_default())
    }

    async fn apply(&self, partition: u32, update: Update) -> Result<Applied, Unavailable> {
        let mut partitions = self.partitions();
        let partition = partitions.entry(partition).or_default();
        if partition.position != update.from {
            return Ok(Applied::At {
                position: partition.position,
                fold: partition.fold.clone(),
            });
        }
        for (account, turn) in update.turns {
            self.append(partition.sessions.entry(account).or_default(), turn);
        }
        partition.position = update.to;
        partition.fold = update.fold;
        let now = (self.now)();
        if now.saturating_sub(partition.swept_at) > SWEEP {
            partition.sessions.retain(|_, turns| !self.expired(turns));
            partition.swept_at = now;
        }
        Ok(Applied::Done)
    }

    async fn session(&self, partition: u32, account: &Account) -> Result<Session, Unavailable> {
        let partitions = self.partitions();
        let Some(partition) = partitions.get(&partition) else {
            return Ok(Session::default());
        };
        let turns = partition
            .sessions
            .get(account)
            .filter(|turns| !self.expired(turns));
        Ok(Session {
            at: partition.position,
            turns: turns.cloned().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};
    use uuid::Uuid;

    const KEEP: Keep = Keep {
        timeout: Duration::from_mins(1),
        turns: 3,
    };

    fn account(user: &str) -> Account {
        Account {
            channel: "web".to_owned(),
            user: user.to_owned(),
        }
    }

    fn turn(position: u64, at: i64) -> Turn {
        let question = format!("question {position}");
        Turn {
            position,
            at,
            message_id: Uuid::nil(),
            question,
            answer: "!".to_owned(),
            fallback: false,
        }
    }

    fn update(from: u64, to: u64, turns: Vec<Turn>) -> Update {
        let turns = turns.into_iter().map(|turn| (account("u"), turn)).collect();
        Update {
            from,
            to,
            fold: format!("fold at {to}"),
            turns,
        }
    }

    async fn positions(view: &MemoryView) -> Vec<u64> {
        let session = view.session(0, &account("u")).await.unwrap();
        session.turns.iter().map(|turn| turn.position).collect()
    }

    #[tokio::test]
    async fn an_update_from_elsewhere_is_told_where_to_go_on() {
        let view = MemoryView::with_clock(KEEP, || 0);
        assert_eq!(
            view.apply(0, update(0, 2, vec![turn(1, 0)])).await.unwrap(),
            Applied::Done
        );
        let at = Applied::At {
            position: 2,
            fold: "fold at 2".to_owned(),
        };
        assert_eq!(
            view.apply(0, update(0, 5, vec![turn(1, 0), turn(4, 0)]))
                .await
                .unwrap(),
            at
        );
        assert_eq!(positions(&view).await, [1]);
        assert_eq!(
            view.apply(0, update(2, 5, vec![turn(4, 0)])).await.unwrap(),
            Applied::Done
        );
        assert_eq!(positions(&view).await, [1, 4]);
        assert_eq!(
            view.position(1).await.unwrap(),
            (0, String::new()),
            "partitions are apart"
        );
    }

    #[tokio::test]
    async fn a_turn_already_there_is_not_there_twice() {
        let view = MemoryView::with_clock(KEEP, || 0);
        view.apply(
            0,
            update(0, 4, vec![turn(1, 0), turn(1, 0), turn(3, 0), turn(1, 0)]),
        )
        .await
        .unwrap();
        assert_eq!(positions(&view).await, [1, 3]);
    }

    #[tokio::test]
    async fn a_session_keeps_its_latest_turns_and_starts_anew_after_the_timeout() {
        static NOW: AtomicI64 = AtomicI64::new(0);
        let view = MemoryView::with_clock(KEEP, || NOW.load(Ordering::SeqCst));
        view.apply(
            0,
            update(0, 4, (0..4).map(|position| turn(position, 0)).collect()),
        )
        .await
        .unwrap();
        assert_eq!(positions(&view).await, [1, 2, 3]);
        NOW.store(60_001, Ordering::SeqCst);
        assert_eq!(positions(&view).await, [0; 0]);
        view.apply(0, update(4, 5, vec![turn(4, 60_001)]))
            .await
            .unwrap();
        assert_eq!(positions(&view).await, [4]);
    }

    #[tokio::test]
    async fn a_flushed_view_is_filled_again_from_the_beginning() {
        let view = MemoryView::with_clock(KEEP, || 0);
        view.apply(0, update(0, 2, vec![turn(1, 0)])).await.unwrap();
        view.flush();
        let beginning = Applied::At {
            position: 0,
            fold: String::new(),
        };
        assert_eq!(
            view.apply(0, update(2, 3, vec![turn(2, 0)])).await.unwrap(),
            beginning
        );
        view.apply(0, update(0, 3, vec![turn(1, 0), turn(2, 0)]))
            .await
            .unwrap();
        assert_eq!(positions(&view).await, [1, 2]);
    }
}
