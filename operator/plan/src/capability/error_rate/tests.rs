use super::*;
use crate::example::world;
use crate::signals::RevisionErrors;
use crate::world::{DeploymentSeen, Signal};

fn world_of(desired: u32) -> World {
    let mut world = world();
    world.settings.inference.max_replicas = 40;
    world.foresight.error_rate = Some(ErrorRate::default());
    wanting(world, desired)
}

fn wanting(mut world: World, desired: u32) -> World {
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

/// Of 1000 requests: overloaded, failed by a dependency, and failed by revisions `new` and `old`, half each.
fn failing(mut world: World, overloaded: u64, dependency: u64, new: u64, old: u64) -> World {
    let revision = |failed| RevisionErrors {
        requests: 500,
        failed,
    };
    world.observed.signals.errors = Signal::Known {
        value: Errors {
            requests: 1000,
            overloaded,
            dependency,
            by_revision: [
                ("new".to_owned(), revision(new)),
                ("old".to_owned(), revision(old)),
            ]
            .into(),
        },
        at: world.now,
    };
    world
}

fn remembered(mut world: World) -> World {
    let facts = Facts::of(&world);
    let proposals = [propose(&world, &facts)];
    world.memory.foresight = facts.recollection(&proposals);
    world
}

fn later(mut world: World, minutes: i64) -> World {
    world.now = world
        .now
        .saturating_add(SignedDuration::from_mins(minutes))
        .unwrap();
    if let Signal::Known { at, .. } = &mut world.observed.signals.errors {
        *at = world.now;
    }
    world
}

fn proposed(world: &World) -> (&'static str, Option<u32>, Vec<Decision>) {
    let proposal = propose(world, &Facts::of(world));
    let floor = proposal.votes.first().and_then(|vote| vote.floor);
    (proposal.findings[0].reason, floor, proposal.decisions)
}

#[test]
fn each_cause_has_its_own_remedy() {
    let good = |mut world: World| {
        world.memory.foresight.good_revision = Some("old".to_owned());
        world
    };
    let back = Decision::RollBack {
        from: "new".to_owned(),
        to: "old".to_owned(),
    };
    for (overloaded, dependency, new, old, reason, floor, decisions) in [
        (0, 0, 5, 5, "BelowThreshold", None, vec![]),
        (50, 0, 2, 2, "Overload", Some(10), vec![]),
        (
            0,
            50,
            2,
            2,
            "DependencyFailing",
            None,
            vec![Decision::OpenCircuit],
        ),
        (0, 0, 40, 1, "BadRevision", None, vec![back]),
        (0, 0, 20, 20, "CauseUnknown", None, vec![]),
        (20, 20, 20, 0, "CauseUnknown", None, vec![]),
    ] {
        let world = failing(good(world_of(8)), overloaded, dependency, new, old);
        assert_eq!(
            proposed(&world),
            (reason, floor, decisions),
            "{overloaded} {dependency} {new} {old}"
        );
    }
}

#[test]
fn without_a_revision_that_worked_nothing_is_rolled_back() {
    assert_eq!(
        proposed(&failing(world_of(8), 0, 0, 40, 1)),
        ("BadRevision", None, vec![])
    );
}

#[test]
fn steps_are_bounded_and_cool_down_between_them() {
    let mut world = remembered(failing(world_of(8), 50, 0, 0, 0));
    for (minutes, desired, floor) in [
        (1, 10, 10),
        (4, 10, 13),
        (5, 13, 16),
        (5, 16, 16),
        (5, 16, 16),
        (500, 16, 20),
    ] {
        world = later(wanting(world, desired), minutes);
        assert_eq!(
            proposed(&world).1,
            Some(floor),
            "{minutes} minutes later, with {desired}"
        );
        world = remembered(world);
    }
}

#[test]
fn a_step_holds_for_a_while_after_the_overload_and_then_ends() {
    let world = remembered(failing(world_of(8), 50, 0, 0, 0));
    let calm = failing(later(world.clone(), 14), 0, 0, 0, 0);
    assert_eq!(proposed(&calm).1, Some(10));
    let calm = failing(later(world, 16), 0, 0, 0, 0);
    assert_eq!(proposed(&calm).1, None);
}

#[test]
fn what_is_not_known_holds() {
    let world = remembered(failing(world_of(8), 50, 0, 0, 0));
    let mut silent = later(world, 30);
    silent.observed.signals.errors = Signal::Unknown(chatbot_crds::Reason::Pending);
    assert_eq!(proposed(&silent), ("MetricsUnavailable", Some(10), vec![]));
    let mut few = world_of(8);
    few.observed.signals.errors = Signal::Known {
        value: Errors {
            requests: 99,
            overloaded: 99,
            ..Errors::default()
        },
        at: few.now,
    };
    assert_eq!(proposed(&few), ("TooFewRequests", None, vec![]));
    let mut stale = failing(world_of(8), 500, 0, 0, 0);
    stale.now = stale
        .now
        .saturating_add(SignedDuration::from_mins(3))
        .unwrap();
    assert_eq!(proposed(&stale), ("MetricsUnavailable", None, vec![]));
}

#[test]
fn in_shadow_the_cause_is_told_and_nothing_is_done() {
    let mut world = failing(world_of(8), 50, 0, 0, 0);
    world.foresight.error_rate = Some(ErrorRate {
        mode: Mode::Shadow,
        ..ErrorRate::default()
    });
    assert_eq!(proposed(&world), ("Overload", None, vec![]));
}

#[test]
fn a_revision_that_serves_alone_and_well_is_one_to_go_back_to() {
    let mut world = failing(world_of(8), 0, 0, 0, 0);
    if let Signal::Known { value, .. } = &mut world.observed.signals.errors {
        value.by_revision.remove("new");
    }
    assert_eq!(
        remembered(world).memory.foresight.good_revision.as_deref(),
        Some("old")
    );
}

#[test]
fn an_old_step_bounds_nothing_though_its_refusal_is_kept() {
    for refused_revision in [None, Some("new".to_owned())] {
        let mut world = failing(world_of(20), 300, 0, 0, 0);
        world.memory.foresight.remedy = Some(Remedy {
            at: world
                .now
                .saturating_sub(SignedDuration::from_hours(72))
                .unwrap(),
            floor: Some(5),
            from: 4,
            refused_revision: refused_revision.clone(),
        });
        assert_eq!(proposed(&world).1, Some(25), "{refused_revision:?}");
        let remedy = remembered(world.clone()).memory.foresight.remedy.unwrap();
        assert_eq!(remedy.refused_revision, refused_revision);
        // What is over is remembered by nobody: training would reserve room for it for ever.
        let calm = remembered(failing(world, 0, 0, 0, 0));
        let remedy = calm.memory.foresight.remedy;
        assert_eq!(remedy.and_then(|remedy| remedy.floor), None);
    }
}

#[test]
fn of_instances_that_are_not_seen_there_are_no_more() {
    let mut world = failing(world_of(10), 400, 0, 0, 0);
    world.observed.deployments.clear();
    assert_eq!(proposed(&world).1, None);
}

#[test]
fn overload_that_comes_and_goes_is_bounded_by_what_demand_asked_for() {
    // An autoscaler that never goes below what it was told, and an overload of one minute in sixteen.
    let mut world = world_of(10);
    for minute in 0..240 {
        world = failing(
            later(world, 1),
            if minute % 16 == 0 { 50 } else { 0 },
            0,
            0,
            0,
        );
        let desired = world.wanted().unwrap();
        let floor = proposed(&world).1.unwrap_or(0);
        world = wanting(remembered(world), desired.max(floor));
    }
    assert_eq!(world.wanted(), Some(20));
    let quiet = failing(later(world, 61), 50, 0, 0, 0);
    assert_eq!(
        proposed(&quiet).1,
        Some(25),
        "counted anew after an hour without a step"
    );
}

/// The world with what each revision did: requests and failures.
fn of_revisions(revisions: &[(&str, u64, u64)]) -> World {
    let mut world = world_of(8);
    world.memory.foresight.good_revision = Some("old".to_owned());
    let of = |(name, requests, failed): &(&str, u64, u64)| {
        let revision = RevisionErrors {
            requests: *requests,
            failed: *failed,
        };
        ((*name).to_owned(), revision)
    };
    let by_revision = revisions.iter().map(of).collect();
    let errors = Errors {
        requests: 1000,
        by_revision,
        ..Errors::default()
    };
    world.observed.signals.errors = Signal::Known {
        value: errors,
        at: world.now,
    };
    world
}

#[test]
fn a_revision_is_blamed_for_enough_requests_only() {
    for (requests, failed, expected) in [
        (2, 2, "BelowThreshold"),
        (20, 20, "CauseUnknown"),
        (99, 99, "CauseUnknown"),
        (100, 100, "BadRevision"),
    ] {
        let world = of_revisions(&[("new", requests, failed), ("old", 1000 - requests, 0)]);
        let (reason, _, decisions) = proposed(&world);
        assert_eq!(reason, expected, "{failed} of {requests}");
        assert_eq!(decisions.is_empty(), expected != "BadRevision");
    }
}

#[test]
fn a_revision_that_serves_alone_is_compared_with_nobody() {
    let told = |revisions: &[(&str, u64, u64)]| {
        let world = of_revisions(revisions);
        propose(&world, &Facts::of(&world))
            .findings
            .remove(0)
            .message
    };
    let alone = told(&[("new", 1000, 500)]);
    assert!(alone.contains("no other one serves"), "{alone}");
    let beside = told(&[("new", 500, 500), ("old", 500, 1)]);
    assert!(beside.contains("others hardly do"), "{beside}");
}

#[test]
fn counters_at_their_end_are_added_up_to_their_end() {
    let most = u64::MAX;
    let mut world = of_revisions(&[
        ("new", most, most),
        ("old", most, most),
        ("third", most, most),
    ]);
    if let Signal::Known { value, .. } = &mut world.observed.signals.errors {
        (value.overloaded, value.dependency) = (most, most);
    }
    proposed(&wanting(world, u32::MAX));
}
