use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::example::{node, world};
use crate::foresight::{Prewarm, Window};
use crate::signals::{Demand, Starts};
use crate::world::Signal;

const STEP: i64 = 600;

fn asking(prewarm: Prewarm) -> World {
    let mut world = world();
    world.foresight.prewarm = Some(prewarm);
    // The beginning of a step, so that the tests can count in steps.
    world.now = Timestamp::from_second(1_800_000_000 / STEP * STEP).unwrap();
    world
}

/// The world after so many steps of the given demand, remembered as passes do.
fn seen(mut world: World, demand: impl Fn(i64) -> f64, steps: i64) -> World {
    for step in 0..steps {
        world.now = world
            .now
            .saturating_add(SignedDuration::from_secs(STEP))
            .unwrap();
        world.observed.signals.demand = Signal::Known {
            value: Demand {
                per_second: demand(step),
                replicas: 4.0,
                utilisation: demand(step) / 40.0,
            },
            at: world.now,
        };
        world = remembered(world);
    }
    world
}

fn remembered(mut world: World) -> World {
    let facts = Facts::of(&world);
    let proposals = [propose(&world, &facts)];
    world.memory.foresight = facts.recollection(&proposals);
    world
}

fn floor(world: &World) -> Option<u32> {
    let proposal = propose(world, &Facts::of(world));
    proposal
        .votes
        .into_iter()
        .filter_map(|vote| vote.floor)
        .max()
}

fn reason(world: &World) -> &'static str {
    propose(world, &Facts::of(world)).findings[0].reason
}

#[test]
fn nothing_is_asked_for_without_history() {
    let world = asking(Prewarm::default());
    assert_eq!(
        (floor(&world), reason(&world)),
        (None, "MetricsUnavailable")
    );
    let young = seen(world, |_| 20.0, 5);
    assert_eq!((floor(&young), reason(&young)), (None, "CollectingHistory"));
}

#[test]
fn a_steady_load_asks_for_the_instances_that_it_needs() {
    // One instance answers 10 requests a second: 20 need a little more than 2.
    let steady = seen(asking(Prewarm::default()), |_| 20.0, 400);
    assert_eq!(
        floor(&steady),
        Some(3),
        "{:?}",
        propose(&steady, &Facts::of(&steady)).findings
    );
}

#[test]
fn demand_that_was_measured_as_zero_needs_no_instance_and_says_so() {
    let idle = seen(asking(Prewarm::default()), |_| 0.0, 150);
    assert_eq!((floor(&idle), reason(&idle)), (Some(0), "NoLoad"));
    let young = seen(asking(Prewarm::default()), |_| 0.0, 100);
    assert_eq!((floor(&young), reason(&young)), (None, "CollectingHistory"));
    let unknown = seen(asking(Prewarm::default()), |_| f64::NAN, 150);
    assert_eq!(
        (floor(&unknown), reason(&unknown)),
        (None, "MetricsUnavailable")
    );
}

#[test]
fn in_shadow_nothing_is_voted_and_off_nothing_is_looked_at() {
    for (mode, findings) in [(Mode::Shadow, 1), (Mode::Off, 0)] {
        let world = seen(
            asking(Prewarm {
                mode,
                ..Prewarm::default()
            }),
            |_| 20.0,
            400,
        );
        let proposal = propose(&world, &Facts::of(&world));
        assert_eq!(
            (proposal.votes.len(), proposal.findings.len()),
            (0, findings)
        );
    }
}

#[test]
fn a_lost_signal_holds_the_floor_for_the_lead_and_then_asks_for_nothing() {
    let mut world = seen(asking(Prewarm::default()), |_| 20.0, 400);
    world.observed.signals.demand = Signal::Unknown(chatbot_crds::Reason::Pending);
    let lost = world.now;
    for (minutes, expected) in [(5, Some(3)), (22, Some(3)), (45, None)] {
        world.now = lost
            .saturating_add(SignedDuration::from_mins(minutes))
            .unwrap();
        world = remembered(world);
        assert_eq!(floor(&world), expected, "after {minutes} minutes");
    }
}

#[test]
fn bad_measurements_are_gaps_and_never_zero() {
    let world = seen(asking(Prewarm::default()), |_| 20.0, 400);
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let after = seen(world.clone(), |_| bad, 1);
        assert_eq!(floor(&after), floor(&world), "{bad}");
        assert_eq!(
            after
                .memory
                .foresight
                .learned
                .as_ref()
                .unwrap()
                .capacity_milli,
            world
                .memory
                .foresight
                .learned
                .as_ref()
                .unwrap()
                .capacity_milli
        );
    }
    let mut back = world.clone();
    back.now = back
        .now
        .saturating_sub(SignedDuration::from_mins(10))
        .unwrap();
    assert_eq!(
        remembered(back).memory.foresight.learned,
        world.memory.foresight.learned
    );
}

#[test]
fn a_cold_start_longer_than_the_lead_is_the_lead() {
    let mut world = seen(asking(Prewarm::default()), |_| 20.0, 3);
    world.observed.signals.starts = Signal::Known {
        value: Starts {
            cold: SignedDuration::from_mins(50),
            warm: SignedDuration::from_secs(20),
        },
        at: world.now,
    };
    let world = seen(world, |_| 20.0, 1);
    assert_eq!(
        Facts::of(&world).outlook.lead,
        SignedDuration::from_mins(50)
    );
}

