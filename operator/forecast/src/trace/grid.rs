//! Rows put on a regular grid.

use jiff::Timestamp;

use super::{InvalidTrace, LONGEST, Row, Series};
use crate::settings::{COARSEST_STEP, FINEST_STEP, Settings};

/// Of the usual distance of two rows, the least that a step must have.
const FILLED: f64 = 0.75;
/// Of the usual distance, a step in which there is a row however uneven they are.
const WIDE: f64 = 1.5;
/// Seconds by which distances that are even may differ.
const EVEN: f64 = 0.5;
/// Rows off the grid that are let pass: one in so many.
const SELDOM: usize = 20;

/// Seconds of a slot: those asked for, or the usual distance of two rows, of which a minute is the least.
pub(super) fn step(rows: &[Row], asked: Option<u32>) -> Result<u32, InvalidTrace> {
    let distances: Vec<f64> = rows
        .windows(2)
        .map(|pair| pair[1].second - pair[0].second)
        .collect();
    let usual = median(&distances);
    if FILLED * usual > f64::from(COARSEST_STEP) {
        return Err(InvalidTrace::TooCoarse {
            usual,
            longest: COARSEST_STEP,
        });
    }
    if let Some(step) = asked {
        return checked(step, usual);
    }
    let nearest = whole(usual.round()).max(FINEST_STEP);
    let uneven = if is_step(nearest) {
        holes(rows, nearest, usual)
    } else {
        let off = |distance: &&f64| (*distance - (*distance / usual).round() * usual).abs() > EVEN;
        distances.iter().filter(off).count()
    };
    if uneven * SELDOM > rows.len() {
        return Err(InvalidTrace::Uneven {
            usual,
            step: longer(WIDE * usual),
        });
    }
    if is_step(nearest) {
        return Ok(nearest);
    }
    Err(InvalidTrace::Step {
        step: nearest,
        remedy: format!(
            "rows are that far apart, which divides no day; give a step of {} s, over which rows are averaged",
            longer(WIDE * usual)
        ),
    })
}

/// Slots that stay empty although rows follow each other as usual: one is late in its slot, the next early after it.
fn holes(rows: &[Row], step: u32, usual: f64) -> usize {
    let is_hole = |pair: &&[Row]| {
        let (before, after) = (pair[0].second, pair[1].second);
        after - before < WIDE * usual && slot_of(after, step) - slot_of(before, step) > 1
    };
    rows.windows(2).filter(is_hole).count()
}

fn checked(step: u32, usual: f64) -> Result<u32, InvalidTrace> {
    let refused = |remedy: String| Err(InvalidTrace::Step { step, remedy });
    if !is_step(step) {
        return refused(
            "give a number of seconds from 60 to 21600 that divides a day, such as 300 or 600"
                .to_owned(),
        );
    }
    if f64::from(step) < FILLED * usual {
        return refused(format!(
            "rows are {usual} s apart, give a step of at least that"
        ));
    }
    Ok(step)
}

fn is_step(step: u32) -> bool {
    Settings::new(step, 1).check().is_ok()
}

/// The shortest step of at least so many seconds.
fn longer(seconds: f64) -> u32 {
    (whole(seconds.ceil())..COARSEST_STEP)
        .find(|step| is_step(*step))
        .unwrap_or(COARSEST_STEP)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates"
)]
fn whole(seconds: f64) -> u32 {
    seconds as u32
}

fn median(distances: &[f64]) -> f64 {
    let mut distances = distances.to_vec();
    distances.sort_by(f64::total_cmp);
    distances.get(distances.len() / 2).copied().unwrap_or(0.0)
}

/// The slot that a time falls into. Times are within those of a timestamp.
#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
fn slot_of(second: f64, step: u32) -> i64 {
    (second / f64::from(step)).floor() as i64
}

/// The mean of the rows of each slot.
pub(super) fn mean(rows: &[Row], step: u32) -> Result<Series, InvalidTrace> {
    let first = rows.first().map_or(0, |row| slot_of(row.second, step));
    let last = rows.last().map_or(0, |row| slot_of(row.second, step));
    let slots = usize::try_from(last - first)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    if slots > LONGEST {
        return Err(InvalidTrace::TooLong { slots, step });
    }
    let mut sums = vec![(0.0, 0_u32); slots];
    for row in rows {
        let Some(value) = row.value else { continue };
        let slot = usize::try_from(slot_of(row.second, step) - first).unwrap_or(0);
        if let Some((sum, count)) = sums.get_mut(slot) {
            *sum += value;
            *count += 1;
        }
    }
    let values: Vec<Option<f64>> = sums
        .into_iter()
        .map(|(sum, count)| (count > 0).then(|| sum / f64::from(count)))
        .collect();
    let with_value = values.iter().flatten().count();
    if with_value < 2 {
        return Err(InvalidTrace::TooShort(with_value));
    }
    Ok(Series {
        begin: Timestamp::from_second(first.saturating_mul(i64::from(step)))
            .unwrap_or(Timestamp::MIN),
        step,
        values,
    })
}
