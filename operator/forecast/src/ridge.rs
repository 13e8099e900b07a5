//! Ridge regression that is updated with every observation: A. E. Hoerl and R. W. Kennard (1970), as normal equations
//! with exponential forgetting, and with large errors counting less (P. J. Huber 1964).

use serde::{Deserialize, Serialize};

use crate::packed;

/// What a coefficient costs.
const PENALTY: f64 = 0.1;
/// Errors above this multiple of the usual one count linearly.
const HUBER: f64 = 0.7;
/// The smallest usual error, in logarithms.
const SMALLEST: f64 = 1e-4;

/// Normal equations of `N` features, solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ridge {
    /// The lower triangle of the weighted sums of products of features, row by row; the penalty is on its diagonal.
    #[serde(with = "packed")]
    products: Vec<f64>,
    /// Weighted sums of features times target.
    #[serde(with = "packed")]
    moments: Vec<f64>,
    /// Their solution.
    #[serde(with = "packed")]
    coefficients: Vec<f64>,
    /// The usual absolute error.
    #[serde(with = "packed")]
    usual: [f64; 1],
}

impl Ridge {
    /// Knows nothing: every coefficient is 0.
    pub(crate) fn starting(features: usize) -> Self {
        let mut products = vec![0.0; features * (features + 1) / 2];
        for row in 0..features {
            products[row * (row + 1) / 2 + row] = PENALTY;
        }
        Self {
            products,
            moments: vec![0.0; features],
            coefficients: vec![0.0; features],
            usual: [0.1],
        }
    }

    /// The prediction from features.
    pub(crate) fn predict(&self, features: &[f64]) -> f64 {
        dot(&self.coefficients, features)
    }

    /// Learns what came of features, and forgets over `memory` observations.
    pub(crate) fn observe(&mut self, features: &[f64], target: f64, memory: f64) {
        let error = (target - self.predict(features)).abs();
        let usual = self.usual[0];
        let weight = if error > HUBER * usual {
            HUBER * usual / error
        } else {
            1.0
        };
        self.usual[0] = (usual + 0.02 * (error.min(5.0 * usual) - usual)).max(SMALLEST);
        let keep = 1.0 - 1.0 / memory;
        let mut at = 0;
        for (row, &feature) in features.iter().enumerate() {
            let weighted = weight * feature;
            self.moments[row] = keep * self.moments[row] + weighted * target;
            for (product, &other) in self.products[at..=at + row].iter_mut().zip(features) {
                *product = keep * *product + weighted * other;
            }
            at += row + 1;
            self.products[at - 1] += (1.0 - keep) * PENALTY;
        }
        if let Some(solution) = solve(&self.products, &self.moments) {
            self.coefficients = solution;
        }
    }

    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let numbers = self
            .products
            .iter()
            .chain(&self.moments)
            .chain(&self.coefficients);
        self.products.len() == features * (features + 1) / 2
            && self.moments.len() == features
            && self.coefficients.len() == features
            && numbers.chain(&self.usual).all(|number| number.is_finite())
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

/// Solves a symmetric positive definite system by Cholesky's factors. `None` when it is not positive definite, which
/// only rounding can bring about: the penalty on the diagonal is above zero.
fn solve(lower: &[f64], right: &[f64]) -> Option<Vec<f64>> {
    let size = right.len();
    let begin = |row: usize| row * (row + 1) / 2;
    let mut factor = lower.to_vec();
    let mut solution = right.to_vec();
    for row in 0..size {
        let (above, this) = factor.split_at_mut(begin(row));
        for column in 0..row {
            let other = &above[begin(column)..=begin(column) + column];
            let rest = this[column] - dot(&this[..column], &other[..column]);
            this[column] = rest / other[column];
        }
        let rest = this[row] - dot(&this[..row], &this[..row]);
        if rest.is_nan() || rest <= 0.0 {
            return None;
        }
        this[row] = rest.sqrt();
        solution[row] = (solution[row] - dot(&this[..row], &solution[..row])) / this[row];
    }
    for row in (0..size).rev() {
        let mut rest = solution[row];
        for below in row + 1..size {
            rest -= factor[begin(below) + row] * solution[below];
        }
        solution[row] = rest / factor[begin(row) + row];
    }
    solution
        .iter()
        .all(|number| number.is_finite())
        .then_some(solution)
}
