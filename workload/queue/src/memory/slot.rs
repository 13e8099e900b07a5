//! One partition of one topic, and what is dropped of it.

use std::collections::{HashMap, VecDeque};

use crate::{Commit, Offset, Record};

/// Records of a key that a compacted topic keeps: as on a broker, one that comes late is seen beside the one before it.
const OF_A_KEY: usize = 4;

/// One partition of one topic.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) records: VecDeque<Record>,
    /// Of a compacted topic: the offsets of the latest records of each key.
    keys: HashMap<String, VecDeque<Offset>>,
    pub(super) groups: HashMap<String, Commit>,
}

impl Slot {
    /// The first record at an offset or behind it: there are gaps where one was superseded.
    pub(super) fn place(&self, offset: Offset) -> usize {
        self.records
            .partition_point(|record| record.offset < offset)
    }

    /// A record with a key is about to be put at `offset`: removes the one that is too many; says how many bytes that freed.
    pub(super) fn supersede(&mut self, key: &str, offset: Offset) -> usize {
        let offsets = self.keys.entry(key.to_owned()).or_default();
        offsets.push_back(offset);
        if offsets.len() <= OF_A_KEY {
            return 0;
        }
        let oldest = offsets.pop_front().unwrap_or(offset);
        let place = self.place(oldest);
        let is_there = self.records.get(place);
        if is_there.is_none_or(|record| record.offset != oldest) {
            return 0;
        }
        self.records.remove(place).as_ref().map_or(0, size)
    }

    /// Drops the oldest record if every group has passed it; says how many bytes that freed.
    pub(super) fn trim(&mut self) -> Option<usize> {
        let passed = self.groups.values().map(|commit| commit.offset).min()?;
        if self.start >= passed {
            return None;
        }
        self.drop_first()
    }

    pub(super) fn drop_first(&mut self) -> Option<usize> {
        let record = self.records.pop_front()?;
        self.start = record.offset + 1;
        Some(size(&record))
    }
}

/// What a record takes, in bytes.
fn size(record: &Record) -> usize {
    record.value.len() + size_of::<Record>()
}
