//! A log and a view that fail, or stand still for ever, at one chosen operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::{Account, Trace};
use chatbot_queue::lease::Lease;
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Commit, Error, Log, Member, Offset, Record, Records, Suggested, Topic};
use chatbot_store::memory::MemoryView;
use chatbot_store::{Applied, Session, Unavailable, Update, View};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The worker dies before it happens.
    KillBefore,
    /// The worker dies after it has happened, and before it knows.
    KillAfter,
    /// The worker dies, and what it had sent happens only after that.
    KillThenHappen,
    /// It happens, and the worker does not hear of it.
    LoseAnswer,
    /// It happens only much later, and the worker is told that nobody knows.
    Late,
    /// It does not happen.
    Refuse,
}

impl Fault {
    /// Whether the worker is dead afterwards.
    pub fn kills(self) -> bool {
        matches!(
            self,
            Self::KillBefore | Self::KillAfter | Self::KillThenHappen
        )
    }
}

/// Strikes once, at the operation with number `at`.
pub struct Faults {
    fault: Fault,
    at: usize,
    operations: AtomicUsize,
    /// Cancelled when it has struck.
    pub struck: CancellationToken,
}

/// What an operation has to do.
#[derive(PartialEq)]
enum Turn {
    Well,
    Fail,
    FailAfter,
    FailAndHappenLater,
    StopAndHappenLater,
    StopAfter,
}

impl Faults {
    pub fn new(fault: Fault, at: usize) -> Arc<Self> {
        let (operations, struck) = (AtomicUsize::new(0), CancellationToken::new());
        Arc::new(Self {
            fault,
            at,
            operations,
            struck,
        })
    }

    /// Whether the operation was begun.
    pub fn reached(&self) -> bool {
        self.operations.load(Ordering::SeqCst) > self.at
    }

    async fn turn(&self) -> Turn {
        if self.operations.fetch_add(1, Ordering::SeqCst) != self.at {
            return Turn::Well;
        }
        if self.fault != Fault::KillAfter {
            self.struck.cancel();
        }
        match self.fault {
            Fault::KillBefore => std::future::pending().await,
            Fault::KillAfter => Turn::StopAfter,
            Fault::KillThenHappen => Turn::StopAndHappenLater,
            Fault::LoseAnswer => Turn::FailAfter,
            Fault::Late => Turn::FailAndHappenLater,
            Fault::Refuse => Turn::Fail,
        }
    }

    /// After the operation.
    async fn end<T, E>(&self, turn: Turn, result: Result<T, E>, lost: E) -> Result<T, E> {
        match turn {
            Turn::StopAfter => {
                self.struck.cancel();
                std::future::pending().await
            }
            Turn::StopAndHappenLater => std::future::pending().await,
            Turn::Well => result,
            _ => Err(lost),
        }
    }
}

pub struct FaultyLog(pub Arc<MemoryLog>, pub Arc<Faults>);

impl FaultyLog {
    fn later(&self, delay: Duration, (topic, partition): (Topic, u32), record: Written) {
        let log = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            record.append(&log, topic, partition).await.unwrap();
        });
    }

    async fn write(&self, place: (Topic, u32), record: Written) -> Result<Option<Offset>, Error> {
        let turn = self.1.turn().await;
        match turn {
            Turn::Fail => Err(Error::Refused {
                reason: "a fault".to_owned(),
            }),
            Turn::FailAndHappenLater => {
                self.later(Duration::from_millis(30), place, record);
                Err(unknown())
            }
            Turn::StopAndHappenLater => {
                self.later(Duration::from_millis(5), place, record);
                std::future::pending().await
            }
            turn => {
                let result = record.append(&self.0, place.0, place.1).await;
                self.1.end(turn, result, unknown()).await
            }
        }
    }
}

/// A record to be appended.
struct Written {
    key: Option<String>,
    value: Vec<u8>,
    trace: Option<Trace>,
}

impl Written {
    async fn append(
        self,
        log: &MemoryLog,
        topic: Topic,
        partition: u32,
    ) -> Result<Option<Offset>, Error> {
        let Self { key, value, trace } = self;
        if let Some(key) = key {
            log.append_keyed(topic, partition, &key, value).await
        } else {
            log.append_traced(topic, partition, value, trace).await
        }
    }
}

fn unreadable() -> Error {
    Error::Unreadable {
        reason: "a fault".to_owned(),
    }
}

