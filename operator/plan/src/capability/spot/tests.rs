use super::*;
use crate::example::{node, world};
use crate::signals::Market;
use crate::world::{DeploymentSeen, Signal, Taint};

/// Nodes `s0…` are spot, `d0…` are not; each has the given pods, all ready.
fn placed(nodes: &[(&str, usize)]) -> World {
    let mut world = world();
    world.foresight.spot = Some(Spot {
        on_demand_replicas: 0,
        ..Spot::default()
    });
    let template = world
        .clone()
        .passed()
        .rolled_out(1)
        .observed
        .pods
        .pop()
        .unwrap();
    let mut seen = Vec::new();
    for (name, pods) in nodes {
        let mut node = node(name, 8000, 32 << 30);
        if name.starts_with('s') {
            node.labels
                .insert("karpenter.sh/capacity-type".to_owned(), "spot".to_owned());
        }
        seen.push(node);
        for index in 0..*pods {
            let mut pod = template.clone();
            pod.name = format!("{name}-{index}");
            pod.uid = format!("u-{name}-{index}");
            pod.node = Some((*name).to_owned());
            world.observed.pods.push(pod);
        }
    }
    let desired = u32::try_from(world.observed.pods.len()).unwrap();
    let deployment = DeploymentSeen {
        desired,
        ..DeploymentSeen::default()
    };
    world
        .observed
        .deployments
        .insert("support-inference".to_owned(), deployment);
    world.observed.nodes = Signal::Known {
        value: seen,
        at: world.now,
    };
    world
}

fn nodes(world: &mut World) -> &mut Vec<NodeSeen> {
    match &mut world.observed.nodes {
        Signal::Known { value, .. } => value,
        Signal::Unknown(_) => panic!("the nodes are known"),
    }
}

fn noticed(mut world: World, name: &str, seconds: i64) -> World {
    let deadline = world
        .now
        .saturating_add(SignedDuration::from_secs(seconds))
        .unwrap();
    let node = nodes(&mut world)
        .iter_mut()
        .find(|node| node.name == name)
        .unwrap();
    node.annotations
        .insert(names::RECLAIM_ANNOTATION.to_owned(), deadline.to_string());
    world
}

fn pod<'a>(world: &'a mut World, name: &str) -> &'a mut PodSeen {
    world
        .observed
        .pods
        .iter_mut()
        .find(|pod| pod.name == name)
        .unwrap()
}

/// What is decided, in short.
fn decided(world: &World) -> Vec<String> {
    let decisions = propose(world, &Facts::of(world)).decisions;
    let short = |decision: &Decision| match decision {
        Decision::Detach { pod, .. } => format!("detach {pod}"),
        Decision::Delete { pod, .. } => format!("delete {pod}"),
        Decision::Taint { node, .. } => format!("taint {node}"),
        Decision::Untaint { node, .. } => format!("untaint {node}"),
        other => format!("{other:?}"),
    };
    decisions.iter().map(short).collect()
}

fn reason(world: &World) -> &'static str {
    propose(world, &Facts::of(world)).findings[0].reason
}

/// What a pass leaves in memory.
fn remembered(mut world: World) -> World {
    let facts = Facts::of(&world);
    let proposals = [propose(&world, &facts)];
    world.memory.foresight = facts.recollection(&proposals);
    world
}

#[test]
fn at_a_notice_the_node_is_closed_and_its_pods_are_replaced_first() {
    let world = noticed(placed(&[("s0", 1), ("s1", 2)]), "s0", 120);
    assert_eq!(decided(&world), ["taint s0", "detach s0-0"]);
    assert_eq!(reason(&world), "Migrating");
    assert!(propose(&world, &Facts::of(&world)).wake_at.unwrap() > world.now);
}

#[test]
fn a_pod_is_deleted_when_its_replacement_is_ready_or_its_time_is_over() {
    for (replaced, left, expected) in [
        (false, 60, &[][..]),
        (true, 60, &["delete s0-0"]),
        (false, 5, &["delete s0-0"]),
        (false, -30, &["delete s0-0"]),
        (false, -3600, &[]),
        (true, -3600, &["delete s0-0"]),
    ] {
        let mut world = noticed(placed(&[("s0", 1), ("s1", 3)]), "s0", left);
        pod(&mut world, "s0-0").leaving = true;
        nodes(&mut world)[0].taints.push(Taint {
            key: names::RECLAIM_TAINT.to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        });
        // Four are wanted; the fourth is the replacement.
        world
            .observed
            .deployments
            .get_mut("support-inference")
            .unwrap()
            .desired = if replaced { 3 } else { 4 };
        assert_eq!(
            decided(&world),
            expected,
            "replaced {replaced}, {left} s left"
        );
    }
}

