use super::*;
use crate::example::{node, world};
use crate::signals::JobSeen;
use crate::world::Signal;

/// Warm nodes `n0`, `n1`, … of which so many are asked to wait.
fn nodes(count: u32, standby: u32) -> World {
    let mut world = world();
    world.settings.inference.max_replicas = 100;
    world.foresight.standby_nodes = standby;
    let nodes = (0..count).map(|index| {
        let mut node = node(&format!("n{index}"), 8000, 32 << 30);
        node.annotations
            .insert(names::WARM_ANNOTATION.to_owned(), "true".to_owned());
        node
    });
    world.observed.nodes = Signal::Known {
        value: nodes.collect(),
        at: world.now,
    };
    world
}

/// Training on nodes: how many minutes ago each job wrote its last checkpoint, and whether it was asked for another.
fn lent(mut world: World, jobs: &[(u32, i64, bool)]) -> World {
    let ago = |minutes| {
        world
            .now
            .saturating_sub(SignedDuration::from_mins(minutes))
            .unwrap()
    };
    let jobs = jobs.iter().map(|(node, minutes, is_asked)| JobSeen {
        name: format!("j{node}"),
        uid: format!("j{node}"),
        running: true,
        asked: is_asked.then_some(world.now),
        checkpoint: ago(*minutes),
        grace: SignedDuration::from_mins(2),
        cpu_milli: 1800,
        memory_bytes: 1 << 30,
        nodes: vec![format!("n{node}")],
    });
    world.observed.signals.jobs = Signal::Known {
        value: jobs.collect(),
        at: world.now,
    };
    world
}

/// The nodes that wait, and whether they are warm and empty.
fn waiting(world: &World) -> Vec<(String, bool)> {
    let uses = uses(world).unwrap();
    let waiting = uses.into_iter().filter_map(|(name, used)| match used {
        NodeUse::Standby { warm } => Some((name, warm)),
        _ => None,
    });
    waiting.collect()
}

fn named(all: &[(&str, bool)]) -> Vec<(String, bool)> {
    let named = all.iter().map(|(name, warm)| ((*name).to_owned(), *warm));
    named.collect()
}

/// A world in which nobody sees the jobs, while training is asked for.
fn unseen(mut world: World) -> World {
    world.foresight.training = Some(crate::foresight::Training::default());
    world.observed.signals.jobs = Signal::Unknown(chatbot_crds::Reason::Pending);
    world
}

#[test]
fn jobs_that_nobody_sees_may_be_on_any_node() {
    let most = unseen(lent(nodes(2, 1), &[(0, 5, false)]));
    assert_eq!(waiting(&most), named(&[("n0", false)]));
    let mut old = unseen(nodes(2, 1));
    old.observed.signals.jobs = Signal::Known {
        value: Vec::new(),
        at: old
            .now
            .saturating_sub(SignedDuration::from_mins(6))
            .unwrap(),
    };
    assert_eq!(waiting(&old), named(&[("n0", false)]));
    old.foresight.training = None;
    assert_eq!(waiting(&old), named(&[("n0", true)]), "nobody asks for any");
    let mut left = lent(nodes(2, 1), &[(1, 5, false)]);
    assert_eq!(waiting(&left), named(&[("n0", true)]));
    if let Signal::Known { value, .. } = &mut left.observed.signals.jobs {
        value[0].nodes.clear();
    }
    assert_eq!(
        waiting(&left),
        named(&[("n0", false)]),
        "nobody knows where"
    );
    let mut left = lent(nodes(2, 1), &[(1, 5, false)]);
    if let Signal::Known { at, .. } = &mut left.observed.signals.jobs {
        *at = at.saturating_sub(SignedDuration::from_mins(6)).unwrap();
    }
    assert_eq!(waiting(&left), named(&[("n0", false)]), "one was there");
}

#[test]
fn a_spot_node_waits_before_another_whatever_their_names_are() {
    for spot in ["n0", "n1", "n2"] {
        let mut world = nodes(3, 1);
        world.foresight.spot = Some(crate::foresight::Spot::default());
        if let Signal::Known { value, .. } = &mut world.observed.nodes {
            for node in value.iter_mut().filter(|node| node.name == spot) {
                node.labels
                    .insert("karpenter.sh/capacity-type".to_owned(), "spot".to_owned());
            }
        }
        assert_eq!(waiting(&world), named(&[(spot, true)]));
        if let Signal::Known { value, .. } = &mut world.observed.nodes {
            for node in value.iter_mut().filter(|node| node.name == spot) {
                node.annotations.clear();
            }
        }
        assert_ne!(
            waiting(&world),
            named(&[(spot, false)]),
            "it is not warm yet"
        );
    }
}

#[test]
fn nodes_wait_before_any_is_lent() {
    let most = lent(nodes(4, 2), &[(0, 5, false), (1, 5, false)]);
    assert_eq!(waiting(&most), named(&[("n2", true), ("n3", true)]));
    assert_eq!(uses(&most).unwrap()["n0"], NodeUse::Lent { warm: true });
}

#[test]
fn where_training_has_every_node_the_cheapest_to_empty_is_to_wait_and_is_not_ready_yet() {
    let all = [(0, 9, false), (1, 2, false), (2, 7, false)];
    let world = lent(nodes(3, 1), &all);
    assert_eq!(waiting(&world), named(&[("n1", false)]));
    let asked = [(0, 9, true), (1, 2, false), (2, 7, false)];
    let world = lent(nodes(3, 1), &asked);
    assert_eq!(waiting(&world), named(&[("n0", false)]), "it is on its way");
    let gone = lent(nodes(3, 1), &all[1..]);
    assert_eq!(waiting(&gone), named(&[("n0", true)]));
}
