//! How many nodes wait on average at the least, where everything is ready for 99.9 % of the time.

use super::{Case, blind, chances, following};

/// Of the time, the part with too few nodes that is allowed.
const SHORT: f64 = 0.001;

/// How likely each of none, one, two … is.
pub type Odds = Vec<f64>;

/// Nodes that wait on average at the least.
pub struct Waiting {
    /// For who follows the times of the last two notices.
    pub following: f64,
    /// For who knows all but the dice, where the market is one of our own.
    pub knowing: Option<f64>,
}

impl Waiting {
    /// In the market of a case.
    pub fn of(case: &Case, notice: i64, seed: u64) -> Self {
        let moments = blind::moments(&case.trace, case.nodes, notice, seed);
        let made = case.made.as_ref();
        Self {
            following: following::waiting(&moments, notice),
            knowing: made.map(|(made, outages)| {
                chances::waiting(made, outages, &case.trace, case.nodes, notice)
            }),
        }
    }
}

/// The least of kinds of moments, of which it is known how many there are, and how likely it is to be short with none,
/// one, two … that wait. With the last number nobody is short.
pub fn least_waiting(kinds: &[(f64, Odds)]) -> f64 {
    let steps: f64 = kinds.iter().map(|(steps, _)| steps).sum();
    // At any price of a short step no policy costs less than the sum of the least, less what is allowed to be short.
    let at = |price: f64| {
        let least = kinds
            .iter()
            .map(|(steps, short)| steps * least(short, price));
        least.sum::<f64>() / steps.max(1.0) - price * SHORT
    };
    let prices = (0..160).map(|step| 2_f64.powf(f64::from(step) / 8.0));
    prices.map(at).fold(0.0, f64::max)
}

/// The least that a step costs at a price of being short.
fn least(short: &[f64], price: f64) -> f64 {
    let costs = short.iter().enumerate();
    costs
        .map(|(waiting, chance)| waiting as f64 + price * chance)
        .fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_taken_for_sure_is_waited_for_and_a_rare_one_is_not() {
        assert!((least_waiting(&[(10.0, vec![1.0, 0.0])]) - 0.999).abs() < 0.1);
        assert!(least_waiting(&[(10.0, vec![0.0009, 0.0])]) < 1e-9);
        // Only where it is known to be likely.
        let mixed = least_waiting(&[(9.0, vec![0.0, 0.0]), (1.0, vec![0.5, 0.0])]);
        assert!((0.05..0.1).contains(&mixed), "{mixed}");
    }
}
