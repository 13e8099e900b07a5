mod standby;
mod unseen;
mod windows;

use super::*;
use crate::example::{node, world};
use crate::foresight::{Prewarm, Window};
use crate::outlook;
use crate::recollection::Learned;
use crate::world::{DeploymentSeen, Signal};

const GIB: u64 = 1 << 30;

/// Ten nodes of four instances, a steady load of 60 requests a second known for weeks, and instances that answer 10
/// each: seven are reserved, at 90 % of what they can.
fn idle(windows: &[(&str, &str, i64)]) -> World {
    let mut world = world();
    world.settings.inference.max_replicas = 40;
    world.foresight.training = Some(Training {
        cpu_milli: 64_000,
        memory_bytes: 256 * GIB,
        windows: windows
            .iter()
            .map(|(name, schedule, minutes)| Window {
                name: (*name).to_owned(),
                schedule: (*schedule).to_owned(),
                time_zone: "Etc/UTC".to_owned(),
                duration: SignedDuration::from_mins(*minutes),
            })
            .collect(),
    });
    world.foresight.prewarm = Some(Prewarm::default());
    let asked = Prewarm::default();
    let mut forecaster =
        chatbot_forecast::Forecaster::new(outlook::settings(&asked).unwrap()).unwrap();
    world.now = "2026-11-24T12:00:00Z".parse().unwrap();
    let step = asked.step.as_secs();
    for slot in (1..=8 * 144).rev() {
        let at = world
            .now
            .saturating_sub(SignedDuration::from_secs(slot * step))
            .unwrap();
        forecaster.observe(at, Some(60.0)).unwrap();
    }
    world.memory.foresight.learned = Some(Learned {
        forecaster,
        capacity_milli: Some(10_000),
        cold_start_seconds: None,
        apart: None,
    });
    world.observed.nodes = Signal::Known {
        value: (0..10)
            .map(|index| node(&format!("n{index}"), 8000, 32 * GIB))
            .collect(),
        at: world.now,
    };
    wanted(world, 2)
}

fn wanted(mut world: World, desired: u32) -> World {
    let deployment = DeploymentSeen {
        desired,
        ..DeploymentSeen::default()
    };
    world
        .observed
        .deployments
        .insert("support-inference".to_owned(), deployment);
    world
}

fn job(world: &World, name: &str, cpu: u64, minutes_since_checkpoint: i64) -> JobSeen {
    JobSeen {
        name: name.to_owned(),
        uid: format!("u-{name}"),
        running: true,
        asked: None,
        checkpoint: world
            .now
            .saturating_sub(SignedDuration::from_mins(minutes_since_checkpoint))
            .unwrap(),
        grace: SignedDuration::from_mins(2),
        cpu_milli: cpu * 1000,
        memory_bytes: cpu * 3 * GIB,
        nodes: Vec::new(),
    }
}

fn with_jobs(mut world: World, jobs: Vec<JobSeen>) -> World {
    world.observed.signals.jobs = Signal::Known {
        value: jobs,
        at: world.now,
    };
    world
}

fn proposed(world: &World) -> Proposal {
    propose(world, &Facts::of(world))
}

fn lent_cpu(world: &World) -> u64 {
    let quotas = proposed(world)
        .decisions
        .into_iter()
        .filter_map(|decision| match decision {
            Decision::Quota { cpu_milli, .. } => Some(cpu_milli),
            _ => None,
        });
    quotas.sum()
}

fn reason(world: &World) -> &'static str {
    proposed(world).findings.last().unwrap().reason
}

#[test]
fn what_production_has_or_may_need_is_never_lent() {
    // 10 × 4 slots, 1.8 CPU each: 40 − 7 = 33 slots are 59.4 CPU; the quota is the most that is ever lent.
    assert_eq!(lent_cpu(&idle(&[])), 59_400);
    assert_eq!(
        lent_cpu(&wanted(idle(&[]), 20)),
        36_000,
        "what is wanted now is more than what is expected"
    );
    assert_eq!(
        lent_cpu(&wanted(idle(&[]), 100)),
        0,
        "no more than the ceiling is reserved, which is all there is"
    );
    let mut asked_less = idle(&[]);
    asked_less.foresight.training.as_mut().unwrap().cpu_milli = 5000;
    assert_eq!(lent_cpu(&asked_less), 5000);
    let mut with_event = idle(&[]);
    with_event.foresight.prewarm.as_mut().unwrap().events = vec![crate::foresight::Event {
        window: Window {
            name: "sale".to_owned(),
            schedule: "30 12 * * *".to_owned(),
            time_zone: "Etc/UTC".to_owned(),
            duration: SignedDuration::from_hours(1),
        },
        min_replicas: 30,
    }];
    assert_eq!(
        lent_cpu(&with_event),
        18_000,
        "an event within the lead and a checkpoint's time"
    );
}

