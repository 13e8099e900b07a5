//! A bound for who knows the market and its chances, and does not know the dice.
//!
//! A node that is asked for is of use after a start, and one with a notice until the notice ends. So at the end of a
//! start there are as many as were asked for at its beginning, without those that got a notice early enough to be gone:
//! within the start less the notice. Whoever had fewer waiting than that is short, whatever was asked for since.
//!
//! How likely that is follows from how the zones are made: from how many nodes a zone has, whether it has an outage, and
//! how many of them are ours. Here all of that is known, outages in the second in which they begin. For each step the
//! zones of our nodes are chosen by it, and the number that waits. Nothing is paid but what waits, at the price of spot
//! capacity: nodes change zones for nothing and in no time, none is kept longer than the step, and what stands in is
//! free. An on-demand node in place of a spot node is no way around it: up to half the on-demand price it costs as much
//! as one that waits, and no more than that one is it of use. So no policy has fewer that wait, on average over the
//! dice, whatever it learns of the market. (Somebody who has not even what is needed, while it is allowed to be short,
//! saves a thousandth of the cost at most.)

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::fleet::Times;
use crate::market::{Made, Outage};
use crate::trace::SpotTrace;

use super::waiting::{Odds, least_waiting};

/// Seconds of one step.
const TICK: i64 = 10;
/// More that are taken of a zone at once are left out: the bound is lower for it.
const MOST: usize = 16;

/// A zone, as far as it says what comes: how many nodes it has, and whether it has an outage.
type Zone = (u32, bool);

/// The fewest nodes that wait on average, with enough for long enough.
pub fn waiting(made: &Made, outages: &[Outage], trace: &SpotTrace, nodes: u32, notice: i64) -> f64 {
    let steps = (Times::default().cold - notice).max(0) / TICK;
    let mut chances = Chances {
        made,
        steps,
        known: HashMap::new(),
    };
    let seen = seen(outages, trace, steps * TICK);
    let kinds = seen
        .into_iter()
        .map(|(zones, often)| (often, chances.short(&zones, nodes)));
    least_waiting(&kinds.collect::<Vec<_>>())
}

/// How often the zones are seen in the same state.
fn seen(outages: &[Outage], trace: &SpotTrace, window: i64) -> BTreeMap<Vec<Zone>, f64> {
    let mut seen: BTreeMap<Vec<Zone>, f64> = BTreeMap::new();
    let mut counts = vec![0; trace.zones.len()];
    for now in (0..trace.length()).step_by(10) {
        for (zone, count) in trace.changes.get(&now).into_iter().flatten() {
            if let Some(slot) = counts.get_mut(*zone) {
                *slot = *count;
            }
        }
        // An outage that ends before the notices that matter is over already: less is taken.
        let lasts = |zone: usize| {
            let of = outages.iter().filter(|outage| outage.zone == zone);
            of.map(|outage| outage.from..outage.until - window)
                .any(|times| times.contains(&now))
        };
        let zones = counts.iter().enumerate();
        let mut zones: Vec<Zone> = zones.map(|(zone, count)| (*count, lasts(zone))).collect();
        zones.sort_unstable();
        *seen.entry(zones).or_default() += 1.0;
    }
    seen
}

struct Chances<'a> {
    made: &'a Made,
    /// From the beginning of a start to the last notice that matters at its end.
    steps: i64,
    known: HashMap<(Zone, u32, i64), Rc<Odds>>,
}

