//! A bound for who follows the notices and does not know the dice.
//!
//! A node that is asked for is of use after a start, and one with a notice until the notice ends. So at the end of a
//! start there are as many as were asked for at its beginning, without those that got a notice early enough to be gone:
//! within the start less the notice. Whoever had fewer waiting than that is short, whatever was asked for since.
//! The number that waits may follow what is known, here when the last two notices came, and is chosen in hindsight, for
//! the whole of what is played. A node that is asked for is paid for until its start is over; beyond that nothing is paid
//! twice, every node that waits has the price of spot capacity, and instances move in no time.
//!
//! It bounds every such number for these notices, which are those of as many nodes as are needed. Somebody whose nodes
//! are in other zones has others.

use std::collections::BTreeMap;

use crate::fleet::Times;

/// Seconds of one step.
const TICK: i64 = 10;
/// The most nodes that wait.
const MOST: usize = 40;
/// Of the time, the part with too few nodes that is allowed.
const SHORT: f64 = 0.001;

/// When nodes of ours were taken, and for how long it was looked at.
#[derive(Clone, Debug)]
pub struct Notices {
    /// In order.
    pub at: Vec<i64>,
    /// Seconds.
    pub seconds: i64,
}

/// The time since the last notice and the time between the last two, in doublings of a minute.
type Known = (u32, u32);

/// What comes after moments at which the same is known.
#[derive(Clone, Debug, Default)]
struct Moments {
    /// Steps at which a node that was asked for then has to be paid for.
    paid: f64,
    /// Steps by how many nodes are gone at the end of a start.
    gone: BTreeMap<usize, f64>,
}

impl Moments {
    /// The least that so many nodes cost together with steps that are short, at a price of a step.
    fn least(&self, price: f64) -> f64 {
        let of = |waiting: usize| {
            let short: f64 = self.gone.range(waiting + 1..).map(|(_, steps)| steps).sum();
            self.paid * waiting as f64 + price * short
        };
        (0..=MOST).map(of).fold(f64::INFINITY, f64::min)
    }
}

/// The fewest nodes that wait on average, with enough for long enough.
pub fn waiting(weeks: &[Notices], notice: i64) -> f64 {
    let mut all: BTreeMap<Known, Moments> = BTreeMap::new();
    let mut steps = 0.0;
    let start = Times::default().cold;
    for week in weeks {
        for now in (0..week.seconds).step_by(TICK as usize) {
            let before = week.at.partition_point(|at| *at <= now);
            let until = week.at.partition_point(|at| *at <= now + start - notice);
            let nth = |back: usize| before.checked_sub(back).map(|index| week.at[index]);
            let apart = doublings(nth(1).zip(nth(2)).map(|(last, other)| last - other));
            let since = nth(1).map(|last| now - last);
            let then = all.entry((doublings(since), apart)).or_default();
            *then.gone.entry(until - before).or_default() += 1.0;
            // What was asked for a start ago is paid for still.
            let asked = since.map(|since| (since - start).max(0));
            all.entry((doublings(asked), apart)).or_default().paid += 1.0;
            steps += 1.0;
        }
    }
    // At any price of a short step no policy costs less than the sum of the least, less what is allowed to be short.
    let at = |price: f64| {
        let least: f64 = all.values().map(|moments| moments.least(price)).sum();
        (least - price * SHORT * steps) / steps
    };
    let prices = (0..160).map(|step| 2_f64.powf(f64::from(step) / 8.0));
    prices.map(at).fold(0.0, f64::max)
}

/// Doublings of a minute; the most where there is none.
fn doublings(seconds: Option<i64>) -> u32 {
    let minutes = seconds.map(|seconds| u64::try_from(seconds / 60).unwrap_or(0));
    minutes.map_or(7, |minutes| (minutes + 1).ilog2().min(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(at: Vec<i64>) -> [Notices; 1] {
        [Notices {
            at,
            seconds: 86_400,
        }]
    }

    #[test]
    fn where_nothing_is_taken_or_a_notice_is_as_long_as_a_start_nothing_waits() {
        assert!(waiting(&day(Vec::new()), 120) < 1e-9);
        let often = day((1..240).map(|nth| nth * 360).collect());
        assert!(waiting(&often, 180) < 1e-9);
        assert!(waiting(&often, 120) > 0.9);
    }

    #[test]
    fn what_is_known_from_the_notice_before_is_waited_for_only_then() {
        // Ten are taken half a minute after one, four times a day.
        let hours = [5, 10, 15, 20];
        let taken = hours.into_iter().flat_map(|hour| {
            let first = hour * 3600;
            std::iter::once(first).chain([first + 30; 10])
        });
        let waiting = waiting(&day(taken.collect()), 120);
        // A constant number would be ten.
        assert!((0.01..1.0).contains(&waiting), "{waiting}");
    }
}
