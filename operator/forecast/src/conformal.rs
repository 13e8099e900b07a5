//! How far off the forecasts are: quantiles that are followed, not assumed. Quantile tracking of conformal PID control
//! (A. Angelopoulos, E. Candès and R. Tibshirani 2023, arXiv:2307.16895), which follows adaptive conformal inference (I.
//! Gibbs and E. Candès 2021): after an observation above its quantile the quantile rises, after one below it falls, in
//! the ratio in which that should happen. The share of observations below it then tends to its level, whatever the
//! series does.

use serde::{Deserialize, Serialize};

use crate::outlook::QUANTILES;
use crate::packed;

/// How far a quantile moves, in units of the usual error.
const STEP: f64 = 0.05;
/// Observations over which the quick usual error is formed.
const QUICK: f64 = 6.0;
/// Quantiles of a normal distribution whose mean absolute error is 1: where tracking begins.
const BEGINNING: [f64; QUANTILES.len()] = [-2.06, -1.61, -0.85, 0.0, 0.85, 1.61, 2.06, 2.92];
/// The smallest usual error, in logarithms.
const SMALLEST: f64 = 1e-4;

/// Quantiles of the errors of one number of steps ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Conformal {
    seen: u32,
    /// The usual absolute error: quickly and slowly followed.
    #[serde(with = "packed")]
    usual: [f64; 2],
    /// Quantiles, in units of the usual error.
    #[serde(with = "packed")]
    quantiles: [f64; QUANTILES.len()],
}

impl Conformal {
    pub(crate) fn starting() -> Self {
        Self {
            seen: 0,
            usual: [0.1; 2],
            quantiles: BEGINNING,
        }
    }

    /// Takes an error, and what had been said of it: the errors of each level.
    pub(crate) fn observe(&mut self, error: f64, said: &[f64], memory: f64) {
        self.seen = self.seen.saturating_add(1);
        let first = 1.0 / f64::from(self.seen);
        for (usual, share) in self.usual.iter_mut().zip([1.0 / QUICK, 1.0 / memory]) {
            *usual += share.max(first) * (error.abs().min(6.0 * *usual) - *usual);
            *usual = usual.max(SMALLEST);
        }
        for ((quantile, level), said) in self.quantiles.iter_mut().zip(QUANTILES).zip(said) {
            *quantile += STEP * if error <= *said { level - 1.0 } else { level };
        }
    }

    /// Errors of each level to expect, rising.
    pub(crate) fn errors(&self) -> [f64; QUANTILES.len()] {
        let usual = (self.usual[0] * self.usual[1]).sqrt();
        let mut errors = self.quantiles.map(|quantile| quantile * usual);
        errors.sort_by(f64::total_cmp);
        errors
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.usual
            .iter()
            .chain(&self.quantiles)
            .all(|number| number.is_finite())
    }
}
