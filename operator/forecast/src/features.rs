//! What the regressions see: what the simple members say, the newest changes, and the time of day.

use std::ops::Range;

use crate::calendar::{WAVES, waves};
use crate::learned::Simple;
use crate::member::Past;

/// How many numbers that is.
pub(crate) const FEATURES: usize = 12 + 2 * WAVES;
/// Which of them are predictions of the simple members.
pub(crate) const MEMBERS: Range<usize> = 1..10;
/// A constant, and waves, in the size of the other features: all cost the same in the ridge.
const CONSTANT: f64 = 0.1;
const WAVE: f64 = 0.3;

/// What is known at a slot about one that is some steps ahead, as changes from the newest logarithm.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// The newest logarithm.
    pub(crate) base: f64,
    pub(crate) values: [f64; FEATURES],
}

impl Features {
    /// Of the slot `ahead` steps after `newest`. What is not known says that nothing changes.
    pub(crate) fn of(simple: &Simple, past: &Past<'_>, newest: i64, ahead: u16) -> Self {
        let base = simple.newest();
        let target = newest + i64::from(ahead);
        let change = |log: Option<f64>| log.map_or(0.0, |log| log - base);
        let [quick, slow] = simple.levels();
        let [holt, winters_quick, winters_slow] = simple.winters(newest, usize::from(ahead));
        let mut values = [0.0; FEATURES];
        values[..12].copy_from_slice(&[
            CONSTANT,
            quick - base,
            slow - base,
            holt - base,
            winters_quick - base,
            winters_slow - base,
            simple.hour().change(newest, target),
            change(past.days_before(target, 1)),
            change(past.days_before(target, 7)),
            past.yesterdays_change(newest, target).unwrap_or(0.0),
            change(past.log(newest - 1)),
            change(past.log(newest - 2)),
        ]);
        for (value, wave) in values[12..].iter_mut().zip(waves(past.settings, target)) {
            *value = WAVE * wave;
        }
        Self { base, values }
    }
}