impl Chances<'_> {
    /// How likely it is to be short with none, one, two … that wait, each with the zones in which it is the least.
    fn short(&mut self, zones: &[Zone], nodes: u32) -> Odds {
        let all = zones.iter().map(|(count, _)| count).sum();
        // What the market has not is on demand.
        let mut least = Odds::new();
        self.placed(zones, nodes.min(all), &[1.0], &mut |odds| {
            let more_than = |waiting: usize| odds.iter().skip(waiting + 1).sum::<f64>();
            let short = (0..odds.len()).map(more_than);
            // With as many as the last number of either nobody is short.
            least = if least.is_empty() {
                short.collect()
            } else {
                let both = least.iter().zip(short);
                both.map(|(one, other)| one.min(other)).collect()
            };
        });
        least
    }

    /// Every way to have so many nodes in the zones, and how many of them are taken.
    fn placed(&mut self, zones: &[Zone], nodes: u32, odds: &[f64], see: &mut impl FnMut(&[f64])) {
        let Some(((count, outage), others)) = zones.split_first() else {
            return see(odds);
        };
        let room: u32 = others.iter().map(|(count, _)| count).sum();
        for ours in nodes.saturating_sub(room)..=nodes.min(*count) {
            let taken = self.taken((*count, *outage), ours, self.steps);
            let odds = both(odds, &taken);
            self.placed(others, nodes - ours, &odds, see);
        }
    }

    /// How many of ours are taken within so many steps.
    fn taken(&mut self, zone: Zone, ours: u32, steps: i64) -> Rc<Odds> {
        if steps == 0 || ours == 0 {
            return Rc::new(vec![1.0]);
        }
        if let Some(known) = self.known.get(&(zone, ours, steps)) {
            return Rc::clone(known);
        }
        let (count, outage) = zone;
        let mut odds = vec![0.0; ours as usize + 1];
        for (next, is_outage, chance) in self.made.next(count, outage) {
            let fall = count.saturating_sub(next);
            for (left, also) in (0..=ours).rev().zip(drawn(count, ours, fall)) {
                let later = self.taken((next, is_outage), left, steps - 1);
                let taken = odds.iter_mut().skip((ours - left) as usize);
                for (odds, then) in taken.zip(later.iter()) {
                    *odds += chance * also * then;
                }
            }
        }
        odds.truncate(MOST);
        let odds = Rc::new(odds);
        self.known.insert((zone, ours, steps), Rc::clone(&odds));
        odds
    }
}

fn both(one: &[f64], other: &[f64]) -> Odds {
    let mut odds = vec![0.0; one.len() + other.len() - 1];
    for (some, chance) in one.iter().enumerate() {
        for (more, also) in other.iter().enumerate() {
            odds[some + more] += chance * also;
        }
    }
    odds
}

/// How many of ours are among so many that are drawn of all.
fn drawn(all: u32, ours: u32, draws: u32) -> Odds {
    let mut odds = vec![1.0];
    for drawn in 0..draws {
        let mut next = vec![0.0; odds.len() + 1];
        for (taken, chance) in odds.iter().enumerate() {
            let hit = (f64::from(ours) - taken as f64).max(0.0) / f64::from(all - drawn);
            next[taken] += chance * (1.0 - hit);
            next[taken + 1] += chance * hit;
        }
        odds = next;
    }
    odds.truncate(ours as usize + 1);
    odds
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: Made = Made {
        level: 16,
        outages_a_day: 6.0,
    };

    fn chances(steps: i64) -> Chances<'static> {
        Chances {
            made: &MADE,
            steps,
            known: HashMap::new(),
        }
    }

    fn mean(odds: &[f64]) -> f64 {
        let odds = odds.iter().enumerate();
        odds.map(|(taken, chance)| taken as f64 * chance).sum()
    }

    #[test]
    fn as_many_are_taken_as_the_chances_say() {
        let mut chances = chances(1);
        let (mut said, mut taken) = (0.0, 0.0);
        for seed in 1..=4 {
            let (trace, outages) = MADE.zones(seed, 3, 7 * 24);
            for (zones, often) in seen(&outages, &trace, TICK) {
                // All of them are ours.
                let of = |zone: Zone| mean(&chances.taken(zone, zone.0, 1));
                said += often * zones.into_iter().map(of).sum::<f64>();
            }
            let mut counts = [0; 3];
            for (zone, count) in trace.changes.values().flatten() {
                taken += f64::from(counts[*zone]) - f64::from(*count.min(&counts[*zone]));
                counts[*zone] = *count;
            }
        }
        assert!((said / taken - 1.0).abs() < 0.05, "{said} {taken}");
    }

    #[test]
    fn of_those_that_are_drawn_ours_are_as_likely_as_any() {
        let odds = drawn(4, 2, 2);
        for (is, expected) in odds.iter().zip([1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0]) {
            assert!((is - expected).abs() < 1e-9, "{odds:?}");
        }
        assert!((mean(&drawn(16, 8, 3)) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn nodes_are_where_the_fewest_are_taken_and_are_needed_only_as_far_as_there_are_any() {
        let mut chances = chances(6);
        // The zone without an outage has room for all of them.
        let apart = chances.short(&[(16, false), (16, true)], 16);
        let there = chances.short(&[(16, false)], 16);
        assert!((apart[1] - there[1]).abs() < 1e-9, "{apart:?} {there:?}");
        assert!(apart[3] < chances.short(&[(16, true)], 16)[3]);
        assert_eq!(chances.short(&[(0, true)], 16), [0.0]);
    }
}
