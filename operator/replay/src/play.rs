//! Virtual time: load, market, autoscaler, planner and fleet, one step after another.

mod load;
mod room;

use chatbot_plan::capability::AHEAD;
use chatbot_plan::decision::Decision;
use chatbot_plan::proposal::Component;
use chatbot_plan::signals::Market as MarketSeen;
use chatbot_plan::world::{Signal, World};
use chatbot_plan::{plan_with, votes};
use jiff::Timestamp;

use crate::autoscaler::{Autoscaler, SYNC};
use crate::fleet::{Fleet, SLOTS, count};
use crate::learned;
use crate::market::Market;
use crate::queue::Queue;
use crate::scenario::{Lending, Outcome, Policy, Scenario};
use crate::sight::{self, SLOT, Unusable};

/// Seconds of one step: the shortest time that matters, a notice, is three of them.
const TICK: i64 = 5;
/// Seconds between two looks of the planner when nothing happens. (On a cluster it is 15; nothing it decides at rest
/// changes within a minute.)
const LOOK: i64 = 60;
/// Seconds between two looks of the planner while a job writes a checkpoint that it was asked for.
const WRITING: i64 = 15;
/// Seconds between two looks of the autoscaler of nodes (the cluster autoscaler's `--scan-interval`).
const SCAN: i64 = 10;

/// Whether a replacement can be ready within a notice: a warm start, a look at the notice and one at the replacement.
/// Where it cannot, no floor is counted as broken.
#[must_use]
pub fn is_in_time(notice: i64, warm: i64) -> bool {
    notice >= warm + 2 * TICK
}

/// Plays a scenario.
pub fn play(scenario: &Scenario) -> Result<Outcome, Unusable> {
    let mut game = Game::new(scenario)?;
    let mut now = scenario.part.0;
    while now < scenario.part.1 {
        game.step(now)?;
        now += TICK;
    }
    Ok(game.outcome())
}

struct Game<'a> {
    scenario: &'a Scenario,
    world: World,
    fleet: Fleet,
    market: Option<Market>,
    autoscaler: Autoscaler,
    queue: Queue,
    desired: u32,
    base: u32,
    floor: u32,
    placeholders: u32,
    spot_placeholders: u32,
    quota: usize,
    lately: Lately,
    load: f64,
    next_look: i64,
    outcome: Outcome,
}

/// What was measured since the last look of the autoscaler, and since the last whole step of demand.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    busy: (f64, f64),
    step_arrived: f64,
    step_seconds: f64,
    step_replicas: f64,
    step_busy: (f64, f64),
    /// Requests and refusals of the last minutes, the newest first.
    minutes: [(f64, f64); 5],
    step_gap: bool,
}

