//! The shape of an hour: scheduled work begins on the hour, and comes again in the next one.

use serde::{Deserialize, Serialize};

use crate::packed;

/// What a new hour counts beside those before it.
const SHARE: f64 = 0.25;
/// The most that one value may say, in logarithms.
const LIMIT: f64 = 1.0;

/// By how much each slot of an hour is above the hour's mean, in logarithms: classical decomposition by a centred
/// moving average (F. R. Macaulay 1931), with older hours forgotten exponentially.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct HourProfile {
    #[serde(with = "packed")]
    shape: Vec<f64>,
}

impl HourProfile {
    /// Flat, for hours of `period` slots.
    pub(crate) fn starting(period: usize) -> Self {
        Self {
            shape: vec![0.0; period],
        }
    }

    fn period(&self) -> i64 {
        i64::try_from(self.shape.len()).unwrap_or(1)
    }

    /// Learns from the newest slot whose whole surroundings are known; `log` gives the logarithm of a slot.
    pub(crate) fn observe(&mut self, newest: i64, log: impl Fn(i64) -> Option<f64>) {
        let period = self.period();
        let half = period / 2;
        if half == 0 {
            return;
        }
        let centre = newest - half;
        let mut sum = 0.0;
        for slot in centre - half..=newest {
            let Some(value) = log(slot) else { return };
            // An even number of slots is centred by counting both ends by half.
            let halved = period % 2 == 0 && (slot == centre - half || slot == newest);
            sum += if halved { 0.5 * value } else { value };
        }
        let Some(value) = log(centre) else { return };
        let above = (value - sum / period as f64).clamp(-LIMIT, LIMIT);
        let share = &mut self.shape[slot_of_hour(centre, period)];
        *share += SHARE * (above - *share);
    }

    /// By how much the load changes between two slots when nothing but the shape of the hour matters.
    pub(crate) fn change(&self, from: i64, to: i64) -> f64 {
        let period = self.period();
        self.shape[slot_of_hour(to, period)] - self.shape[slot_of_hour(from, period)]
    }

    pub(crate) fn is_sound(&self, period: usize) -> bool {
        self.shape.len() == period && self.shape.iter().all(|share| share.is_finite())
    }
}

/// Which slot of its hour a slot is.
fn slot_of_hour(slot: i64, period: i64) -> usize {
    usize::try_from(slot.rem_euclid(period.max(1))).unwrap_or(0)
}