#[test]
fn forty_notices_at_once_start_no_more_replacements_than_the_surge() {
    let names: Vec<String> = (0..40).map(|index| format!("s{index:02}")).collect();
    let all: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut world = placed(&all);
    for (index, name) in names.iter().enumerate() {
        world = noticed(world, name, 120 - i64::try_from(index).unwrap());
    }
    let detached: Vec<String> = decided(&world)
        .into_iter()
        .filter(|it| it.starts_with("detach"))
        .collect();
    assert_eq!(detached.len(), 10, "25 % of 40");
    assert!(
        detached.contains(&"detach s39-0".to_owned()),
        "the soonest goes first: {detached:?}"
    );
    // Those are on their way: none more.
    for name in &names[30..] {
        pod(&mut world, &format!("{name}-0")).leaving = true;
    }
    assert!(!decided(&world).iter().any(|it| it.starts_with("detach")));
}

#[test]
fn a_cancelled_notice_opens_the_node_again_and_moves_nothing_more() {
    let mut world = remembered(noticed(placed(&[("s0", 2), ("s1", 2)]), "s0", 120));
    pod(&mut world, "s0-0").leaving = true;
    let node = &mut nodes(&mut world)[0];
    node.annotations.clear();
    node.taints.push(Taint {
        key: names::RECLAIM_TAINT.to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    });
    assert_eq!(decided(&world), ["untaint s0"]);
    let mut world = remembered(world);
    assert_eq!(decided(&world), ["untaint s0"], "until it is seen");
    nodes(&mut world)[0].taints.clear();
    let world = remembered(world);
    assert_eq!(decided(&world), Vec::<String>::new());
    assert!(world.memory.foresight.moves.is_empty());
}

#[test]
fn a_mark_that_is_not_ours_stays() {
    let mut world = placed(&[("s0", 1)]);
    nodes(&mut world)[0].taints.push(Taint {
        key: names::RECLAIM_TAINT.to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    });
    assert_eq!(decided(&world), Vec::<String>::new());
}

#[test]
fn what_is_no_notice_for_this_node_moves_nothing() {
    let of = |key: &str, value: &str| {
        let mut world = noticed(placed(&[("s0", 2)]), "s0", 60);
        nodes(&mut world)[0]
            .annotations
            .insert(key.to_owned(), value.to_owned());
        decided(&world)
    };
    assert_eq!(
        of(names::RECLAIM_UID_ANNOTATION, "another"),
        Vec::<String>::new()
    );
    assert_eq!(of(names::RECLAIM_UID_ANNOTATION, "u-s0").len(), 2);
    assert_eq!(of(names::RECLAIM_ANNOTATION, "soon"), Vec::<String>::new());
    assert_eq!(
        of(names::RECLAIM_ANNOTATION, "2999-01-01T00:00:00Z"),
        Vec::<String>::new()
    );
}

#[test]
fn a_deadline_in_the_past_moves_at_once_and_deletes_nothing_that_is_not_replaced() {
    let world = noticed(placed(&[("s0", 1), ("s1", 3)]), "s0", -7200);
    assert_eq!(decided(&world), ["taint s0", "detach s0-0"]);
}

#[test]
fn nodes_that_were_last_seen_long_ago_move_nothing() {
    let mut world = noticed(placed(&[("s0", 2)]), "s0", 600);
    world.now = world
        .now
        .saturating_add(SignedDuration::from_mins(6))
        .unwrap();
    assert_eq!(
        (decided(&world), reason(&world)),
        (Vec::new(), "AgentSilent")
    );
}

fn market(mut world: World, refused_minutes_ago: Option<i64>, obtainable: Option<u32>) -> World {
    let refusal = refused_minutes_ago.map(|minutes| {
        world
            .now
            .saturating_sub(SignedDuration::from_mins(minutes))
            .unwrap()
    });
    world.observed.signals.market = Signal::Known {
        value: Market {
            last_refusal: refusal,
            obtainable_nodes: obtainable,
        },
        at: world.now,
    };
    world
}

#[test]
fn what_stands_in_returns_one_at_a_time_once_the_market_is_calm() {
    let fallen = || placed(&[("d0", 3), ("d1", 1), ("s0", 2)]);
    for (refused, obtainable, expected) in [
        (None, Some(3), &["detach d1-0"][..]),
        (Some(11), None, &["detach d1-0"]),
        (Some(9), Some(3), &[]),
        (Some(11), Some(0), &[]),
    ] {
        assert_eq!(
            decided(&market(fallen(), refused, obtainable)),
            expected,
            "{refused:?} {obtainable:?}"
        );
    }
    assert_eq!(
        decided(&fallen()),
        Vec::<String>::new(),
        "an unknown market is not a calm one"
    );
    let world = remembered(market(fallen(), None, Some(3)));
    assert_eq!(decided(&world), Vec::<String>::new(), "one a minute");
    let mut base = market(fallen(), None, Some(3));
    base.foresight.spot.as_mut().unwrap().on_demand_replicas = 4;
    assert_eq!(decided(&base), Vec::<String>::new(), "the base stays");
}
