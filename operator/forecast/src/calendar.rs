//! Days and weeks as people live them: local time, through daylight saving.

use std::f64::consts::TAU;

use jiff::Timestamp;

use crate::settings::{DAY, Settings};

/// The first waves of a day that are learned.
pub(crate) const WAVES: usize = 3;

/// Seconds that local time is ahead of UTC at the beginning of a slot.
fn offset(settings: &Settings, slot: i64) -> i64 {
    let second = slot.saturating_mul(i64::from(settings.step));
    Timestamp::from_second(second).map_or(0, |at| i64::from(settings.zone.to_offset(at).seconds()))
}

/// The slot with the same local time, whole days earlier.
pub(crate) fn days_before(settings: &Settings, slot: i64, days: i64) -> i64 {
    let step = i64::from(settings.step);
    let earlier = slot - days * i64::from(DAY) / step;
    let moved = offset(settings, slot) - offset(settings, earlier);
    earlier + moved.div_euclid(step)
}

/// Sines and cosines of the local time of day: one, two and three waves a day.
pub(crate) fn waves(settings: &Settings, slot: i64) -> [f64; 2 * WAVES] {
    let second = slot.saturating_mul(i64::from(settings.step)) + offset(settings, slot);
    #[expect(clippy::cast_precision_loss, reason = "less than a day")]
    let share = second.rem_euclid(i64::from(DAY)) as f64 / f64::from(DAY);
    let mut waves = [0.0; 2 * WAVES];
    for (wave, pair) in waves.chunks_exact_mut(2).enumerate() {
        let (sine, cosine) = (TAU * share * (wave + 1) as f64).sin_cos();
        pair.copy_from_slice(&[sine, cosine]);
    }
    waves
}
