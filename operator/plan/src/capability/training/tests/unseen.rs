//! What is not seen, or was last seen long ago.

use super::*;

#[test]
fn while_demand_is_not_seen_nothing_more_is_lent_and_jobs_leave_only_for_what_is_wanted() {
    let mut lost = idle(&[]);
    lost.now = lost
        .now
        .saturating_add(SignedDuration::from_hours(5))
        .unwrap();
    if let Signal::Known { at, .. } = &mut lost.observed.nodes {
        *at = lost.now;
    }
    let decided = |desired| {
        let world = wanted(lost.clone(), desired);
        let jobs = vec![job(&world, "only", 50, 50)];
        proposed(&with_jobs(world, jobs)).decisions
    };
    let nothing = || Decision::Quota {
        cpu_milli: 0,
        memory_bytes: 0,
    };
    assert_eq!(decided(2), [nothing()]);
    let asked = Decision::Checkpoint {
        job: "only".to_owned(),
        uid: "u-only".to_owned(),
    };
    assert_eq!(decided(30), [nothing(), asked], "18 CPU are left");
}

#[test]
fn jobs_that_were_last_seen_long_ago_are_left_alone() {
    let world = wanted(idle(&[]), 30);
    let mut world = with_jobs(world.clone(), vec![job(&world, "only", 30, 50)]);
    if let Signal::Known { at, .. } = &mut world.observed.signals.jobs {
        *at = world
            .now
            .saturating_sub(SignedDuration::from_mins(6))
            .unwrap();
    }
    assert!(
        proposed(&world)
            .decisions
            .iter()
            .all(|decision| matches!(decision, Decision::Quota { .. }))
    );
}
