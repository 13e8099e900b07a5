//! Spot capacity: how many nodes can be had, and which are taken back.
//!
//! A trace tells how many a zone has. When that falls from `n` to `m`, `n − m` nodes of the zone are taken, and each of
//! ours is among them as likely as any other: a small share of a large market loses a small share of every reclaim. (To
//! lose nothing as long as less is held than there is would be kinder than any market.) Never more is held than there
//! is. A reclaim is announced so many seconds before.
//!
//! Left out: prices that move, kinds of machines, rebalance recommendations, notices that are taken back or never come,
//! and what others do when we ask for more.

use std::collections::BTreeMap;

use crate::fleet::Fleet;
use crate::trace::SpotTrace;

/// The state of a market.
#[derive(Clone, Debug)]
pub struct Market {
    obtainable: Vec<u32>,
    random: fastrand::Rng,
    /// Seconds between a notice and the end.
    pub notice: i64,
    /// Notices so far.
    pub reclaims: u32,
    /// When a node was last taken.
    pub last_taken: Option<i64>,
}

impl Market {
    /// A market that has nothing yet.
    #[must_use]
    pub fn new(trace: &SpotTrace, notice: i64, seed: u64) -> Self {
        Self {
            obtainable: vec![0; trace.zones.len()],
            random: fastrand::Rng::with_seed(seed),
            notice,
            reclaims: 0,
            last_taken: None,
        }
    }

    /// What has changed between two times, the first left out. Returns whether a node of ours is taken.
    pub fn pass(&mut self, trace: &SpotTrace, from: i64, until: i64, fleet: &mut Fleet) -> bool {
        let mut noticed = false;
        for (at, changes) in trace.changes.range(from + 1..=until) {
            for (zone, count) in changes {
                let before = self.obtainable.get(*zone).copied().unwrap_or(0);
                if let Some(slot) = self.obtainable.get_mut(*zone) {
                    *slot = *count;
                }
                if *count < before {
                    noticed |= self.take(*at, *zone, before, *count, fleet);
                }
            }
        }
        noticed
    }

    fn take(&mut self, at: i64, zone: usize, before: u32, after: u32, fleet: &mut Fleet) -> bool {
        let mut ours: Vec<u32> = fleet
            .nodes
            .iter()
            .filter(|(_, node)| node.zone == Some(zone) && node.deadline.is_none())
            .map(|(id, _)| *id)
            .collect();
        // A zone has at most `trace::MOST` instances, and so many draws are the most that a fall takes.
        let (mut left, mut taken) = (before, Vec::new());
        for _ in after..before {
            // One of all that the zone still has, ours or not.
            let which = self.random.u32(0..left.max(1)) as usize;
            left = left.saturating_sub(1);
            if which < ours.len() {
                taken.push(ours.swap_remove(which));
            }
        }
        // What is held above what is there is taken in any case.
        while ours.len() > after as usize {
            taken.extend(ours.pop());
        }
        for id in &taken {
            if let Some(node) = fleet.nodes.get_mut(id) {
                node.deadline = Some(at + self.notice);
            }
            self.reclaims += 1;
            self.last_taken = Some(at);
        }
        !taken.is_empty()
    }

    /// A zone that has room: the one with the most of it, so that what is held is spread.
    #[must_use]
    pub fn obtain(&self, fleet: &Fleet) -> Option<usize> {
        let zone = self
            .room(fleet)
            .into_iter()
            .max_by_key(|(zone, room)| (*room, usize::MAX - zone));
        zone.and_then(|(zone, room)| (room > 0).then_some(zone))
    }

    /// How many more there are, by zone.
    fn room(&self, fleet: &Fleet) -> BTreeMap<usize, u32> {
        let mut room: BTreeMap<usize, u32> = self.obtainable.iter().copied().enumerate().collect();
        for zone in fleet.nodes.values().filter_map(|node| node.zone) {
            if let Some(room) = room.get_mut(&zone) {
                *room = room.saturating_sub(1);
            }
        }
        room
    }

