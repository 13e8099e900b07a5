//! One number of steps ahead: what is predicted for it, what came of that, and what was learned from it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::conformal::Conformal;
use crate::features::{FEATURES, Features, MEMBERS};
use crate::outlook::QUANTILES;
use crate::packed;
use crate::ridge::Ridge;
use crate::scale::Scale;
use crate::weights::Weights;

/// Days over which the ridge members forget.
const MEMORIES: [f64; 3] = [7.0, 2.0, 0.7];
/// No member forgets faster than over so many observations: it could not tell its coefficients apart.
const SHORTEST: f64 = 40.0;
/// Days over which weights, errors and their quantiles are formed.
const RECENT: f64 = 1.0;
/// How much farther than anything lately seen a ridge may predict.
const BEYOND: f64 = 1.2;
/// Numbers of a prediction that is kept until its time has come.
const KEPT: usize = 3 + QUANTILES.len() + FEATURES + MEMORIES.len();

/// Predictions `steps` ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ahead {
    /// How many steps.
    pub(crate) steps: u16,
    ridges: Vec<Ridge>,
    weights: Weights,
    conformal: Conformal,
    /// The largest change that was lately seen over so many steps.
    #[serde(with = "packed")]
    reach: [f64; 1],
    /// Predictions whose time has not come, oldest first.
    waiting: VecDeque<Kept>,
    /// How far off they have lately been.
    pub(crate) score: Score,
}

/// A prediction: [the logarithm it starts from, what was issued, what the members together said, errors of each level,
/// features, ridges].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Kept {
    #[serde(with = "packed")]
    numbers: Vec<f64>,
}

impl Kept {
    fn base(&self) -> f64 {
        self.numbers[0]
    }

    fn issued(&self) -> f64 {
        self.numbers[1]
    }

    fn combined(&self) -> f64 {
        self.numbers[2]
    }

    fn errors(&self) -> &[f64] {
        &self.numbers[3..3 + QUANTILES.len()]
    }

    fn features(&self) -> &[f64] {
        &self.numbers[3 + QUANTILES.len()..KEPT - MEMORIES.len()]
    }

    /// What each member said; the first is the last value.
    fn members(&self) -> impl Iterator<Item = f64> {
        let ridges = &self.numbers[KEPT - MEMORIES.len()..];
        let simple = &self.features()[MEMBERS];
        std::iter::once(0.0).chain(simple.iter().chain(ridges).copied())
    }
}

/// Sums of absolute errors and of values, older ones forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Score {
    /// Predictions that were compared with what came; counted up to a bound far above what is asked for.
    pub(crate) compared: u32,
    /// Errors of the members together, errors of the last value, values.
    #[serde(with = "packed")]
    pub(crate) sums: [f64; 3],
}

/// Logarithms to expect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) point: f64,
    pub(crate) quantiles: [f64; QUANTILES.len()],
}

impl Ahead {
    pub(crate) fn starting(steps: u16) -> Self {
        Self {
            steps,
            ridges: MEMORIES.iter().map(|_| Ridge::starting(FEATURES)).collect(),
            weights: Weights::starting(1 + MEMBERS.len() + MEMORIES.len()),
            conformal: Conformal::starting(),
            reach: [0.5],
            waiting: VecDeque::new(),
            score: Score {
                compared: 0,
                sums: [0.0; 3],
            },
        }
    }

    /// The time of the oldest waiting prediction has come: learns from it.
    pub(crate) fn observe(&mut self, log: Option<f64>, scale: &Scale, day: f64) {
        if self.waiting.len() < usize::from(self.steps) {
            return;
        }
        let kept = self.waiting.pop_front();
        let (Some(kept), Some(log)) = (kept, log) else {
            return;
        };
        let target = log - kept.base();
        let recent = (RECENT * day).max(SHORTEST);
        self.reach[0] = (self.reach[0] * (1.0 - 1.0 / (MEMORIES[0] * day))).max(target.abs());
        for (ridge, days) in self.ridges.iter_mut().zip(MEMORIES) {
            ridge.observe(kept.features(), target, (days * day).max(SHORTEST));
        }
        self.weights.observe(kept.members(), target, recent);
        self.score.observe(&kept, log, scale, recent);
        self.conformal
            .observe(target - kept.issued(), kept.errors(), recent);
    }

    /// Predicts from features; `trusted` says whether the members are used, or the last value in their place.
    pub(crate) fn predict(&mut self, features: &Features, trusted: bool) {
        let limit = BEYOND * self.reach[0];
        let mut numbers = vec![features.base, 0.0, 0.0];
        numbers.extend(self.conformal.errors());
        numbers.extend(features.values);
        let ridges = self.ridges.iter();
        numbers.extend(ridges.map(|ridge| ridge.predict(&features.values).clamp(-limit, limit)));
        let mut kept = Kept { numbers };
        let combined = self.weights.combine(kept.members());
        kept.numbers[2] = combined;
        kept.numbers[1] = if trusted { combined } else { 0.0 };
        self.waiting.push_back(kept);
    }

    /// What was predicted last.
    pub(crate) fn expected(&self) -> Option<Expected> {
        let kept = self.waiting.back()?;
        let point = kept.base() + kept.issued();
        let mut quantiles = [0.0; QUANTILES.len()];
        for (quantile, error) in quantiles.iter_mut().zip(kept.errors()) {
            *quantile = point + error;
        }
        Some(Expected { point, quantiles })
    }

    /// The level of the load has changed: what the members lost before counts less.
    pub(crate) fn forget(&mut self, keep: f64) {
        self.weights.forget(keep);
    }

    pub(crate) fn is_sound(&self) -> bool {
        let kept =
            |kept: &Kept| kept.numbers.len() == KEPT && kept.numbers.iter().all(|n| n.is_finite());
        self.ridges.len() == MEMORIES.len()
            && self.ridges.iter().all(|ridge| ridge.is_sound(FEATURES))
            && self.weights.is_sound(1 + MEMBERS.len() + MEMORIES.len())
            && self.conformal.is_sound()
            && self.waiting.len() <= usize::from(self.steps)
            && self.waiting.iter().all(kept)
            && self
                .reach
                .iter()
                .chain(&self.score.sums)
                .all(|n| n.is_finite())
    }
}

impl Score {
    fn observe(&mut self, kept: &Kept, log: f64, scale: &Scale, memory: f64) {
        let value = scale.value(log);
        let of = |change: f64| (scale.value(kept.base() + change) - value).abs();
        let new = [of(kept.combined()), of(0.0), value];
        let keep = 1.0 - 1.0 / memory;
        for (sum, new) in self.sums.iter_mut().zip(new) {
            *sum = keep * *sum + new;
        }
        self.compared = self.compared.saturating_add(1);
    }
}
