//! The logs in memory: as durable as the process.
//!
//! Retention is by progress: when the logs hold more than [`Limits::kept_bytes`], the oldest records that every group has
//! passed in that partition are dropped. A group takes part from its first commit on; a partition that no group ever
//! committed keeps everything. What is not yet passed is never dropped: at [`Limits::full_bytes`] appends are refused,
//! which the one who asks hears about before anything is acknowledged. Dead letters are passed by nobody: of each partition
//! the oldest are dropped when there are many of them, and all but the newest when the logs hold too much.
//!
//! Members of a group share its partitions as they would with a broker, and a test can make a broker's faults happen:
//! [`MemoryLog::rebalance`], [`MemoryLog::freeze`], [`MemoryLog::thaw`].

mod group;
mod member;
mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use chatbot_message::{Preview, Trace};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use uuid::Uuid;

use crate::journal::Checkpoint;
use crate::{Commit, Error, Log, Member, Offset, Previews, Record, Records, Topic};
use group::Group;
use member::MemoryMember;
use slot::Slot;

/// Dead letters kept of each partition.
const DEAD_LETTERS: usize = 256;

/// How much the logs hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Above this, what every group has passed is dropped.
    pub kept_bytes: usize,
    /// Above this, appends are refused.
    pub full_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            kept_bytes: 64 << 20,
            full_bytes: 256 << 20,
        }
    }
}

/// The logs and the groups' progress, in memory.
pub struct MemoryLog(Arc<Inner>);

struct Inner {
    identity: String,
    partitions: u32,
    limits: Limits,
    state: Mutex<State>,
    ends: HashMap<Place, watch::Sender<Offset>>,
}

type Place = (Topic, u32);

#[derive(Default)]
struct State {
    bytes: usize,
    slots: HashMap<Place, Slot>,
    groups: HashMap<(String, Topic), Group>,
}

impl MemoryLog {
    /// Empty logs with `partitions` partitions each (at least 1), and an identity of their own.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        Self::with_limits(partitions, Limits::default())
    }

    /// Empty logs that hold at most so much.
    #[must_use]
    pub fn with_limits(partitions: u32, limits: Limits) -> Self {
        let partitions = partitions.max(1);
        let places = Topic::ALL
            .into_iter()
            .flat_map(|topic| (0..partitions).map(move |partition| (topic, partition)));
        let ends: HashMap<_, _> = places.map(|place| (place, watch::Sender::new(0))).collect();
        let slots = ends.keys().map(|place| (*place, Slot::default())).collect();
        Self(Arc::new(Inner {
            identity: Uuid::new_v4().to_string(),
            partitions,
            limits,
            state: Mutex::new(State {
                slots,
                ..State::default()
            }),
            ends,
        }))
    }

    /// Drops the records before `start`, as retention by time would.
    pub fn trim(&self, topic: Topic, partition: u32, start: Offset) {
        let mut state = self.0.state();
        let State { bytes, slots, .. } = &mut *state;
        if let Some(slot) = slots.get_mut(&(topic, partition)) {
            while slot.start < start {
                let Some(freed) = slot.drop_first() else {
                    break;
                };
                *bytes = bytes.saturating_sub(freed);
            }
        }
    }

    /// The members of a group, in the order in which they joined.
    #[must_use]
    pub fn members(&self, group: &str, topic: Topic) -> Vec<Uuid> {
        self.0.group(group, topic, |group| group.members())
    }

    /// Takes every partition from whoever has it and suggests it to the next member.
    pub fn rebalance(&self, group: &str, topic: Topic) {
        self.0.group(group, topic, Group::rotate);
    }

    /// Gives up a member, as a group does with one that was silent for too long: the others get its partitions at once,
    /// its commits are refused, and it learns nothing of it before it thaws.
    pub fn freeze(&self, group: &str, topic: Topic, member: Uuid) {
        self.0.group(group, topic, |group| group.freeze(member));
    }

    /// The member learns what has happened meanwhile, and joins again.
    pub fn thaw(&self, group: &str, topic: Topic, member: Uuid) {
        self.0.group(group, topic, |group| group.thaw(member));
    }
}

