//! The reply protocol on the logs in memory, as it is designed and with one thing wrong each time. Two owners of a
//! partition overlap, die and are cut off at random seeded moments; what they have sent lands late, or twice. As designed
//! nothing goes wrong under any of the seeds; each broken variant is caught under some.
#![allow(clippy::unwrap_used)] // A step of a test fails as the test does.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_message::{Account, Outcome, Reply, message_id};
use chatbot_queue::journal::{self, Checkpoint, Entry, Fold, Reader};
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Commit, Log, Member, Offset, Topic};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    AsDesigned,
    /// A reply counts whoever has written it.
    OwnerIgnored,
    /// A reply of the latest owner counts, though it is a copy.
    SeqIgnored,
    /// Settled is what was acknowledged, not what was read back.
    CommitOnAcknowledgement,
    /// Whoever takes over does not read what was answered above the committed offset.
    NothingRestored,
    /// Whoever takes over reads first and announces itself then.
    AnnouncedLate,
    /// The checkpoint is a position without the fold there.
    CheckpointWithoutFold,
    /// What is committed is the highest settled offset, not the lowest unsettled one.
    CommitHighest,
}

const BROKEN: [Variant; 7] = [
    Variant::OwnerIgnored,
    Variant::SeqIgnored,
    Variant::CommitOnAcknowledgement,
    Variant::NothingRestored,
    Variant::AnnouncedLate,
    Variant::CheckpointWithoutFold,
    Variant::CommitHighest,
];

/// Messages in `inbound[0]`, of two users in turn.
const MESSAGES: Offset = 6;
const SEEDS: u64 = 400;
const STEPS: usize = 120;

/// A random number by Marsaglia's xorshift64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// What a worker knows while it owns the partition, or believes to.
struct Owner {
    epoch: Offset,
    seq: u64,
    base: Offset,
    reader: Reader,
    read_to: Offset,
    /// Offsets settled, with where a reader meets the reply that counts.
    settled: BTreeMap<Offset, Checkpoint>,
    acknowledged: BTreeSet<Offset>,
    /// By user: sent, and not acknowledged yet.
    under_way: [Option<Offset>; 2],
}

/// A record on its way to the log; it may arrive after its writer is gone.
#[derive(Clone)]
struct Sent {
    worker: usize,
    entry: Entry,
}

struct World {
    variant: Variant,
    log: MemoryLog,
    member: Box<dyn Member>,
    workers: [Option<Owner>; 2],
    wire: Vec<Sent>,
}

fn counts(variant: Variant, fold: &mut Fold, position: Offset, entry: &Entry) -> bool {
    let counts = fold.counts(position, entry);
    match (variant, entry) {
        (Variant::OwnerIgnored, Entry::Reply { .. }) => true,
        (Variant::SeqIgnored, Entry::Reply { epoch, .. }) => fold.owner == Some(*epoch),
        _ => counts,
    }
}

fn reply(epoch: Offset, seq: u64, inbound: Offset) -> Entry {
    Entry::Reply {
        epoch,
        seq,
        inbound,
        reply: Reply {
            message_id: message_id("web", &inbound.to_string()),
            account: Account {
                channel: "web".to_owned(),
                user: (inbound % 2).to_string(),
            },
            origin: String::new(),
            question: String::new(),
            answer: String::new(),
            outcome: Outcome::Answered,
            synthetic: false,
            way: Vec::new(),
            effect: None,
        },
    }
}

impl Owner {
    fn note(&mut self, variant: Variant, before: Checkpoint, entry: &Entry, counts: bool) {
        if let Entry::Reply { inbound, .. } = entry
            && counts
        {
            let checkpoint = if variant == Variant::CheckpointWithoutFold {
                Checkpoint {
                    fold: Fold::default(),
                    ..before
                }
            } else {
                before
            };
            self.settled.entry(*inbound).or_insert(checkpoint);
        }
    }

    fn is_settled(&self, variant: Variant, offset: Offset) -> bool {
        offset < self.base
            || self.settled.contains_key(&offset)
            || variant == Variant::CommitOnAcknowledgement && self.acknowledged.contains(&offset)
    }

    fn lowest(&self, variant: Variant) -> Offset {
        let unsettled = |offset: &Offset| !self.is_settled(variant, *offset);
        (self.base..MESSAGES).find(unsettled).unwrap_or(MESSAGES)
    }
}

impl World {
    async fn new(variant: Variant) -> Self {
        let log = MemoryLog::new(1);
        for number in 0..MESSAGES {
            log.append(Topic::Inbound, 0, vec![u8::try_from(number).unwrap()])
                .await
                .unwrap();
        }
        Self {
            variant,
            member: log.join("worker", Topic::Inbound).await.unwrap(),
            log,
            workers: [None, None],
            wire: Vec::new(),
        }
    }

