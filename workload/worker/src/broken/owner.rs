//! What a worker knows while it owns the partition, or believes to.

use std::collections::BTreeSet;

use chatbot_message::{Account, Reply};
use chatbot_queue::Offset;
use chatbot_queue::journal::{Checkpoint, Entry, Fold, Reader};
use chatbot_queue_contract::model::{Counting, Rule, account, message, number};
use chatbot_store::Turn;

use super::{Design, Replaced};
use crate::intake::Intake;
use crate::journal_io::Progress;
use crate::lanes::Lanes;
use crate::own::Own;
use crate::settled::Settled;

/// A message to be answered.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) offset: Offset,
    pub(super) number: usize,
}

impl Item {
    pub(super) fn user(self) -> usize {
        self.number % 2
    }
}

/// The head of a lane.
pub(super) struct Head {
    pub(super) item: Item,
    /// Own turns and the place that the view must have reached, when it began.
    pub(super) own: Vec<Turn>,
    pub(super) need: Offset,
    /// Its reply is on its way to the journal.
    pub(super) sent: bool,
}

pub(super) struct Owner<'a> {
    pub(super) design: Design,
    pub(super) epoch: Offset,
    pub(super) seq: u64,
    pub(super) settled: Settled,
    pub(super) tail: Reader,
    pub(super) counting: Counting,
    pub(super) intake: Intake<'a>,
    /// The next offset of `inbound` to take.
    pub(super) next: Offset,
    pub(super) lanes: Lanes<usize, Item>,
    pub(super) own: Own,
    pub(super) heads: [Option<Head>; 2],
    pub(super) acknowledged: BTreeSet<Offset>,
    /// Turns to be appended to the store.
    pub(super) to_append: Vec<(Account, Turn)>,
}

/// An answer says which one it is, and which ones it was made from.
pub(super) fn answer(generation: u32, turns: &[Turn]) -> String {
    let before: Vec<_> = turns
        .iter()
        .map(|turn| self::generation(&turn.answer).0)
        .collect();
    format!("{generation}<{}", before.join(" "))
}

/// Which answer it is, and which ones it was made from.
pub(super) fn generation(answer: &str) -> (&str, &str) {
    answer.split_once('<').unwrap()
}

/// A reply as a turn of its conversation.
pub(super) fn turn(reply: &Reply, position: Offset) -> Turn {
    Turn {
        position,
        at: i64::MAX,
        message_id: reply.message_id,
        question: reply.question.clone(),
        answer: reply.answer.clone(),
        fallback: false,
    }
}

impl Owner<'_> {
    /// Whether the next of a lane follows what was read back, not what was acknowledged.
    pub(super) fn waits_for_reading(&self) -> bool {
        self.design.rule == Rule::HighWater
            && self.design.replaced != Replaced::ContextFromAcknowledgement
    }

    pub(super) fn take(&mut self, item: Item) {
        self.next = item.offset + 1;
        if !self.settled.contains(item.offset)
            && let Some(item) = self.lanes.push(&item.user(), item)
        {
            self.begin(item);
        }
    }

    fn begin(&mut self, item: Item) {
        self.heads[item.user()] = Some(Head {
            item,
            own: self.own.of(&account(item.user())),
            need: self.own.need(),
            sent: false,
        });
    }

    /// The head of a lane is done. Without a fence others may have answered what waits behind it.
    pub(super) fn next_of(&mut self, user: usize) {
        self.heads[user] = None;
        while let Some(item) = self.lanes.done(&user) {
            if !self.settled.contains(item.offset) {
                self.begin(item);
                return;
            }
        }
    }

    pub(super) fn is_head(&self, item: Item) -> bool {
        let head = self.heads[item.user()].as_ref();
        head.is_some_and(|head| head.item.offset == item.offset)
    }

    /// The reply to a lane's head.
    pub(super) fn reply_to(&mut self, item: Item, answer: String) -> Entry {
        let message = message(item.number);
        let reply = crate::answer::reply(message, answer, chatbot_message::Outcome::Answered);
        if !self.waits_for_reading() {
            self.own.add(&reply.account, turn(&reply, 0));
        }
        let seq = self.seq;
        self.seq += 1;
        Entry::Reply {
            epoch: self.epoch,
            seq,
            inbound: item.offset,
            reply,
        }
    }

    /// The log has a reply of this owner's, at `position`.
    pub(super) fn acknowledged(&mut self, offset: Offset, reply: &Reply, position: Offset) {
        self.acknowledged.insert(offset);
        if self.design.replaced == Replaced::SessionOnlyInStore {
            let account = reply.account.clone();
            self.to_append.push((account, turn(reply, position)));
        }
        let number = number(reply);
        if !self.waits_for_reading() && self.is_head(Item { offset, number }) {
            self.next_of(number % 2);
        }
    }

    /// A reply that counts was read.
    pub(super) fn read_back(&mut self, offset: Offset, reply: &Reply, at: Checkpoint) {
        self.settled.settle_by_reply(offset, at);
        if self.waits_for_reading() {
            self.own.add(&reply.account, turn(reply, 0));
        }
        self.own
            .read_back(&reply.account, reply.message_id, at.position);
        let number = number(reply);
        if self.waits_for_reading() && self.is_head(Item { offset, number }) {
            self.next_of(number % 2);
        }
    }

    /// W10.
    pub(super) fn progress(&mut self) -> Progress {
        let reader = self.tail.checkpoint();
        let mut checkpoint = self.settled.checkpoint(reader);
        match self.design.replaced {
            Replaced::CheckpointAtEnd => checkpoint = reader,
            Replaced::CheckpointWithoutFold => checkpoint.fold = Fold::default(),
            _ => {}
        }
        let lowest = self.lowest();
        Progress { lowest, checkpoint }
    }

    fn lowest(&self) -> Offset {
        let transactions = self.design.rule == Rule::Transactions;
        let from = self.settled.lowest();
        let first_without = |done: &dyn Fn(Offset) -> bool| {
            let not_done = |offset: &Offset| !self.settled.contains(*offset) && !done(*offset);
            (from..self.next.max(from))
                .find(not_done)
                .unwrap_or(self.next.max(from))
        };
        match self.design.replaced {
            Replaced::CommitBeforeReply => first_without(&|offset| {
                let heads = self.heads.iter().flatten();
                heads
                    .into_iter()
                    .any(|head| head.sent && head.item.offset == offset)
            }),
            Replaced::CommitHighest => {
                let settled = (from..self.next).filter(|offset| self.settled.contains(*offset));
                settled.max().map_or(from, |highest| highest + 1)
            }
            Replaced::CommitOnAcknowledgement => {
                first_without(&|offset| self.acknowledged.contains(&offset))
            }
            _ if transactions => first_without(&|offset| self.acknowledged.contains(&offset)),
            _ => from,
        }
    }
}
