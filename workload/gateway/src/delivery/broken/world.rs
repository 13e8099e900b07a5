//! Two gateways, their platform, and what happens to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Offset, Topic};
use chatbot_queue_contract::model::{Kind, Users, Violation, number};

use super::gateway::{Acquisition, Gateway};
use super::writer::Writer;
use super::{Design, Fault, MESSAGES, Replaced};

/// Things that happen before the faults stop.
const ACTS: usize = 200;
/// Rounds of all steps of both gateways, after which all must be done.
const ROUNDS: usize = 60;

pub(super) struct World {
    design: Design,
    log: Arc<MemoryLog>,
    writer: Writer,
    gateways: [Gateway; 2],
    users: Users,
    /// Marks, where they are not in the journal.
    store: BTreeSet<Offset>,
    /// Requests of unknown fate: messages and where their replies stand.
    wire: Vec<(usize, Offset)>,
}

impl World {
    pub(super) async fn new(design: Design) -> Self {
        let log = Arc::new(MemoryLog::new(1));
        let mut users = Users::new(design.keys);
        for number in 0..MESSAGES {
            users.accept(number);
        }
        Self {
            design,
            writer: Writer::default(),
            gateways: [
                Gateway::start(design, &log).await,
                Gateway::start(design, &log).await,
            ],
            log,
            users,
            store: BTreeSet::new(),
            wire: Vec::new(),
        }
    }

    /// Random steps and faults.
    pub(super) async fn live(&mut self, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        for _ in 0..ACTS {
            self.act(rng).await?;
        }
        Ok(())
    }

    async fn act(&mut self, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        let which = rng.usize(0..2);
        let gateway = &mut self.gateways[which];
        match rng.usize(0..40) {
            0..=3 => self.writer.write(&self.log, self.design.rule, rng).await,
            4 | 5 => gateway.follow(&mut self.store).await,
            6..=9 => gateway.acquire().await,
            10..=17 => gateway.read(&self.store).await,
            18..=25 => self.send(which, rng).await?,
            26..=30 => gateway.mark(&mut self.store).await,
            31..=33 => gateway.commit(&mut self.store).await,
            34 => self.log.rebalance("gateway-chat", Topic::Response),
            35 => self.kill(which, rng).await,
            36 => self.stop_noticing(which),
            37 => self.gateways[which].thaw(),
            38 => self.arrive(rng)?,
            _ if self.may(Fault::Flush) => self.store.clear(),
            _ => {}
        }
        Ok(())
    }

    fn may(&self, fault: Fault) -> bool {
        self.design.faults.contains(&fault)
    }

    /// S3 and S4: a head is sent, if it may be.
    async fn send(&mut self, which: usize, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        if !self.gateways[which].may_send().await {
            if self.design.replaced != Replaced::LeaseRegained {
                self.gateways[which].end(&mut self.store).await;
            }
            return Ok(());
        }
        let may_time_out = self.may(Fault::TimeOut);
        let Some(acquired) = &mut self.gateways[which].acquired else {
            return Ok(());
        };
        acquired.start();
        if acquired.heads.is_empty() {
            return Ok(());
        }
        let head = acquired
            .heads
            .swap_remove(rng.usize(..acquired.heads.len()));
        let place = (number(&head.1.reply), head.0);
        match rng.usize(0..4) {
            0 if self.design.replaced == Replaced::RefusedToTheEnd => acquired.put_last(head),
            0 => acquired.heads.push(head),
            1 if may_time_out => {
                acquired.heads.push(head);
                self.times_out(place, rng);
            }
            _ => {
                acquired.sent.push(head);
                return self.see(place);
            }
        }
        Ok(())
    }

    fn see(&mut self, (number, position): (usize, Offset)) -> Result<(), Violation> {
        if let Some(violation) = self.users.see(number) {
            return Err(violation);
        }
        if self.writer.counting[&number] == position {
            return Ok(());
        }
        let what = format!("the visible reply to message {number} is not the recorded one");
        Err(Violation::new(Kind::NotRecorded, what))
    }

    /// A request has no answer: it may take effect later.
    fn times_out(&mut self, place: (usize, Offset), rng: &mut fastrand::Rng) {
        self.users.doubt(place.0);
        if rng.bool() {
            self.wire.push(place);
        }
    }

    /// A request of unknown fate takes effect.
    fn arrive(&mut self, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        if self.wire.is_empty() {
            return Ok(());
        }
        let place = self.wire.swap_remove(rng.usize(..self.wire.len()));
        self.see(place)
    }

    async fn kill(&mut self, which: usize, rng: &mut fastrand::Rng) {
        if !self.may(Fault::Kill) {
            return;
        }
        self.doubt_unmarked(which);
        if self.may(Fault::TimeOut) && self.gateways[which].may_send().await {
            let acquired = self.gateways[which].acquired.as_mut().unwrap();
            acquired.start();
            let places = acquired.heads.iter();
            let places: Vec<_> = places
                .map(|(at, head)| (number(&head.reply), *at))
                .collect();
            for place in places {
                self.times_out(place, rng);
            }
        }
        self.gateways[which] = Gateway::start(self.design, &self.log).await;
    }

    /// The group gives a gateway up, which goes on.
    fn stop_noticing(&mut self, which: usize) {
        if self.may(Fault::Zombie) && !self.gateways[which].frozen {
            self.doubt_unmarked(which);
            self.gateways[which].freeze();
        }
    }

    fn doubt_unmarked(&mut self, which: usize) {
        let acquired = self.gateways[which].acquired.iter();
        for number in acquired.flat_map(Acquisition::unmarked) {
            self.users.doubt(number);
        }
    }

    /// Faults stop, and all is delivered.
    pub(super) async fn finish(&mut self, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        while !self.wire.is_empty() {
            self.arrive(rng)?;
        }
        self.design.faults = &[];
        for _ in 0..ROUNDS {
            self.writer.write(&self.log, self.design.rule, rng).await;
            for which in 0..2 {
                self.round(which, rng).await?;
            }
        }
        self.users.unanswered().map_or(Ok(()), Err)
    }

    async fn round(&mut self, which: usize, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        self.gateways[which].thaw();
        self.gateways[which].follow(&mut self.store).await;
        self.gateways[which].acquire().await;
        for _ in 0..10 {
            self.gateways[which].read(&self.store).await;
        }
        self.send(which, rng).await?;
        self.send(which, rng).await?;
        self.gateways[which].mark(&mut self.store).await;
        self.gateways[which].mark(&mut self.store).await;
        self.gateways[which].commit(&mut self.store).await;
        Ok(())
    }
}