    /// W1 to W3.
    async fn take_over(&mut self, worker: usize) {
        let commit = self.member.committed(0).await.unwrap();
        let at = Checkpoint::decode(&commit.metadata);
        let mut owner = Owner {
            epoch: 0,
            seq: 0,
            base: commit.offset,
            reader: Reader::new(&self.log, 0, at),
            read_to: at.position,
            settled: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            under_way: [None, None],
        };
        if self.variant == Variant::AnnouncedLate {
            let end = self.log.end(Topic::Response, 0).await.unwrap();
            self.read_up(&mut owner, end).await;
            // What lands between its reading and its record is missed.
            self.land(0).await;
        }
        let announcement = Entry::Owner {
            nonce: Uuid::new_v4(),
            worker: Uuid::from_u128(worker as u128),
            lowest_unsettled: 0,
            deaths: 0,
        };
        owner.epoch = journal::append(&self.log, 0, &announcement)
            .await
            .unwrap()
            .unwrap();
        if self.variant == Variant::AnnouncedLate {
            let at = Checkpoint {
                position: owner.epoch,
                ..owner.reader.checkpoint()
            };
            owner.reader = Reader::new(&self.log, 0, at);
        }
        let epoch = owner.epoch;
        self.read_up(&mut owner, epoch + 1).await;
        if self.variant == Variant::NothingRestored {
            owner.settled.clear();
        }
        self.workers[worker] = Some(owner);
    }

    async fn read_up(&self, owner: &mut Owner, end: Offset) {
        while owner.reader.checkpoint().position < end {
            self.step(owner).await;
        }
    }

    /// Reads one record; true when it is another owner's.
    async fn step(&self, owner: &mut Owner) -> bool {
        let before = owner.reader.checkpoint();
        let step = owner.reader.next().await.unwrap();
        let entry = step.entry.unwrap();
        let counts = counts(
            self.variant,
            &mut before.fold.clone(),
            step.position,
            &entry,
        );
        owner.note(self.variant, before, &entry, counts);
        owner.read_to = step.position + 1;
        matches!(entry, Entry::Owner { .. }) && step.position > owner.epoch
    }

    /// W6, W7: the head of a lane, when nothing of it is under way.
    fn answer(&mut self, worker: usize, user: usize) {
        let variant = self.variant;
        let Some(owner) = &mut self.workers[worker] else {
            return;
        };
        if owner.under_way[user].is_some() {
            return;
        }
        let head = (owner.base..MESSAGES).find(|offset| {
            offset % 2 == user as u64
                && !owner.is_settled(variant, *offset)
                && !owner.acknowledged.contains(offset)
        });
        let Some(offset) = head else { return };
        owner.under_way[user] = Some(offset);
        let entry = reply(owner.epoch, owner.seq, offset);
        owner.seq += 1;
        self.wire.push(Sent { worker, entry });
    }

    /// One record arrives. Its writer's producer keeps the order, so it is the writer's oldest.
    async fn land(&mut self, which: usize) -> Option<Sent> {
        let worker = self.wire.get(which % self.wire.len().max(1))?.worker;
        let oldest = self.wire.iter().position(|sent| sent.worker == worker)?;
        let sent = self.wire.remove(oldest);
        journal::append(&self.log, 0, &sent.entry).await.unwrap();
        Some(sent)
    }

    fn acknowledge(&mut self, sent: &Sent) {
        let Entry::Reply { epoch, inbound, .. } = &sent.entry else {
            return;
        };
        if let Some(owner) = &mut self.workers[sent.worker]
            && owner.epoch == *epoch
        {
            owner.acknowledged.insert(*inbound);
            owner.under_way[usize::try_from(inbound % 2).unwrap()] = None;
        }
    }

    /// W8.
    async fn tail(&mut self, worker: usize) {
        let end = self.log.end(Topic::Response, 0).await.unwrap();
        let Some(mut owner) = self.workers[worker].take() else {
            return;
        };
        if owner.reader.checkpoint().position < end && self.step(&mut owner).await {
            return; // fenced
        }
        self.workers[worker] = Some(owner);
    }

