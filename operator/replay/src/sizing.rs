//! How many standby nodes a load asks for, from its past.
//!
//! What rises within one cold start can be met by what is warm already, and by nothing else. So there is room for the
//! largest rise that was seen. Nothing is played and nothing is fitted: a rise larger than any before it is still not
//! met, and a single one that never comes again is paid for.

use crate::bench::Series;
use crate::bench::elasticity::TARGET;
use crate::fleet::{SLOTS, Times, count};
use crate::trace::Trace;

/// Days that are looked back on, as many as the forecast learns from.
const DAYS: i64 = 28;

/// Standby nodes of a load: as many as are asked for; or else as the largest rise of the days before the part that is
/// played needs, and no more than lie between the fewest and the most instances. An instance answers `capacity` requests
/// a second, and is used as far as the autoscaler steers to.
#[must_use]
pub fn of(series: &Series, capacity: f64, (fewest, most): (u32, u32)) -> u32 {
    series.standby.unwrap_or_else(|| {
        let between = most.saturating_sub(fewest).div_ceil(count(SLOTS));
        let each = capacity * TARGET * SLOTS as f64;
        let (from, _) = series.part();
        standby(&series.trace, from, Times::default().cold, each).min(between)
    })
}

/// The fewest nodes that hold the largest rise within `cold` seconds that was seen in the days before `until`; a node
/// answers `each` requests a second. Gaps say nothing.
#[must_use]
pub fn standby(trace: &Trace, until: i64, cold: i64, each: f64) -> u32 {
    let slots = usize::try_from(cold.div_euclid(trace.step).max(1)).unwrap_or(1);
    let past = trace.part((until - DAYS * 86_400).max(0), until);
    let rise = past
        .windows(slots + 1)
        .filter_map(|window| {
            let first = (*window.first()?)?;
            let highest = window.iter().skip(1).flatten().copied().reduce(f64::max)?;
            Some(highest - first)
        })
        .fold(0.0, f64::max);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and it saturates"
    )]
    let nodes = (rise / each.max(f64::MIN_POSITIVE)).ceil() as u32;
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(step: i64, values: &[f64]) -> Trace {
        let gap = |value: &f64| (*value >= 0.0).then_some(*value);
        Trace {
            step,
            values: values.iter().map(gap).collect(),
        }
    }

    /// Nodes for what is seen before the end, with 10 requests a second for each.
    fn nodes(step: i64, values: &[f64]) -> u32 {
        let trace = trace(step, values);
        standby(&trace, trace.length(), 180, 10.0)
    }

    #[test]
    fn there_is_room_for_the_largest_rise_within_a_cold_start() {
        // Slots longer than a cold start: from one to the next.
        assert_eq!(nodes(600, &[5.0, 15.0, 25.0, 30.0]), 1);
        assert_eq!(nodes(600, &[5.0, 15.5, 25.0, 30.0]), 2);
        // Shorter ones: over three of them, also when it falls again within.
        assert_eq!(nodes(60, &[0.0, 10.0, 20.0, 30.0, 40.0]), 3);
        assert_eq!(nodes(60, &[0.0, 40.0, 0.0, 0.0, 0.0]), 4);
    }

    #[test]
    fn falls_gaps_and_nothing_ask_for_nothing() {
        assert_eq!(nodes(600, &[40.0, 20.0, 0.0]), 0);
        assert_eq!(nodes(600, &[5.0, -1.0, 90.0]), 0);
        assert_eq!(nodes(600, &[]), 0);
    }

    #[test]
    fn what_is_played_says_nothing_about_it() {
        let trace = trace(600, &[10.0, 10.0, 10.0, 900.0]);
        assert_eq!(standby(&trace, 3 * 600, 180, 10.0), 0);
        assert_eq!(standby(&trace, 4 * 600, 180, 10.0), 89);
    }

    #[test]
    fn what_is_older_than_four_weeks_is_over() {
        let mut values = vec![10.0; 29 * 144];
        values[20] = 900.0;
        let trace = trace(600, &values);
        assert_eq!(standby(&trace, trace.length(), 180, 10.0), 0);
    }
}
