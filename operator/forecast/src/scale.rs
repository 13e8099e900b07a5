//! The logarithm in which everything is learned, and its way back.

use serde::{Deserialize, Serialize};

use crate::packed;

/// What is added before the logarithm, as a share of the usual level: a fall to zero is then a large step, not an
/// infinite one.
const FLOOR: f64 = 0.005;

/// The largest value; what is above is taken for it.
pub(crate) const LARGEST: f64 = f32::MAX as f64;
/// The smallest level, as a logarithm: a billionth of the unit.
const LOWEST: f64 = -20.7;

/// The usual level of a series: its geometric mean over some days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Scale {
    seen: u32,
    /// Logarithm of the level.
    #[serde(with = "packed")]
    level: [f64; 1],
}

impl Scale {
    /// Learns the level from the first value above zero.
    pub(crate) fn starting(value: f64) -> Self {
        Self {
            seen: 1,
            level: [value.ln().max(LOWEST)],
        }
    }

    /// Takes a value; the level follows over `memory` steps.
    pub(crate) fn observe(&mut self, value: f64, memory: f64) {
        self.seen = self.seen.saturating_add(1);
        let share = (1.0 / memory).max(1.0 / f64::from(self.seen));
        let level = self.level[0] + share * (self.log(value) - self.level[0]);
        self.level[0] = level.max(LOWEST);
    }

    fn floor(&self) -> f64 {
        FLOOR * self.level[0].exp()
    }

    /// The logarithm of a value that is not negative.
    pub(crate) fn log(&self, value: f64) -> f64 {
        (value + self.floor()).ln()
    }

    /// The value of a logarithm: not negative, and never so large that sums of it could become infinite.
    pub(crate) fn value(&self, log: f64) -> f64 {
        (log.exp() - self.floor()).clamp(0.0, LARGEST)
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.level[0].is_finite()
    }
}
