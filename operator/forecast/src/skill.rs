//! How good the forecasts have lately been.

/// How much worse than the last value the members may lately have been: less is chance.
const MARGIN: f64 = 1.02;
/// A load that is so many times smaller than the errors is none.
const NOTHING: f64 = 1000.0;

/// How good the forecasts of the last day have been, beside the last value.
///
/// Errors are WAPE: the sum of absolute errors over the sum of the values, over every number of steps ahead; what is
/// older than a day is forgotten exponentially.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Skill {
    /// Not enough has been seen for a judgement, or nothing for a day. What is forecast meanwhile is the last value.
    CollectingHistory {
        /// Forecasts that could be compared with what came.
        compared: usize,
        /// How many of them there must be.
        needed: usize,
    },
    /// What was measured over a day was zero, or next to it: there is no load that an error could be set against. The
    /// last value is used.
    NoLoad,
    /// The forecast was better, or worse by at most 2 % of the last value's error, and is used.
    BetterThanLastValue {
        /// WAPE of the forecast, as a fraction.
        wape: f64,
        /// WAPE of the last value.
        last_value: f64,
    },
    /// The last value was better, and is used in the forecast's place.
    WorseThanLastValue {
        /// WAPE of the forecast that is not used, as a fraction.
        wape: f64,
        /// WAPE of the last value.
        last_value: f64,
    },
}

impl Skill {
    /// From so many comparisons, `needed` being a day of them, and their sums: errors of the forecast, errors of the
    /// last value, values.
    pub(crate) fn judged(compared: usize, needed: usize, [own, last, values]: [f64; 3]) -> Self {
        if compared < needed {
            return Self::CollectingHistory { compared, needed };
        }
        // Errors that dwarf the load are left over from rounding, or from a load that is over.
        if own.max(last) >= NOTHING * values {
            return Self::NoLoad;
        }
        let (wape, last_value) = (own / values, last / values);
        if own <= MARGIN * last {
            Self::BetterThanLastValue { wape, last_value }
        } else {
            Self::WorseThanLastValue { wape, last_value }
        }
    }
}
