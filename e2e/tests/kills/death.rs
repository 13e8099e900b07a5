//! A log and a store that end their own process at one step of the guarantee: nothing is tidied up, as when a node loses
//! its power.

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chatbot_message::{Account, Trace};
use chatbot_queue::journal::Entry;
use chatbot_queue::lease::Lease;
use chatbot_queue::{Commit, Error, Log, Member, Offset, Record, Records, Suggested, Topic};
use chatbot_store::{Applied, Session, Unavailable, Update, View};
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::watch;

/// A step of the guarantee, by what it does to log and store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// W1, S1: the committed progress is fetched.
    Fetch,
    /// W2: an owner announces itself.
    Announce,
    /// W3, S1: the journal is read from the checkpoint on.
    ReadJournal,
    /// W4: the store is brought up.
    BringUp,
    /// W5, and what the gateway does not do: messages are read.
    ReadInbound,
    /// W6: the conversation is read.
    Context,
    /// W7: the reply is written.
    Reply,
    /// W8: the own reply is read back.
    ReadBack,
    /// W9: the store learns of it.
    View,
    /// W10, S5: progress is committed.
    Commit,
    /// W11: an owner that leaves says so.
    Release,
    /// G2, G3: the message is enqueued; after it, the platform is not told any more.
    Enqueue,
    /// S4: what the platform took is marked.
    Mark,
}

pub const STEPS: [Step; 13] = [
    Step::Fetch,
    Step::Announce,
    Step::ReadJournal,
    Step::BringUp,
    Step::ReadInbound,
    Step::Context,
    Step::Reply,
    Step::ReadBack,
    Step::View,
    Step::Commit,
    Step::Release,
    Step::Enqueue,
    Step::Mark,
];

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    pub step: Step,
    /// Once it has happened, and before the process knows.
    pub after: bool,
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let when = if self.after { "after" } else { "before" };
        write!(f, "{when} {:?}", self.step)
    }
}

impl FromStr for Death {
    type Err = String;

    fn from_str(told: &str) -> Result<Self, String> {
        let both = STEPS
            .iter()
            .flat_map(|step| [false, true].map(|after| Self { step: *step, after }));
        let mut both = both.into_iter();
        both.find(|death| death.to_string() == told)
            .ok_or_else(|| format!("{told}: no such death"))
    }
}

/// What waits for its step.
pub struct Deadly {
    death: Death,
    /// A reply of its own is in the journal.
    answered: AtomicBool,
}

impl Deadly {
    pub fn new(death: Death) -> Arc<Self> {
        Arc::new(Self {
            death,
            answered: AtomicBool::new(false),
        })
    }

    fn has_answered(&self) -> bool {
        self.answered.load(Ordering::SeqCst)
    }

    async fn around<T>(&self, step: Option<Step>, doing: impl Future<Output = T>) -> T {
        let here = step == Some(self.death.step);
        if here && !self.death.after {
            die();
        }
        let done = doing.await;
        if here && self.death.after {
            die();
        }
        if step == Some(Step::Reply) {
            self.answered.store(true, Ordering::SeqCst);
        }
        done
    }
}

fn die() -> ! {
    kill_process(getpid(), Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}

/// The step of an append.
fn appends(topic: Topic, value: &[u8]) -> Option<Step> {
    match topic {
        Topic::Inbound => Some(Step::Enqueue),
        Topic::Response => match serde_json::from_slice(value).ok()? {
            Entry::Owner { .. } => Some(Step::Announce),
            Entry::Released { .. } => Some(Step::Release),
            Entry::Reply { .. } => Some(Step::Reply),
            Entry::Delivered { .. } => Some(Step::Mark),
        },
        _ => None,
    }
}

pub struct DeadlyLog<L>(pub L, pub Arc<Deadly>);

#[async_trait]
impl<L: Log> Log for DeadlyLog<L> {
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
        let step = appends(topic, &value);
        let appending = self.0.append_traced(topic, partition, value, trace);
        self.1.around(step, appending).await
    }

    async fn append_keyed(
        &self,
        topic: Topic,
        partition: u32,
        key: &str,
        value: Vec<u8>,
    ) -> Result<Option<Offset>, Error> {
        self.0.append_keyed(topic, partition, key, value).await
    }

    fn reader(&self, topic: Topic, partition: u32, from: Offset) -> Box<dyn Records> {
        Box::new(DeadlyRecords {
            records: self.0.reader(topic, partition, from),
            topic,
            deadly: Arc::clone(&self.1),
        })
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.0.start(topic, partition).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        self.0.end(topic, partition).await
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>, Error> {
        let member = self.0.join(group, topic).await?;
        Ok(Box::new(DeadlyMember(member, Arc::clone(&self.1))))
    }

    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error> {
        self.0.committed(group, topic, partition).await
    }
}

struct DeadlyRecords {
    records: Box<dyn Records>,
    topic: Topic,
    deadly: Arc<Deadly>,
}

#[async_trait]
impl Records for DeadlyRecords {
    async fn next(&mut self, limit: usize) -> Result<Vec<Record>, Error> {
        let step = match self.topic {
            Topic::Inbound => Some(Step::ReadInbound),
            Topic::Response if self.deadly.has_answered() => Some(Step::ReadBack),
            Topic::Response => Some(Step::ReadJournal),
            _ => None,
        };
        self.deadly.around(step, self.records.next(limit)).await
    }
}

struct DeadlyMember(Box<dyn Member>, Arc<Deadly>);

#[async_trait]
impl Member for DeadlyMember {
    fn suggested(&self) -> watch::Receiver<Suggested> {
        self.0.suggested()
    }

    fn release(&self, partition: u32) {
        self.0.release(partition);
    }

    async fn commit(&self, partition: u32, commit: Commit) -> Result<(), Error> {
        let committing = self.0.commit(partition, commit);
        self.1.around(Some(Step::Commit), committing).await
    }

    async fn commit_within(&self, term: u64, partition: u32, commit: Commit) -> Result<(), Error> {
        let committing = self.0.commit_within(term, partition, commit);
        self.1.around(Some(Step::Commit), committing).await
    }

    async fn committed(&self, partition: u32) -> Result<Commit, Error> {
        let fetching = self.0.committed(partition);
        self.1.around(Some(Step::Fetch), fetching).await
    }

    fn lease(&self) -> Lease {
        self.0.lease()
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

pub struct DeadlyView<V>(pub V, pub Arc<Deadly>);

#[async_trait]
impl<V: View> View for DeadlyView<V> {
    async fn position(&self, partition: u32) -> Result<(u64, String), Unavailable> {
        self.0.position(partition).await
    }

    async fn apply(&self, partition: u32, update: Update) -> Result<Applied, Unavailable> {
        let step = if self.1.has_answered() {
            Step::View
        } else {
            Step::BringUp
        };
        let applying = self.0.apply(partition, update);
        self.1.around(Some(step), applying).await
    }

    async fn session(&self, partition: u32, account: &Account) -> Result<Session, Unavailable> {
        let reading = self.0.session(partition, account);
        self.1.around(Some(Step::Context), reading).await
    }
}
