//! Writes the journal as a worker would, when the test says so.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chatbot_message::{Account, Effect, Message, Outcome, Preview, Reply};
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader};
use chatbot_queue::{Offset, Topic};
use chatbot_store::{Applied, Turn, Update};
use tokio::sync::watch;
use uuid::Uuid;

use crate::hub::Backing;

/// How it answers.
#[derive(Clone)]
pub struct Answerer {
    backing: Backing,
    epochs: Arc<Mutex<HashMap<u32, Offset>>>,
    seq: Arc<AtomicU64>,
    fallback: Arc<AtomicBool>,
    /// Distinct messages met, oldest first.
    pub met: watch::Sender<Vec<(Offset, Message)>>,
    /// While it is false, messages are met and not answered.
    pub answering: watch::Sender<bool>,
}

impl Answerer {
    /// Owns every partition and answers what comes, once per message.
    pub async fn start(backing: &Backing) -> Self {
        let answerer = Self {
            backing: backing.clone(),
            epochs: Arc::default(),
            seq: Arc::default(),
            fallback: Arc::default(),
            met: watch::Sender::default(),
            answering: watch::Sender::new(true),
        };
        for partition in 0..backing.log.partitions() {
            answerer.own(partition).await;
            let met = answerer.clone();
            tokio::spawn(async move { met.follow(partition).await });
            let viewing = answerer.clone();
            tokio::spawn(async move { viewing.keep_view(partition).await });
        }
        answerer
    }

    pub fn answer_with_the_fallback(&self) {
        self.fallback.store(true, Ordering::SeqCst);
    }

    /// Announces a new owner; returns the epoch.
    pub async fn own(&self, partition: u32) -> Offset {
        let owner = Entry::Owner {
            nonce: Uuid::new_v4(),
            worker: Uuid::nil(),
            lowest_unsettled: 0,
            deaths: 0,
        };
        let log = self.backing.log.as_ref();
        let epoch = journal::append(log, partition, &owner).await.unwrap();
        let epoch = epoch.unwrap();
        self.epochs.lock().unwrap().insert(partition, epoch);
        epoch
    }

    /// Waits until `count` distinct messages of users have come, and gives the last of them.
    pub async fn meets(&self, count: usize) -> Message {
        let mut met = self.met.subscribe();
        let met = met.wait_for(|met| met.len() >= count).await.unwrap();
        met[count - 1].1.clone()
    }

    pub async fn preview(&self, message: &Message, text: &str) {
        let preview = Preview {
            message_id: message.id,
            account: message.account.clone(),
            text: text.to_owned(),
        };
        self.backing.previews.publish(preview).await;
    }

    /// Appends a reply under `epoch`, whether it counts or not.
    pub async fn reply(&self, epoch: Offset, message: &Message, inbound: Offset, answer: &str) {
        let outcome = if self.fallback.load(Ordering::SeqCst) {
            Outcome::Fallback
        } else {
            Outcome::Answered
        };
        let partition = message.account.partition(self.backing.log.partitions());
        let reply = reply_to(message, answer, outcome);
        self.append(epoch, partition, inbound, reply).await;
    }

    async fn append(&self, epoch: Offset, partition: u32, inbound: Offset, reply: Reply) {
        let entry = Entry::Reply {
            epoch,
            seq: self.seq.fetch_add(1, Ordering::SeqCst),
            inbound,
            reply,
        };
        let log = self.backing.log.as_ref();
        journal::append(log, partition, &entry).await.unwrap();
    }

    /// Says that a message is answered for somebody else, in that one's partition.
    pub async fn send_on(&self, message: &Message, to: &Account) {
        self.send_on_from(message, &message.account, to).await;
    }

    /// As above, from the partition of somebody for whom it was sent on before.
    pub async fn send_on_from(&self, message: &Message, from: &Account, to: &Account) {
        let log = self.backing.log.as_ref();
        let there = to.partition(log.partitions());
        let after = log.end(Topic::Response, there).await.unwrap();
        let note = Reply {
            effect: Some(Box::new(Effect::Forward {
                to: to.clone(),
                after,
            })),
            ..reply_to(message, "", Outcome::Forwarded)
        };
        let here = from.partition(log.partitions());
        self.append(self.epoch(here), here, 0, note).await;
    }

    /// Answers a message that was sent on.
    pub async fn answer_for(&self, message: &Message, to: &Account, answer: &str) {
        let reply = Reply {
            way: vec![to.clone()],
            ..reply_to(message, answer, Outcome::Answered)
        };
        let there = to.partition(self.backing.log.partitions());
        self.append(self.epoch(there), there, 0, reply).await;
    }

    fn epoch(&self, partition: u32) -> Offset {
        self.epochs.lock().unwrap()[&partition]
    }

    async fn follow(&self, partition: u32) {
        let log = self.backing.log.as_ref();
        let mut seen = HashSet::new();
        let mut records = log.reader(Topic::Inbound, partition, 0);
        let mut answering = self.answering.subscribe();
        loop {
            for record in records.next(16).await.unwrap() {
                let message: Message = serde_json::from_slice(&record.value).unwrap();
                if !seen.insert(message.id) {
                    continue;
                }
                if !message.synthetic {
                    self.met
                        .send_modify(|met| met.push((record.offset, message.clone())));
                }
                answering.wait_for(|answering| *answering).await.unwrap();
                let epoch = self.epoch(partition);
                let answer = format!("answer to {}", message.text);
                self.reply(epoch, &message, record.offset, &answer).await;
            }
        }
    }

    async fn keep_view(&self, partition: u32) {
        let mut reader = Reader::new(self.backing.log.as_ref(), partition, Checkpoint::default());
        loop {
            let from = reader.checkpoint().position;
            let step = reader.next().await.unwrap();
            let turns = match step.entry {
                Some(Entry::Reply { reply, .. }) if step.counts && reply.is_turn() => vec![(
                    reply.account,
                    Turn {
                        position: step.position,
                        at: step.appended_at,
                        message_id: reply.message_id,
                        question: reply.question,
                        answer: reply.answer,
                        fallback: reply.outcome == Outcome::Fallback,
                    },
                )],
                _ => vec![],
            };
            let update = Update {
                from,
                to: reader.checkpoint().position,
                fold: String::new(),
                turns,
                routes: Vec::new(),
            };
            let applied = self.backing.view.apply(partition, update).await.unwrap();
            assert_eq!(applied, Applied::Done);
        }
    }
}

fn reply_to(message: &Message, answer: &str, outcome: Outcome) -> Reply {
    Reply {
        message_id: message.id,
        account: message.account.clone(),
        origin: message.origin.clone(),
        question: message.text.clone(),
        answer: answer.to_owned(),
        outcome,
        synthetic: message.synthetic,
        way: Vec::new(),
        kept_by_client: false,
        effect: None,
    }
}
