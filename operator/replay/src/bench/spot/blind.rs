//! What spot capacity costs somebody who does not know the future and wastes nothing otherwise.
//!
//! Whoever keeps more nodes than are needed, so many of any kind and so many more as far as the market has them, asks
//! for another in the second in which one is taken, and lets an on-demand node go in the second in which a spot node
//! can stand in for it. Instances move in no time. A node that is asked for is billed while it starts, and is of use
//! after the cold start, as everywhere. Of all such pairs of numbers the cheapest is taken with which enough nodes are
//! there for long enough: chosen in hindsight, so nobody can count on it. It is a reference and no bound: a number
//! that follows the market may cost less.

use crate::fleet::{Fleet, Times, count};
use crate::market::Market;

use super::{Asked, Case};
use crate::trace::SpotTrace;

/// Seconds of one step.
const TICK: i64 = 10;
/// Of the time, the part with enough nodes.
const ENOUGH: f64 = 0.999;
/// The most nodes that are kept of any kind, and as far as the market has them.
const MOST: (u32, u32) = (8, 4);

/// What came of one pair of numbers.
#[derive(Clone, Copy, Debug)]
struct Kept {
    spot: i64,
    on_demand: i64,
    short: i64,
    seconds: i64,
}

/// Cost at a price of spot capacity, as a part of all on-demand, of the cheapest with enough nodes.
#[derive(Clone, Debug)]
pub struct Blind(Vec<(Kept, u32)>);

impl Blind {
    /// Plays every pair of numbers.
    #[must_use]
    pub fn of(case: &Case, notice: i64, asked: &Asked) -> Self {
        let pairs = (0..=MOST.0).flat_map(|any| (0..=MOST.1).map(move |spot| (any, spot)));
        let play = |pair| {
            keeping(
                &case.trace,
                case.nodes,
                notice,
                asked.seed,
                pair,
                |_, _, _| (),
            )
        };
        Self(pairs.map(|pair| (play(pair), case.nodes)).collect())
    }

    /// The least cost; nothing when no pair has enough nodes for long enough.
    #[must_use]
    pub fn cost(&self, ratio: f64) -> Option<f64> {
        let enough = self
            .0
            .iter()
            .filter(|(kept, _)| kept.short as f64 <= (1.0 - ENOUGH) * kept.seconds as f64);
        enough
            .map(|(kept, nodes)| {
                let paid = kept.on_demand as f64 + ratio * kept.spot as f64;
                paid / (f64::from(*nodes) * kept.seconds.max(1) as f64)
            })
            .min_by(f64::total_cmp)
    }
}

/// What is seen at one moment by somebody with as many nodes as are needed, of which none waits.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub now: i64,
    /// Nodes that got a notice then.
    pub taken: u32,
    /// Nodes that stay beyond those that are needed, while one takes another's place.
    pub spare: u32,
}

/// Every moment of a market.
pub fn moments(trace: &SpotTrace, nodes: u32, notice: i64, seed: u64) -> Vec<Moment> {
    let mut moments = Vec::new();
    let see = |now, taken, fleet: &Fleet| {
        moments.push(Moment {
            now,
            taken,
            spare: staying(fleet, |_| true).saturating_sub(nodes),
        });
    };
    keeping(trace, nodes, notice, seed, (0, 0), see);
    moments
}

fn keeping(
    trace: &SpotTrace,
    nodes: u32,
    notice: i64,
    seed: u64,
    (any, more): (u32, u32),
    mut see: impl FnMut(i64, u32, &Fleet),
) -> Kept {
    let mut fleet = Fleet::new(Times::default());
    let mut market = Market::new(trace, notice, seed);
    let needed = nodes + any;
    let mut kept = Kept {
        spot: 0,
        on_demand: 0,
        short: 0,
        seconds: 0,
    };
    for now in (0..trace.length()).step_by(10) {
        let before = market.reclaims;
        market.pass(trace, now - TICK, now, &mut fleet);
        let taken = market.reclaims - before;
        fleet
            .nodes
            .retain(|_, node| node.deadline.is_none_or(|deadline| deadline > now));
        // What is there at the beginning has been there for long.
        let since = if now == 0 { -fleet.times.cold } else { now };
        while staying(&fleet, |zone| zone.is_some()) < needed + more {
            let Some(zone) = market.obtain(&fleet) else {
                break;
            };
            fleet.ask(since, Some(zone));
        }
        while staying(&fleet, |_| true) < needed {
            fleet.ask(since, None);
        }
        let stays = fleet.nodes.values().filter(|node| node.deadline.is_none());
        let warm = count(stays.filter(|node| node.warm_at <= now).count());
        for _ in needed..warm {
            let id = fleet
                .nodes
                .iter()
                .find(|(_, node)| node.zone.is_none() && node.warm_at <= now)
                .map(|(id, _)| *id);
            id.and_then(|id| fleet.nodes.remove(&id));
        }
        see(now, taken, &fleet);
        let there = fleet.nodes.values().filter(|node| node.warm_at <= now);
        if count(there.count()) < nodes {
            kept.short += TICK;
        }
        let (spot, on_demand) = fleet.held();
        kept.spot += i64::from(spot) * TICK;
        kept.on_demand += i64::from(on_demand) * TICK;
        kept.seconds += TICK;
    }
    kept
}

fn staying(fleet: &Fleet, kind: impl Fn(Option<usize>) -> bool) -> u32 {
    let nodes = fleet.nodes.values();
    count(
        nodes
            .filter(|node| node.deadline.is_none() && kind(node.zone))
            .count(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked {
        seed: 1,
        standby: 0,
        idle: 0,
    };

    fn cost(trace: &str) -> f64 {
        let case = Case {
            name: String::new(),
            trace: SpotTrace::parse(trace).unwrap(),
            nodes: 4,
            made: None,
        };
        Blind::of(&case, 120, &ASKED).cost(0.25).unwrap()
    }

    #[test]
    fn where_nothing_is_taken_nothing_is_kept() {
        let calm = cost("0,a,9\n86400,a,9\n");
        assert!((calm - 0.25).abs() < 1e-9, "{calm}");
    }

    #[test]
    fn where_everything_is_taken_every_hour_nothing_is_saved() {
        let rows = (1..24).flat_map(|hour| {
            let taken = hour * 3600;
            [format!("{taken},a,0"), format!("{},a,5", taken + 30)]
        });
        let zone: Vec<String> = rows.collect();
        // Only on-demand nodes are left to stand by.
        let wild = cost(&format!("0,a,5\n{}\n86400,a,5\n", zone.join("\n")));
        assert!(wild > 1.0, "{wild}");
    }
}
