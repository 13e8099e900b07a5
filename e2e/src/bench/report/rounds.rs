//! Several rounds made one.

use serde_json::Value;

use super::{Row, Spread};

/// One row of all rounds. A goal is met when every round has met it.
pub(super) fn join(rounds: &[&Row]) -> (Row, Spread) {
    let first = rounds[0];
    let known: Option<Vec<f64>> = rounds.iter().map(|row| row.ours).collect();
    let peers = first.peers.iter().map(|(name, _)| {
        let same = |row: &&Row| row.peers.iter().find(|(peer, _)| peer == name)?.1;
        let theirs: Option<Vec<f64>> = rounds.iter().map(same).collect();
        (name.clone(), theirs.map(|figures| median(&figures)))
    });
    let row = Row {
        ours: known.as_deref().map(median),
        peers: peers.collect(),
        met: rounds.iter().map(|row| row.met).min().flatten(),
        ..first.clone()
    };
    let spread = known.map(|figures| {
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        (least, largest(&figures))
    });
    (row, spread)
}

/// Values of the same form, their numbers made one. What is not known in one round is not known; what is no number is
/// the last round's.
pub(super) fn merged(rounds: &[Value], number: &impl Fn(&[f64]) -> f64) -> Value {
    let last = rounds.last().cloned().unwrap_or(Value::Null);
    let in_all = |pick: &dyn Fn(&Value) -> Value| {
        let values: Vec<Value> = rounds.iter().map(pick).collect();
        merged(&values, number)
    };
    if rounds.iter().any(Value::is_null) {
        return Value::Null;
    }
    if let Some(numbers) = rounds.iter().map(Value::as_f64).collect::<Option<Vec<_>>>() {
        return as_given(number(&numbers), rounds);
    }
    match &last {
        Value::Object(fields) => fields
            .keys()
            .map(|key| (key.clone(), in_all(&|value| value[key.as_str()].clone())))
            .collect(),
        Value::Array(items) => (0..items.len())
            .map(|index| in_all(&|value| value[index].clone()))
            .collect(),
        _ => last,
    }
}

/// A count stays one.
fn as_given(number: f64, rounds: &[Value]) -> Value {
    let counts = rounds.iter().all(|value| value.is_i64() || value.is_u64());
    #[allow(clippy::cast_possible_truncation)] // whole, and no larger than 2^53
    if counts && number.fract() == 0.0 && number.abs() < 9e15 {
        return (number as i64).into();
    }
    number.into()
}

/// The one in the middle, or the mean of the two there.
#[must_use]
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The figure that this share of all does not exceed.
#[must_use]
pub fn quantile(figures: &[f64], share: f64) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a position in the list
    let position = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(position.max(1) - 1).copied()
}

pub(super) fn largest(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
