//! Reading and appending.

use super::{Checkpoint, Entry, Fold};
use crate::{Error, Log, Offset, Topic};
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
pub struct Reader<'log> {
    log: &'log dyn Log,
    partition: u32,
    at: Checkpoint,
    fetched: VecDeque<crate::Record>,
}

impl<'log> Reader<'log> {
    /// A reader that begins at `at`.
    pub fn new(log: &'log dyn Log, partition: u32, at: Checkpoint) -> Self {
        Self {
            log,
            partition,
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
            let records = self
                .log
                .read(Topic::Response, self.partition, self.at.position, BATCH)
                .await?;
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
            before,
        })
    }
}

/// Records asked for at once.
const BATCH: usize = 512;

/// Appends one record to `response[p]`. The position is this log's own; a writer that must be certain finds its record
/// again by reading.
pub async fn append(log: &dyn Log, partition: u32, entry: &Entry) -> Result<Offset, Error> {
    let value = serde_json::to_vec(entry).map_err(|error| Error::Refused {
        reason: format!("the record cannot be serialised: {error}"),
    })?;
    log.append(Topic::Response, partition, value).await
}
