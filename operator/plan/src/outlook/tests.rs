use super::*;
use crate::example::world;
use crate::facts::Facts;
use crate::world::Signal;

const STEP: SignedDuration = SignedDuration::from_mins(10);

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap()
}

/// A look at the end of a step in which 60 requests a second came, by the clock `at`.
fn look(world: World, at: Timestamp) -> World {
    asked(world, at, 60.0)
}

/// The same with so many requests a second, of which an instance answers ten.
fn asked(mut world: World, at: Timestamp, per_second: f64) -> World {
    world.now = at;
    world.observed.signals.demand = Signal::Known {
        value: Demand {
            per_second,
            replicas: per_second / 7.5,
            utilisation: 0.75,
        },
        at,
    };
    world.memory.foresight = Facts::of(&world).recollection(&[]);
    world
}

/// Nine days of looks, and when they end.
fn learned() -> (World, Timestamp) {
    let mut world = world();
    world.foresight.prewarm = Some(Prewarm::default());
    let mut at: Timestamp = "2026-11-10T00:00:00Z".parse().unwrap();
    for _ in 0..9 * 144 {
        world = look(world, at);
        at = later(at, STEP);
    }
    (world, at)
}

fn instances(world: &World) -> Result<u32, Blind> {
    Outlook::of(world).replicas(SignedDuration::from_mins(30))
}

#[test]
fn a_clock_that_is_wrong_for_one_look_teaches_nothing() {
    let (known, at) = learned();
    let expected = instances(&known);
    assert!(expected.is_ok(), "{expected:?}");
    for days in [-400, -1, 1, 8, 400] {
        let wrong = later(at, SignedDuration::from_hours(24 * days));
        let back = look(look(known.clone(), wrong), at);
        assert_eq!(instances(&back), expected, "{days} days");
    }
}

#[test]
fn after_a_clock_that_was_ahead_for_longer_learning_begins_anew() {
    let (known, at) = learned();
    let ahead = later(at, SignedDuration::from_hours(24 * 8));
    let mut world = look(look(known, ahead), later(ahead, STEP));
    let mut now = at;
    for _ in 0..2 {
        world = look(world, now);
        now = later(now, STEP);
    }
    assert_eq!(instances(&world), Err(Blind::CollectingHistory));
    for _ in 0..2 * 144 {
        world = look(world, now);
        now = later(now, STEP);
    }
    assert!(instances(&world).is_ok());
}

#[test]
fn an_operator_that_was_away_for_days_goes_on() {
    let (known, at) = learned();
    let mut now = later(at, SignedDuration::from_hours(48));
    let mut world = known;
    for _ in 0..3 {
        world = look(world, now);
        now = later(now, STEP);
    }
    let forecaster = &world.memory.foresight.learned.as_ref().unwrap().forecaster;
    assert_eq!(forecaster.newest(), Some(later(now, -(STEP * 2))));
}

#[test]
fn another_lead_learns_anew_from_what_is_kept() {
    let (mut world, at) = learned();
    let before = instances(&world).unwrap();
    world.foresight.prewarm.as_mut().unwrap().lead_time = SignedDuration::from_mins(40);
    assert_eq!(instances(&look(world, at)), Ok(before));
}

#[test]
fn a_day_goes_by_the_zone_that_is_asked_for_through_daylight_saving() {
    // Work begins at 8 in Paris. On the morning on which summer time is over it is 6:40 there.
    let zone = jiff::tz::TimeZone::get("Europe/Paris").unwrap();
    let until: Timestamp = "2026-10-25T05:40:00Z".parse().unwrap();
    let wanted = |asked_zone: jiff::tz::TimeZone| {
        let mut world = world();
        world.foresight.prewarm = Some(Prewarm {
            zone: asked_zone,
            ..Prewarm::default()
        });
        let mut at: Timestamp = "2026-10-08T00:00:00Z".parse().unwrap();
        while at <= until {
            let begun = zone.to_datetime(later(at, -STEP));
            let busy = (8..18).contains(&begun.hour());
            world = asked(world, at, if busy { 100.0 } else { 20.0 });
            at = later(at, STEP);
        }
        instances(&world).unwrap()
    };
    assert_eq!(wanted(zone.clone()), 3, "20 requests a second");
    let an_hour_early = wanted(jiff::tz::TimeZone::UTC);
    assert!(an_hour_early >= 10, "{an_hour_early}");
}

#[test]
fn another_zone_learns_anew_from_what_is_kept() {
    let (mut world, at) = learned();
    let before = instances(&world).unwrap();
    let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
    world.foresight.prewarm.as_mut().unwrap().zone = zone;
    assert_eq!(instances(&look(world, at)), Ok(before));
}
