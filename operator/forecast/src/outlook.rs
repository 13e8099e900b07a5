//! What is expected of the next steps.

use jiff::Timestamp;

/// The levels of [`Step::quantiles`], in that order.
///
/// A quantile of level 0.9 is one-sided: nine of ten observations are at or below it.
pub const QUANTILES: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

/// What is expected of the next steps of a series, in the series' own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The beginning of the newest slot that was observed, whether it had a value or was a gap. Older than two steps
    /// by the caller's clock, and the forecast is of a time that is over.
    pub origin: Timestamp,
    /// Seconds of one step.
    pub step: u32,
    /// The steps after the origin's, soonest first; as many as [`Settings::horizon`](crate::Settings::horizon).
    pub steps: Vec<Step>,
}

/// What is expected of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The beginning of its slot.
    pub at: Timestamp,
    /// The expected value, which is made for the smallest absolute error; finite and not negative.
    pub point: f64,
    /// Quantiles of the levels [`QUANTILES`]: rising, finite and not negative.
    pub quantiles: [f64; QUANTILES.len()],
}

impl Step {
    /// The quantile of a level, straight between the levels of [`QUANTILES`]. Levels outside of these give the
    /// outermost ones: nothing is said about what was never measured.
    #[must_use]
    pub fn quantile(&self, level: f64) -> f64 {
        let upper = QUANTILES.iter().position(|&known| level <= known);
        match upper {
            Some(0) => self.quantiles[0],
            Some(upper) => {
                let (low, high) = (QUANTILES[upper - 1], QUANTILES[upper]);
                let share = (level - low) / (high - low);
                let (from, to) = (self.quantiles[upper - 1], self.quantiles[upper]);
                from + share * (to - from)
            }
            None => self.quantiles[QUANTILES.len() - 1],
        }
    }
}

impl Forecast {
    /// The highest quantile of a level among the steps that begin within `lead` seconds after the end of the origin's
    /// slot; the first step always counts. `None` when the forecast does not reach that far: a lead beyond the horizon
    /// is not guessed at.
    #[must_use]
    pub fn highest(&self, level: f64, lead: u32) -> Option<f64> {
        let wanted = usize::try_from(lead.div_ceil(self.step.max(1)).max(1)).ok()?;
        self.steps
            .get(..wanted)?
            .iter()
            .map(|step| step.quantile(level))
            .reduce(f64::max)
    }
}
