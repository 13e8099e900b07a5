//! What may be relied on from outside.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::{Forecaster, InvalidSettings, NoForecast, Refused, Settings};

fn at(slot: i64) -> Timestamp {
    Timestamp::from_second(slot * 600).expect("in range")
}

fn forecaster() -> Forecaster {
    Forecaster::new(Settings::new(600, 3)).expect("valid settings")
}

#[test]
fn without_history_there_is_no_forecast() {
    assert_eq!(forecaster().forecast(), Err(NoForecast::NoHistory));
}

#[test]
fn a_duplicate_a_reordered_row_and_a_clock_set_back_are_refused_and_change_nothing() {
    let mut forecaster = forecaster();
    forecaster.observe(at(5), Some(1.0)).expect("in order");
    let before = forecaster.clone();
    for earlier in [5, 4, 0, -100_000] {
        let refused = forecaster.observe(at(earlier), Some(9.0));
        assert!(matches!(refused, Err(Refused::NotLater { newest, .. }) if newest == at(5)));
    }
    assert_eq!(forecaster, before);
}

#[test]
fn what_is_no_load_is_refused() {
    let mut forecaster = forecaster();
    assert!(matches!(
        forecaster.observe(at(0), Some(f64::NAN)),
        Err(Refused::NotFinite(_))
    ));
    assert_eq!(
        forecaster.observe(at(0), Some(-1.0)),
        Err(Refused::Negative(-1.0))
    );
}

#[test]
fn a_step_that_does_not_divide_a_day_is_refused() {
    let refused = Forecaster::new(Settings::new(7 * 60 + 1, 3));
    assert_eq!(refused, Err(InvalidSettings::Step(421)));
    let refused = Forecaster::new(Settings::new(600, 0));
    assert_eq!(refused, Err(InvalidSettings::Horizon(0)));
}

#[test]
fn a_state_with_a_time_zone_is_stored_and_read() {
    let zone = TimeZone::get("Asia/Shanghai").expect("a known zone");
    let mut forecaster = Forecaster::new(Settings::new(600, 3).in_zone(zone)).expect("valid");
    forecaster.observe(at(0), Some(1.0)).expect("in order");
    let text = serde_json::to_string(&forecaster).expect("serialises");
    let read: Forecaster = serde_json::from_str(&text).expect("is read");
    assert_eq!(read, forecaster);
}
