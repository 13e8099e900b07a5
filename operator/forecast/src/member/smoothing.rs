//! Exponential smoothing: C. C. Holt (1957) and P. R. Winters (1960), with a damped trend (E. S. Gardner 1985) and with
//! errors limited before they are learned from (S. Gelper, R. Fried and C. Croux 2010).

use serde::{Deserialize, Serialize};

use crate::packed;

/// Simple exponential smoothing: a level that follows with a share of every error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Level {
    #[serde(with = "packed")]
    level: [f64; 1],
}

impl Level {
    pub(crate) fn starting(log: f64) -> Self {
        Self { level: [log] }
    }

    /// Follows by a share `alpha` of the error.
    pub(crate) fn observe(&mut self, log: f64, alpha: f64) {
        self.level[0] += alpha * (log - self.level[0]);
    }

    pub(crate) fn level(&self) -> f64 {
        self.level[0]
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.level[0].is_finite()
    }
}

/// What distinguishes one Holt-Winters member from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Of an error, what the level takes.
    pub(crate) level: f64,
    /// Of that, what the trend takes.
    pub(crate) trend: f64,
    /// What is left of the trend after a step.
    pub(crate) damping: f64,
    /// Of the rest of an error, what the season takes.
    pub(crate) season: f64,
    /// Errors count up to this multiple of the usual one.
    pub(crate) limit: f64,
}

/// Level, damped trend and an hourly season, in logarithms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HoltWinters {
    /// Level, trend and usual error.
    #[serde(with = "packed")]
    state: [f64; 3],
    /// By slot of the hour.
    #[serde(with = "packed")]
    season: Vec<f64>,
}

impl HoltWinters {
    /// Begins at a level, with a season of `period` slots that is not known yet.
    pub(crate) fn starting(log: f64, period: usize) -> Self {
        Self {
            state: [log, 0.0, 0.1],
            season: vec![0.0; period],
        }
    }

    fn of_season(&self, slot: i64) -> f64 {
        let period = i64::try_from(self.season.len()).unwrap_or(1).max(1);
        usize::try_from(slot.rem_euclid(period)).map_or(0.0, |at| self.season[at])
    }

    /// Takes the value of a slot, or passes over a gap.
    pub(crate) fn observe(&mut self, slot: i64, log: Option<f64>, shares: &Shares) {
        let [level, trend, usual] = self.state;
        let expected = level + shares.damping * trend;
        let Some(log) = log else {
            self.state = [expected, shares.damping * trend, usual];
            return;
        };
        let error = log - expected - self.of_season(slot);
        let limited = error.clamp(-shares.limit * usual, shares.limit * usual);
        let step = shares.level * limited;
        let usual = usual + 0.02 * (error.abs().min(5.0 * usual) - usual);
        self.state = [
            expected + step,
            shares.damping * (trend + shares.trend * step),
            usual.max(1e-3),
        ];
        if shares.season > 0.0 {
            let period = i64::try_from(self.season.len()).unwrap_or(1).max(1);
            let at = usize::try_from(slot.rem_euclid(period)).unwrap_or(0);
            self.season[at] += shares.season * (1.0 - shares.level) * limited;
            let mean = self.season.iter().sum::<f64>() / self.season.len() as f64;
            self.season.iter_mut().for_each(|share| *share -= mean);
        }
    }

    /// The logarithm expected `ahead` steps after the newest `slot`.
    pub(crate) fn forecast(&self, slot: i64, ahead: usize, shares: &Shares) -> f64 {
        let [level, trend, _] = self.state;
        let mut expected = level;
        let mut share = shares.damping;
        for _ in 0..ahead {
            expected += share * trend;
            share *= shares.damping;
        }
        expected + self.of_season(slot + i64::try_from(ahead).unwrap_or(0))
    }

    pub(crate) fn is_sound(&self, period: usize) -> bool {
        let finite = self
            .state
            .iter()
            .chain(&self.season)
            .all(|number| number.is_finite());
        self.season.len() == period && finite
    }
}