impl<'a> Game<'a> {
    fn new(scenario: &'a Scenario) -> Result<Self, Unusable> {
        let (min, max) = scenario.bounds;
        let mut world = sight::world(&sight::resource(min, max), scenario.foresight.clone())?;
        learned::before(&mut world, scenario);
        let target = f64::from(world.settings.inference.target_cpu_utilization_percentage) / 100.0;
        let mut fleet = Fleet::new(scenario.times);
        let start = scenario.part.0;
        let mut market = scenario
            .spot
            .as_ref()
            .map(|spots| Market::new(&spots.trace, spots.notice, spots.seed));
        if let (Some(market), Some(spots)) = (&mut market, &scenario.spot) {
            market.pass(&spots.trace, -1, start, &mut fleet);
        }
        let base = match scenario.policy {
            Policy::Planner => world.base(),
            Policy::Foreseeing { .. } | Policy::Plain { .. } => 0,
        };
        if let Some(installed) = scenario.nodes {
            for _ in 0..installed.on_demand {
                fleet.ask_warm(start, None);
            }
            for _ in 0..installed.spot {
                let zone = market.as_ref().and_then(|market| market.obtain(&fleet));
                if zone.is_some() {
                    fleet.ask_warm(start, zone);
                }
            }
        }
        let desired = scenario.load.as_ref().map_or(min + scenario.extra, |load| {
            let rate = load
                .trace
                .part(start, start + load.trace.step)
                .iter()
                .flatten()
                .next();
            let wanted = rate.copied().unwrap_or(0.0) / (load.capacity * target);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped"
            )]
            let wanted = wanted.ceil().clamp(f64::from(min), f64::from(max)) as u32;
            wanted
        });
        let mut game = Self {
            scenario,
            world,
            fleet,
            market,
            autoscaler: Autoscaler::new(
                target,
                min.saturating_sub(base).max(1),
                max.saturating_sub(base),
            ),
            queue: Queue::default(),
            desired: desired.saturating_sub(base),
            base,
            floor: min,
            placeholders: 0,
            spot_placeholders: 0,
            quota: 0,
            lately: Lately::default(),
            load: 0.0,
            next_look: start,
            outcome: Outcome::default(),
        };
        // It begins in a state of rest: what the first load needs has been running for long.
        game.place(start);
        for node in game.fleet.nodes.values_mut() {
            node.warm_at = start;
        }
        for pod in &mut game.fleet.pods {
            pod.ready_at = start;
        }
        game.fleet.longest_wait = 0;
        Ok(game)
    }

    fn step(&mut self, now: i64) -> Result<(), Unusable> {
        let noticed = self.markets(now);
        self.lose(now);
        if now % SYNC == 0 && self.scenario.load.is_some() {
            self.autoscale(now);
        }
        let moving = self.fleet.pods.iter().any(|pod| pod.leaving);
        let measured = self.measure(now);
        self.count_errors(now);
        let writing = now % WRITING == 0 && self.fleet.is_writing();
        if noticed || moving || measured || writing || now >= self.next_look {
            self.decide(now)?;
            self.next_look = (now / LOOK + 1) * LOOK;
        }
        self.place(now);
        if now % SCAN == 0 {
            self.tidy(now);
        }
        self.serve(now);
        Ok(())
    }

    fn decide(&mut self, now: i64) -> Result<(), Unusable> {
        self.fleet.train(now);
        if let Policy::Plain { lending, spare, .. } = self.scenario.policy {
            self.placeholders = spare;
            self.quota = self.lending(now, lending);
            self.fleet.cut_jobs(now, self.quota);
            self.fleet.start_jobs(now, self.quota);
            return Ok(());
        }
        if let Policy::Foreseeing { ahead } = self.scenario.policy {
            self.foresee(now, ahead);
            return Ok(());
        }
        sight::show(&mut self.world, &self.fleet, now, self.desired)?;
        if let Some(market) = &self.market {
            self.world.observed.signals.market = Signal::Known {
                value: MarketSeen {
                    last_taken: market
                        .last_taken
                        .and_then(|at| Timestamp::from_second(at).ok()),
                },
                at: self.world.now,
            };
        }
        if self.scenario.foresight.training.is_some() {
            self.world.observed.signals.jobs = Signal::Known {
                value: sight::jobs(&self.fleet)?,
                at: self.world.now,
            };
        }
        if self.scenario.foresight.cost.is_some() {
            self.world.observed.signals.prices = Signal::Known {
                value: sight::prices(),
                at: self.world.now,
            };
        }
        let plan = plan_with(&self.world, AHEAD);
        self.world.memory = plan.memory;
        if let Some(settled) = plan.settled.get(&Component::Inference) {
            let bounds = votes::split(settled, self.base);
            (self.autoscaler.min, self.autoscaler.max) = (bounds.min, bounds.max);
            self.floor = settled.floor;
            // The operator raises to the floor at once, and leaves the rest to the autoscaler.
            self.desired = self.desired.max(bounds.min);
        }
        self.fleet.wait(&sight::waiting(&self.world));
        for decision in &plan.decisions {
            self.carry_out(now, decision);
        }
        let moving = self.fleet.pods.iter().filter(|pod| pod.leaving).count();
        self.outcome.most_moving = self.outcome.most_moving.max(count(moving));
        Ok(())
    }

    fn carry_out(&mut self, now: i64, decision: &Decision) {
        match decision {
            Decision::Detach { pod, .. } | Decision::Attach { pod, .. } => {
                let pod = sight::number(pod);
                for it in &mut self.fleet.pods {
                    if Some(it.id) == pod {
                        it.leaving = matches!(decision, Decision::Detach { .. });
                    }
                }
            }
            Decision::Delete { pod, .. } => {
                let pod = sight::number(pod);
                self.fleet.pods.retain(|it| Some(it.id) != pod);
            }
            Decision::Taint { node, .. } | Decision::Untaint { node, .. } => {
                let node = sight::number(node).and_then(|id| self.fleet.nodes.get_mut(&id));
                if let Some(node) = node {
                    node.tainted = matches!(decision, Decision::Taint { .. });
                }
            }
            Decision::Placeholders { nodes } => self.placeholders = *nodes,
            Decision::SpotPlaceholders { nodes } => self.spot_placeholders = *nodes,
            Decision::Quota {
                cpu_milli,
                memory_bytes,
            } => {
                let slots = (cpu_milli / SLOT.0).min(memory_bytes / SLOT.1);
                self.quota = usize::try_from(slots).unwrap_or(usize::MAX);
                self.fleet.start_jobs(now, self.quota);
            }
            Decision::Checkpoint { job, .. } => {
                if let Some(job) = sight::number(job) {
                    self.fleet.ask_job(now, job);
                }
            }
            Decision::Suspend { job, .. } => {
                if let Some(job) = sight::number(job) {
                    self.fleet.stop_job(now, job);
                }
            }
            Decision::RollBack { .. } | Decision::OpenCircuit => {}
        }
    }

    fn lending(&self, now: i64, lending: Lending) -> usize {
        match lending {
            Lending::Nothing => 0,
            Lending::Window { from, until, slots } => {
                let hour = now.rem_euclid(86_400) / 3600;
                if (from..until).contains(&hour) {
                    slots as usize
                } else {
                    0
                }
            }
            Lending::Idle => {
                let slots = self.fleet.nodes.len() * SLOTS;
                slots.saturating_sub(self.fleet.pods.len())
            }
        }
    }

    fn outcome(self) -> Outcome {
        Outcome {
            longest_wait: self.fleet.longest_wait,
            preempted: self.fleet.preempted,
            stopped: self.fleet.stopped,
            wasted_seconds: self.fleet.wasted,
            ledger: self.world.memory.foresight.ledger,
            reclaims: self.market.map_or(0, |market| market.reclaims),
            ..self.outcome
        }
    }
}
