//! A load of one's own: the planner, the same without standby nodes, and the autoscaler alone, on the same nodes.

use chatbot_plan::foresight::{Foresight, Spot, Training};

use crate::bench::Series;
use crate::bench::elasticity::{PLAIN, TARGET, prewarm};
use crate::fleet::{SLOTS, Times, count};
use crate::scenario::{Installed, Load, Outcome, Policy, Scenario, Spots};
use crate::sight::Unusable;
use crate::sizing;
use crate::trace::SpotTrace;

/// Of the nodes, the part that is on-demand where there is spot capacity: one of so many.
const ON_DEMAND: u32 = 5;

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The load.
    pub series: Series,
    /// Spot capacity.
    pub spot: Option<SpotTrace>,
    /// Seconds between a notice and the end of a spot node.
    pub notice: i64,
    /// What chance is made from: which nodes are taken.
    pub seed: u64,
    /// Fewest and most instances.
    pub bounds: (u32, u32),
    /// Requests a second of one instance; none: as many as make the peak need the most instances.
    pub capacity: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Played {
    /// With the planner.
    pub planner: Outcome,
    /// With the planner and no standby nodes, where there are some otherwise: what they cost and what they are for.
    pub no_standby: Option<Outcome>,
    /// With the autoscaler alone.
    pub alone: Outcome,
    /// Nodes that were installed.
    pub nodes: u32,
    /// Of these, those that are to wait.
    pub standby: u32,
    /// Requests a second of one instance.
    pub capacity: f64,
}

impl Played {
    /// Part of the capacity-hours that was lent.
    #[must_use]
    pub fn lent(&self, outcome: &Outcome) -> f64 {
        let slots = f64::from(self.nodes * count(SLOTS));
        outcome.lent_seconds / (slots * outcome.seconds.max(1) as f64)
    }
}

/// Plays it two or three times.
pub fn play(asked: &Asked) -> Result<Played, Unusable> {
    let part = asked.series.part();
    let peak = asked.series.trace.peak(part.0, part.1);
    let most = f64::from(asked.bounds.1.max(1));
    let capacity = asked
        .capacity
        .unwrap_or(peak / (most * TARGET))
        .max(f64::MIN_POSITIVE);
    let nodes = asked.bounds.1.div_ceil(count(SLOTS));
    let scenario =
        |foresight: Foresight, policy: Policy| scenario(asked, capacity, nodes, foresight, policy);
    let standby = sizing::of(&asked.series, capacity, asked.bounds);
    let foresight = Foresight {
        standby_nodes: standby,
        prewarm: Some(prewarm(&asked.series)),
        spot: asked.spot.as_ref().map(|_| Spot {
            on_demand_replicas: 0,
            ..Spot::default()
        }),
        training: Some(Training {
            cpu_milli: u64::MAX,
            memory_bytes: u64::MAX,
            windows: Vec::new(),
        }),
        ..Foresight::default()
    };
    let no_standby = Foresight {
        standby_nodes: 0,
        ..foresight.clone()
    };
    Ok(Played {
        planner: crate::play(&scenario(foresight, Policy::Planner))?,
        no_standby: (standby > 0)
            .then(|| crate::play(&scenario(no_standby, Policy::Planner)))
            .transpose()?,
        alone: crate::play(&scenario(Foresight::default(), PLAIN))?,
        nodes,
        standby,
        capacity,
    })
}

fn scenario(
    asked: &Asked,
    capacity: f64,
    nodes: u32,
    foresight: Foresight,
    policy: Policy,
) -> Scenario {
    let part = asked.series.part();
    let on_demand = if asked.spot.is_some() {
        nodes.div_ceil(ON_DEMAND)
    } else {
        nodes
    };
    Scenario {
        load: Some(Load {
            trace: asked.series.trace.clone(),
            capacity,
        }),
        spot: asked.spot.clone().map(|mut trace| {
            // It begins with the part that is played.
            trace.changes = trace
                .changes
                .into_iter()
                .map(|(at, changes)| (at + part.0, changes))
                .collect();
            Spots {
                trace,
                notice: asked.notice,
                seed: asked.seed,
            }
        }),
        bounds: asked.bounds,
        foresight,
        policy,
        nodes: Some(Installed {
            on_demand,
            spot: nodes - on_demand,
        }),
        extra: 0,
        part,
        times: Times::default(),
        curve: Some(300),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Trace;

    /// Days of hours whose nights have a fifth of the load of their noons.
    fn days(days: i32, standby: Option<u32>) -> Asked {
        let load = |hour: i32| 30.0 - 20.0 * (std::f64::consts::TAU * f64::from(hour) / 24.0).cos();
        Asked {
            series: Series {
                name: "load".to_owned(),
                trace: Trace {
                    step: 3600,
                    values: (0..24 * days).map(|hour| Some(load(hour))).collect(),
                },
                step: 3600,
                days: 1,
                left_out: 0,
                fill_percent: None,
                percentile: None,
                standby,
            },
            spot: None,
            notice: 120,
            seed: 1,
            bounds: (4, 40),
            capacity: None,
        }
    }

    #[test]
    fn nodes_that_are_asked_to_wait_wait_are_warm_and_are_not_lent() {
        // The peak needs 40 instances: there is room for those that wait.
        let asked = Asked {
            bounds: (4, 60),
            capacity: Some(50.0 / (40.0 * TARGET)),
            ..days(9, Some(2))
        };
        let played = play(&asked).unwrap();
        let (with, without) = (played.planner.clone(), played.no_standby.clone().unwrap());
        assert!(with.mean_standby() > 1.9, "{}", with.mean_standby());
        assert!(without.mean_standby() < 1e-9);
        // Two of fifteen nodes; a little more is lent in pieces of those that have instances.
        let price = played.lent(&without) - played.lent(&with);
        assert!((0.1..0.2).contains(&price), "{price}");
        assert!(played.lent(&with) > 0.0);
        assert!(with.preempted < without.preempted, "{}", with.preempted);
    }

    #[test]
    fn without_a_number_as_many_wait_as_the_past_asks_for() {
        assert_eq!(play(&days(9, Some(0))).unwrap().no_standby, None);
        let played = play(&days(9, None)).unwrap();
        // From one hour to the next the load rises by 5.2 at most, and a node answers 5.
        assert_eq!(played.standby, 2);
    }

    #[test]
    fn the_notice_and_the_seed_are_those_that_were_asked_for() {
        let asked = Asked {
            spot: Some(SpotTrace::parse("0,a,3\n").unwrap()),
            notice: 15,
            seed: 7,
            ..days(2, None)
        };
        let scenario = scenario(&asked, 1.0, 2, Foresight::default(), PLAIN);
        let spots = scenario.spot.unwrap();
        assert_eq!((spots.notice, spots.seed), (15, 7));
        assert_eq!(spots.trace.changes.keys().next(), Some(&86_400));
    }
}
