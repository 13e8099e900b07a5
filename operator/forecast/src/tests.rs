//! What may be relied on from outside.

mod refused;
mod stored;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::{Forecast, Forecaster, NoForecast, Settings, Skill, Step};

const DAY: i64 = 144;

fn at(slot: i64) -> Timestamp {
    Timestamp::from_second(slot * 600).expect("in range")
}

fn forecaster() -> Forecaster {
    Forecaster::new(Settings::new(600, 3)).expect("valid settings")
}

/// Load of a day's course, with noise that is the same in every run.
fn load(slot: i64) -> f64 {
    let course = (std::f64::consts::TAU * (slot % DAY) as f64 / DAY as f64).sin();
    let noise = (slot * 7919 % 101) as f64 / 101.0 - 0.5;
    100.0 * (1.6 + course) * (1.0 + 0.1 * noise)
}

fn having_seen(slots: std::ops::Range<i64>, load: impl Fn(i64) -> Option<f64>) -> Forecaster {
    let mut forecaster = forecaster();
    for slot in slots {
        forecaster.observe(at(slot), load(slot)).expect("in order");
    }
    forecaster
}

fn is_sound(forecast: &Forecast) -> bool {
    forecast.steps.iter().all(|step| {
        let numbers = || step.quantiles.iter().chain([&step.point]);
        numbers().all(|number| number.is_finite() && *number >= 0.0)
            && step.quantiles.windows(2).all(|pair| pair[0] <= pair[1])
    })
}

#[test]
fn without_history_there_is_no_forecast() {
    assert_eq!(forecaster().forecast(), Err(NoForecast::NoHistory));
}

#[test]
fn one_and_two_points_give_the_last_value() {
    for slots in 1..=2 {
        let forecaster = having_seen(0..slots, |slot| Some(10.0 + slot as f64));
        let forecast = forecaster.forecast().expect("there is a value");
        let last = 9.0 + slots as f64;
        assert!(
            forecast
                .steps
                .iter()
                .all(|step| (step.point - last).abs() < 1e-6)
        );
        assert_eq!(forecast.steps.len(), 3);
        assert_eq!(forecast.steps[0].at, at(slots));
        assert!(matches!(
            forecaster.skill(),
            Skill::CollectingHistory { .. }
        ));
    }
}

#[test]
fn constant_zero_is_forecast_as_zero() {
    let forecaster = having_seen(0..3 * DAY, |_| Some(0.0));
    let forecast = forecaster.forecast().expect("there is a value");
    let highest = |step: &Step| step.quantiles.iter().copied().fold(step.point, f64::max);
    assert!(forecast.steps.iter().all(|step| highest(step) <= 0.0));
    assert_eq!(forecaster.skill(), Skill::NoLoad);
}

#[test]
fn a_load_that_was_once_and_never_again_is_none() {
    for load in [|slot| slot == 0, |slot| slot < 2 * DAY] {
        let skill = having_seen(0..40 * DAY, |slot| Some(f64::from(load(slot)))).skill();
        assert_eq!(skill, Skill::NoLoad);
    }
}

#[test]
fn a_day_without_load_or_without_a_value_is_told_whatever_was_before() {
    let ended = |slots: i64, after: Option<f64>| {
        having_seen(0..8 * DAY + slots, |slot| {
            if slot < 8 * DAY {
                Some(load(slot))
            } else {
                after
            }
        })
        .skill()
    };
    for days in [1, 6] {
        assert_eq!(ended(days * DAY, Some(0.0)), Skill::NoLoad);
        let (compared, needed) = (0, 144);
        assert_eq!(
            ended(days * DAY, None),
            Skill::CollectingHistory { compared, needed }
        );
    }
    for after in [Some(0.0), None] {
        let skill = ended(DAY - 1, after);
        assert!(!matches!(
            skill,
            Skill::NoLoad | Skill::CollectingHistory { .. }
        ));
    }
}

#[test]
fn zero_is_collected_for_a_day_of_values_and_a_gap_is_none() {
    let collecting =
        |slots: i64, load: fn(i64) -> Option<f64>| match having_seen(0..slots, load).skill() {
            Skill::CollectingHistory { compared, .. } => Some(compared),
            _ => None,
        };
    assert_eq!(collecting(DAY + 2, |_| Some(0.0)), Some(143));
    assert_eq!(collecting(DAY + 3, |_| Some(0.0)), None);
    assert_eq!(collecting(3 * DAY, |_| None), Some(0));
    let every_third = |slot| (slot % 3 == 0).then_some(0.0);
    assert_eq!(collecting(3 * DAY, every_third), Some(141));
}

