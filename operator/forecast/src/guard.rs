//! Notices that the level of the load has changed: two-sided cumulative sums of errors (E. S. Page 1954).

use serde::{Deserialize, Serialize};

use crate::packed;

/// An error up to this, in units of the usual one, is none.
const SLACK: f64 = 1.5;
/// The most that one error counts: a single spike is no change of level.
const LIMIT: f64 = 5.0;
/// The sum at which the level has changed: at least five large errors to the same side, close to each other.
const ALARM: f64 = 15.0;

/// Sums of errors above and below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Guard {
    #[serde(with = "packed")]
    sums: [f64; 2],
}

impl Guard {
    /// Takes an error in units of the usual one; says whether the level has changed, and begins anew when it has.
    pub(crate) fn observe(&mut self, error: f64) -> bool {
        for (sum, error) in self.sums.iter_mut().zip([error, -error]) {
            *sum = (*sum + error.clamp(-LIMIT, LIMIT) - SLACK).max(0.0);
        }
        let changed = self.sums.iter().any(|&sum| sum >= ALARM);
        if changed {
            *self = Self::default();
        }
        changed
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.sums.iter().all(|sum| sum.is_finite())
    }
}