/// After a while of a steady load, with such a cold start measured.
fn starting_in(minutes: i64, lead: i64) -> World {
    let asked = Prewarm {
        lead_time: SignedDuration::from_mins(lead),
        ..Prewarm::default()
    };
    let mut world = asking(asked);
    world.observed.signals.starts = Signal::Known {
        value: Starts {
            cold: SignedDuration::from_mins(minutes),
            warm: SignedDuration::from_secs(20),
        },
        at: world
            .now
            .saturating_add(SignedDuration::from_hours(66))
            .unwrap(),
    };
    seen(world, |_| 35.0, 400)
}

#[test]
fn a_cold_start_beyond_the_forecast_has_the_floor_of_its_farthest_step() {
    for (lead, within, beyond) in [(30, 59, 61), (5, 36, 300)] {
        let (within, beyond) = (starting_in(within, lead), starting_in(beyond, lead));
        assert!(floor(&within).is_some_and(|floor| floor >= 4));
        assert_eq!(floor(&beyond), floor(&within), "lead {lead}");
        let told = propose(&beyond, &Facts::of(&beyond)).findings.remove(0);
        assert_eq!(told.reason, "ForecastTooShort");
        assert!(
            told.message.contains("raise prewarm.leadTime"),
            "{}",
            told.message
        );
    }
}

#[test]
fn a_step_that_cannot_be_used_is_named_and_what_was_learned_is_kept() {
    let world = seen(asking(Prewarm::default()), |_| 20.0, 400);
    for seconds in [420, 0, -600, 30, 7 * 3600, i64::MAX] {
        let mut asked = world.clone();
        asked.foresight.prewarm.as_mut().unwrap().step = SignedDuration::from_secs(seconds);
        let told = propose(&asked, &Facts::of(&asked)).findings.remove(0);
        assert_eq!(told.reason, "InvalidSpec");
        let named = format!("prewarm.step: {seconds} s");
        assert!(told.message.contains(&named), "{}", told.message);
        assert!(told.message.contains("such as 600"), "{}", told.message);
        let mut back = remembered(asked);
        back.foresight = world.foresight.clone();
        assert_eq!(floor(&back), floor(&world), "{seconds}");
    }
}

#[test]
fn a_long_lead_on_a_coarse_grid_is_cut_to_a_day() {
    let asked = Prewarm {
        step: SignedDuration::from_hours(6),
        lead_time: SignedDuration::from_hours(24),
        ..Prewarm::default()
    };
    assert_eq!(crate::outlook::settings(&asked).map(|it| it.horizon), Ok(4));
}

fn sale(schedule: &str) -> Prewarm {
    Prewarm {
        mode: Mode::Off,
        events: vec![Event {
            window: Window {
                name: "sale".to_owned(),
                schedule: schedule.to_owned(),
                time_zone: "Etc/UTC".to_owned(),
                duration: SignedDuration::from_hours(2),
            },
            min_replicas: 30,
        }],
        ..Prewarm::default()
    }
}

#[test]
fn an_event_has_its_instances_a_lead_before_it_begins() {
    for (time, expected) in [
        ("2026-11-24T19:29:00Z", None),
        ("2026-11-24T19:30:00Z", Some(30)),
        ("2026-11-24T21:59:00Z", Some(30)),
        ("2026-11-24T22:00:00Z", None),
    ] {
        let mut world = asking(sale("0 20 * * *"));
        world.now = time.parse().unwrap();
        assert_eq!(floor(&world), expected, "{time}");
    }
    let mut world = asking(sale("0 20 * *"));
    world.now = "2026-11-24T20:30:00Z".parse().unwrap();
    assert_eq!(floor(&world), None);
    assert_eq!(reason(&world), "InvalidSpec");
}

#[test]
fn an_event_that_begins_anew_while_it_is_there_goes_on() {
    for time in ["2026-11-24T20:00:00Z", "2026-11-24T21:59:59Z"] {
        let mut world = asking(sale("0 * * * *"));
        world.now = time.parse().unwrap();
        assert_eq!(floor(&world), Some(30), "{time}");
    }
}

#[test]
fn the_ceiling_wins_over_an_event() {
    let mut world = asking(sale("0 20 * * *"));
    world.now = "2026-11-24T20:30:00Z".parse().unwrap();
    let settled = &crate::plan(&world).settled[&Component::Inference];
    assert_eq!((settled.floor, settled.ceiling), (4, 4));
}

#[test]
fn what_warm_standby_nodes_have_room_for_is_not_asked_for_beforehand() {
    let steady = seen(asking(Prewarm::default()), |_| 30.0, 400);
    let alone = floor(&steady).unwrap();
    for (warm, expected) in [(true, alone - 2), (false, alone)] {
        let mut world = steady.clone();
        world.settings.inference.instances_per_node = 2;
        world.foresight.standby_nodes = 1;
        let mut node = node("n1", 8000, 32 << 30);
        node.annotations
            .insert(crate::names::WARM_ANNOTATION.to_owned(), warm.to_string());
        world.observed.nodes = Signal::Known {
            value: vec![node],
            at: world.now,
        };
        assert_eq!(floor(&world), Some(expected), "warm: {warm}");
    }
}