impl Inner {
    /// Every section under this lock leaves the state whole, so another thread's panic does not take it away.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(&self, partition: u32) -> String {
        format!(
            "partition {partition} does not exist, there are {}",
            self.partitions
        )
    }

    fn group<T>(&self, group: &str, topic: Topic, act: impl FnOnce(&mut Group) -> T) -> T {
        let mut state = self.state();
        let key = (group.to_owned(), topic);
        let partitions = self.partitions;
        act(state
            .groups
            .entry(key)
            .or_insert_with(|| Group::new(partitions)))
    }

    fn slot<T>(
        &self,
        topic: Topic,
        partition: u32,
        look: impl FnOnce(&mut Slot) -> T,
    ) -> Result<T, Error> {
        let mut state = self.state();
        let slot = state.slots.get_mut(&(topic, partition));
        slot.map(look).ok_or_else(|| Error::Unreadable {
            reason: self.unknown(partition),
        })
    }

    fn put(
        &self,
        place: Place,
        key: Option<&str>,
        value: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Offset, Error> {
        let mut state = self.state();
        let State { bytes, slots, .. } = &mut *state;
        let added = value.len() + size_of::<Record>();
        if *bytes + added > self.limits.full_bytes {
            return Err(Error::Refused {
                reason: format!("the log is full: {bytes} bytes are not settled yet"),
            });
        }
        if place.0.is_compacted() && key.is_none() {
            return Err(Error::Refused {
                reason: format!("a record of {:?} has a key", place.0),
            });
        }
        let slot = slots.get_mut(&place).ok_or_else(|| Error::Refused {
            reason: self.unknown(place.1),
        })?;
        let offset = slot.end;
        slot.end += 1;
        if let Some(key) = key {
            *bytes = bytes.saturating_sub(slot.supersede(key, offset));
        }
        slot.records.push_back(Record {
            offset,
            appended_at: now(),
            value,
            trace,
        });
        *bytes += added;
        // Nobody passes these, so the oldest make room for the newest.
        while place.0 == Topic::DeadLetter
            && (slot.records.len() > DEAD_LETTERS
                || *bytes > self.limits.kept_bytes && slot.records.len() > 1)
        {
            *bytes = bytes.saturating_sub(slot.drop_first().unwrap_or_default());
        }
        // Under the lock: an older end must not replace a newer one.
        if let Some(end) = self.ends.get(&place) {
            end.send_replace(offset + 1);
        }
        Ok(offset)
    }

    /// Takes a group's progress, and drops what every group has passed while there is too much.
    ///
    /// A worker's commit carries where the next owner begins to read the journal: that counts as its progress there.
    fn take(&self, group: &str, topic: Topic, partition: u32, commit: Commit) -> Result<(), Error> {
        let mut state = self.state();
        if topic == Topic::Inbound && !commit.metadata.is_empty() {
            let offset = Checkpoint::decode(&commit.metadata).position;
            let journal = Commit {
                offset,
                ..Commit::default()
            };
            self.pass(&mut state, group, (Topic::Response, partition), journal)?;
        }
        self.pass(&mut state, group, (topic, partition), commit)
    }

    fn pass(
        &self,
        state: &mut State,
        group: &str,
        place: Place,
        commit: Commit,
    ) -> Result<(), Error> {
        let State { bytes, slots, .. } = state;
        let slot = slots.get_mut(&place).ok_or_else(|| Error::Refused {
            reason: self.unknown(place.1),
        })?;
        slot.groups.insert(group.to_owned(), commit);
        while *bytes > self.limits.kept_bytes {
            let Some(freed) = slot.trim() else { break };
            *bytes = bytes.saturating_sub(freed);
        }
        Ok(())
    }

    fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error> {
        self.slot(topic, partition, |slot| {
            slot.groups.get(group).cloned().unwrap_or_default()
        })
    }
}

/// Reads one partition.
struct MemoryRecords {
    log: Arc<Inner>,
    place: Place,
    from: Offset,
}

#[async_trait]
impl Records for MemoryRecords {
    async fn next(&mut self, limit: usize) -> Result<Vec<Record>, Error> {
        let (topic, partition) = self.place;
        let sender = self.log.ends.get(&self.place);
        let sender = sender.ok_or_else(|| Error::Unreadable {
            reason: self.log.unknown(partition),
        })?;
        let closed = |_| Error::Unreadable {
            reason: "the log has ended".to_owned(),
        };
        let mut end = sender.subscribe();
        loop {
            end.wait_for(|end| *end > self.from).await.map_err(closed)?;
            let records: Vec<Record> = self.log.slot(topic, partition, |slot| {
                let records = slot.records.iter().skip(slot.place(self.from));
                records.take(limit.max(1)).cloned().collect()
            })?;
            // All of it may have been dropped meanwhile.
            self.from = match records.last() {
                Some(last) => last.offset + 1,
                None => self.from.max(*end.borrow()),
            };
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Log for MemoryLog {
    fn identity(&self) -> &str {
        &self.0.identity
    }

    fn partitions(&self) -> u32 {
        self.0.partitions
    }

    async fn append_traced(
        &self,
        topic: Topic,
        partition: u32,
        value: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Option<Offset>, Error> {
        self.0.put((topic, partition), None, value, trace).map(Some)
    }

    async fn append_keyed(
        &self,
        topic: Topic,
        partition: u32,
        key: &str,
        value: Vec<u8>,
    ) -> Result<Option<Offset>, Error> {
        let place = (topic, partition);
        self.0.put(place, Some(key), value, None).map(Some)
    }

    fn reader(&self, topic: Topic, partition: u32, from: Offset) -> Box<dyn Records> {
        Box::new(MemoryRecords {
            log: Arc::clone(&self.0),
            place: (topic, partition),
            from,
        })
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.0.slot(topic, partition, |slot| slot.start)
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.0.slot(topic, partition, |slot| slot.end)
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>, Error> {
        Ok(Box::new(MemoryMember::join(&self.0, group, topic)))
    }

    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error> {
        self.0.committed(group, topic, partition)
    }
}

/// Previews within the process.
pub struct MemoryPreviews(broadcast::Sender<Preview>);

/// Previews that a slow reader may be behind before it misses some.
const BEHIND: usize = 256;

impl Default for MemoryPreviews {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

#[async_trait]
impl Previews for MemoryPreviews {
    async fn publish(&self, preview: Preview) {
        // Nobody watching is no fault.
        let _watching = self.0.send(preview);
    }

    fn subscribe(&self) -> BoxStream<'static, Preview> {
        BroadcastStream::new(self.0.subscribe())
            .filter_map(|preview| std::future::ready(preview.ok()))
            .boxed()
    }
}
