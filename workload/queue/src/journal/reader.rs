//! Reading and appending.

use super::{Checkpoint, Entry, Fold};
use crate::{Error, Log, Offset, Records, Topic};
use chatbot_message::Trace;
use std::collections::VecDeque;

/// One record of the journal as a reader meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its position.
    pub position: Offset,
    /// Milliseconds since the epoch when the log took it.
    pub appended_at: i64,
    /// Its content; absent when this release does not understand it, and then it changes nothing.
    pub entry: Option<Entry>,
    /// Whether it is a reply that counts.
    pub counts: bool,
    /// The trace that it belongs to, if it came with one.
    pub trace: Option<Trace>,
    /// The fold before it: together with `position`, a checkpoint.
    pub before: Fold,
}

impl Step {
    /// The checkpoint at which a reader meets this record first.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            position: self.position,
            fold: self.before,
        }
    }
}

/// Reads `response[p]` from a checkpoint on, and folds.
pub struct Reader {
    records: Box<dyn Records>,
    at: Checkpoint,
    fetched: VecDeque<crate::Record>,
}

impl Reader {
    /// A reader that begins at `at`.
    #[must_use]
    pub fn new(log: &dyn Log, partition: u32, at: Checkpoint) -> Self {
        Self {
            records: log.reader(Topic::Response, partition, at.position),
            at,
            fetched: VecDeque::new(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.at
    }

    /// The next record; waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(step) = self.next_fetched() {
                return Ok(step);
            }
            let records = self.records.next(BATCH).await?;
            self.fetched.extend(records);
        }
    }

    /// The next record if it was already fetched with the last one; never waits.
    pub fn next_fetched(&mut self) -> Option<Step> {
        let record = self.fetched.pop_front()?;
        let before = self.at.fold;
        let entry = serde_json::from_slice::<Entry>(&record.value).ok();
        let counts = entry
            .as_ref()
            .is_some_and(|entry| self.at.fold.counts(record.offset, entry));
        self.at.position = record.offset + 1;
        Some(Step {
            position: record.offset,
            appended_at: record.appended_at,
            entry,
            counts,
            trace: record.trace,
            before,
        })
    }
}

/// Records asked for at once.
const BATCH: usize = 512;

/// Appends one record to `response[p]`. Gives its position as [`Log::append`] does.
pub async fn append(log: &dyn Log, partition: u32, entry: &Entry) -> Result<Option<Offset>, Error> {
    append_traced(log, partition, entry, None).await
}

/// As [`append`], with the trace that the record belongs to.
pub async fn append_traced(
    log: &dyn Log,
    partition: u32,
    entry: &Entry,
    trace: Option<Trace>,
) -> Result<Option<Offset>, Error> {
    let value = serde_json::to_vec(entry).map_err(|error| Error::Refused {
        reason: format!("the record cannot be serialised: {error}"),
    })?;
    log.append_traced(Topic::Response, partition, value, trace)
        .await
}

/// Up to where `response[p]` can be read without waiting: its end, or 0 when retention has left nothing before it.
pub async fn readable_end(log: &dyn Log, partition: u32) -> Result<Offset, Error> {
    let end = log.end(Topic::Response, partition).await?;
    let start = log.start(Topic::Response, partition).await?;
    Ok(if start < end { end } else { 0 })
}
