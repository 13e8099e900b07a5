//! How good the forecasts of a recorded series would have been, beside simple ones: every slot of the test part is
//! forecast from what was known some steps before it (rolling origin, L. J. Tashman 2000).

use jiff::Timestamp;

use crate::outlook::QUANTILES;
use crate::peers::{Peer, Peers};
use crate::settings::Settings;
use crate::trace::Series;
use crate::{Forecaster, InvalidSettings, NoForecast, Refused, Skill};

/// The level of the quantile that is judged; it is one-sided.
pub const JUDGED: f64 = 0.9;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Backtest {
    /// For each number of steps ahead, from 1 to the horizon.
    pub ahead: Vec<Quality>,
    /// The slots of the test part, each as it was forecast over the whole horizon.
    pub slots: Vec<Slot>,
    /// What the forecaster said of itself at the end.
    pub skill: Skill,
    /// How often it saw the level of the load change, over the whole series.
    pub level_changes: u32,
}

/// How good forecasts of one number of steps ahead were. Errors are WAPE: the sum of absolute errors over the sum of
/// the values, as a fraction. Over no load, or where nothing could be compared, they are no number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// How many steps ahead.
    pub steps: u16,
    /// Slots that were compared.
    pub compared: usize,
    /// Slots with a value for which there was no forecast, because too many values before it were missing.
    pub unanswered: usize,
    /// WAPE of the forecast.
    pub wape: f64,
    /// WAPE of the last value.
    pub last_value: f64,
    /// WAPE of the value a day before.
    pub seasonal_naive: f64,
    /// WAPE of Holt-Winters with a daily season.
    pub holt_winters: f64,
    /// Mean pinball loss of the quantile 0.9, over the mean value.
    pub pinball90: f64,
    /// Share of values at or below the quantile 0.9.
    pub coverage90: f64,
    /// Share of values at or below the quantile 0.1.
    pub coverage10: f64,
}

/// A slot of the test part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Its beginning.
    pub at: Timestamp,
    /// What came, when it was recorded.
    pub value: Option<f64>,
    /// What was forecast the whole horizon before: point and quantiles of [`QUANTILES`].
    pub forecast: Option<(f64, [f64; QUANTILES.len()])>,
    /// The newest value at that time.
    pub last_value: Option<f64>,
}

/// Why there is no back-test.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoBacktest {
    /// The grid or the horizon cannot be used.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The grid of the series is another one.
    #[error("step {settings} s: the series has a step of {series} s, give the same")]
    OtherStep {
        /// That of the settings.
        settings: u32,
        /// That of the series.
        series: u32,
    },
    /// Too little is left to learn from.
    #[error(
        "test part of {test} slots: the series has {slots}, leave at least {needed} before it to learn from"
    )]
    TooShort {
        /// Slots of the test part.
        test: usize,
        /// Slots of the series.
        slots: usize,
        /// Slots that must come before.
        needed: usize,
    },
    /// A value is no load.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Sums from which a [`Quality`] follows.
#[derive(Clone, Copy, Default)]
struct Sums {
    compared: usize,
    unanswered: usize,
    values: f64,
    own: f64,
    peers: [f64; 3],
    pinball: f64,
    covered90: usize,
    covered10: usize,
}

/// Judges the forecasts of the last `test` slots of a series. All that comes before is learned from, and so is every
/// slot of the test part once it is over; nothing is chosen on it.
pub fn backtest(series: &Series, settings: &Settings, test: usize) -> Result<Backtest, NoBacktest> {
    let slots = series.values.len();
    let needed = settings.steps_of_a_day() + usize::from(settings.horizon);
    if test == 0 || slots < test.saturating_add(needed) {
        return Err(NoBacktest::TooShort {
            test,
            slots,
            needed,
        });
    }
    if series.step != settings.step {
        return Err(NoBacktest::OtherStep {
            settings: settings.step,
            series: series.step,
        });
    }
    let begin = slots - test;
    let horizon = usize::from(settings.horizon);
    let mut forecaster = Forecaster::new(settings.clone())?;
    let mut peers = Peers::chosen_on(settings, &series.values[..begin]);
    let mut sums = vec![Sums::default(); horizon];
    let mut shown = Vec::with_capacity(test);
    for (slot, &value) in series.values.iter().enumerate() {
        forecaster.observe(series.at(slot), value)?;
        peers.observe(slot, value);
        let forecast = forecaster.forecast();
        for (order, sums) in sums.iter_mut().enumerate() {
            let target = slot + order + 1;
            if target >= begin
                && target < slots
                && let Some(value) = series.values[target]
            {
                sums.add(value, &forecast, order, &peers.forecast(target));
            }
        }
        let target = slot + horizon;
        if target >= begin && target < slots {
            let step = forecast
                .as_ref()
                .ok()
                .and_then(|forecast| forecast.steps.last());
            shown.push(Slot {
                at: series.at(target),
                value: series.values[target],
                forecast: step.map(|step| (step.point, step.quantiles)),
                last_value: peers.last_value(),
            });
        }
    }
    let qualities = sums
        .iter()
        .zip(1..)
        .map(|(sums, steps)| sums.quality(steps));
    Ok(Backtest {
        ahead: qualities.collect(),
        slots: shown,
        skill: forecaster.skill(),
        level_changes: forecaster.level_changes(),
    })
}

impl Sums {
    fn add(
        &mut self,
        value: f64,
        forecast: &Result<crate::Forecast, NoForecast>,
        order: usize,
        peers: &Peer,
    ) {
        let step = forecast
            .as_ref()
            .ok()
            .and_then(|forecast| forecast.steps.get(order));
        let Some(step) = step else {
            self.unanswered += 1;
            return;
        };
        self.compared += 1;
        self.values += value;
        self.own += (step.point - value).abs();
        for (sum, peer) in self.peers.iter_mut().zip(peers) {
            *sum += (peer - value).abs();
        }
        let high = step.quantile(JUDGED);
        self.pinball += pinball(value, high, JUDGED);
        self.covered90 += usize::from(value <= high);
        self.covered10 += usize::from(value <= step.quantile(0.1));
    }

    fn quality(&self, steps: u16) -> Quality {
        let (values, compared) = (self.values, self.compared as f64);
        let [last_value, seasonal_naive, holt_winters] = self.peers.map(|sum| sum / values);
        Quality {
            steps,
            compared: self.compared,
            unanswered: self.unanswered,
            wape: self.own / values,
            last_value,
            seasonal_naive,
            holt_winters,
            pinball90: self.pinball / values,
            coverage90: self.covered90 as f64 / compared,
            coverage10: self.covered10 as f64 / compared,
        }
    }
}

/// The pinball loss of a quantile: what lies above it costs `level` a unit, what lies below the rest (R. Koenker and
/// G. Bassett 1978).
#[must_use]
pub fn pinball(value: f64, quantile: f64, level: f64) -> f64 {
    let above = value - quantile;
    if above > 0.0 {
        level * above
    } else {
        (level - 1.0) * above
    }
}

#[cfg(test)]
mod tests;
