//! A bound for who knows the market and its chances, and does not know the dice.
//!
//! A node that is asked for is of use after a start, and one with a notice until the notice ends. So at the end of a
//! start there are as many as were asked for at its beginning, without those that got a notice early enough to be gone:
//! within the start less the notice. Whoever had fewer waiting than that is short, whatever was asked for since.
//!
//! How likely that is follows from how the zones are made: from how many nodes a zone has, whether it has an outage, and
//! how many of them are ours. Here all of that is known, outages in the second in which they begin, and for each step
//! the number that waits is chosen by it. Nothing is paid but these nodes, at the price of spot capacity: none is paid
//! twice while instances move, none is kept longer than the step, and what stands in is free. So no policy has fewer that
//! wait, on average over the dice, whatever it learns of the market. (Somebody who has not even what is needed, while
//! it is allowed to be short, saves a thousandth of the cost at most.) Only where the nodes are is given: where the
//! market has the most room. Somebody who leaves a zone before a notice comes is not bounded.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::fleet::Times;
use crate::market::{Made, Outage};

use super::blind::Moment;
use super::waiting::{Odds, least_waiting};

/// Seconds of one step.
const TICK: i64 = 10;

/// A zone, as far as it says what comes: nodes, whether it has an outage, and nodes of ours.
type Zone = (u32, bool, u32);

/// The fewest nodes that wait on average, with enough for long enough.
pub fn waiting(made: &Made, outages: &[Outage], moments: &[Moment], notice: i64) -> f64 {
    let window = (Times::default().cold - notice).max(0) / TICK;
    let mut chances = Chances {
        made,
        known: HashMap::new(),
    };
    let mut seen: BTreeMap<(Vec<Zone>, u32), f64> = BTreeMap::new();
    for moment in moments {
        let zones = moment.zones.iter().enumerate();
        let zones = zones.map(|(zone, (count, ours))| {
            let lasts = |outage: &Outage| {
                // One that ends before the notices that matter is over already: less is taken.
                let until = outage.until - window * TICK;
                outage.zone == zone && (outage.from..until).contains(&moment.now)
            };
            (*count, outages.iter().any(lasts), *ours)
        });
        let mut zones: Vec<Zone> = zones.collect();
        zones.sort_unstable();
        *seen.entry((zones, moment.spare)).or_default() += 1.0;
    }
    let kinds = seen.into_iter().map(|((zones, spare), steps)| {
        let odds = zones
            .into_iter()
            .map(|zone| chances.taken(zone, window))
            .fold(vec![1.0], |all, one| both(&all, &one));
        (steps, short(&odds, spare as usize))
    });
    least_waiting(&kinds.collect::<Vec<_>>())
}

/// How likely it is to be short with none, one, two … that wait, where some are spare anyway.
fn short(odds: &[f64], spare: usize) -> Odds {
    let more_than = |waiting: usize| odds.iter().skip(waiting + 1).sum();
    let mut short: Odds = (0..odds.len()).map(more_than).collect();
    short.drain(..spare.min(short.len().saturating_sub(1)));
    short
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

struct Chances<'a> {
    made: &'a Made,
    known: HashMap<(Zone, i64), Rc<Odds>>,
}

impl Chances<'_> {
    /// How many of ours are taken within so many steps.
    fn taken(&mut self, zone: Zone, steps: i64) -> Rc<Odds> {
        let (count, outage, ours) = zone;
        if steps == 0 || ours == 0 {
            return Rc::new(vec![1.0]);
        }
        if let Some(known) = self.known.get(&(zone, steps)) {
            return Rc::clone(known);
        }
        let mut odds = vec![0.0; ours as usize + 1];
        for (next, is_outage, chance) in self.made.next(count, outage) {
            for (taken, also) in drawn(count, ours, count.saturating_sub(next))
                .iter()
                .enumerate()
            {
                let left = ours - u32::try_from(taken).unwrap_or(ours);
                let later = self.taken((next, is_outage, left), steps - 1);
                for (more, then) in later.iter().enumerate() {
                    odds[taken + more] += chance * also * then;
                }
            }
        }
        let odds = Rc::new(odds);
        self.known.insert((zone, steps), Rc::clone(&odds));
        odds
    }
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
    use crate::bench::spot::blind::moments;

    const MADE: Made = Made {
        level: 16,
        outages_a_day: 6.0,
    };

    #[test]
    fn as_many_are_taken_as_the_chances_say() {
        let (mut said, mut taken) = (0.0, 0.0);
        for seed in 1..=4 {
            let (trace, outages) = MADE.zones(seed, 3, 7 * 24);
            let moments = moments(&trace, 24, 120, seed);
            let mut chances = Chances {
                made: &MADE,
                known: HashMap::new(),
            };
            for pair in moments.windows(2) {
                let [moment, next] = pair else { continue };
                taken += f64::from(next.taken);
                for (zone, (count, ours)) in moment.zones.iter().enumerate() {
                    let on = outages.iter().any(|outage| {
                        outage.zone == zone
                            && (outage.from..outage.until - TICK).contains(&moment.now)
                    });
                    let odds = chances.taken((*count, on, *ours), 1);
                    said += odds
                        .iter()
                        .enumerate()
                        .map(|(taken, chance)| taken as f64 * chance)
                        .sum::<f64>();
                }
            }
        }
        assert!((said / taken - 1.0).abs() < 0.05, "{said} {taken}");
    }

    #[test]
    fn what_is_spare_anyway_is_not_waited_for() {
        let short = short(&[0.5, 0.3, 0.2], 0);
        for (is, expected) in short.iter().zip([0.5, 0.2, 0.0]) {
            assert!((is - expected).abs() < 1e-9, "{short:?}");
        }
        assert_eq!(super::short(&[0.5, 0.3, 0.2], 1).len(), 2);
        assert_eq!(super::short(&[0.5, 0.3, 0.2], 5), [0.0]);
    }
}
