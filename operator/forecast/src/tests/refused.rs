//! What is refused and changes nothing, and what is not answered.

use super::{at, having_seen};
use crate::{Forecaster, InvalidSettings, Refused, Settings};

#[test]
fn a_duplicate_a_reordered_row_and_a_clock_set_back_are_refused_and_change_nothing() {
    let mut forecaster = having_seen(5..6, |_| Some(1.0));
    let before = forecaster.clone();
    for earlier in [5, 4, 0, -100_000] {
        let refused = forecaster.observe(at(earlier), Some(9.0));
        assert!(matches!(refused, Err(Refused::NotLater { newest, .. }) if newest == at(5)));
    }
    assert_eq!(forecaster, before);
}

#[test]
fn what_is_no_load_is_refused_and_changes_nothing() {
    let mut forecaster = having_seen(0..1, |_| Some(1.0));
    let before = forecaster.clone();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(
            forecaster.observe(at(1), Some(value)),
            Err(Refused::NotFinite(_))
        ));
    }
    assert_eq!(
        forecaster.observe(at(1), Some(-1.0)),
        Err(Refused::Negative(-1.0))
    );
    assert_eq!(forecaster, before);
}

#[test]
fn a_step_that_does_not_divide_a_day_is_refused() {
    for step in [0, 1, 59, 421, 86_400] {
        let refused = Forecaster::new(Settings::new(step, 3));
        assert_eq!(refused, Err(InvalidSettings::Step(step)));
    }
    for horizon in [0, 49] {
        let refused = Forecaster::new(Settings::new(600, horizon));
        assert_eq!(refused, Err(InvalidSettings::Horizon(horizon)));
    }
    let refused = Forecaster::new(Settings::new(21_600, 5));
    assert_eq!(refused, Err(InvalidSettings::Horizon(5)));
}

#[test]
fn a_lead_beyond_the_horizon_is_not_guessed_at() {
    let forecast = having_seen(0..10, |_| Some(1.0))
        .forecast()
        .expect("there are values");
    assert!(forecast.highest(0.9, 1800).is_some());
    assert!(forecast.highest(0.9, 0).is_some());
    assert_eq!(forecast.highest(0.9, 1801), None);
}
