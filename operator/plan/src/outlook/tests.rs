use super::*;
use crate::example::world;
use crate::facts::Facts;
use crate::world::Signal;

const STEP: SignedDuration = SignedDuration::from_mins(10);

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap()
}

/// A look at the end of a step in which 60 requests a second came, by the clock `at`.
fn look(mut world: World, at: Timestamp) -> World {
    world.now = at;
    world.observed.signals.demand = Signal::Known {
        value: Demand {
            per_second: 60.0,
            replicas: 8.0,
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
