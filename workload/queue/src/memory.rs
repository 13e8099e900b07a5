//! The logs in memory: as durable as the process.
//!
//! Retention is by progress: when the logs hold more than [`Limits::kept_bytes`], the oldest records that every group has
//! passed in that partition are dropped. A group takes part from its first commit on; a partition that no group ever
//! committed keeps everything. What is not yet passed is never dropped: at [`Limits::full_bytes`] appends are refused,
//! which the one who asks hears about before anything is acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use chatbot_message::Preview;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use uuid::Uuid;

use crate::{Commit, Error, Log, Offset, Previews, Record, Topic};

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

/// Both logs and the groups' progress, in memory.
pub struct MemoryLog {
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
}

/// One partition of one topic.
#[derive(Default)]
struct Slot {
    start: Offset,
    records: VecDeque<Record>,
    groups: HashMap<String, Commit>,
}

impl Slot {
    fn end(&self) -> Offset {
        self.start + self.records.len() as Offset
    }

    /// Drops the oldest record if every group has passed it; says how many bytes that freed.
    fn trim(&mut self) -> Option<usize> {
        let passed = self.groups.values().map(|commit| commit.offset).min()?;
        if self.start >= passed {
            return None;
        }
        let record = self.records.pop_front()?;
        self.start = record.offset + 1;
        Some(size(&record))
    }
}

fn size(record: &Record) -> usize {
    record.value.len() + size_of::<Record>()
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
        let places = [Topic::Inbound, Topic::Response]
            .into_iter()
            .flat_map(|topic| (0..partitions).map(move |partition| (topic, partition)));
        let ends: HashMap<_, _> = places.map(|place| (place, watch::Sender::new(0))).collect();
        let slots = ends.keys().map(|place| (*place, Slot::default())).collect();
        Self {
            identity: Uuid::new_v4().to_string(),
            partitions,
            limits,
            state: Mutex::new(State { bytes: 0, slots }),
            ends,
        }
    }

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

    fn put(&self, place: Place, value: Vec<u8>) -> Result<Offset, Error> {
        let mut state = self.state();
        let State { bytes, slots } = &mut *state;
        let added = value.len() + size_of::<Record>();
        if *bytes + added > self.limits.full_bytes {
            return Err(Error::Refused {
                reason: format!("the log is full: {bytes} bytes are not settled yet"),
            });
        }
        let slot = slots.get_mut(&place).ok_or_else(|| Error::Refused {
            reason: self.unknown(place.1),
        })?;
        let offset = slot.end();
        slot.records.push_back(Record {
            offset,
            appended_at: now(),
            value,
        });
        *bytes += added;
        // Under the lock: an older end must not replace a newer one.
        if let Some(end) = self.ends.get(&place) {
            end.send_replace(offset + 1);
        }
        Ok(offset)
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
        &self.identity
    }

    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn append(&self, topic: Topic, partition: u32, value: Vec<u8>) -> Result<Offset, Error> {
        self.put((topic, partition), value)
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: Offset,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        let sender = self.ends.get(&(topic, partition));
        let sender = sender.ok_or_else(|| Error::Unreadable {
            reason: self.unknown(partition),
        })?;
        let closed = |_| Error::Unreadable {
            reason: "the log has ended".to_owned(),
        };
        sender
            .subscribe()
            .wait_for(|end| *end > from)
            .await
            .map_err(closed)?;
        self.slot(topic, partition, |slot| {
            let skipped = usize::try_from(from.saturating_sub(slot.start)).unwrap_or(usize::MAX);
            slot.records
                .iter()
                .skip(skipped)
                .take(limit.max(1))
                .cloned()
                .collect()
        })
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.slot(topic, partition, |slot| slot.start)
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.slot(topic, partition, |slot| slot.end())
    }

    async fn commit(
        &self,
        group: &str,
        topic: Topic,
        partition: u32,
        commit: Commit,
    ) -> Result<(), Error> {
        let refused = || Error::Refused {
            reason: self.unknown(partition),
        };
        let mut state = self.state();
        let State { bytes, slots } = &mut *state;
        let slot = slots.get_mut(&(topic, partition)).ok_or_else(refused)?;
        slot.groups.insert(group.to_owned(), commit);
        while *bytes > self.limits.kept_bytes {
            let Some(freed) = slot.trim() else { break };
            *bytes = bytes.saturating_sub(freed);
        }
        Ok(())
    }

    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error> {
        self.slot(topic, partition, |slot| {
            slot.groups.get(group).cloned().unwrap_or_default()
        })
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
