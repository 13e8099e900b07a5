use super::*;
use crate::trace::Series;

fn series(slots: usize, load: impl Fn(usize) -> Option<f64>) -> Series {
    Series {
        begin: Timestamp::UNIX_EPOCH,
        step: 600,
        values: (0..slots).map(load).collect(),
    }
}

#[test]
fn the_last_value_is_judged_as_it_would_be_by_hand() {
    // 10 and 20 in turn: two steps ahead the last value is right, one and three steps ahead it is off by 10.
    let found = backtest(
        &series(432, |slot| Some(if slot % 2 == 0 { 10.0 } else { 20.0 })),
        &Settings::new(600, 3),
        144,
    );
    let found = found.expect("is judged");
    let errors: Vec<f64> = found
        .ahead
        .iter()
        .map(|quality| quality.last_value)
        .collect();
    assert!((errors[0] - 10.0 / 15.0).abs() < 1e-9, "{errors:?}");
    assert!(errors[1] < 1e-9, "{errors:?}");
    assert_eq!(found.ahead[2].compared, 144);
    assert!(
        found.ahead[2].wape < 0.1,
        "the hour has a shape: {}",
        found.ahead[2].wape
    );
}

#[test]
fn slots_without_a_value_are_not_compared() {
    let gap = |slot: usize| (!(300..310).contains(&slot)).then_some(10.0);
    let found = backtest(&series(432, gap), &Settings::new(600, 3), 144).expect("is judged");
    let quality = found.ahead[2];
    // Of the values after the gap, those up to three steps after it could not be answered.
    assert_eq!((quality.compared, quality.unanswered), (144 - 10 - 3, 3));
    assert_eq!(found.slots.len(), 144);
}

#[test]
fn over_no_load_and_over_nothing_there_is_no_error() {
    let idle = |slot: usize| Some(if slot < 200 { 10.0 } else { 0.0 });
    let found = backtest(&series(432, idle), &Settings::new(600, 3), 144).expect("is judged");
    let quality = found.ahead[2];
    assert!(
        quality.wape.is_nan() || quality.wape.is_infinite(),
        "{quality:?}"
    );
    assert!(quality.coverage90.is_finite());
    let gone = |slot: usize| (slot < 200).then_some(10.0);
    let found = backtest(&series(432, gone), &Settings::new(600, 3), 144).expect("is judged");
    assert!(found.ahead[2].coverage90.is_nan() && found.ahead[2].wape.is_nan());
}

#[test]
fn too_short_a_series_and_another_step_are_refused() {
    let all = series(200, |_| Some(1.0));
    assert!(matches!(
        backtest(&all, &Settings::new(600, 3), 144),
        Err(NoBacktest::TooShort { .. })
    ));
    assert!(matches!(
        backtest(&all, &Settings::new(600, 3), 0),
        Err(NoBacktest::TooShort { .. })
    ));
    assert!(matches!(
        backtest(&all, &Settings::new(1200, 3), 20),
        Err(NoBacktest::OtherStep { .. })
    ));
}

#[test]
fn the_pinball_loss_is_least_at_its_quantile() {
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    let loss = |quantile: f64| {
        values
            .iter()
            .map(|value| pinball(*value, quantile, 0.9))
            .sum::<f64>()
    };
    assert!(loss(90.0) < loss(80.0) && loss(90.0) < loss(99.0));
}
