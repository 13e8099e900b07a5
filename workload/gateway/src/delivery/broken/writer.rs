//! The journal as workers write it: owners in turn, replies that count, and those that do not.

use std::collections::BTreeMap;

use chatbot_message::Trace;
use chatbot_queue::journal::{self, Entry};
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Log, Offset};
use chatbot_queue_contract::model::{Rule, reply};
use uuid::Uuid;

use super::{MESSAGES, PARTITION};

#[derive(Default)]
pub(super) struct Writer {
    epoch: Option<Offset>,
    seq: u64,
    /// By user: replies written.
    written: [usize; 2],
    /// The message that the latest owner is about to answer.
    answering: Option<usize>,
    /// Where the reply to a message stands that counts.
    pub(super) counting: BTreeMap<usize, Offset>,
}

impl Writer {
    /// Writes a user's next reply. Perhaps another owner took over before, and the last one's reply lands first, which
    /// counts only where there is no fence; perhaps a record is written twice.
    pub(super) async fn write(&mut self, log: &MemoryLog, rule: Rule, rng: &mut fastrand::Rng) {
        if let Some(number) = self.answering.take() {
            self.answer(log, number, rng.usize(0..4) == 0).await;
            return;
        }
        let user = rng.usize(0..2);
        let number = 2 * self.written[user] + user;
        if number >= MESSAGES {
            return;
        }
        self.written[user] += 1;
        self.answering = Some(number);
        let last = (self.epoch, self.seq);
        if last.0.is_none() || rng.bool() {
            self.announce(log).await;
            if let (Some(epoch), true) = (last.0, rng.bool()) {
                let late = append(log, number, (epoch, last.1)).await;
                if rule == Rule::HighWater {
                    self.counting.insert(number, late);
                }
            }
        }
    }

    /// As the latest owner.
    async fn answer(&mut self, log: &MemoryLog, number: usize, twice: bool) {
        let as_owner = (self.epoch.unwrap(), self.seq);
        self.seq += 1;
        let position = append(log, number, as_owner).await;
        self.counting.entry(number).or_insert(position);
        if twice {
            append(log, number, as_owner).await;
        }
    }

    async fn announce(&mut self, log: &MemoryLog) {
        let owner = Entry::Owner {
            nonce: Uuid::new_v4(),
            worker: Uuid::nil(),
            lowest_unsettled: 0,
            deaths: 0,
        };
        self.epoch = journal::append(log, PARTITION, &owner).await.unwrap();
        self.seq = 0;
    }
}

async fn append(log: &MemoryLog, number: usize, (epoch, seq): (Offset, u64)) -> Offset {
    let entry = Entry::Reply {
        epoch,
        seq,
        inbound: number as Offset,
        reply: reply(number, String::new()),
    };
    let trace = Some(Trace::of(Uuid::nil()));
    let appended = journal::append_traced(log as &dyn Log, PARTITION, &entry, trace).await;
    appended.unwrap().unwrap()
}
