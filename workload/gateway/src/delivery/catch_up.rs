//! What an earlier holder of a partition may have sent: nothing is sent before its marks were read. Pure.
//!
//! There may be far more replies than may wait. Then reading goes on to the end for the marks alone, and begins again
//! behind what was taken once there is room.

use std::collections::BTreeMap;

use chatbot_message::Reply;
use chatbot_queue::Offset;
use chatbot_queue::journal::{Checkpoint, Delivery};

use super::lanes::Waiting;

pub(super) struct CatchUp {
    /// Marks of earlier holders lie before this.
    end: Offset,
    staged: BTreeMap<Offset, Waiting>,
    /// The first reply for which there was no room.
    parked: Option<Checkpoint>,
    /// Whether it begins again behind what was taken before.
    again: bool,
}

impl CatchUp {
    pub(super) fn new(end: Offset) -> Self {
        Self {
            end,
            staged: BTreeMap::new(),
            parked: None,
            again: false,
        }
    }

    /// Whether it waits for room before it begins again.
    pub(super) fn waits(&self) -> bool {
        self.again && self.lowest().is_none()
    }

    pub(super) fn is_over(&self, position: Offset) -> bool {
        position >= self.end
    }

    /// A counting reply was read, while there was room for it or not.
    pub(super) fn reply(&mut self, position: Offset, waiting: Waiting, room: bool) {
        if self.parked.is_some() {
            return;
        }
        if room {
            self.staged.insert(position, waiting);
        } else {
            self.parked = Some(waiting.at);
        }
    }

    /// A mark was read; `parts` tells how many parts a reply has.
    pub(super) fn mark(
        &mut self,
        position: Offset,
        part: u32,
        delivery: &Delivery,
        parts: impl FnOnce(&Reply) -> usize,
    ) {
        let Some(waiting) = self.staged.get_mut(&position) else {
            return;
        };
        waiting.sent = waiting.sent.max(part.saturating_add(1));
        let refused = matches!(delivery, Delivery::Refused { .. });
        if refused || waiting.sent as usize >= parts(&waiting.reply) {
            self.staged.remove(&position);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.staged.len()
    }

    /// The lowest position that is not settled.
    pub(super) fn lowest(&self) -> Option<Checkpoint> {
        self.staged
            .first_key_value()
            .map(|(_, waiting)| waiting.at)
            .or(self.parked)
    }

    /// What is to be sent, and where reading begins again, to the same end, if there was no room for all.
    pub(super) fn finish(self) -> (BTreeMap<Offset, Waiting>, Option<(Checkpoint, Self)>) {
        let again = |parked| {
            let again = Self {
                again: true,
                ..Self::new(self.end)
            };
            (parked, again)
        };
        let again = self.parked.map(again);
        (self.staged, again)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::tests::waiting;
    use super::*;

    const ACCEPTED: Delivery = Delivery::Accepted { platform_id: None };

    fn positions(staged: &BTreeMap<Offset, Waiting>) -> Vec<Offset> {
        staged.keys().copied().collect()
    }

    #[test]
    fn a_reply_whose_parts_are_all_marked_is_not_sent_again_and_another_goes_on_where_it_was() {
        let mut catch_up = CatchUp::new(10);
        for position in [1, 2, 3] {
            catch_up.reply(position, waiting("a", position), true);
        }
        catch_up.mark(1, 0, &ACCEPTED, |_| 1);
        catch_up.mark(2, 0, &ACCEPTED, |_| 3);
        let refused = Delivery::Refused {
            reason: "blocked".to_owned(),
        };
        catch_up.mark(3, 0, &refused, |_| 3);
        assert!(!catch_up.is_over(9) && catch_up.is_over(10));
        let (staged, again) = catch_up.finish();
        assert_eq!(positions(&staged), [2]);
        assert_eq!(staged[&2].sent, 1);
        assert!(again.is_none());
    }

    #[test]
    fn what_finds_no_room_is_read_again_with_its_marks() {
        let mut catch_up = CatchUp::new(10);
        catch_up.reply(1, waiting("a", 1), true);
        catch_up.reply(2, waiting("a", 2), false);
        catch_up.reply(3, waiting("a", 3), true);
        catch_up.mark(1, 0, &ACCEPTED, |_| 1);
        catch_up.mark(3, 0, &ACCEPTED, |_| 1);
        assert_eq!(catch_up.lowest().map(|at| at.position), Some(2));
        let (staged, again) = catch_up.finish();
        assert!(staged.is_empty());
        let (from, mut again) = again.unwrap();
        assert_eq!(from.position, 2);
        assert!(again.waits());
        for position in [2, 3] {
            again.reply(position, waiting("a", position), true);
        }
        again.mark(3, 0, &ACCEPTED, |_| 1);
        assert_eq!(positions(&again.finish().0), [2]);
    }
}
