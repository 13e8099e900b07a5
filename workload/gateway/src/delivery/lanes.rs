//! Replies that wait to be sent, one lane per chat: only the head of a lane is under way, and heads follow the log's
//! order. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use chatbot_message::{Reply, Trace};
use chatbot_queue::Offset;
use chatbot_queue::journal::Checkpoint;

/// A reply that is not marked as a whole.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Where a reader of the journal meets it.
    pub(super) at: Checkpoint,
    /// Milliseconds since the epoch when the log took it.
    pub(super) appended_at: i64,
    pub(super) reply: Arc<Reply>,
    /// What stays in order.
    pub(super) chat: String,
    /// Parts of it that are marked.
    pub(super) sent: u32,
    /// The trace of its message.
    pub(super) trace: Trace,
}

#[derive(Default)]
pub(super) struct Lanes {
    waiting: BTreeMap<Offset, Waiting>,
    chats: HashMap<String, VecDeque<Offset>>,
    /// Heads that are not under way yet.
    heads: VecDeque<Offset>,
}

impl Lanes {
    /// Puts a reply at the end of its chat's lane. Positions come in the log's order.
    pub(super) fn add(&mut self, position: Offset, waiting: Waiting) {
        let lane = self.chats.entry(waiting.chat.clone()).or_default();
        lane.push_back(position);
        if lane.len() == 1 {
            self.heads.push_back(position);
        }
        self.waiting.insert(position, waiting);
    }

    /// The next head, which is under way from now on.
    pub(super) fn start(&mut self) -> Option<(Offset, Waiting)> {
        let position = self.heads.pop_front()?;
        let waiting = self.waiting.get(&position)?;
        Some((position, waiting.clone()))
    }

    /// A head has come to its end: the next of its lane can begin.
    pub(super) fn done(&mut self, position: Offset) {
        let Some(waiting) = self.waiting.remove(&position) else {
            return;
        };
        let Some(lane) = self.chats.get_mut(&waiting.chat) else {
            return;
        };
        lane.pop_front();
        match lane.front() {
            Some(next) => self.heads.push_back(*next),
            None => {
                self.chats.remove(&waiting.chat);
            }
        }
    }

    /// The lowest position that is not settled.
    pub(super) fn lowest(&self) -> Option<Checkpoint> {
        self.waiting
            .first_key_value()
            .map(|(_, waiting)| waiting.at)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use chatbot_message::{Account, Outcome};
    use uuid::Uuid;

    pub(in crate::delivery) fn waiting(chat: &str, position: Offset) -> Waiting {
        Waiting {
            at: Checkpoint {
                position,
                ..Checkpoint::default()
            },
            appended_at: 0,
            reply: Arc::new(Reply {
                message_id: Uuid::from_u128(u128::from(position)),
                account: Account {
                    channel: "chat".to_owned(),
                    user: chat.to_owned(),
                },
                origin: chat.to_owned(),
                question: String::new(),
                answer: String::new(),
                outcome: Outcome::Answered,
                synthetic: false,
                way: Vec::new(),
                kept_by_client: false,
                effect: None,
            }),
            chat: chat.to_owned(),
            sent: 0,
            trace: Trace::of(Uuid::nil()),
        }
    }

    fn started(lanes: &mut Lanes) -> Vec<Offset> {
        std::iter::from_fn(|| lanes.start())
            .map(|(position, _)| position)
            .collect()
    }

    #[test]
    fn only_the_head_of_each_chat_is_under_way_and_the_next_follows_its_end() {
        let mut lanes = Lanes::default();
        for (position, chat) in [(1, "a"), (2, "b"), (3, "a"), (5, "a")] {
            lanes.add(position, waiting(chat, position));
        }
        assert_eq!(started(&mut lanes), [1, 2]);
        assert!(started(&mut lanes).is_empty());
        lanes.done(2);
        assert!(started(&mut lanes).is_empty());
        lanes.done(1);
        assert_eq!(started(&mut lanes), [3]);
        lanes.add(6, waiting("b", 6));
        assert_eq!(started(&mut lanes), [6]);
    }

    #[test]
    fn progress_stops_at_the_lowest_reply_whatever_else_was_sent() {
        let mut lanes = Lanes::default();
        for (position, chat) in [(1, "a"), (2, "b"), (3, "c")] {
            lanes.add(position, waiting(chat, position));
        }
        started(&mut lanes);
        lanes.done(2);
        lanes.done(3);
        assert_eq!(lanes.lowest().map(|at| at.position), Some(1));
        lanes.done(1);
        assert_eq!((lanes.lowest(), lanes.len()), (None, 0));
    }
}
