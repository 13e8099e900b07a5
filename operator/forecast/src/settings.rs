//! What a series is.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Seconds of a day.
pub(crate) const DAY: u32 = 86_400;
/// The finest grid: a week of it is what is carried.
pub(crate) const FINEST_STEP: u32 = 60;
/// The coarsest grid.
pub(crate) const COARSEST_STEP: u32 = 6 * 3600;
/// The most steps ahead.
const LONGEST_HORIZON: u16 = 48;

/// What a series is: its grid, how far ahead it is forecast, and whose day it follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Seconds of one step of the grid, from 60 to 21,600; a day is a whole number of them.
    pub step: u32,
    /// Steps that are forecast, from 1 to 48 and at most a day.
    pub horizon: u16,
    /// The time zone whose days and weeks the load follows. UTC, unless something else is known.
    #[serde(with = "jiff::fmt::serde::tz::required")]
    pub zone: TimeZone,
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// The step does not divide a day, or is out of range.
    #[error(
        "step {0} s: give a number of seconds from {FINEST_STEP} to {COARSEST_STEP} that divides a day, such as 300 or 600"
    )]
    Step(u32),
    /// The horizon is out of range.
    #[error("horizon {0}: give 1 to {LONGEST_HORIZON} steps, at most a day of them")]
    Horizon(u16),
}

impl Settings {
    /// A grid of `step` seconds, forecast `horizon` steps ahead, in UTC.
    #[must_use]
    pub fn new(step: u32, horizon: u16) -> Self {
        Self {
            step,
            horizon,
            zone: TimeZone::UTC,
        }
    }

    /// The same, for load that follows the days of `zone`.
    #[must_use]
    pub fn in_zone(mut self, zone: TimeZone) -> Self {
        self.zone = zone;
        self
    }

    /// Steps of a day.
    #[must_use]
    pub fn steps_of_a_day(&self) -> usize {
        (DAY / self.step.max(1)) as usize
    }

    /// Slots of an hour; 1 when an hour is no whole number of them, so that an hour has no shape.
    pub(crate) fn slots_of_an_hour(&self) -> usize {
        if 3600_u32.is_multiple_of(self.step) {
            (3600 / self.step) as usize
        } else {
            1
        }
    }

    /// Values that are carried: a week, and what a change of the clock and the smoothing of yesterday reach beyond it.
    pub(crate) fn carried(&self) -> usize {
        7 * self.steps_of_a_day() + 3 * self.slots_of_an_hour() + 8
    }

    /// Whether such a series can be forecast.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        if !(FINEST_STEP..=COARSEST_STEP).contains(&self.step) || !DAY.is_multiple_of(self.step) {
            return Err(InvalidSettings::Step(self.step));
        }
        if !(1..=LONGEST_HORIZON).contains(&self.horizon)
            || usize::from(self.horizon) > self.steps_of_a_day()
        {
            return Err(InvalidSettings::Horizon(self.horizon));
        }
        Ok(())
    }
}
