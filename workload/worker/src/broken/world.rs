//! Two workers and what happens to them.

use std::collections::HashSet;

use chatbot_message::Reply;
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader};
use chatbot_queue::{Log, Offset, Topic};
use chatbot_queue_contract::model::{Counting, Rule, Violation, message};
use chatbot_store::Update;
use chatbot_store::memory::MemoryView;
use uuid::Uuid;

use super::audit::Audit;
use super::owner::Owner;
use super::{Design, Fault, MESSAGES, PARTITION};
use crate::Shared;
use crate::settled::Settled;
use crate::view;

/// Things that happen before the faults stop.
const STEPS: usize = 160;
/// Rounds of all steps of one worker, after which all must be done.
const ROUNDS: usize = 60;
/// Records of `inbound`, copies included.
const INBOUND: usize = 3 * MESSAGES;

/// A record on its way to the journal; it may arrive after its writer is gone.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) worker: usize,
    pub(super) entry: Entry,
}

impl Sent {
    pub(super) fn epoch(&self) -> Offset {
        match self.entry {
            Entry::Reply { epoch, .. } => epoch,
            _ => unreachable!("only replies are sent"),
        }
    }

    pub(super) fn reply(&self) -> (Offset, &Reply) {
        match &self.entry {
            Entry::Reply { inbound, reply, .. } => (*inbound, reply),
            _ => unreachable!("only replies are sent"),
        }
    }
}

/// Who keeps the view, beside an owner.
pub(super) struct Keeper {
    reader: Reader,
    counting: Counting,
}

impl Keeper {
    pub(super) async fn begin(rule: Rule, log: &dyn Log, at: Checkpoint) -> Self {
        Self {
            reader: Reader::new(log, PARTITION, at),
            counting: Counting::up_to(rule, log, PARTITION, at.position).await,
        }
    }

    pub(super) fn at(&self) -> Offset {
        self.reader.checkpoint().position
    }

    pub(super) async fn step(mut self, shared: &Shared) -> Self {
        let end = shared.log.end(Topic::Response, PARTITION).await.unwrap();
        if self.at() < end {
            let stored = self.at();
            let mut step = self.reader.next().await.unwrap();
            step.counts = self.counting.counts(&step);
            let mut update = Update::default();
            view::take_in(step, &mut update);
            let places = (stored, self.reader.checkpoint());
            let elsewhere = view::put(shared, PARTITION, places, update).await;
            assert!(elsewhere.unwrap().is_none(), "nobody came in between");
        }
        self
    }
}

pub(super) struct World<'a> {
    pub(super) design: Design,
    pub(super) shared: &'a Shared,
    pub(super) store: &'a MemoryView,
    /// What the store has besides: ids of messages that somebody has begun to answer.
    pub(super) claims: HashSet<Uuid>,
    /// By user: messages sent.
    asked: [usize; 2],
    pub(super) owners: [Option<Owner<'a>>; 2],
    pub(super) keepers: [Option<Keeper>; 2],
    /// What was read before announcing.
    pub(super) early: [Option<Settled>; 2],
    pub(super) wire: Vec<Sent>,
    pub(super) generation: u32,
    pub(super) audit: Audit,
}

impl<'a> World<'a> {
    pub(super) fn new(design: Design, shared: &'a Shared, store: &'a MemoryView) -> Self {
        Self {
            design,
            shared,
            store,
            claims: HashSet::new(),
            asked: [0, 0],
            owners: [None, None],
            keepers: [None, None],
            early: [None, None],
            wire: Vec::new(),
            generation: 0,
            audit: Audit::new(design, shared.log.as_ref()),
        }
    }

    /// Random steps and faults.
    pub(super) async fn live(&mut self, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        for _ in 0..STEPS {
            self.act(rng).await?;
            self.audit.follow(self.shared.log.as_ref()).await?;
        }
        Ok(())
    }

    async fn act(&mut self, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        let worker = rng.usize(0..2);
        match rng.usize(0..40) {
            0..=2 => self.begin(worker).await,
            3..=5 => self.ask(rng.usize(0..2)).await,
            6..=8 => self.take(worker).await,
            9..=14 => self.answer(worker, rng.usize(0..2)).await,
            15..=19 => {
                if let Some((sent, position)) = self.land(rng.usize(0..8)).await {
                    self.acknowledge(&sent, position).await?;
                }
            }
            20..=25 => self.tail(worker).await,
            26..=31 => self.keep(worker).await,
            32..=34 => self.commit(worker).await?,
            35 => self.fail(Fault::Repeat, worker, rng).await?,
            36 => self.fail(Fault::Kill, worker, rng).await?,
            37 => self.fail(Fault::Late, worker, rng).await?,
            38 => self.fail(Fault::Twice, worker, rng).await?,
            _ => self.fail(Fault::Flush, worker, rng).await?,
        }
        Ok(())
    }

