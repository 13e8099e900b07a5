//! The newest values of a series on its regular grid; gaps are marked, never zero.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::packed;

/// The newest values, oldest first. A bounded number of them is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct History {
    /// The slot after the newest: its number is the time in steps since the epoch.
    next: i64,
    /// Not a number is a gap.
    #[serde(with = "packed::single")]
    values: VecDeque<f32>,
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        let bits = |history: &Self| {
            history
                .values
                .iter()
                .map(|v| v.to_bits())
                .collect::<Vec<_>>()
        };
        self.next == other.next && bits(self) == bits(other)
    }
}

impl History {
    /// With nothing in it, so that `first` is the first slot to be observed.
    pub(crate) fn starting(first: i64) -> Self {
        Self {
            next: first,
            values: VecDeque::new(),
        }
    }

    /// The slot that comes next.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Adds the next slot and keeps the newest `limit`.
    pub(crate) fn push(&mut self, value: Option<f64>, limit: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are kept")]
        let value = value.map_or(f32::NAN, |value| value as f32);
        self.values.push_back(value);
        self.next += 1;
        while self.values.len() > limit {
            self.values.pop_front();
        }
    }

    /// The slots that are kept, oldest first.
    pub(crate) fn slots(&self) -> std::ops::Range<i64> {
        let kept = i64::try_from(self.values.len()).unwrap_or(0);
        self.next - kept..self.next
    }

    /// The value of a slot; `None` for a gap, and for what is not kept.
    pub(crate) fn get(&self, slot: i64) -> Option<f64> {
        let back = usize::try_from(self.next.checked_sub(slot)?).ok()?;
        let at = self.values.len().checked_sub(back)?;
        self.values
            .get(at)
            .filter(|value| !value.is_nan())
            .map(|&value| f64::from(value))
    }

    /// The values of the newest `count` slots, newest first, without gaps.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = f64> {
        let newest = self.values.iter().rev().take(count);
        newest
            .filter(|value| !value.is_nan())
            .map(|&value| f64::from(value))
    }

    /// How many slots have a value.
    pub(crate) fn values(&self) -> usize {
        self.values.iter().filter(|value| !value.is_nan()).count()
    }

    /// Whether it is what [`Self::push`] can have made.
    pub(crate) fn is_sound(&self, limit: usize) -> bool {
        let sound = |value: &f32| value.is_nan() || (value.is_finite() && *value >= 0.0);
        self.values.len() <= limit && self.values.iter().all(sound)
    }
}
