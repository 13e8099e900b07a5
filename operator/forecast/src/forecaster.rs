//! What was learned from a series, and what follows from it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::outlook::{Forecast, QUANTILES, Step};
use crate::settings::{InvalidSettings, Settings};
use crate::skill::Skill;

/// The version of the stored form.
const VERSION: u32 = 1;
/// Days of values that are carried.
const DAYS: usize = 8;

/// What was learned from a series: a value of bounded size, stored with serde.
///
/// One that was stored and read goes on with the same numbers, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecaster {
    version: u32,
    settings: Settings,
    history: Option<History>,
}

/// Why an observation is refused. What was learned stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// It is no number.
    #[error("value {0}: give a finite number, or nothing for a gap")]
    NotFinite(f64),
    /// Load cannot be negative.
    #[error("value {0}: load cannot be negative; give a rate or a count, or nothing for a gap")]
    Negative(f64),
    /// Its slot, or a later one, was observed before: a duplicate, a reordered row, or a clock that was set back.
    #[error(
        "time {at}: the slot is not after the newest one, which begins at {newest}; give each slot once, in order"
    )]
    NotLater {
        /// The time given.
        at: Timestamp,
        /// The beginning of the newest slot.
        newest: Timestamp,
    },
}

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoForecast {
    /// Nothing has been observed yet.
    #[error("nothing has been observed yet")]
    NoHistory,
    /// The newest value is too old to say anything about what comes.
    #[error("the newest {gaps} slots have no value")]
    OnlyGaps {
        /// Slots since the newest value.
        gaps: usize,
    },
}

impl Forecaster {
    /// Knows nothing yet.
    pub fn new(settings: Settings) -> Result<Self, InvalidSettings> {
        settings.check()?;
        Ok(Self {
            version: VERSION,
            settings,
            history: None,
        })
    }

    /// What the series is.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes what was measured over one slot of the grid, or that nothing was (`None`: a gap, which is not zero).
    ///
    /// The slot is the one that `at` falls into: `[k·step, (k+1)·step)` in seconds since the epoch. Slots that are
    /// left out are gaps. A value is a rate or a count of that slot, in one unit for the whole series, at least 0.
    pub fn observe(&mut self, at: Timestamp, value: Option<f64>) -> Result<(), Refused> {
        if let Some(value) = value {
            if !value.is_finite() {
                return Err(Refused::NotFinite(value));
            }
            if value < 0.0 {
                return Err(Refused::Negative(value));
            }
        }
        let slot = at.as_second().div_euclid(i64::from(self.settings.step));
        let limit = DAYS * self.settings.steps_of_a_day();
        let history = self.history.get_or_insert_with(|| History::starting(slot));
        if slot < history.next() {
            let newest = self.begin_of(self.next_slot() - 1);
            return Err(Refused::NotLater { at, newest });
        }
        while history.next() < slot {
            history.push(None, limit);
        }
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are kept")]
        history.push(value.map(|value| value as f32), limit);
        Ok(())
    }

    /// What is expected of the steps after the newest slot.
    pub fn forecast(&self) -> Result<Forecast, NoForecast> {
        let history = self.history.as_ref().ok_or(NoForecast::NoHistory)?;
        let reach = usize::from(self.settings.horizon);
        let last = history
            .newest(reach)
            .ok_or(NoForecast::OnlyGaps { gaps: reach })?;
        let steps = (0..i64::from(self.settings.horizon)).map(|ahead| Step {
            at: self.begin_of(history.next() + ahead),
            point: last,
            quantiles: [last; QUANTILES.len()],
        });
        Ok(Forecast {
            origin: self.begin_of(history.next() - 1),
            step: self.settings.step,
            steps: steps.collect(),
        })
    }

    /// How good the forecasts of the last day have been, and so which one is used.
    #[must_use]
    pub fn skill(&self) -> Skill {
        Skill::CollectingHistory {
            compared: 0,
            needed: self.settings.steps_of_a_day(),
        }
    }

    fn next_slot(&self) -> i64 {
        self.history.as_ref().map_or(0, History::next)
    }

    /// The beginning of a slot. Slots come from timestamps, and so are in range but for the last one before the end
    /// of time.
    fn begin_of(&self, slot: i64) -> Timestamp {
        let second = slot.saturating_mul(i64::from(self.settings.step));
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }
}
