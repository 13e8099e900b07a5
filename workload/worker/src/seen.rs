//! Which message a record of `inbound[p]` is a copy of. Pure: the log is the truth, this is an index over a stretch of it.

use std::collections::{HashMap, VecDeque};

use chatbot_queue::Offset;
use uuid::Uuid;

/// How long a platform may go on repeating a message.
const HORIZON: i64 = 7 * 24 * 3_600_000;
/// How far the platform's clock and the log's may be apart.
const SKEW: i64 = 600_000;

/// First offsets by message id, for the records from `floor` on.
pub(crate) struct Seen {
    floor: Offset,
    /// When the log took the oldest record covered; everything older is covered too when `whole`.
    since: i64,
    whole: bool,
    first: HashMap<Uuid, Offset>,
    /// In the order of the log, to forget the oldest.
    order: VecDeque<(i64, Offset, Uuid)>,
}

impl Seen {
    /// Covers nothing before `floor`; `whole` when nothing is there before it.
    pub(crate) fn new(floor: Offset, whole: bool) -> Self {
        Self {
            floor,
            since: i64::MAX,
            whole,
            first: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Up to where (exclusively) records must be read back before this message can be judged; absent when it can be.
    pub(crate) fn missing(&self, sent_at: Option<i64>, appended_at: i64) -> Option<Offset> {
        let since = self.since.min(appended_at);
        let earliest = match sent_at {
            Some(sent_at) => sent_at.min(appended_at).max(appended_at - HORIZON) - SKEW,
            None => appended_at - HORIZON,
        };
        (!self.whole && earliest < since).then_some(self.floor)
    }

    /// Takes in records before `floor`, oldest first: from `floor` on it now covers everything.
    pub(crate) fn extend_back(
        &mut self,
        floor: Offset,
        whole: bool,
        records: impl DoubleEndedIterator<Item = (i64, Offset, Option<Uuid>)>,
    ) {
        for (appended_at, offset, id) in records.rev() {
            self.since = self.since.min(appended_at);
            if let Some(id) = id {
                self.first.insert(id, offset);
                self.order.push_front((appended_at, offset, id));
            }
        }
        self.floor = floor;
        self.whole = whole;
    }

    /// The log begins there now: what was before it is in nobody's way any more.
    pub(crate) fn begins_at(&mut self, start: Offset) {
        while let Some((_, offset, id)) = self.order.front().copied() {
            if offset >= start {
                break;
            }
            self.order.pop_front();
            if self.first.get(&id) == Some(&offset) {
                self.first.remove(&id);
            }
        }
        if self.floor <= start {
            (self.floor, self.whole) = (start, true);
        }
    }

    /// Takes in the next record, and says whether it is the first with its id.
    pub(crate) fn is_first(&mut self, appended_at: i64, offset: Offset, id: Uuid) -> bool {
        self.since = self.since.min(appended_at);
        self.forget_before(appended_at - HORIZON - SKEW);
        let first = *self.first.entry(id).or_insert(offset);
        if first == offset {
            self.order.push_back((appended_at, offset, id));
        }
        first == offset
    }

    fn forget_before(&mut self, time: i64) {
        while let Some((appended_at, offset, id)) = self.order.front().copied() {
            if appended_at >= time {
                break;
            }
            self.order.pop_front();
            if self.first.get(&id) == Some(&offset) {
                self.first.remove(&id);
            }
            self.floor = self.floor.max(offset + 1);
            self.since = self.since.max(time);
            self.whole = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_000 * HOUR;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn the_first_record_with_an_id_is_the_message() {
        let mut seen = Seen::new(0, true);
        assert!(seen.is_first(NOW, 0, id(1)));
        assert!(seen.is_first(NOW, 1, id(2)));
        assert!(!seen.is_first(NOW, 2, id(1)));
        assert!(seen.is_first(NOW, 0, id(1)), "the same record, read again");
    }

    #[test]
    fn a_message_older_than_what_is_covered_waits_until_more_is_read() {
        let mut seen = Seen::new(50, false);
        assert_eq!(seen.missing(Some(NOW), NOW), Some(50), "clocks may differ");
        seen.extend_back(40, false, [(NOW - HOUR, 40, Some(id(1)))].into_iter());
        assert_eq!(seen.missing(Some(NOW), NOW), None);
        assert!(!seen.is_first(NOW, 50, id(1)));
        assert_eq!(seen.missing(Some(NOW - 2 * HOUR), NOW), Some(40));
        assert_eq!(seen.missing(None, NOW), Some(40), "no time: the horizon");
        assert_eq!(
            seen.missing(Some(0), NOW),
            Some(40),
            "older than the horizon"
        );
        seen.extend_back(0, true, [(NOW - 3 * HOUR, 0, None)].into_iter());
        assert_eq!(seen.missing(None, NOW), None);
    }

    #[test]
    fn a_copy_read_back_does_not_hide_the_message() {
        let mut seen = Seen::new(50, false);
        let records = [(NOW, 40, Some(id(1))), (NOW, 41, Some(id(1)))];
        seen.extend_back(40, true, records.into_iter());
        assert!(seen.is_first(NOW, 40, id(1)));
        assert!(!seen.is_first(NOW, 41, id(1)));
    }

    #[test]
    fn what_the_log_has_no_more_is_forgotten() {
        let mut seen = Seen::new(0, true);
        for offset in 0..10 {
            seen.is_first(NOW, offset, id(offset.into()));
        }
        seen.begins_at(8);
        assert_eq!((seen.first.len(), seen.order.len()), (2, 2));
        assert!(seen.is_first(NOW, 10, id(3)));
        assert!(!seen.is_first(NOW, 11, id(9)));
        assert_eq!(seen.missing(None, NOW), None, "there is nothing before it");
        let mut later = Seen::new(50, false);
        later.begins_at(8);
        assert_eq!(later.missing(None, NOW), Some(50));
    }

    #[test]
    fn what_is_older_than_the_horizon_is_forgotten_and_known_to_be() {
        let mut seen = Seen::new(0, true);
        assert!(seen.is_first(NOW, 0, id(1)));
        let later = NOW + HORIZON + 2 * HOUR;
        assert!(seen.is_first(later, 1, id(2)));
        assert_eq!((seen.first.len(), seen.order.len()), (1, 1));
        assert_eq!(seen.missing(Some(later), later), None);
        assert_eq!(seen.missing(None, later), None);
    }
}
