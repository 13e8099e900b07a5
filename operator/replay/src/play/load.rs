//! The load: what becomes of it, what is measured of it, and what the autoscaler makes of that.

use chatbot_plan::signals::{Demand, Errors, Starts};
use chatbot_plan::world::Signal;
use jiff::{SignedDuration, Timestamp};

use crate::autoscaler::{SYNC, Sight};
use crate::fleet::count;
use crate::queue::Served;
use crate::scenario::{Expected, Point};

use super::{Game, TICK};

/// Seconds between two counts of errors.
const MINUTE: i64 = 60;

impl Game<'_> {
    /// Sets the floor that the highest load of the next seconds needs at full use.
    pub(super) fn foresee(&mut self, now: i64, ahead: i64) {
        let Some(load) = &self.scenario.load else {
            return;
        };
        // The slot under way at the end counts as well.
        let highest = load.trace.peak(now, now + ahead + load.trace.step - 1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped"
        )]
        let needed = (highest / load.capacity).ceil().clamp(0.0, 1e6) as u32;
        let (fewest, most) = self.scenario.bounds;
        self.autoscaler.min = needed.clamp(fewest, most);
        self.desired = self.desired.max(self.autoscaler.min);
    }

    pub(super) fn autoscale(&mut self, now: i64) {
        let (busy, seconds) = std::mem::take(&mut self.lately.busy);
        // A pod counts once it has been ready for a whole window of the metrics.
        let active = || {
            self.fleet
                .pods
                .iter()
                .filter(|pod| !pod.leaving && !pod.base)
        };
        let measured = count(active().filter(|pod| pod.ready_at <= now - SYNC).count());
        let sight = Sight {
            current: self.desired,
            measured,
            utilisation: (seconds > 0.0).then(|| busy / seconds),
            unready: count(active().count()) - measured,
        };
        self.desired = self.autoscaler.sync(now, sight);
    }

    /// At the end of a whole step of demand it is told; a step of which nothing was collected is told by nobody.
    pub(super) fn measure(&mut self, now: i64) -> bool {
        let step = self
            .scenario
            .foresight
            .prewarm
            .as_ref()
            .map_or(600, |prewarm| prewarm.step.as_secs());
        if now % step != 0 || self.lately.step_seconds < step as f64 - 0.5 {
            return false;
        }
        let lately = std::mem::take(&mut self.lately);
        self.lately.busy = lately.busy;
        self.lately.minutes = lately.minutes;
        if lately.step_gap {
            return false;
        }
        let Ok(at) = Timestamp::from_second(now) else {
            return false;
        };
        let signals = &mut self.world.observed.signals;
        signals.demand = Signal::Known {
            value: Demand {
                per_second: lately.step_arrived / lately.step_seconds,
                replicas: lately.step_replicas / lately.step_seconds,
                utilisation: lately.step_busy.0 / lately.step_busy.1.max(1.0),
            },
            at,
        };
        let times = self.fleet.times;
        signals.starts = Signal::Known {
            value: Starts {
                cold: SignedDuration::from_secs(times.cold),
                warm: SignedDuration::from_secs(times.warm),
            },
            at,
        };
        true
    }

    /// Every minute the requests and refusals of the last five are told.
    pub(super) fn count_errors(&mut self, now: i64) {
        if now % MINUTE != 0 {
            return;
        }
        let minutes = &mut self.lately.minutes;
        let (requests, overloaded) = minutes.iter().fold((0.0, 0.0), |sum, minute| {
            (sum.0 + minute.0, sum.1 + minute.1)
        });
        minutes.rotate_right(1);
        minutes[0] = (0.0, 0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of requests"
        )]
        let errors = Errors {
            requests: requests as u64,
            overloaded: overloaded as u64,
            ..Errors::default()
        };
        if let Ok(at) = Timestamp::from_second(now) {
            self.world.observed.signals.errors = Signal::Known { value: errors, at };
        }
    }

    pub(super) fn serve(&mut self, now: i64) {
        let seconds = TICK as f64;
        let ready = self.fleet.ready(now);
        let (mut gap, mut capacity) = (false, 0.0);
        if let Some(load) = &self.scenario.load {
            match load.trace.part(now, now + load.trace.step).first() {
                Some(Some(rate)) => self.load = *rate,
                _ => gap = true,
            }
            capacity = load.capacity;
        }
        let served = self
            .queue
            .pass(seconds, self.load, f64::from(ready) * capacity);
        self.note(now, seconds, ready, &served, gap);
        if self.scenario.curve.is_some_and(|every| now % every == 0) {
            let (spot, on_demand) = self.fleet.held();
            self.outcome.curve.push(Point {
                at: now,
                load: self.load,
                needed: if capacity > 0.0 {
                    self.load / capacity
                } else {
                    0.0
                },
                floor: self.floor,
                replicas: count(self.fleet.pods.len()),
                ready,
                spot,
                on_demand,
                lent: count(self.fleet.lent()),
                uses: self.fleet.uses(),
                expected: self.expected(),
            });
        }
    }

    /// What is expected of the end of the lead, when it is the planner who decides.
    fn expected(&self) -> Option<Expected> {
        let asked = self.scenario.foresight.prewarm.as_ref()?;
        let learned = self.world.memory.foresight.learned.as_ref()?;
        let forecast = learned.forecaster.forecast().ok()?;
        let lead = asked.lead_time.as_secs() / asked.step.as_secs().max(1);
        let order = usize::try_from(lead).ok()?.max(1) - 1;
        let step = forecast.steps.get(order)?;
        Some(Expected {
            at: step.at.as_second(),
            point: step.point,
            band: (*step.quantiles.first()?, *step.quantiles.last()?),
        })
    }

    pub(super) fn note(&mut self, now: i64, seconds: f64, ready: u32, served: &Served, gap: bool) {
        let outcome = &mut self.outcome;
        let pods = count(self.fleet.pods.len());
        let (spot, on_demand) = self.fleet.held();
        outcome.seconds += TICK;
        if !gap {
            outcome.arrived += served.arrived;
            outcome.lost += served.lost;
        }
        outcome.replica_seconds += f64::from(pods) * seconds;
        outcome.spot_seconds += f64::from(spot) * seconds;
        outcome.on_demand_seconds += f64::from(on_demand) * seconds;
        outcome.lent_seconds += self.fleet.lent() as f64 * seconds;
        outcome.standby_seconds += f64::from(self.fleet.standby(now)) * seconds;
        outcome.most_replicas = outcome
            .most_replicas
            .max(pods - count(self.fleet.pods.iter().filter(|pod| pod.leaving).count()));
        if ready < self.scenario.bounds.0 {
            outcome.short_seconds += TICK;
        }
        let lately = &mut self.lately;
        if let Some(utilisation) = served.utilisation {
            lately.busy = (
                lately.busy.0 + utilisation * seconds,
                lately.busy.1 + seconds,
            );
            lately.step_busy = (
                lately.step_busy.0 + utilisation * seconds,
                lately.step_busy.1 + seconds,
            );
        }
        lately.step_arrived += served.arrived;
        lately.minutes[0].0 += served.arrived;
        lately.minutes[0].1 += served.lost;
        lately.step_seconds += seconds;
        lately.step_replicas += f64::from(ready) * seconds;
        lately.step_gap |= gap;
    }
}
