//! Which messages of a partition are settled, and from where a later owner must read to know it too. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_queue::Offset;
use chatbot_queue::journal::Checkpoint;

/// Settled means read back from the journal, never merely acknowledged; or a duplicate, which needs no reply.
pub(crate) struct Settled {
    lowest: Offset,
    above: BTreeSet<Offset>,
    /// Counting replies to offsets that are not below `lowest`, by position.
    replies: BTreeMap<Offset, (Offset, Checkpoint)>,
}

impl Settled {
    /// Everything below `committed` is settled.
    pub(crate) fn new(committed: Offset) -> Self {
        Self {
            lowest: committed,
            above: BTreeSet::new(),
            replies: BTreeMap::new(),
        }
    }

    /// A message that needs no reply.
    pub(crate) fn settle(&mut self, offset: Offset) {
        if offset < self.lowest {
            return;
        }
        self.above.insert(offset);
        while self.above.remove(&self.lowest) {
            self.lowest += 1;
        }
    }

    /// Nothing is in the log between these offsets any more.
    pub(crate) fn settle_gap(&mut self, from: Offset, to: Offset) {
        if self.lowest == from {
            // However much retention has removed.
            self.lowest = self.lowest.max(to);
            self.above.retain(|offset| *offset >= to);
            while self.above.remove(&self.lowest) {
                self.lowest += 1;
            }
        } else {
            (from..to).for_each(|offset| self.settle(offset));
        }
    }

    /// A message whose counting reply a reader meets first at `checkpoint`.
    pub(crate) fn settle_by_reply(&mut self, offset: Offset, checkpoint: Checkpoint) {
        self.replied(offset, checkpoint);
        self.settle(offset);
    }

    /// A message has a counting reply, from which something follows that is not done yet.
    pub(crate) fn replied(&mut self, offset: Offset, checkpoint: Checkpoint) {
        if offset >= self.lowest {
            self.replies
                .insert(checkpoint.position, (offset, checkpoint));
        }
    }

    pub(crate) fn contains(&self, offset: Offset) -> bool {
        offset < self.lowest || self.above.contains(&offset)
    }

    /// The lowest unsettled offset: what may be committed.
    pub(crate) fn lowest(&self) -> Offset {
        self.lowest
    }

    /// Where a later owner must begin to read the journal: at the first counting reply to an offset that is not below
    /// `lowest`, else where this reader is.
    pub(crate) fn checkpoint(&mut self, reader: Checkpoint) -> Checkpoint {
        let lowest = self.lowest;
        self.replies.retain(|_, (offset, _)| *offset >= lowest);
        let first = self.replies.first_key_value();
        first.map_or(reader, |(_, (_, checkpoint))| *checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_queue::journal::Fold;
    use proptest::prelude::*;

    fn at(position: Offset) -> Checkpoint {
        Checkpoint {
            position,
            fold: Fold::default(),
        }
    }

    #[test]
    fn the_lowest_unsettled_offset_waits_for_the_slowest() {
        let mut settled = Settled::new(3);
        settled.settle_by_reply(5, at(10));
        settled.settle(4);
        assert_eq!(settled.lowest(), 3);
        assert!(settled.contains(2) && settled.contains(5) && !settled.contains(3));
        assert_eq!(settled.checkpoint(at(99)).position, 10);
        settled.settle_by_reply(3, at(12));
        assert_eq!(settled.lowest(), 6);
        assert_eq!(settled.checkpoint(at(99)).position, 99);
        settled.settle_by_reply(3, at(13));
        assert_eq!(settled.checkpoint(at(99)).position, 99);
    }

    #[test]
    fn a_gap_is_settled_whether_or_not_something_before_it_is_not() {
        let mut settled = Settled::new(3);
        settled.settle(7);
        settled.settle_gap(3, 7);
        assert_eq!(settled.lowest(), 8);
        settled.settle_gap(9, 12);
        assert_eq!(settled.lowest(), 8);
        settled.settle(8);
        assert_eq!(settled.lowest(), 12);
    }

    proptest! {
        #[test]
        fn whoever_reads_from_the_checkpoint_knows_all_that_is_settled(
            order in Just((0..20_u64).collect::<Vec<_>>()).prop_shuffle(), upto in 0..20_usize
        ) {
            let mut settled = Settled::new(0);
            for (position, offset) in (0..).zip(&order[..upto]) {
                settled.settle_by_reply(*offset, at(position));
            }
            let from = settled.checkpoint(at(upto as u64)).position;
            let mut resumed = Settled::new(settled.lowest());
            for (position, offset) in (0..).zip(&order[..upto]).skip(usize::try_from(from).unwrap()) {
                resumed.settle_by_reply(*offset, at(position));
            }
            for offset in 0..20 {
                prop_assert_eq!(resumed.contains(offset), settled.contains(offset));
            }
        }
    }
}
