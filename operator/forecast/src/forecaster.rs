//! What was learned from a series, and what follows from it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ahead::Expected;
use crate::history::History;
use crate::learned::Learned;
use crate::outlook::{Forecast, QUANTILES, Step};
use crate::scale::LARGEST;
use crate::settings::{InvalidSettings, Settings};
use crate::skill::Skill;

/// The version of the stored form.
const VERSION: u32 = 3;

/// What was learned from a series: a value of bounded size, stored with serde.
///
/// One that was stored and read goes on with the same numbers, bit for bit. One that is damaged, or was stored by a
/// release with another form, is refused when it is read: nothing is then known, and learning begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "State")]
pub struct Forecaster {
    #[serde(flatten)]
    state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    version: u32,
    settings: Settings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<History>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learned: Option<Learned>,
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

/// Why a stored state is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unsound {
    #[error("the state has version {0}, this release reads {VERSION}")]
    Version(u32),
    #[error("the settings of the state are not valid")]
    Settings,
    #[error("the state is damaged: a list has another length, or a number is not finite")]
    Damaged,
}

impl TryFrom<State> for Forecaster {
    type Error = Unsound;

    fn try_from(state: State) -> Result<Self, Unsound> {
        if state.version != VERSION {
            return Err(Unsound::Version(state.version));
        }
        state.settings.check().map_err(|_| Unsound::Settings)?;
        let limit = state.settings.carried();
        let history = state.history.as_ref();
        let learned = state.learned.as_ref();
        let sound = history.is_none_or(|history| history.is_sound(limit))
            && learned.is_none_or(|learned| learned.is_sound(&state.settings))
            && (learned.is_none() || history.is_some());
        if sound {
            Ok(Self { state })
        } else {
            Err(Unsound::Damaged)
        }
    }
}

impl Forecaster {
    /// Knows nothing yet.
    pub fn new(settings: Settings) -> Result<Self, InvalidSettings> {
        settings.check()?;
        Ok(Self {
            state: State {
                version: VERSION,
                settings,
                history: None,
                learned: None,
            },
        })
    }

