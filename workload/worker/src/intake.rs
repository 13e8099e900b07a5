//! Reading `inbound[p]` (W4, W5): each record is a message, a copy of an earlier one, or unreadable.

use std::collections::VecDeque;

use chatbot_message::{Message, Trace};
use chatbot_queue::dead_letter::DeadLetter;
use chatbot_queue::{Error, Log, Offset, Record, Records, Topic};
use tokio::sync::mpsc;
use tracing::error;
use uuid::Uuid;

use crate::Shared;
use crate::answer::now_ms;
use crate::backoff::Backoff;
use crate::inference::fault;
use crate::seen::Seen;

/// A record that has been judged.
pub(crate) struct Taken {
    pub(crate) offset: Offset,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Message(Box<Message>, Trace),
    Duplicate,
    /// No message to this release: it is a dead letter, and there is nobody to answer.
    Unreadable,
}

/// Records read at once.
const BATCH: usize = 256;
/// Records judged before what retention has removed is forgotten.
const FORGET_AFTER: u32 = 4_096;
/// Records read back at once, when an older message has to be judged.
const BACK: u64 = 10_000;

/// Reads from `from` on until nobody takes any more. While older records are read to judge one message, those behind it
/// wait; lanes go on.
pub(crate) async fn read(
    shared: &Shared,
    partition: u32,
    from: Offset,
    taken: mpsc::Sender<Taken>,
) {
    let mut intake = Intake::new(shared.log.as_ref(), partition, from);
    let mut backoff = Backoff::new(&shared.limits);
    loop {
        match intake.batch(&taken).await {
            Ok(true) => backoff = Backoff::new(&shared.limits),
            Ok(false) => return,
            Err(error) => {
                tokio::time::sleep(backoff.failed(partition, &error)).await;
            }
        }
    }
}

pub(crate) struct Intake<'a> {
    log: &'a dyn Log,
    partition: u32,
    records: Box<dyn Records>,
    /// Read, and not judged yet.
    waiting: VecDeque<Record>,
    /// Judged since the log was asked where it begins.
    judged: u32,
    seen: Seen,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(log: &'a dyn Log, partition: u32, from: Offset) -> Self {
        Self {
            log,
            partition,
            records: log.reader(Topic::Inbound, partition, from),
            waiting: VecDeque::new(),
            judged: 0,
            seen: Seen::new(from, from == 0),
        }
    }

    /// Takes what is there; false when nobody listens any more.
    pub(crate) async fn batch(&mut self, taken: &mpsc::Sender<Taken>) -> Result<bool, Error> {
        if self.judged >= FORGET_AFTER {
            let start = self.log.start(Topic::Inbound, self.partition).await?;
            self.seen.begins_at(start);
            self.judged = 0;
        }
        if self.waiting.is_empty() {
            self.waiting.extend(self.records.next(BATCH).await?);
        }
        while let Some(record) = self.waiting.front() {
            // Judging may fail, and is then tried again with the same record.
            let (record, offset) = (record.clone(), record.offset);
            let kind = self.judge(&record).await?;
            self.waiting.pop_front();
            self.judged += 1;
            if taken.send(Taken { offset, kind }).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn judge(&mut self, record: &Record) -> Result<Kind, Error> {
        let message: Message = match serde_json::from_slice(&record.value) {
            Ok(message) => message,
            Err(error) => {
                self.give_up(record, &fault(&error)).await?;
                return Ok(Kind::Unreadable);
            }
        };
        while let Some(floor) = self.seen.missing(message.sent_at, record.appended_at) {
            self.read_back(floor).await?;
        }
        let first = self
            .seen
            .is_first(record.appended_at, record.offset, message.key());
        Ok(if first {
            let trace = record.trace.unwrap_or_else(|| Trace::of(message.id));
            Kind::Message(Box::new(message), trace.at("worker"))
        } else {
            Kind::Duplicate
        })
    }

    /// What cannot be read is kept for somebody who can, before it counts as settled.
    async fn give_up(&mut self, record: &Record, reason: &str) -> Result<(), Error> {
        error!(
            partition = self.partition,
            offset = record.offset,
            "failed to read a message: {reason}"
        );
        let letter = DeadLetter::unreadable(self.partition, record, reason, now_ms());
        letter.append(self.log, self.partition).await.map(drop)
    }

    async fn read_back(&mut self, floor: Offset) -> Result<(), Error> {
        let start = self.log.start(Topic::Inbound, self.partition).await?;
        let from = floor.saturating_sub(BACK).max(start);
        let mut next = from;
        let mut found = Vec::new();
        let mut earlier = self.log.reader(Topic::Inbound, self.partition, from);
        while next < floor {
            let records = earlier.next(BATCH).await?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            let earlier = records.iter().filter(|record| record.offset < floor);
            found.extend(earlier.map(|record| (record.appended_at, record.offset, id(record))));
        }
        self.seen
            .extend_back(from, from <= start, found.into_iter());
        Ok(())
    }
}

/// The id of what a record says, if it is a message.
fn id(record: &Record) -> Option<Uuid> {
    let message: Message = serde_json::from_slice(&record.value).ok()?;
    Some(message.key())
}
