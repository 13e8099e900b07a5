//! The newest values of a series on its regular grid; gaps are marked, never zero.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The newest values, oldest first. A bounded number of them is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// The slot after the newest: its number is the time in steps since the epoch.
    next: i64,
    values: VecDeque<Option<f32>>,
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
    pub(crate) fn push(&mut self, value: Option<f32>, limit: usize) {
        self.values.push_back(value);
        self.next += 1;
        while self.values.len() > limit {
            self.values.pop_front();
        }
    }

    #[expect(dead_code, reason = "read by the members")]
    /// The value of a slot; `None` for a gap, and for what is not kept.
    pub(crate) fn get(&self, slot: i64) -> Option<f64> {
        let back = usize::try_from(self.next - slot).ok()?;
        let at = self.values.len().checked_sub(back)?;
        self.values.get(at).copied().flatten().map(f64::from)
    }

    /// The newest value that is no gap, at most `reach` slots old.
    pub(crate) fn newest(&self, reach: usize) -> Option<f64> {
        let newest = self.values.iter().rev().take(reach);
        newest.flatten().next().map(|&value| f64::from(value))
    }
}
