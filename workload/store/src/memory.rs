//! Sessions and routes in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chatbot_message::Account;

pub use crate::Keep;
use crate::route::{Socket, Stored};
use crate::{
    Applied, Clock, Route, Routes, Session, Turn, Unavailable, Update, View, millis, now_ms,
};

/// Sessions and routes of every partition, in memory.
pub struct MemoryView {
    keep: Keep,
    now: Clock,
    partitions: Mutex<HashMap<u32, Partition>>,
}

#[derive(Default)]
struct Partition {
    position: u64,
    fold: String,
    sessions: HashMap<Account, Vec<Turn>>,
    routes: HashMap<Account, Ways>,
    swept_at: i64,
}

/// The routes of one user.
#[derive(Default)]
struct Ways {
    by_channel: BTreeMap<String, Stored>,
    /// When one was written last.
    written_at: i64,
}

/// Milliseconds between two looks for what has expired.
const SWEEP: i64 = 60_000;
/// Milliseconds that what has expired is kept, since a replay of old turns may not have brought the latest yet.
const GRACE: i64 = 600_000;

impl MemoryView {
    /// An empty view.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self::with_clock(keep, now_ms)
    }

    /// An empty view that takes the time, in milliseconds since the epoch, from `now`.
    #[must_use]
    pub fn with_clock(keep: Keep, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            keep,
            now: Arc::new(now),
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

    fn append(&self, turns: &mut Vec<Turn>, turn: Turn) {
        if turns
            .last()
            .is_some_and(|last| last.position >= turn.position)
        {
            return;
        }
        if turns
            .last()
            .is_some_and(|last| turn.at.saturating_sub(last.at) > millis(self.keep.timeout))
        {
            turns.clear();
        }
        turns.push(turn);
        let excess = turns.len().saturating_sub(self.keep.turns);
        turns.drain(..excess);
    }

    /// Forgets what has expired, now and then.
    fn sweep(&self, partition: &mut Partition) {
        let now = (self.now)();
        if now.saturating_sub(partition.swept_at) <= SWEEP {
            return;
        }
        partition.swept_at = now;
        let keep = &self.keep;
        partition
            .sessions
            .retain(|_, turns| !keep.has_expired(turns, now.saturating_sub(GRACE)));
        let timeout = millis(keep.timeout).saturating_add(GRACE);
        partition
            .routes
            .retain(|_, ways| now.saturating_sub(ways.written_at) <= timeout);
    }

    /// Looks at the routes of one user, and says what `look` says; `written` when that changed them.
    fn ways<T>(
        &self,
        partition: u32,
        account: &Account,
        look: impl FnOnce(&mut BTreeMap<String, Stored>, i64) -> T,
    ) -> T {
        let now = (self.now)();
        let mut partitions = self.partitions();
        let partition = partitions.entry(partition).or_default();
        let ways = partition.routes.entry(account.clone()).or_default();
        ways.written_at = now;
        let seen = look(&mut ways.by_channel, now);
        self.sweep(partition);
        seen
    }
}

impl Keep {
    /// Whether a session, its turns oldest first, is over at `now`.
    pub(crate) fn has_expired(&self, turns: &[Turn], now: i64) -> bool {
        turns
            .last()
            .is_none_or(|last| now.saturating_sub(last.at) > millis(self.timeout))
    }
}

/// A route from the journal goes where no newer one is, and never over a socket that lives.
fn reached(ways: &mut BTreeMap<String, Stored>, route: Route, now: i64) {
    let stays = ways.get(&route.channel).is_some_and(|stored| {
        if stored.instance.is_some() {
            stored.is_alive(now)
        } else {
            stored.epoch >= route.epoch
        }
    });
    if !stays {
        let stored = Stored {
            epoch: route.epoch,
            announced: 0,
            instance: None,
            origin: route.origin,
        };
        ways.insert(route.channel, stored);
    }
}