#[test]
fn load_that_stops_for_good_is_forecast_as_nearly_zero() {
    let forecaster = having_seen(0..20 * DAY, |slot| {
        Some(if slot < 2 * DAY { load(slot) } else { 0.0 })
    });
    let forecast = forecaster.forecast().expect("there is a value");
    assert!(is_sound(&forecast));
    assert!(
        forecast.steps.iter().all(|step| step.point < 0.1),
        "{forecast:?}"
    );
}

#[test]
fn load_that_begins_after_days_of_zero_is_followed_at_once() {
    let forecaster = having_seen(0..3 * DAY + 3, |slot| {
        Some(if slot < 3 * DAY { 0.0 } else { 50.0 })
    });
    let forecast = forecaster.forecast().expect("there is a value");
    assert!(is_sound(&forecast));
    assert!((forecast.steps[0].point - 50.0).abs() < 5.0, "{forecast:?}");
}

#[test]
fn a_constant_load_is_forecast_as_itself() {
    let forecast = having_seen(0..3 * DAY, |_| Some(42.0))
        .forecast()
        .expect("there is a value");
    assert!(
        forecast
            .steps
            .iter()
            .all(|step| (step.point - 42.0).abs() < 0.5),
        "{forecast:?}"
    );
    assert!(forecast.steps[2].quantile(0.95) < 45.0, "{forecast:?}");
}

#[test]
fn a_daily_course_is_forecast_better_than_by_the_last_value() {
    let forecaster = having_seen(0..6 * DAY, |slot| Some(load(slot)));
    let Skill::BetterThanLastValue { wape, last_value } = forecaster.skill() else {
        panic!("{:?}", forecaster.skill());
    };
    assert!(wape < 0.8 * last_value, "{wape} {last_value}");
}

#[test]
fn where_nothing_can_be_known_the_last_value_is_at_most_a_little_better() {
    // A random walk: every forecast other than the last value loses.
    let mut level = 0.0_f64;
    let mut state = 1_u64;
    let mut forecaster = forecaster();
    for slot in 0..8 * DAY {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        level += (state >> 40) as f64 / f64::from(1 << 24) - 0.5;
        forecaster
            .observe(at(slot), Some(100.0 * (0.1 * level).exp()))
            .expect("in order");
    }
    match forecaster.skill() {
        Skill::BetterThanLastValue { wape, last_value } => assert!(wape <= 1.02 * last_value),
        Skill::WorseThanLastValue { wape, last_value } => {
            assert!(wape > 1.02 * last_value);
            let forecast = forecaster.forecast().expect("there is a value");
            let last = 100.0 * (0.1 * level).exp();
            assert!((forecast.steps[2].point - last).abs() < 1e-3 * last);
        }
        other => panic!("a week is enough: {other:?}"),
    }
}

#[test]
fn a_quantile_covers_its_share_also_after_the_noise_has_changed() {
    let mut forecaster = forecaster();
    let (mut covered, mut seen) = (0, 0);
    for slot in 0..12 * DAY {
        let wild = if slot < 6 * DAY { 1.0 } else { 4.0 };
        let value = 100.0 + wild * 10.0 * ((slot * 7919 % 101) as f64 / 101.0 - 0.5);
        if slot > 3 * DAY {
            let forecast = forecaster.forecast().expect("there are values");
            covered += u32::from(value <= forecast.steps[0].quantile(0.9));
            seen += 1;
        }
        forecaster.observe(at(slot), Some(value)).expect("in order");
    }
    let share = f64::from(covered) / f64::from(seen);
    assert!((0.88..=0.92).contains(&share), "{share}");
}

#[test]
fn a_gap_is_not_a_zero() {
    let gap = |slot: i64| (!(4 * DAY..4 * DAY + 5).contains(&slot)).then(|| load(slot));
    let before = having_seen(0..4 * DAY, gap)
        .forecast()
        .expect("there are values");
    let within = having_seen(0..4 * DAY + 5, gap)
        .forecast()
        .expect("the newest value is recent");
    assert!((within.steps[0].point / before.steps[0].point - 1.0).abs() < 0.3);
    let too_long = having_seen(0..4 * DAY, |slot| (slot < 3 * DAY).then(|| load(slot)));
    assert_eq!(too_long.forecast(), Err(NoForecast::OnlyGaps { gaps: 6 }));
}

#[test]
fn slots_that_are_left_out_are_gaps() {
    let marked = having_seen(0..3 * DAY, |slot| (slot % 7 != 0).then(|| load(slot)));
    let mut left_out = forecaster();
    left_out.observe(at(0), None).expect("in order");
    for slot in (1..3 * DAY).filter(|slot| slot % 7 != 0) {
        left_out
            .observe(at(slot), Some(load(slot)))
            .expect("in order");
    }
    assert_eq!(left_out.forecast(), marked.forecast());
}

