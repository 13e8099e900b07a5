//! What is played, and what came of it.

use chatbot_plan::foresight::Foresight;
use chatbot_plan::recollection::Ledger;
use serde::Serialize;

use crate::fleet::{Times, Uses};
use crate::trace::{SpotTrace, Trace};

/// What is played.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The load; none: always `min` instances.
    pub load: Option<Load>,
    /// Spot capacity.
    pub spot: Option<Spots>,
    /// The bounds of the instances.
    pub bounds: (u32, u32),
    /// What is asked of the planner.
    pub foresight: Foresight,
    /// Who decides.
    pub policy: Policy,
    /// Nodes that are always there; none: as many as are needed.
    pub nodes: Option<Installed>,
    /// Instances more than the load asks for.
    pub extra: u32,
    /// From when until when, in seconds of the traces.
    pub part: (i64, i64),
    /// How long things take.
    pub times: Times,
    /// Whether a curve of what happened is kept, and every how many seconds.
    pub curve: Option<i64>,
}

/// Nodes that are always there. Of those that can be taken back as many as the market has; where it has too few, and
/// production waits or a placeholder of any kind, on-demand nodes stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// On-demand nodes.
    pub on_demand: u32,
    /// Spot nodes.
    pub spot: u32,
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// By time.
    pub trace: Trace,
    /// Requests a second that one instance answers at full use.
    pub capacity: f64,
}

/// Spot capacity.
#[derive(Clone, Debug)]
pub struct Spots {
    /// By time.
    pub trace: SpotTrace,
    /// Seconds between a notice and the end.
    pub notice: i64,
    /// What chance is made from.
    pub seed: u64,
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// The planner.
    Planner,
    /// An autoscaler, with a floor from somebody who knows the load of so many seconds: a bound, which nobody can reach.
    Foreseeing {
        /// Seconds.
        ahead: i64,
    },
    /// An autoscaler alone; nobody moves anything before it is taken.
    Plain {
        /// Slots lent to training, and how.
        lending: Lending,
        /// Nodes more than needed.
        spare: u32,
        /// The most of all nodes that are spot, in percent.
        spot_percent: u32,
    },
}

/// How capacity is lent without the planner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lending {
    /// Not at all.
    Nothing,
    /// So many slots between two hours of the day.
    Window {
        /// The first hour.
        from: i64,
        /// The hour at which it ends.
        until: i64,
        /// Slots.
        slots: u32,
    },
    /// Whatever production does not use at the moment.
    Idle,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Seconds that were played.
    pub seconds: i64,
    /// Requests, without those of gaps.
    pub arrived: f64,
    /// Of these, lost.
    pub lost: f64,
    /// Instances × seconds: pods that are there, ready or not.
    pub replica_seconds: f64,
    /// On-demand nodes × seconds.
    pub on_demand_seconds: f64,
    /// Spot nodes × seconds.
    pub spot_seconds: f64,
    /// Seconds with fewer instances ready than the floor.
    pub short_seconds: i64,
    /// Training's slots × seconds.
    pub lent_seconds: f64,
    /// Nodes × seconds that waited as standby, with the model in memory and nothing else on them.
    pub standby_seconds: f64,
    /// The longest that production has waited for a slot while there were nodes enough, in whole steps of 5 s. A slot
    /// that training has is given back within its grace of 15 s whatever is decided: so 15 s says little, and only more
    /// says that something else held the place. How often production had to wait is `preempted`.
    pub longest_wait: i64,
    /// Slots taken back from training by force.
    pub preempted: u32,
    /// Jobs that the planner has stopped.
    pub stopped: u32,
    /// Of training's slots × seconds, those lost: done since the last checkpoint when a job was stopped.
    pub wasted_seconds: i64,
    /// Nodes taken back.
    pub reclaims: u32,
    /// Times at which a reclaim left fewer instances than the floor although room for them was there in time.
    pub floor_breaches: u32,
    /// Most instances that were ever there.
    pub most_replicas: u32,
    /// Most instances that were moved at once.
    pub most_moving: u32,
    /// What the planner has counted as spent in the month that it ends in.
    pub ledger: Option<Ledger>,
    /// Points of the curve.
    pub curve: Vec<Point>,
}

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Seconds of the trace.
    pub at: i64,
    /// Requests a second.
    pub load: f64,
    /// Instances that the load would need at full use.
    pub needed: f64,
    /// The floor that was settled.
    pub floor: u32,
    /// Instances.
    pub replicas: u32,
    /// Instances that are ready.
    pub ready: u32,
    /// Spot nodes.
    pub spot: u32,
    /// On-demand nodes.
    pub on_demand: u32,
    /// Slots that training has.
    pub lent: u32,
    /// What the nodes are for.
    pub uses: Uses,
    /// What the planner expects.
    pub expected: Option<Expected>,
}

/// What the planner expects of a later moment, requests a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Expected {
    /// The moment, in seconds of the trace.
    pub at: i64,
    /// The forecast.
    pub point: f64,
    /// Its lowest and highest quantile.
    pub band: (f64, f64),
}

impl Outcome {
    /// Part of the requests that was lost.
    #[must_use]
    pub fn lost_share(&self) -> f64 {
        if self.arrived > 0.0 {
            self.lost / self.arrived
        } else {
            0.0
        }
    }

    /// Part of training's work that was lost when jobs were stopped.
    #[must_use]
    pub fn wasted_share(&self) -> f64 {
        if self.lent_seconds > 0.0 {
            self.wasted_seconds as f64 / self.lent_seconds
        } else {
            0.0
        }
    }

    /// Nodes that waited as standby, on average.
    #[must_use]
    pub fn mean_standby(&self) -> f64 {
        self.standby_seconds / self.seconds.max(1) as f64
    }

    /// Part of the time with at least the floor ready.
    #[must_use]
    pub fn ready_share(&self) -> f64 {
        1.0 - self.short_seconds as f64 / self.seconds.max(1) as f64
    }

    /// Part of the price of on-demand nodes that was spent, as the planner's ledger has it.
    #[must_use]
    pub fn spent_share(&self) -> Option<f64> {
        let items = || {
            self.ledger
                .iter()
                .flat_map(|ledger| ledger.sums.items.values())
        };
        let all: u128 = items().map(|item| item.on_demand_milli_seconds).sum();
        let spent: u128 = items().map(|item| item.spent_milli_seconds).sum();
        (all > 0).then(|| spent as f64 / all as f64)
    }

    /// Seconds of nodes that were paid for and had no price.
    #[must_use]
    pub fn unpriced_seconds(&self) -> u64 {
        let items = self
            .ledger
            .iter()
            .flat_map(|ledger| ledger.sums.items.values());
        items.map(|item| item.unpriced_node_seconds).sum()
    }

    /// What nodes cost at a price of spot capacity, beside the same time of so many on-demand nodes.
    #[must_use]
    pub fn cost(&self, ratio: f64, nodes: u32) -> f64 {
        (self.on_demand_seconds + ratio * self.spot_seconds)
            / (f64::from(nodes) * self.seconds.max(1) as f64)
    }
}