    /// What the series is.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.state.settings
    }

    /// The same series with other settings of the same step: what is kept of its values is learned anew.
    pub fn relearned(&self, settings: Settings) -> Result<Self, InvalidSettings> {
        let mut other = Self::new(settings)?;
        if let Some(history) = &self.state.history {
            for slot in history.slots() {
                // They were taken once, and are in order.
                let _taken = other.observe(self.begin_of(slot), history.get(slot));
            }
        }
        Ok(other)
    }

    /// The beginning of the newest slot that was observed; `None` before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        let history = self.state.history.as_ref()?;
        Some(self.begin_of(history.next() - 1))
    }

    /// Takes what was measured over one slot of the grid, or that nothing was (`None`: a gap, which is not zero).
    ///
    /// The slot is the one that `at` falls into: `[k·step, (k+1)·step)` in seconds since the epoch. Slots that are
    /// left out are gaps; after more than a week of them nothing is known any more, and learning begins anew. A value
    /// is a rate or a count of that slot, in one unit for the whole series, at least 0.
    pub fn observe(&mut self, at: Timestamp, value: Option<f64>) -> Result<(), Refused> {
        if let Some(value) = value {
            if !value.is_finite() {
                return Err(Refused::NotFinite(value));
            }
            if value < 0.0 {
                return Err(Refused::Negative(value));
            }
        }
        let slot = at
            .as_second()
            .div_euclid(i64::from(self.state.settings.step));
        let next = self.state.history.as_ref().map_or(slot, History::next);
        if slot < next {
            let newest = self.begin_of(next - 1);
            return Err(Refused::NotLater { at, newest });
        }
        if usize::try_from(slot - next)
            .is_ok_and(|gaps| gaps > 7 * self.state.settings.steps_of_a_day())
        {
            self.state.history = None;
            self.state.learned = None;
        } else {
            for _ in next..slot {
                self.take(slot, None);
            }
        }
        self.take(slot, value.map(|value| value.min(LARGEST)));
        Ok(())
    }

    /// Takes the next slot; `slot` is the first one when there is none yet.
    fn take(&mut self, slot: i64, value: Option<f64>) {
        let State {
            settings,
            history,
            learned,
            ..
        } = &mut self.state;
        let history = history.get_or_insert_with(|| History::starting(slot));
        history.push(value, settings.carried());
        if learned.is_none() {
            let first = value.filter(|value| *value > 0.0);
            *learned = first.map(|value| Learned::starting(value, settings));
        }
        if let Some(learned) = learned {
            learned.observe(settings, history);
        }
    }

    /// What is expected of the steps after the newest slot.
    ///
    /// Quantiles are one-sided: of what comes, the share of a level is at or below its quantile, each number of steps
    /// ahead for itself. In a gap the forecast goes on from the newest value, for as many slots as the horizon or an
    /// hour has, whichever is longer.
    pub fn forecast(&self) -> Result<Forecast, NoForecast> {
        let State {
            settings,
            history,
            learned,
            ..
        } = &self.state;
        let history = history.as_ref().ok_or(NoForecast::NoHistory)?;
        let gaps = usize::from(settings.horizon).max(settings.slots_of_an_hour());
        let reach = i64::try_from(gaps).unwrap_or(i64::MAX);
        let newest = history.next() - 1;
        if (newest - reach + 1..=newest).all(|slot| history.get(slot).is_none()) {
            return Err(NoForecast::OnlyGaps { gaps });
        }
        let steps = (1..=settings.horizon).map(|ahead| {
            let at = self.begin_of(newest + i64::from(ahead));
            match learned {
                Some(learned) => step_of(learned, ahead, at),
                // Nothing above zero has ever been seen.
                None => Step {
                    at,
                    point: 0.0,
                    quantiles: [0.0; QUANTILES.len()],
                },
            }
        });
        Ok(Forecast {
            origin: self.begin_of(newest),
            step: settings.step,
            steps: steps.collect(),
        })
    }

    /// How good the forecasts of the last day have been, and so which one is used.
    #[must_use]
    pub fn skill(&self) -> Skill {
        let State {
            settings,
            history,
            learned,
            ..
        } = &self.state;
        if let (Some(learned), Some(history)) = (learned, history) {
            return learned.skill(settings, history);
        }
        // Whatever has a value was zero, and so was its forecast, once there was one.
        let values = history.as_ref().map_or(0, History::values);
        let compared = values.saturating_sub(settings.horizon.into());
        Skill::judged(compared, settings.steps_of_a_day(), [0.0; 3])
    }

    /// How often the level of the load was seen to change at once: after each, what the members lost before counts less.
    #[must_use]
    pub fn level_changes(&self) -> u32 {
        self.state.learned.as_ref().map_or(0, Learned::changes)
    }

    /// The beginning of a slot. Slots come from timestamps, and so are in range but for the last ones before the end
    /// of time.
    fn begin_of(&self, slot: i64) -> Timestamp {
        let second = slot.saturating_mul(i64::from(self.state.settings.step));
        Timestamp::from_second(second).unwrap_or(if slot < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }
}

fn step_of(learned: &Learned, ahead: u16, at: Timestamp) -> Step {
    let expected = between(learned.expected(), ahead);
    let value = |log: f64| learned.scale().value(log);
    Step {
        at,
        point: value(expected.point),
        quantiles: expected.quantiles.map(value),
    }
}

/// What is expected of a number of steps: as learned, or straight between its neighbours.
fn between(learned: impl Iterator<Item = (u16, Expected)>, ahead: u16) -> Expected {
    let nothing = Expected {
        point: f64::NEG_INFINITY,
        quantiles: [f64::NEG_INFINITY; QUANTILES.len()],
    };
    let mut before = (0, nothing);
    for (steps, expected) in learned {
        if steps == ahead || before.0 == 0 && steps > ahead {
            return expected;
        }
        if steps > ahead {
            let share = f64::from(ahead - before.0) / f64::from(steps - before.0);
            let straight = |from: f64, to: f64| from + share * (to - from);
            let mut quantiles = before.1.quantiles;
            for (quantile, to) in quantiles.iter_mut().zip(expected.quantiles) {
                *quantile = straight(*quantile, to);
            }
            return Expected {
                point: straight(before.1.point, expected.point),
                quantiles,
            };
        }
        before = (steps, expected);
    }
    before.1
}