#[test]
fn after_more_than_a_week_without_values_learning_begins_anew() {
    let mut forecaster = having_seen(0..3 * DAY, |slot| Some(load(slot)));
    forecaster
        .observe(at(11 * DAY), Some(5.0))
        .expect("in order");
    assert!(matches!(
        forecaster.skill(),
        Skill::CollectingHistory { compared: 0, .. }
    ));
    assert!((forecaster.forecast().expect("there is a value").steps[0].point - 5.0).abs() < 1e-6);
}

#[test]
fn a_clock_far_ahead_does_not_take_for_ever() {
    let mut forecaster = having_seen(0..3, |slot| Some(load(slot)));
    forecaster
        .observe(Timestamp::MAX, Some(5.0))
        .expect("in order");
    assert!(
        forecaster
            .forecast()
            .is_ok_and(|forecast| is_sound(&forecast))
    );
    let mut forecaster = self::forecaster();
    forecaster
        .observe(Timestamp::MIN, Some(5.0))
        .expect("in order");
    assert!(
        forecaster
            .forecast()
            .is_ok_and(|forecast| is_sound(&forecast))
    );
}

#[test]
fn a_day_goes_by_the_local_clock_through_daylight_saving() {
    // Load that follows the clock of Paris, over the end of summer time.
    let zone = TimeZone::get("Europe/Paris").expect("a known zone");
    let begin: Timestamp = "2026-10-15T00:00:00Z".parse().expect("a time");
    let skill = |settings: Settings| {
        let mut forecaster = Forecaster::new(settings).expect("valid");
        for slot in 0..14 * DAY {
            let at = Timestamp::from_second(begin.as_second() + slot * 600).expect("in range");
            let local = zone.to_datetime(at);
            // Work begins at 8 and ends at 18: an hour off is a large error.
            let busy = (8..18).contains(&local.hour());
            let noise = (slot * 7919 % 101) as f64 / 101.0;
            forecaster
                .observe(at, Some(if busy { 100.0 } else { 10.0 } + noise))
                .expect("in order");
            // The Monday after the change.
            if slot == 12 * DAY {
                break;
            }
        }
        match forecaster.skill() {
            Skill::BetterThanLastValue { wape, .. } => wape,
            other => panic!("{other:?}"),
        }
    };
    let by_paris = skill(Settings::new(600, 3).in_zone(zone.clone()));
    let by_utc = skill(Settings::new(600, 3));
    assert!(by_paris < by_utc, "{by_paris} {by_utc}");
}

/// Values as they come in practice, and as they should not.
fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        8 => (0.0..1000.0).prop_map(Some),
        1 => Just(None),
        1 => Just(Some(0.0)),
        1 => prop_oneof![Just(1e-300), Just(1e300), Just(f64::MAX), Just(f64::MIN_POSITIVE)].prop_map(Some),
        1 => prop_oneof![Just(f64::NAN), Just(-1.0), Just(f64::INFINITY)].prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_comes_nothing_panics_and_quantiles_are_ordered_finite_and_not_negative(
        step in prop_oneof![Just(60_u32), Just(300), Just(600), Just(1200), Just(3600), Just(21_600)],
        horizon in 1_u16..=48,
        begin in -1_000_000_i64..1_000_000,
        seen in prop::collection::vec((1_i64..4, value()), 1..250),
        jumps in prop::collection::vec((0_usize..250, -500_i64..5_000), 0..3),
    ) {
        let Ok(mut forecaster) = Forecaster::new(Settings::new(step, horizon)) else { return Ok(()) };
        let mut slot = begin;
        for (order, (ahead, value)) in seen.into_iter().enumerate() {
            slot += ahead + jumps.iter().filter(|(when, _)| *when == order).map(|(_, by)| by).sum::<i64>();
            let at = Timestamp::from_second(slot * i64::from(step)).expect("in range");
            // Refused or taken: either is fine.
            let _ = forecaster.observe(at, value);
            if let Ok(forecast) = forecaster.forecast() {
                prop_assert!(is_sound(&forecast), "{forecast:?}");
                prop_assert_eq!(forecast.steps.len(), usize::from(horizon));
            }
        }
        let text = serde_json::to_string(&forecaster).expect("is stored");
        let read: Forecaster = serde_json::from_str(&text).expect("is read");
        prop_assert_eq!(read.forecast(), forecaster.forecast());
    }

    #[test]
    fn the_unit_of_the_load_does_not_matter(factor in 1e-3..1e3_f64) {
        let one = having_seen(0..2 * DAY, |slot| Some(load(slot))).forecast().expect("there are values");
        let other = having_seen(0..2 * DAY, |slot| Some(factor * load(slot))).forecast().expect("there are values");
        for (one, other) in one.steps.iter().zip(&other.steps) {
            prop_assert!((other.point / (factor * one.point) - 1.0).abs() < 1e-3, "{one:?} {other:?}");
        }
    }
}