    /// How many more there are.
    #[must_use]
    pub fn more(&self, fleet: &Fleet) -> u32 {
        self.room(fleet).values().sum()
    }

    /// How many there are.
    #[must_use]
    pub fn all(&self) -> u32 {
        self.obtainable.iter().sum()
    }
}

/// Zone series of our own: each zone is a birth-and-death chain that hovers at a level, with outages that take most of
/// it within minutes and last about an hour, more or less often. Seeded; ten-second grid.
#[must_use]
pub fn zones(seed: u64, zones: usize, level: u32, hours: i64, outages_a_day: f64) -> SpotTrace {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut trace = SpotTrace {
        changes: BTreeMap::new(),
        zones: (0..zones).map(|zone| format!("zone-{zone}")).collect(),
    };
    for zone in 0..zones {
        let (mut count, mut outage) = (level, 0_i64);
        trace.changes.entry(0).or_default().push((zone, count));
        for at in (1..hours * 360).map(|step| step * 10) {
            // Outages begin as a Poisson process, 20 to 100 minutes long.
            if outage < at && random.f64() < outages_a_day / 8640.0 {
                outage = at + random.i64(1200..6000);
            }
            let aim = if outage > at { level / 5 } else { level };
            // A pull of 1 in 20 a step in an outage, 1 in 120 outside, and a node more or less every half hour.
            let pull = if outage > at { 0.05 } else { 1.0 / 120.0 };
            let mut next = count;
            for _ in 0..count.abs_diff(aim) {
                if random.f64() < pull {
                    next = if aim > count {
                        next + 1
                    } else {
                        next.saturating_sub(1)
                    };
                }
            }
            if random.f64() < 1.0 / 180.0 {
                next = if random.bool() {
                    next + 1
                } else {
                    next.saturating_sub(1)
                };
            }
            if next != count {
                count = next;
                trace.changes.entry(at).or_default().push((zone, count));
            }
        }
    }
    trace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_is_held_than_there_is_and_every_reclaim_is_announced() {
        let trace = SpotTrace::parse("0,a,6\n100,a,2\n").unwrap();
        let mut fleet = Fleet::default();
        let mut market = Market::new(&trace, 30, 1);
        market.pass(&trace, -1, 0, &mut fleet);
        while let Some(zone) = market.obtain(&fleet) {
            fleet.ask_warm(0, Some(zone));
        }
        assert_eq!(fleet.nodes.len(), 6);
        assert!(market.pass(&trace, 0, 100, &mut fleet));
        let taken: Vec<i64> = fleet
            .nodes
            .values()
            .filter_map(|node| node.deadline)
            .collect();
        assert_eq!(taken, [130; 4]);
        assert_eq!(market.reclaims, 4);
    }

    #[test]
    fn a_small_share_of_a_market_loses_a_small_share_of_every_reclaim() {
        let trace = SpotTrace::parse("0,a,100\n100,a,50\n").unwrap();
        let lost: u32 = (0..200)
            .map(|seed| {
                let mut fleet = Fleet::default();
                let mut market = Market::new(&trace, 30, seed);
                market.pass(&trace, -1, 0, &mut fleet);
                for _ in 0..10 {
                    fleet.ask_warm(0, Some(0));
                }
                market.pass(&trace, 0, 100, &mut fleet);
                market.reclaims
            })
            .sum();
        assert!((900..1100).contains(&lost), "{lost} of 2000, expected half");
    }

    #[test]
    fn the_same_seed_makes_the_same_zones() {
        assert_eq!(zones(7, 3, 10, 24, 2.0), zones(7, 3, 10, 24, 2.0));
        assert_ne!(zones(7, 3, 10, 24, 2.0), zones(8, 3, 10, 24, 2.0));
    }
}
