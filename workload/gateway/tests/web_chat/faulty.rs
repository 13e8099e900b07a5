//! The logs in memory with what may happen to a broker's: appends and commits that take their time or fail, readers that
//! are slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::Trace;
use chatbot_queue::journal::Entry;
use chatbot_queue::lease::Lease;
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Commit, Error, Log, Member, Offset, Record, Records, Suggested, Topic};
use tokio::sync::watch;

use crate::hub::PATIENCE;

/// Where something waits while it is closed.
#[derive(Clone, Default)]
pub struct Gate {
    closed: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    pub fn open(&self) {
        self.closed.send_replace(false);
    }

    /// Waits until something waits here, or nothing any more.
    pub async fn holds(&self, something: bool) {
        let mut waiting = self.waiting.subscribe();
        let held = waiting.wait_for(|waiting| (*waiting > 0) == something);
        let held = tokio::time::timeout(PATIENCE, held).await;
        held.expect("a change at the gate").unwrap();
    }

    /// Whether it had to wait.
    async fn pass(&self) -> bool {
        if !*self.closed.borrow() {
            return false;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waits = Waits(&self.waiting);
        let mut closed = self.closed.subscribe();
        closed.wait_for(|closed| !*closed).await.unwrap();
        true
    }
}

/// Something that waits, until it goes on or is given up.
struct Waits<'a>(&'a watch::Sender<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// Readers of the journal.
#[derive(Default)]
pub struct Readers {
    now: AtomicUsize,
    most: AtomicUsize,
    /// Milliseconds that each look takes.
    pub slow: AtomicUsize,
}

impl Readers {
    pub fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    /// The most at the same time.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

pub struct Faulty {
    memory: Arc<MemoryLog>,
    /// For marks.
    pub marks: Gate,
    /// For messages.
    pub inbound: Gate,
    /// For commits of the group `gateway-web`; those that waited are refused.
    pub commits: Gate,
    pub readers: Arc<Readers>,
}

impl Faulty {
    pub fn on(memory: Arc<MemoryLog>) -> Self {
        Self {
            memory,
            marks: Gate::default(),
            inbound: Gate::default(),
            commits: Gate::default(),
            readers: Arc::default(),
        }
    }
}

#[async_trait]
impl Log for Faulty {
    fn identity(&self) -> &str {
        self.memory.identity()
    }

    fn partitions(&self) -> u32 {
        self.memory.partitions()
    }

    async fn append_traced(
        &self,
        topic: Topic,
        partition: u32,
        value: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Option<Offset>, Error> {
        match topic {
            Topic::Inbound => drop(self.inbound.pass().await),
            Topic::Response => {
                let entry = serde_json::from_slice(&value);
                if matches!(entry, Ok(Entry::Delivered { .. })) {
                    self.marks.pass().await;
                }
            }
            _ => {}
        }
        self.memory
            .append_traced(topic, partition, value, trace)
            .await
    }

    async fn append_keyed(
        &self,
        topic: Topic,
        partition: u32,
        key: &str,
        value: Vec<u8>,
    ) -> Result<Option<Offset>, Error> {
        self.memory.append_keyed(topic, partition, key, value).await
    }

    fn reader(&self, topic: Topic, partition: u32, from: Offset) -> Box<dyn Records> {
        let inner = self.memory.reader(topic, partition, from);
        if topic != Topic::Response {
            return inner;
        }
        let now = self.readers.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.readers.most.fetch_max(now, Ordering::SeqCst);
        Box::new(Counted {
            inner,
            readers: Arc::clone(&self.readers),
        })
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.memory.start(topic, partition).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.memory.end(topic, partition).await
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>, Error> {
        Ok(Box::new(FaultyMember {
            inner: self.memory.join(group, topic).await?,
            commits: (group == "gateway-web").then(|| self.commits.clone()),
        }))
    }

    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error> {
        self.memory.committed(group, topic, partition).await
    }
}

struct Counted {
    inner: Box<dyn Records>,
    readers: Arc<Readers>,
}

#[async_trait]
impl Records for Counted {
    async fn next(&mut self, limit: usize) -> Result<Vec<Record>, Error> {
        let slow = self.readers.slow.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(slow as u64)).await;
        self.inner.next(limit).await
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.readers.now.fetch_sub(1, Ordering::SeqCst);
    }
}

struct FaultyMember {
    inner: Box<dyn Member>,
    commits: Option<Gate>,
}

impl FaultyMember {
    async fn may_commit(&self) -> Result<(), Error> {
        match &self.commits {
            Some(commits) if commits.pass().await => Err(Error::Refused {
                reason: "the group is being shared anew".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Member for FaultyMember {
    fn suggested(&self) -> watch::Receiver<Suggested> {
        self.inner.suggested()
    }

    fn release(&self, partition: u32) {
        self.inner.release(partition);
    }

    async fn commit(&self, partition: u32, commit: Commit) -> Result<(), Error> {
        self.may_commit().await?;
        self.inner.commit(partition, commit).await
    }

    async fn commit_within(&self, term: u64, partition: u32, commit: Commit) -> Result<(), Error> {
        self.may_commit().await?;
        self.inner.commit_within(term, partition, commit).await
    }

    async fn committed(&self, partition: u32) -> Result<Commit, Error> {
        self.inner.committed(partition).await
    }

    fn lease(&self) -> Lease {
        self.inner.lease()
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }
}
