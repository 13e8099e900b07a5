//! What waits is not lent.

use super::*;

/// The same where so many nodes are asked to wait.
fn with_standby(mut world: World, nodes: u32) -> World {
    world.foresight.standby_nodes = nodes;
    world
}

#[test]
fn nodes_that_are_asked_to_wait_are_not_lent() {
    // Four slots of 1.8 CPU each.
    for (standby, lent) in [(0, 59_400), (1, 52_200), (2, 45_000), (8, 1_800)] {
        let world = with_standby(idle(&[]), standby);
        assert_eq!(lent_cpu(&world), lent, "{standby} wait");
    }
    let mut most = with_standby(wanted(idle(&[]), 20), 9);
    most.settings.inference.max_replicas = 24;
    assert_eq!(
        lent_cpu(&most),
        28_800,
        "no more wait than the most instances need: one beside five"
    );
}

#[test]
fn training_leaves_a_node_that_is_to_wait_also_where_there_is_room_for_it() {
    let world = with_standby(idle(&[]), 1);
    let jobs = (0..10).map(|index| JobSeen {
        nodes: vec![format!("n{index}")],
        ..job(&world, &format!("j{index}"), 2, 20 - index)
    });
    let world = with_jobs(world.clone(), jobs.collect());
    let asked: Vec<Decision> = proposed(&world)
        .decisions
        .into_iter()
        .filter(|decision| !matches!(decision, Decision::Quota { .. }))
        .collect();
    let cheapest = Decision::Checkpoint {
        job: "j9".to_owned(),
        uid: "u-j9".to_owned(),
    };
    assert_eq!(asked, [cheapest]);
}
