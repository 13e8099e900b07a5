//! What is a change of level, and within which time it is noticed.

use jiff::Timestamp;

use crate::{Forecaster, Settings};

const DAY: i64 = 144;
/// The slot at which something happens: on the eleventh day, in the morning.
const CHANGE: i64 = 10 * DAY + 50;

/// Load of a day's course, with noise that is the same in every run.
fn course(slot: i64) -> f64 {
    let wave = (std::f64::consts::TAU * (slot % DAY) as f64 / DAY as f64).sin();
    let noise = (slot * 7919 % 101) as f64 / 101.0 - 0.5;
    100.0 * (1.6 + wave) * (1.0 + 0.1 * noise)
}

/// The same with quiet weekends.
fn week(slot: i64) -> f64 {
    let weekend = slot.div_euclid(DAY) % 7 >= 5;
    course(slot) * if weekend { 0.4 } else { 1.0 }
}

/// Slots, counted from the change, after which a change was noticed.
fn noticed(days: i64, load: impl Fn(i64) -> Option<f64>) -> Vec<i64> {
    let mut forecaster = Forecaster::new(Settings::new(600, 3)).expect("valid settings");
    let mut noticed = Vec::new();
    for slot in 0..days * DAY {
        let before = forecaster.level_changes();
        let at = Timestamp::from_second(slot * 600).expect("in range");
        forecaster.observe(at, load(slot)).expect("in order");
        if forecaster.level_changes() > before {
            noticed.push(slot - CHANGE);
        }
    }
    noticed
}

fn is_within(noticed: &[i64], slots: i64) -> bool {
    noticed.len() == 1 && (0..slots).contains(&noticed[0])
}

#[test]
fn a_new_level_is_noticed_once_and_within_an_hour() {
    for factor in [10.0, 3.0, 0.3, 0.1, 0.0] {
        let load = |slot| course(slot) * if slot < CHANGE { 1.0 } else { factor };
        let noticed = noticed(14, |slot| Some(load(slot)));
        assert!(is_within(&noticed, 6), "× {factor}: {noticed:?}");
    }
}

#[test]
fn days_that_begin_twelve_hours_later_are_noticed_within_two_hours() {
    let load = |slot| course(slot + if slot < CHANGE { 0 } else { DAY / 2 });
    let noticed = noticed(14, |slot| Some(load(slot)));
    assert!(is_within(&noticed, 12), "{noticed:?}");
}

#[test]
fn ordinary_days_noise_and_gaps_are_no_change() {
    assert_eq!(noticed(28, |slot| Some(course(slot))), [] as [i64; 0]);
    let holed = |slot: i64| (slot % 7 != 0 && slot % DAY > 30).then(|| course(slot));
    assert_eq!(noticed(28, holed), [] as [i64; 0]);
}

#[test]
fn once_a_week_has_been_seen_weekends_are_no_change() {
    let noticed = noticed(28, |slot| Some(week(slot)));
    assert!(
        noticed.iter().all(|slots| *slots < 8 * DAY - CHANGE),
        "{noticed:?}"
    );
}

#[test]
fn a_spike_of_two_slots_is_no_change() {
    let load = |slot: i64| {
        course(slot)
            * if (CHANGE..CHANGE + 2).contains(&slot) {
                10.0
            } else {
                1.0
            }
    };
    assert_eq!(noticed(14, |slot| Some(load(slot))), [] as [i64; 0]);
}
