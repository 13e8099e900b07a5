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

/// How likely a step brings a node more or less for no reason: one every half hour.
const DRIFT: f64 = 1.0 / 180.0;

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
    let made = Made {
        level,
        outages_a_day,
    };
    made.zones(seed, zones, hours).0
}

/// How zones are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Made {
    /// The level that they hover at.
    pub level: u32,
    /// Outages of a zone.
    pub outages_a_day: f64,
}

/// An outage that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The zone.
    pub zone: usize,
    /// When it begins.
    pub from: i64,
    /// When it is over.
    pub until: i64,
}

impl Made {
    /// Zones, and their outages.
    #[must_use]
    pub fn zones(&self, seed: u64, zones: usize, hours: i64) -> (SpotTrace, Vec<Outage>) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut trace = SpotTrace {
            changes: BTreeMap::new(),
            zones: (0..zones).map(|zone| format!("zone-{zone}")).collect(),
        };
        let mut outages = Vec::new();
        for zone in 0..zones {
            let (mut count, mut outage) = (self.level, 0_i64);
            trace.changes.entry(0).or_default().push((zone, count));
            for at in (1..hours * 360).map(|step| step * 10) {
                // Outages begin as a Poisson process, 20 to 100 minutes long.
                if outage < at && random.f64() < self.begins() {
                    outage = at + random.i64(1200..6000);
                    outages.push(Outage {
                        zone,
                        from: at,
                        until: outage,
                    });
                }
                let (aim, pull) = self.pulled(outage > at);
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
                if random.f64() < DRIFT {
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
        (trace, outages)
    }

    /// What a zone with so many nodes, in an outage or not, has a step later, and how likely that is. No outage ends.
    #[must_use]
    pub fn next(&self, count: u32, outage: bool) -> Vec<(u32, bool, f64)> {
        let begins = if outage { 1.0 } else { self.begins() };
        let mut all = Vec::new();
        for (outage, chance) in [(true, begins), (false, 1.0 - begins)] {
            if chance <= 0.0 {
                continue;
            }
            let (aim, pull) = self.pulled(outage);
            let mut chance = chance * (1.0 - pull).powf(f64::from(count.abs_diff(aim)));
            for moved in 0..=count.abs_diff(aim) {
                let next = if aim > count {
                    count + moved
                } else {
                    count - moved
                };
                all.push((next, outage, chance * (1.0 - DRIFT)));
                all.push((next + 1, outage, chance * DRIFT / 2.0));
                all.push((next.saturating_sub(1), outage, chance * DRIFT / 2.0));
                let left = f64::from(count.abs_diff(aim) - moved);
                chance *= left / f64::from(moved + 1) * pull / (1.0 - pull);
            }
        }
        all
    }

    /// How likely it is that an outage begins in a step.
    fn begins(&self) -> f64 {
        self.outages_a_day / 8640.0
    }

    /// The level that a zone is pulled to, and how likely each node is to come or go in a step: 1 in 20 in an outage,
    /// 1 in 120 outside.
    fn pulled(&self, outage: bool) -> (u32, f64) {
        if outage {
            (self.level / 5, 0.05)
        } else {
            (self.level, 1.0 / 120.0)
        }
    }
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
    fn what_a_zone_has_a_step_later_is_as_likely_as_it_is_said() {
        let made = Made {
            level: 16,
            outages_a_day: 6.0,
        };
        for (count, outage, mean) in [
            // Pulled to 16, or to 3; an outage begins once in 1,440 steps.
            (
                20,
                false,
                20.0 - 4.0 / 120.0 - (17.0 * 0.05 - 4.0 / 120.0) / 1440.0,
            ),
            (10, true, 10.0 - 7.0 * 0.05),
            (1, true, 1.0 + 2.0 * 0.05),
        ] {
            let odds = made.next(count, outage);
            let all: f64 = odds.iter().map(|(_, _, chance)| chance).sum();
            let is: f64 = odds
                .iter()
                .map(|(next, _, chance)| f64::from(*next) * chance)
                .sum();
            assert!((all - 1.0).abs() < 1e-9, "{all}");
            assert!((is - mean).abs() < 1e-9, "{is} {mean}");
        }
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
