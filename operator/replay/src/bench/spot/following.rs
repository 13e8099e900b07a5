//! A bound for a number of waiting nodes that follows the times of the last two notices, in doublings of a minute. Whoever
//! reads more from them, a market that takes a node every two hours to the second, can be below it.
//!
//! As in [`super::chances`], whoever has fewer nodes waiting than get a notice within a start less the notice is short
//! at the end of the start. The number that waits may follow when the last two notices came, in doublings of a minute,
//! and is chosen in hindsight, on the very notices that it is to meet: those of as many nodes as are needed. Nothing is
//! paid but the nodes that wait, at the price of spot capacity. Whoever has nodes in other zones has other notices.

use std::collections::BTreeMap;

use crate::fleet::Times;

use super::blind::Moment;
use super::waiting::least_waiting;

/// The time since the last notice and the time between the last two, in doublings of a minute.
type Known = (u32, u32);

/// The fewest nodes that wait on average, with enough for long enough.
pub fn waiting(moments: &[Moment], notice: i64) -> f64 {
    let start = Times::default().cold;
    let taken = moments
        .iter()
        .flat_map(|moment| std::iter::repeat_n(moment.now, moment.taken as usize));
    let at: Vec<i64> = taken.collect();
    // By what is known, steps by how many nodes are gone at the end of a start.
    let mut all: BTreeMap<Known, BTreeMap<usize, f64>> = BTreeMap::new();
    for moment in moments {
        let now = moment.now;
        let before = at.partition_point(|at| *at <= now);
        let until = at.partition_point(|at| *at <= now + start - notice);
        let nth = |back: usize| before.checked_sub(back).and_then(|index| at.get(index));
        let since = doublings(nth(1).map(|last| now - last));
        let apart = doublings(nth(1).zip(nth(2)).map(|(last, other)| last - other));
        let gone = (until - before).saturating_sub(moment.spare as usize);
        *all.entry((since, apart))
            .or_default()
            .entry(gone)
            .or_default() += 1.0;
    }
    let kinds: Vec<(f64, Vec<f64>)> = all
        .into_values()
        .map(|gone| {
            let steps: f64 = gone.values().sum();
            let most = gone.keys().max().copied().unwrap_or(0);
            let short = |waiting: usize| {
                gone.range(waiting + 1..)
                    .map(|(_, steps)| steps)
                    .sum::<f64>()
                    / steps
            };
            (steps, (0..=most).map(short).collect())
        })
        .collect();
    least_waiting(&kinds)
}

/// Doublings of a minute; the most where there is none.
fn doublings(seconds: Option<i64>) -> u32 {
    let minutes = seconds.map(|seconds| u64::try_from(seconds / 60).unwrap_or(0));
    minutes.map_or(7, |minutes| (minutes + 1).ilog2().min(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(at: &[i64]) -> Vec<Moment> {
        let moment = |now: i64| Moment {
            now,
            taken: u32::try_from(at.iter().filter(|at| **at == now).count()).unwrap(),
            spare: 0,
        };
        (0..8640).map(|step| moment(step * 10)).collect()
    }

    #[test]
    fn where_nothing_is_taken_or_a_notice_is_as_long_as_a_start_nothing_waits() {
        assert!(waiting(&day(&[]), 120) < 1e-9);
        let often: Vec<i64> = (1..240).map(|nth| nth * 360).collect();
        assert!(waiting(&day(&often), 180) < 1e-9);
        assert!(waiting(&day(&often), 120) > 0.3);
    }

    #[test]
    fn what_is_known_from_the_notice_before_is_waited_for_only_then() {
        // Ten are taken a minute after one, four times a day.
        let hours = [5, 10, 15, 20];
        let taken = hours.into_iter().flat_map(|hour| {
            let first = hour * 3600;
            std::iter::once(first).chain([first + 60; 10])
        });
        let waiting = waiting(&day(&taken.collect::<Vec<_>>()), 120);
        // A constant number would be ten.
        assert!((0.01..1.0).contains(&waiting), "{waiting}");
    }

    #[test]
    fn what_is_spare_is_not_waited_for() {
        let often: Vec<i64> = (1..240).map(|nth| nth * 360).collect();
        let mut moments = day(&often);
        for moment in &mut moments {
            moment.spare = 1;
        }
        assert!(waiting(&moments, 120) < 1e-9);
    }
}