    /// W10.
    async fn commit(&mut self, worker: usize) {
        let variant = self.variant;
        let Some(owner) = &self.workers[worker] else {
            return;
        };
        let offset = if variant == Variant::CommitHighest {
            let last = owner.settled.keys().next_back();
            last.map_or(owner.base, |last| last + 1)
        } else {
            owner.lowest(variant)
        };
        let first = owner
            .settled
            .range(offset..)
            .map(|(_, checkpoint)| *checkpoint)
            .min_by_key(|checkpoint| checkpoint.position);
        let mut checkpoint = first.unwrap_or(owner.reader.checkpoint());
        if variant == Variant::CheckpointWithoutFold {
            checkpoint.fold = Fold::default();
        }
        let commit = Commit {
            offset,
            metadata: checkpoint.encode(),
        };
        self.member.commit(0, commit).await.unwrap();
    }

    /// The offsets of the replies that count, in order.
    async fn counting(&self) -> Vec<Offset> {
        let end = self.log.end(Topic::Response, 0).await.unwrap();
        let mut reader = Reader::new(&self.log, 0, Checkpoint::default());
        let mut fold = Fold::default();
        let mut found = Vec::new();
        while reader.checkpoint().position < end {
            let step = reader.next().await.unwrap();
            let entry = step.entry.unwrap();
            if counts(self.variant, &mut fold, step.position, &entry)
                && let Entry::Reply { inbound, .. } = entry
            {
                found.push(inbound);
            }
        }
        found
    }

    /// What must hold at any time.
    async fn violation(&self) -> Option<String> {
        let counting = self.counting().await;
        let distinct: BTreeSet<_> = counting.iter().collect();
        if distinct.len() < counting.len() {
            return Some(format!("answered twice: {counting:?}"));
        }
        for user in 0..2 {
            let of_user = counting.iter().filter(|offset| *offset % 2 == user);
            if !of_user.is_sorted() {
                return Some(format!("out of order: {counting:?}"));
            }
        }
        let committed = self.member.committed(0).await.unwrap().offset;
        let lost = (0..committed).find(|offset| !distinct.contains(offset));
        lost.map(|offset| {
            format!("committed {committed}, and {offset} has no answer: {counting:?}")
        })
    }

    async fn act(&mut self, chance: &mut Chance) {
        let worker = chance.below(2);
        match chance.below(24) {
            0 | 1 => self.take_over(worker).await,
            2 => self.workers[worker] = None,
            3 => {
                // Its acknowledgement is lost: the writer gives up its epoch.
                if let Some(sent) = self.land(chance.below(8)).await {
                    self.workers[sent.worker] = None;
                }
            }
            4 => {
                // The producer writes it twice.
                let which = chance.below(8);
                if let Some(sent) = self.land(which).await {
                    journal::append(&self.log, 0, &sent.entry).await.unwrap();
                    self.acknowledge(&sent);
                }
            }
            5..=8 => {
                if let Some(sent) = self.land(chance.below(8)).await {
                    self.acknowledge(&sent);
                }
            }
            9..=13 => self.answer(worker, chance.below(2)),
            14..=20 => self.tail(worker).await,
            _ => self.commit(worker).await,
        }
    }

    /// Faults stop: one worker is left, and works until all is answered and committed.
    async fn finish(&mut self) -> Option<String> {
        while self.land(0).await.is_some() {}
        self.workers = [None, None];
        self.take_over(0).await;
        for _ in 0..100 {
            self.answer(0, 0);
            self.answer(0, 1);
            while let Some(sent) = self.land(0).await {
                self.acknowledge(&sent);
            }
            for _ in 0..10 {
                self.tail(0).await;
            }
            self.commit(0).await;
        }
        let counting: BTreeSet<_> = self.counting().await.into_iter().collect();
        let lost = (0..MESSAGES).find(|offset| !counting.contains(offset));
        lost.map(|offset| format!("{offset} is never answered"))
    }
}

/// What goes wrong under a seed, if anything does.
async fn run(variant: Variant, seed: u64) -> Option<String> {
    let mut world = World::new(variant).await;
    let mut chance = Chance((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    for _ in 0..STEPS {
        world.act(&mut chance).await;
        if let Some(violation) = world.violation().await {
            return Some(violation);
        }
    }
    let unfinished = world.finish().await;
    match world.violation().await {
        Some(violation) => Some(violation),
        None => unfinished,
    }
}

#[tokio::test]
async fn as_designed_every_message_is_answered_once_in_order() {
    for seed in 0..SEEDS {
        assert_eq!(run(Variant::AsDesigned, seed).await, None, "seed {seed}");
    }
}

#[tokio::test]
async fn every_broken_variant_is_caught() {
    for variant in BROKEN {
        let mut caught = None;
        for seed in 0..SEEDS {
            if let Some(violation) = run(variant, seed).await {
                caught = Some((seed, violation));
                break;
            }
        }
        assert!(caught.is_some(), "{variant:?} goes unnoticed");
        println!("{variant:?}: {caught:?}");
    }
}