#[test]
fn nothing_is_lent_on_what_is_not_known() {
    let mut stale = idle(&[]);
    stale.now = stale
        .now
        .saturating_add(SignedDuration::from_mins(40))
        .unwrap();
    if let Signal::Known { at, .. } = &mut stale.observed.nodes {
        *at = stale.now;
    }
    assert_eq!(
        (lent_cpu(&stale), reason(&stale)),
        (0, "MetricsUnavailable")
    );
    let mut blind = idle(&[]);
    blind.observed.nodes = Signal::Unknown(chatbot_crds::Reason::Pending);
    assert_eq!(
        (lent_cpu(&blind), reason(&blind)),
        (0, "MetricsUnavailable")
    );
    let mut young = idle(&[]);
    young.memory = crate::memory::Memory::default();
    assert_eq!(
        (lent_cpu(&young), reason(&young)),
        (0, "MetricsUnavailable")
    );
}

#[test]
fn with_windows_it_is_lent_in_them_only() {
    for (windows, lent, reason_) in [
        (&[("noon", "0 11 * * *", 120)][..], 59_400, "WindowOpen"),
        (&[("night", "0 1 * * *", 120)], 0, "WindowClosed"),
        (&[("bad", "0 25 * * *", 120)], 0, "WindowClosed"),
        (
            &[("a", "0 11 * * *", 120), ("b", "30 12 * * *", 120)],
            0,
            "OverlappingWindows",
        ),
    ] {
        let world = idle(windows);
        assert_eq!(
            (lent_cpu(&world), reason(&world)),
            (lent, reason_),
            "{windows:?}"
        );
    }
    let bad = proposed(&idle(&[("bad", "0 25 * * *", 120)]));
    assert!(
        bad.findings[0].message.contains("five fields"),
        "{:?}",
        bad.findings
    );
}

#[test]
fn the_cheapest_to_stop_is_asked_first_and_stopped_after_its_checkpoint() {
    // 30 instances are wanted: 18 CPU can be lent, 34 are used.
    let world = wanted(idle(&[]), 30);
    let jobs = |world: &World| {
        vec![
            job(world, "old", 16, 50),
            job(world, "fresh", 16, 1),
            job(world, "small", 2, 90),
        ]
    };
    let stops = |world: &World| {
        let mut decisions = proposed(world).decisions;
        decisions.retain(|decision| !matches!(decision, Decision::Quota { .. }));
        decisions
    };
    let asking = with_jobs(world.clone(), jobs(&world));
    let (name, uid) = ("fresh".to_owned(), "u-fresh".to_owned());
    let checkpoint = Decision::Checkpoint {
        job: name.clone(),
        uid: uid.clone(),
    };
    let suspend = Decision::Suspend { job: name, uid };
    assert_eq!(stops(&asking), [checkpoint]);
    for (asked_seconds_ago, written, expected) in [
        (60, false, None),
        (120, false, Some(&suspend)),
        (60, true, Some(&suspend)),
    ] {
        let mut list = jobs(&world);
        let asked = world
            .now
            .saturating_sub(SignedDuration::from_secs(asked_seconds_ago))
            .unwrap();
        list[1].asked = Some(asked);
        if written {
            list[1].checkpoint = asked.saturating_add(SignedDuration::from_secs(20)).unwrap();
        }
        let expected: Vec<Decision> = expected.into_iter().cloned().collect();
        assert_eq!(
            stops(&with_jobs(world.clone(), list)),
            expected,
            "asked {asked_seconds_ago} s ago, written {written}"
        );
    }
    let enough = with_jobs(idle(&[]), jobs(&idle(&[])));
    assert_eq!(stops(&enough), [], "34 of 57 CPU");
}