fn unknown() -> Error {
    Error::OutcomeUnknown {
        reason: "a fault".to_owned(),
    }
}

#[async_trait]
impl Log for FaultyLog {
    fn identity(&self) -> &str {
        self.0.identity()
    }

    fn partitions(&self) -> u32 {
        self.0.partitions()
    }

    async fn append_traced(
        &self,
        topic: Topic,
        partition: u32,
        value: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Option<Offset>, Error> {
        let record = Written {
            key: None,
            value,
            trace,
        };
        self.write((topic, partition), record).await
    }

    async fn append_keyed(
        &self,
        topic: Topic,
        partition: u32,
        key: &str,
        value: Vec<u8>,
    ) -> Result<Option<Offset>, Error> {
        let record = Written {
            key: Some(key.to_owned()),
            value,
            trace: None,
        };
        self.write((topic, partition), record).await
    }

    fn reader(&self, topic: Topic, partition: u32, from: Offset) -> Box<dyn Records> {
        let records = self.0.reader(topic, partition, from);
        Box::new(FaultyRecords(records, Arc::clone(&self.1)))
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        let turn = self.1.turn().await;
        let result = self.0.start(topic, partition).await;
        self.1.end(turn, result, unreadable()).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        let turn = self.1.turn().await;
        let result = self.0.end(topic, partition).await;
        self.1.end(turn, result, unreadable()).await
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>, Error> {
        let member = self.0.join(group, topic).await?;
        Ok(Box::new(FaultyMember(member, Arc::clone(&self.1))))
    }

    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error> {
        self.0.committed(group, topic, partition).await
    }
}

struct FaultyRecords(Box<dyn Records>, Arc<Faults>);

#[async_trait]
impl Records for FaultyRecords {
    async fn next(&mut self, limit: usize) -> Result<Vec<Record>, Error> {
        let turn = self.1.turn().await;
        match turn {
            Turn::Well => self.0.next(limit).await,
            Turn::StopAfter | Turn::StopAndHappenLater => {
                let result = self.0.next(limit).await;
                self.1.end(turn, result, unreadable()).await
            }
            // A reader that failed has not moved.
            _ => Err(unreadable()),
        }
    }
}

struct FaultyMember(Box<dyn Member>, Arc<Faults>);

#[async_trait]
impl Member for FaultyMember {
    fn suggested(&self) -> watch::Receiver<Suggested> {
        self.0.suggested()
    }

    fn release(&self, partition: u32) {
        self.0.release(partition);
    }

    async fn commit(&self, partition: u32, commit: Commit) -> Result<(), Error> {
        let turn = self.1.turn().await;
        if turn == Turn::Fail {
            return Err(unknown());
        }
        let result = self.0.commit(partition, commit).await;
        self.1.end(turn, result, unknown()).await
    }

    async fn commit_within(&self, term: u64, partition: u32, commit: Commit) -> Result<(), Error> {
        let turn = self.1.turn().await;
        if turn == Turn::Fail {
            return Err(unknown());
        }
        let result = self.0.commit_within(term, partition, commit).await;
        self.1.end(turn, result, unknown()).await
    }

    async fn committed(&self, partition: u32) -> Result<Commit, Error> {
        let turn = self.1.turn().await;
        let result = self.0.committed(partition).await;
        self.1.end(turn, result, unreadable()).await
    }

    fn lease(&self) -> Lease {
        self.0.lease()
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

pub struct FaultyView(pub Arc<MemoryView>, pub Arc<Faults>);

fn unavailable() -> Unavailable {
    Unavailable {
        reason: "a fault".to_owned(),
    }
}

#[async_trait]
impl View for FaultyView {
    async fn position(&self, partition: u32) -> Result<(u64, String), Unavailable> {
        let turn = self.1.turn().await;
        let result = self.0.position(partition).await;
        self.1.end(turn, result, unavailable()).await
    }

    async fn apply(&self, partition: u32, update: Update) -> Result<Applied, Unavailable> {
        let turn = self.1.turn().await;
        if turn == Turn::Fail {
            return Err(unavailable());
        }
        let result = self.0.apply(partition, update).await;
        self.1.end(turn, result, unavailable()).await
    }

    async fn session(&self, partition: u32, account: &Account) -> Result<Session, Unavailable> {
        let turn = self.1.turn().await;
        let result = self.0.session(partition, account).await;
        self.1.end(turn, result, unavailable()).await
    }
}
