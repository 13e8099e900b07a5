//! Notices that the level of the load has changed for longer than a moment: two-sided cumulative sums (E. S. Page 1954)
//! of how far the logarithm is from that of the same time of the days before.
//!
//! Errors of the forecast would not do: its members follow a new level within a few steps, and then err no more than
//! before. The days before do not follow.

use serde::{Deserialize, Serialize};

use crate::packed;

/// A difference up to this, in units of the usual one, is none.
const SLACK: f64 = 3.0;
/// The most that one difference counts.
const LIMIT: f64 = 6.0;
/// The sum at which the level has changed: four slots in a row that differ as much as counts at all, or more that
/// differ less.
const ALARM: f64 = 12.0;
/// Of its unit, the most that a difference adds to the usual one: a change is not to become usual while it is noticed.
const USUAL: f64 = 3.0;
/// The smallest usual difference, in logarithms.
const SMALLEST: f64 = 0.02;
/// Days over which the usual difference is formed.
const MEMORY: f64 = 2.0;

/// Sums of differences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Guard {
    /// Above and below.
    #[serde(with = "packed")]
    sums: [f64; 2],
    /// The usual absolute difference.
    #[serde(with = "packed")]
    usual: [f64; 1],
    /// Differences that were seen.
    seen: u32,
    /// Slots for which nothing is noticed: until the day before is at the new level, too.
    quiet: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            sums: [0.0; 2],
            usual: [0.1],
            seen: 0,
            quiet: 0,
        }
    }
}

/// By how much the newest logarithm differs from those of the same time of the day.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Differences {
    /// From the day before.
    pub(crate) day: Option<f64>,
    /// From a week before.
    pub(crate) week: Option<f64>,
}

impl Differences {
    /// The smaller one: a weekend is no change of level, and the Monday after it neither. Where one is above and the
    /// other below there is none.
    fn smaller(self) -> Option<f64> {
        let day = self.day?;
        Some(match self.week {
            Some(week) if day * week < 0.0 => 0.0,
            Some(week) if week.abs() < day.abs() => week,
            _ => day,
        })
    }
}

impl Guard {
    /// Takes the differences of one slot; says whether the level has changed. For a day after it has, it says nothing.
    pub(crate) fn observe(&mut self, differences: Differences, day: u32) -> bool {
        let quiet = self.quiet > 0;
        self.quiet = self.quiet.saturating_sub(1);
        let Some(difference) = differences.smaller() else {
            return false;
        };
        let mut changed = false;
        if !quiet && self.seen >= day {
            let unit = (difference / self.usual[0]).clamp(-LIMIT, LIMIT);
            for (sum, unit) in self.sums.iter_mut().zip([unit, -unit]) {
                *sum = (*sum + unit - SLACK).max(0.0);
            }
            changed = self.sums.iter().any(|&sum| sum >= ALARM);
        }
        if changed {
            self.sums = [0.0; 2];
            self.quiet = day;
        }
        self.learn(difference.abs(), f64::from(day));
        changed
    }

    fn learn(&mut self, difference: f64, day: f64) {
        self.seen = self.seen.saturating_add(1);
        let share = (1.0 / (MEMORY * day)).max(1.0 / f64::from(self.seen));
        let usual = &mut self.usual[0];
        *usual += share * (difference.min(USUAL * *usual) - *usual);
        *usual = usual.max(SMALLEST);
    }

    pub(crate) fn is_sound(&self) -> bool {
        let mut numbers = self.sums.iter().chain(&self.usual);
        numbers.all(|number| number.is_finite()) && self.usual[0] >= SMALLEST
    }
}

#[cfg(test)]
mod tests;
