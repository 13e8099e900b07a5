//! What happened at the same local time, a day and a week ago.

use crate::calendar::days_before;
use crate::history::History;
use crate::scale::Scale;
use crate::settings::Settings;

/// Slots on either side over which yesterday is smoothed.
const SMOOTHED: i64 = 2;

/// The carried history, as logarithms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) history: &'a History,
    pub(crate) scale: &'a Scale,
}

impl Past<'_> {
    /// The logarithm of a slot's value.
    pub(crate) fn log(&self, slot: i64) -> Option<f64> {
        self.history.get(slot).map(|value| self.scale.log(value))
    }

    /// Seasonal naive: the value at the same local time, some days before.
    pub(crate) fn days_before(&self, slot: i64, days: i64) -> Option<f64> {
        self.log(days_before(self.settings, slot, days))
    }

    /// By how much the load changed yesterday between the same times of day, with the noise smoothed away.
    pub(crate) fn yesterdays_change(&self, from: i64, to: i64) -> Option<f64> {
        let smooth = |slot: i64| {
            let centre = days_before(self.settings, slot, 1);
            let around = centre - SMOOTHED..=centre + SMOOTHED;
            let (sum, count) = around
                .filter_map(|slot| self.log(slot))
                .fold((0.0, 0_u32), |(sum, count), log| (sum + log, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        Some(smooth(to)? - smooth(from)?)
    }
}
