mod left_over;

use super::*;
use crate::example::{node, world};
use crate::signals::{JobSeen, Market};
use crate::world::{DeploymentSeen, Signal, Taint};

/// Nodes `s0…` are spot, `d0…` are not; each has the given pods, all ready.
fn placed(nodes: &[(&str, usize)]) -> World {
    let mut world = world();
    world.foresight.spot = Some(Spot {
        on_demand_replicas: 0,
        ..Spot::default()
    });
    let template = world.clone().passed().instance();
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
        Decision::Attach { pod, .. } => format!("attach {pod}"),
        Decision::Delete { pod, .. } => format!("delete {pod}"),
        Decision::Taint { node, .. } => format!("taint {node}"),
        Decision::Untaint { node, .. } => format!("untaint {node}"),
        other => format!("{other:?}"),
    };
    // What is held for standing in is told by `asked`.
    let decisions = decisions.iter();
    let moves = decisions.filter(|it| !matches!(it, Decision::SpotPlaceholders { .. }));
    moves.map(short).collect()
}

/// Spot nodes that are asked for.
fn asked(world: &World) -> Option<u32> {
    let decisions = propose(world, &Facts::of(world)).decisions;
    decisions.iter().find_map(|decision| match decision {
        Decision::SpotPlaceholders { nodes } => Some(*nodes),
        _ => None,
    })
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
fn the_surge_is_rounded_up_and_never_less_than_one() {
    for (percent, going) in [(0, 1), (1, 1), (33, 1), (34, 2), (67, 3), (100, 3)] {
        let mut world = noticed(placed(&[("s0", 3)]), "s0", 120);
        world.foresight.spot.as_mut().unwrap().max_surge_percent = percent;
        let detached = decided(&world);
        let detached = detached.iter().filter(|it| it.starts_with("detach"));
        assert_eq!(detached.count(), going, "{percent} % of 3");
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

fn taken(mut world: World, minutes_ago: Option<i64>) -> World {
    let last_taken = minutes_ago.map(|minutes| {
        world
            .now
            .saturating_sub(SignedDuration::from_mins(minutes))
            .unwrap()
    });
    world.observed.signals.market = Signal::Known {
        value: Market { last_taken },
        at: world.now,
    };
    world
}

/// Two instances fit on a node; these have the model in memory.
fn warm(mut world: World, names: &[&str]) -> World {
    world.settings.inference.instances_per_node = 2;
    for node in nodes(&mut world) {
        let warm = names.contains(&node.name.as_str()).to_string();
        node.annotations
            .insert(names::WARM_ANNOTATION.to_owned(), warm);
    }
    world
}

#[test]
fn for_what_stands_in_spot_nodes_are_asked_for_and_standby_nodes_besides() {
    let placed = |base, standby| {
        let mut world = warm(placed(&[("d0", 2), ("d1", 1), ("s0", 2)]), &[]);
        world.foresight.standby_nodes = standby;
        world.foresight.spot.as_mut().unwrap().on_demand_replicas = base;
        world
    };
    for (base, standby, expected) in [(0, 0, 2), (0, 2, 4), (1, 0, 1), (3, 0, 0), (9, 1, 1)] {
        assert_eq!(
            asked(&placed(base, standby)),
            Some(expected),
            "base {base}, standby {standby}"
        );
    }
}

#[test]
fn what_stands_in_returns_by_whole_nodes_as_far_as_warm_spot_nodes_have_room() {
    let fallen = || placed(&[("d0", 2), ("d1", 1), ("s0", 2), ("s1", 0), ("s2", 0)]);
    for (there, expected) in [
        (&[][..], &[][..]),
        (&["s0"], &[]),
        (&["s1"], &["detach d1-0"]),
        (
            &["s1", "s2"],
            &["detach d1-0", "detach d0-0", "detach d0-1"],
        ),
        (&["d0", "d1"], &[]),
    ] {
        let mut world = warm(taken(fallen(), None), there);
        world.foresight.spot.as_mut().unwrap().max_surge_percent = 100;
        assert_eq!(decided(&world), expected, "{there:?}");
    }
    let mut one_by_one = warm(taken(placed(&[("d0", 2), ("s1", 0)]), None), &["s1"]);
    one_by_one
        .foresight
        .spot
        .as_mut()
        .unwrap()
        .max_surge_percent = 1;
    assert_eq!(decided(&one_by_one), ["detach d0-0"], "within the surge");
}

#[test]
fn nothing_returns_while_the_market_is_restless_or_not_known_or_something_is_under_way() {
    let fallen = || warm(placed(&[("d0", 1), ("s0", 1), ("s1", 0)]), &["s1"]);
    assert_eq!(decided(&taken(fallen(), Some(3))), ["detach d0-0"]);
    assert_eq!(decided(&taken(fallen(), Some(1))), Vec::<String>::new());
    let unknown = decided(&fallen());
    assert_eq!(unknown, Vec::<String>::new(), "not known is not calm");
    let again = remembered(taken(fallen(), None));
    assert_eq!(decided(&again), Vec::<String>::new(), "once a minute");
    let mut starting = taken(fallen(), None);
    pod(&mut starting, "s0-0").ready = false;
    assert_eq!(decided(&starting), Vec::<String>::new(), "one starts");
    let mut base = taken(fallen(), None);
    base.foresight.spot.as_mut().unwrap().on_demand_replicas = 1;
    assert_eq!(decided(&base), Vec::<String>::new(), "the base stays");
    let noticed = noticed(taken(fallen(), None), "s1", 60);
    assert_eq!(decided(&noticed), ["taint s1"], "its room is no room");
}

#[test]
fn nothing_returns_to_room_that_training_has_or_that_is_about_to_be_filled() {
    let fallen = || {
        warm(
            taken(placed(&[("d0", 1), ("s0", 2), ("s1", 0)]), None),
            &["s1"],
        )
    };
    assert_eq!(decided(&fallen()), ["detach d0-0"]);
    let mut lent = fallen();
    let each = lent.settings.inference.instances_per_node;
    lent.observed.signals.jobs = Signal::Known {
        value: vec![JobSeen {
            name: "night".to_owned(),
            uid: "u-night".to_owned(),
            running: true,
            asked: None,
            checkpoint: lent.now,
            grace: SignedDuration::from_mins(5),
            cpu_milli: 7200,
            memory_bytes: 28 << 30,
            nodes: vec!["s1".to_owned()],
        }],
        at: lent.now,
    };
    assert_eq!(decided(&lent), Vec::<String>::new(), "training has it");
    let mut unseen = fallen();
    unseen.foresight.training = Some(crate::foresight::Training::default());
    assert_eq!(
        decided(&unseen),
        Vec::<String>::new(),
        "training may have it"
    );
    let mut wanted = fallen();
    let seen = wanted.observed.deployments.get_mut("support-inference");
    seen.unwrap().desired += each;
    assert_eq!(decided(&wanted), Vec::<String>::new(), "it is wanted");
}

#[test]
fn what_left_of_its_own_accord_stays_where_its_replacement_has_no_place() {
    let mut full = warm(taken(placed(&[("d0", 1), ("s1", 1)]), None), &["s1"]);
    full.settings.inference.instances_per_node = 1;
    pod(&mut full, "d0-0").leaving = true;
    let mut replacement = pod(&mut full, "s1-0").clone();
    replacement.name = "new".to_owned();
    replacement.node = None;
    replacement.ready = false;
    full.observed.pods.push(replacement);
    assert_eq!(decided(&full), ["attach d0-0"]);
    let mut room = full.clone();
    nodes(&mut room).push(node("d9", 8000, 32 << 30));
    assert_eq!(decided(&room), Vec::<String>::new(), "there is room");
    let noticed = decided(&noticed(full, "d0", 60));
    assert_eq!(noticed, ["taint d0"], "it has to leave");
}

#[test]
fn while_the_deployment_is_not_seen_nothing_is_deleted() {
    let mut world = noticed(placed(&[("s0", 2), ("s1", 2)]), "s0", 100);
    for name in ["s0-0", "s0-1"] {
        pod(&mut world, name).leaving = true;
    }
    assert!(
        !decided(&world)
            .iter()
            .any(|what| what.starts_with("delete"))
    );
    world.observed.deployments.clear();
    assert_eq!(decided(&world), Vec::<String>::new());
}