    /// Takes the partition over; while another has it, if that may happen.
    async fn begin(&mut self, worker: usize) {
        let alone = self.owners[1 - worker].is_none();
        if self.owners[worker].is_none() && (alone || self.may(Fault::Zombie)) {
            self.take_over(worker).await;
        }
    }

    fn may(&self, fault: Fault) -> bool {
        self.design.faults.contains(&fault)
    }

    async fn fail(
        &mut self,
        fault: Fault,
        worker: usize,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Violation> {
        if !self.may(fault) {
            return Ok(());
        }
        match fault {
            Fault::Repeat => {
                let asked = self.audit.inbound.len();
                if asked > 0 && asked < INBOUND {
                    self.enqueue(self.audit.inbound[rng.usize(..asked)]).await;
                }
            }
            Fault::Kill => {
                self.owners[worker] = None;
                if !self.may(Fault::Late) {
                    self.wire.retain(|sent| sent.worker != worker);
                }
            }
            Fault::Late => self.lose(rng).await,
            Fault::Twice => {
                if let Some((sent, position)) = self.land(rng.usize(0..8)).await {
                    let log = self.shared.log.as_ref();
                    journal::append(log, PARTITION, &sent.entry).await.unwrap();
                    self.acknowledge(&sent, position).await?;
                }
            }
            Fault::Flush => {
                self.store.flush();
                self.claims.clear();
            }
            Fault::Zombie => {}
        }
        Ok(())
    }

    /// A writer does not hear of a record, which has landed, will land, or is lost.
    async fn lose(&mut self, rng: &mut fastrand::Rng) {
        let which = rng.usize(0..8);
        match rng.usize(0..3) {
            0 => {
                if let Some((sent, _)) = self.land(which).await {
                    self.give_up(&sent);
                }
            }
            1 => {
                if let Some(sent) = self.wire.get(which).cloned() {
                    self.give_up(&sent);
                }
            }
            _ => {
                if which < self.wire.len() {
                    let sent = self.wire.remove(which);
                    self.give_up(&sent);
                }
            }
        }
    }

    /// The owner that sent a record, if it still is one.
    pub(super) fn writer_of(&mut self, sent: &Sent) -> Option<&mut Owner<'a>> {
        let owner = self.owners[sent.worker].as_mut();
        owner.filter(|owner| owner.epoch == sent.epoch())
    }

    pub(super) fn give_up(&mut self, sent: &Sent) {
        if self.writer_of(sent).is_some() {
            self.owners[sent.worker] = None;
        }
    }

    /// A user sends the next message.
    pub(super) async fn ask(&mut self, user: usize) {
        let number = 2 * self.asked[user] + user;
        if number < MESSAGES {
            self.asked[user] += 1;
            self.enqueue(number).await;
        }
    }

    async fn enqueue(&mut self, number: usize) {
        let value = serde_json::to_vec(&message(number)).unwrap();
        let appended = self.shared.log.append(Topic::Inbound, PARTITION, value);
        appended.await.unwrap();
        self.audit.accept(number);
    }

    /// Faults stop: one worker is left, and works until all is done.
    pub(super) async fn finish(&mut self) -> Result<(), Violation> {
        while self.land(0).await.is_some() {}
        self.owners = [None, None];
        for _ in 0..ROUNDS {
            self.begin(0).await;
            self.round(0).await?;
        }
        self.audit.end(self.store).await
    }

    /// Every step of a worker once, and the tail and the view to the end.
    pub(super) async fn round(&mut self, worker: usize) -> Result<(), Violation> {
        self.audit.follow(self.shared.log.as_ref()).await?;
        for user in 0..2 {
            self.ask(user).await;
            self.take(worker).await;
            self.answer(worker, user).await;
            if let Some((sent, position)) = self.land(0).await {
                self.acknowledge(&sent, position).await?;
            }
        }
        self.read(worker).await;
        self.commit(worker).await
    }

    /// Reads the journal to its end, and brings the view there.
    pub(super) async fn read(&mut self, worker: usize) {
        for _ in 0..20 {
            self.tail(worker).await;
            self.keep(worker).await;
        }
    }
}
