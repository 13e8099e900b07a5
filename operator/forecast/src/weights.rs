//! How much each member has to say: exponentially weighted averages by recent loss (V. Vovk 1990, N. Littlestone and
//! M. K. Warmuth 1994). The loss is the pinball loss of the median, half the absolute error, in logarithms.

use serde::{Deserialize, Serialize};

use crate::packed;

/// How sharply a lower loss is preferred.
const SHARPNESS: f64 = 2.0;

/// The recent losses of the members, the first of which is the last value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Weights {
    /// Sum of losses by member, older ones forgotten.
    #[serde(with = "packed")]
    losses: Vec<f64>,
    /// How many observations that is.
    #[serde(with = "packed")]
    count: [f64; 1],
}

impl Weights {
    pub(crate) fn starting(members: usize) -> Self {
        Self {
            losses: vec![0.0; members],
            count: [0.0],
        }
    }

    /// Takes what came, and forgets over `memory` observations.
    pub(crate) fn observe(
        &mut self,
        predictions: impl Iterator<Item = f64>,
        target: f64,
        memory: f64,
    ) {
        let keep = 1.0 - 1.0 / memory;
        self.count[0] = keep * self.count[0] + 1.0;
        for (loss, prediction) in self.losses.iter_mut().zip(predictions) {
            *loss = keep * *loss + 0.5 * (target - prediction).abs();
        }
    }

    /// The weighted mean of predictions.
    pub(crate) fn combine(&self, predictions: impl Iterator<Item = f64>) -> f64 {
        let least = self.losses.iter().copied().fold(f64::INFINITY, f64::min);
        let of_last_value = self.losses.first().copied().unwrap_or(0.0);
        // Losses are compared in units of the last value's, and count more the more of them there are.
        let unit = if of_last_value > 0.0 {
            SHARPNESS * self.count[0].sqrt() / of_last_value
        } else {
            0.0
        };
        let (mut sum, mut weights) = (0.0, 0.0);
        for (loss, prediction) in self.losses.iter().zip(predictions) {
            let weight = (-unit * (loss - least)).exp();
            sum += weight * prediction;
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// Forgets a share of the losses at once.
    pub(crate) fn forget(&mut self, keep: f64) {
        self.count[0] *= keep;
        self.losses.iter_mut().for_each(|loss| *loss *= keep);
    }

    pub(crate) fn is_sound(&self, members: usize) -> bool {
        let finite = self
            .losses
            .iter()
            .chain(&self.count)
            .all(|number| number.is_finite());
        self.losses.len() == members && finite
    }
}