#[test]
fn where_an_instance_waits_for_room_nothing_is_waited_for() {
    let mut world = wanted(idle(&[]), 30);
    let template = world.clone().passed().instance();
    world.observed.pods.push(crate::world::PodSeen {
        node: None,
        ready: false,
        ..template
    });
    let nodes = world.observed.nodes.known().map_or(0, Vec::len);
    let stopped = |world: &World| {
        let mut job = job(world, "only", 30, 50);
        job.nodes = vec![format!("n{}", nodes - 1)];
        let decisions = proposed(&with_jobs(world.clone(), vec![job])).decisions;
        decisions
            .iter()
            .any(|decision| matches!(decision, Decision::Suspend { .. }))
    };
    let each = world.settings.inference.instances_per_node as usize;
    let mut full = world.clone();
    for node in 0..nodes - 1 {
        for _ in 0..each {
            let mut placed = world.observed.pods.last().unwrap().clone();
            placed.node = Some(format!("n{node}"));
            full.observed.pods.push(placed);
        }
    }
    assert!(stopped(&full), "every slot is taken");
    assert!(
        !stopped(&world),
        "it has not been placed yet, and there is room"
    );
    let mut closed = full.clone();
    if let Signal::Known { value, .. } = &mut closed.observed.nodes {
        value[nodes - 1].open = false;
    }
    assert!(!stopped(&closed), "no instance could take its place");
    let mut old = full.clone();
    if let Signal::Known { at, .. } = &mut old.observed.nodes {
        *at = at.saturating_sub(SignedDuration::from_mins(6)).unwrap();
    }
    assert!(!stopped(&old), "nobody knows what is free");
}

#[test]
fn whether_windows_overlap_does_not_depend_on_when_it_is_asked() {
    let meeting: [&[(&str, &str, i64)]; 2] = [
        &[("a", "0 * * * *", 10), ("b", "5 23 * * *", 30)],
        &[("daily", "0 1 * * *", 60), ("monthly", "30 1 28 * *", 60)],
    ];
    for windows in meeting {
        for at in [
            "2026-11-10T01:05:00Z",
            "2026-11-10T08:05:00Z",
            "2026-11-20T22:50:00Z",
        ] {
            let mut world = idle(windows);
            world.now = at.parse().unwrap();
            assert_eq!(reason(&world), "OverlappingWindows", "{windows:?} {at}");
        }
    }
    let apart = idle(&[("a", "0 * * * *", 10), ("b", "10 23 * * *", 30)]);
    assert_eq!(reason(&apart), "WindowOpen");
}

#[test]
fn a_name_is_given_once() {
    for second in ["0 2 * * *", "0 5 * * *"] {
        let world = idle(&[("x", "0 1 * * *", 120), ("x", second, 120)]);
        assert_eq!(reason(&world), "InvalidSpec", "{second}");
        assert_eq!(lent_cpu(&world), 0);
    }
}

#[test]
fn a_forecast_that_ends_before_the_cold_start_lends_nothing() {
    let mut world = with_jobs(idle(&[]), Vec::new());
    let learned = world.memory.foresight.learned.as_mut().unwrap();
    learned.cold_start_seconds = Some(3 * 3600);
    assert_eq!(lent_cpu(&world), 0);
    let told = proposed(&world).findings.remove(0).message;
    assert!(
        told.contains("reaches 60 minutes, 185 are needed"),
        "{told}"
    );
}

/// Five of the ten nodes changed.
fn half(mut world: World, change: fn(&mut crate::world::NodeSeen)) -> World {
    if let Signal::Known { value, .. } = &mut world.observed.nodes {
        value.iter_mut().take(5).for_each(change);
    }
    world
}

#[test]
fn nodes_that_take_no_instances_are_no_room() {
    // 20 instances are wanted, which is all that five nodes take.
    let busy = || wanted(idle(&[]), 20);
    assert_eq!(lent_cpu(&busy()), 36_000);
    assert_eq!(lent_cpu(&half(busy(), |node| node.open = false)), 0);
    let tainted = half(busy(), |node| {
        node.taints = vec![crate::world::Taint {
            key: "node-role.kubernetes.io/control-plane".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        }];
    });
    assert_eq!(lent_cpu(&tainted), 0);
    let mut elsewhere = half(busy(), |node| {
        node.labels.insert("pool".to_owned(), "models".to_owned());
    });
    let pool = [("pool".to_owned(), "models".to_owned())];
    elsewhere.settings.inference.node_selector = pool.into();
    assert_eq!(lent_cpu(&elsewhere), 0);
}

#[test]
fn nothing_is_lent_while_the_deployment_is_not_seen() {
    let mut unseen = idle(&[]);
    unseen.observed.deployments.clear();
    assert_eq!(
        (lent_cpu(&unseen), reason(&unseen)),
        (0, "MetricsUnavailable")
    );
}