fn announced(socket: Socket<'_>, epoch: u64, now: i64) -> Stored {
    Stored {
        epoch,
        announced: now,
        instance: Some(socket.instance.to_owned()),
        origin: socket.origin.to_owned(),
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
        let now = (self.now)();
        let mut partitions = self.partitions();
        let partition = partitions.entry(partition).or_default();
        if partition.position != update.from {
            return Ok(Applied::At {
                position: partition.position,
                fold: partition.fold.clone(),
            });
        }
        for (account, turn) in update.turns {
            let session = partition.sessions.entry(account).or_default();
            // Beyond what the view will have is only what another journal said, which was there before.
            if session
                .last()
                .is_some_and(|last| last.position >= update.to)
            {
                session.clear();
            }
            self.append(session, turn);
        }
        for (account, route) in update.routes {
            let ways = partition.routes.entry(account).or_default();
            ways.written_at = now;
            reached(&mut ways.by_channel, route, now);
        }
        partition.position = update.to;
        partition.fold = update.fold;
        self.sweep(partition);
        Ok(Applied::Done)
    }

    async fn session(&self, partition: u32, account: &Account) -> Result<Session, Unavailable> {
        let partitions = self.partitions();
        let Some(partition) = partitions.get(&partition) else {
            return Ok(Session::default());
        };
        let now = (self.now)();
        let turns = partition
            .sessions
            .get(account)
            .filter(|turns| !self.keep.has_expired(turns, now));
        Ok(Session {
            at: partition.position,
            turns: turns.cloned().unwrap_or_default(),
        })
    }
}

#[async_trait]
impl Routes for MemoryView {
    async fn routes(&self, partition: u32, account: &Account) -> Result<Vec<Route>, Unavailable> {
        let now = (self.now)();
        let partitions = self.partitions();
        let ways = partitions
            .get(&partition)
            .and_then(|partition| partition.routes.get(account));
        let alive = ways
            .into_iter()
            .flat_map(|ways| &ways.by_channel)
            .filter(|(_, stored)| stored.is_alive(now));
        Ok(alive
            .map(|(channel, stored)| stored.clone().route(channel.clone()))
            .collect())
    }

    async fn open(
        &self,
        partition: u32,
        account: &Account,
        socket: Socket<'_>,
    ) -> Result<u64, Unavailable> {
        Ok(self.ways(partition, account, |ways, now| {
            let before = ways.get(socket.channel).map_or(0, |stored| stored.epoch);
            let clock = u64::try_from(now).unwrap_or(0).saturating_mul(1_000);
            let epoch = clock.max(before + 1);
            ways.insert(socket.channel.to_owned(), announced(socket, epoch, now));
            epoch
        }))
    }

    async fn announce(
        &self,
        partition: u32,
        account: &Account,
        socket: Socket<'_>,
        epoch: u64,
    ) -> Result<bool, Unavailable> {
        Ok(self.ways(partition, account, |ways, now| {
            let newer = ways
                .get(socket.channel)
                .is_some_and(|stored| stored.instance.is_some() && stored.epoch > epoch);
            if !newer {
                ways.insert(socket.channel.to_owned(), announced(socket, epoch, now));
            }
            !newer
        }))
    }

    async fn close(
        &self,
        partition: u32,
        account: &Account,
        channel: &str,
        epoch: u64,
    ) -> Result<bool, Unavailable> {
        Ok(self.ways(partition, account, |ways, _| {
            let ours = ways
                .get(channel)
                .is_some_and(|stored| stored.instance.is_some() && stored.epoch == epoch);
            if ours {
                ways.remove(channel);
            }
            ours
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::contract::{self, KEEP, Subject};

    struct Memory {
        view: MemoryView,
        clock: Arc<AtomicI64>,
    }

    #[async_trait]
    impl Subject for Memory {
        fn view(&self) -> &dyn View {
            &self.view
        }

        fn routes(&self) -> &dyn Routes {
            &self.view
        }

        fn set_clock(&self, now: i64) {
            self.clock.store(now, Ordering::SeqCst);
        }

        async fn flush(&self) {
            self.view.flush();
        }
    }

    #[tokio::test]
    async fn the_contract_holds_in_memory() {
        let clock = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&clock);
        let view = MemoryView::with_clock(KEEP, move || told.load(Ordering::SeqCst));
        contract::check(&Memory { view, clock }).await;
    }

    #[tokio::test]
    async fn what_has_expired_takes_no_memory() {
        let clock = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&clock);
        let view = MemoryView::with_clock(KEEP, move || told.load(Ordering::SeqCst));
        let account = contract::account("u");
        let update = contract::update(0, 2, vec![(account.clone(), contract::turn(1, 0))]);
        view.apply(0, update).await.unwrap();
        let socket = Socket {
            channel: "web",
            origin: "",
            instance: "10.0.0.1:9091",
        };
        view.open(0, &account, socket).await.unwrap();
        clock.store(3_600_000, Ordering::SeqCst);
        view.apply(0, contract::update(2, 3, Vec::new()))
            .await
            .unwrap();
        let partitions = view.partitions();
        assert!(partitions[&0].sessions.is_empty() && partitions[&0].routes.is_empty());
    }
}
