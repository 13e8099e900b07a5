//! What nobody meant: a selector of nothing, and notices that are left over.

use super::*;

#[test]
fn an_empty_selector_makes_no_node_a_spot_node_and_is_told() {
    let mut world = placed(&[("d0", 2), ("s0", 2)]);
    let absent = asked(&world);
    for (labels, expected) in [(None, "Placed"), (Some(BTreeMap::new()), "InvalidSpec")] {
        world.foresight.spot.as_mut().unwrap().node_selector = labels;
        assert_eq!((asked(&world), reason(&world)), (absent, expected));
    }
    let told = propose(&world, &Facts::of(&world))
        .findings
        .remove(0)
        .message;
    assert!(
        told.contains("spot.nodeSelector") && told.contains("leave it out"),
        "{told}"
    );
}

fn wakes(world: &World) -> bool {
    propose(world, &Facts::of(world)).wake_at.is_some()
}

#[test]
fn nobody_is_woken_for_a_notice_that_has_nothing_left_to_move_or_is_long_overdue() {
    for (pods, left, expected) in [
        (1, 60, true),
        (1, -30, true),
        (1, -600, false),
        (0, 60, false),
        (0, -600, false),
    ] {
        let world = noticed(placed(&[("s0", pods), ("s1", 2)]), "s0", left);
        assert_eq!(wakes(&world), expected, "{pods} instances, {left} s left");
    }
    let mut own = placed(&[("s0", 1), ("s1", 2)]);
    pod(&mut own, "s0-0").leaving = true;
    assert!(wakes(&own), "it leaves of its own accord");
}

#[test]
fn an_overdue_notice_is_told_and_holds_nobody_else_back() {
    let fallen = || {
        let nodes = [("d0", 1), ("s0", 1), ("s1", 0), ("s2", 0)];
        warm(taken(placed(&nodes), None), &["s1"])
    };
    let overdue = noticed(fallen(), "s2", -600);
    assert_eq!(decided(&overdue), ["taint s2", "detach d0-0"]);
    let told = propose(&overdue, &Facts::of(&overdue)).findings.remove(0);
    assert_eq!(told.reason, "NoticeOverdue");
    assert!(
        told.message.contains("remove its annotation"),
        "{}",
        told.message
    );
}

#[test]
fn a_notice_of_another_day_is_left_over_and_opens_the_node_again() {
    let mut world = remembered(noticed(placed(&[("s0", 2)]), "s0", -3600));
    nodes(&mut world)[0].taints.push(Taint {
        key: names::RECLAIM_TAINT.to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    });
    let world = noticed(world, "s0", -25 * 3600);
    assert_eq!(
        (decided(&world), reason(&world)),
        (vec!["untaint s0".to_owned()], "Placed")
    );
}

/// A notice of two instances in a minute, with another annotation.
fn noticed_with(key: &str, value: &str) -> World {
    let mut world = noticed(placed(&[("s0", 2), ("s1", 2)]), "s0", 60);
    let annotations = &mut nodes(&mut world)[0].annotations;
    annotations.insert(key.to_owned(), value.to_owned());
    world
}

fn told(world: &World) -> Option<String> {
    let findings = propose(world, &Facts::of(world)).findings;
    let unclear = findings.into_iter().find(|it| it.reason == "NoticeUnclear");
    unclear.map(|finding| finding.message)
}

#[test]
fn a_notice_for_another_identity_moves_nothing_and_is_told() {
    let other = noticed_with(names::RECLAIM_UID_ANNOTATION, "another");
    assert_eq!(decided(&other), Vec::<String>::new());
    let told_of = told(&other).unwrap();
    for part in [
        "node s0",
        names::RECLAIM_UID_ANNOTATION,
        "\"another\"",
        "remove",
    ] {
        assert!(told_of.contains(part), "{told_of}");
    }
    let own = noticed_with(names::RECLAIM_UID_ANNOTATION, "u-s0");
    assert_eq!((decided(&own).len(), told(&own)), (2, None));
}

#[test]
fn a_notice_without_a_time_that_is_believed_is_one_without_haste() {
    for value in ["soon", "", "1764000000", "2999-01-01T00:00:00Z"] {
        let mut world = noticed_with(names::RECLAIM_ANNOTATION, value);
        assert_eq!(decided(&world), ["taint s0", "detach s0-0"], "{value:?}");
        assert!(!wakes(&world), "{value:?}");
        let told = told(&world).unwrap();
        let shown = format!("{}: {value:?}", names::RECLAIM_ANNOTATION);
        for part in ["node s0", shown.as_str(), "remove it"] {
            assert!(told.contains(part), "{told}");
        }
        // What is remembered of it can be read again, and nothing is deleted unreplaced.
        let memory = remembered(world.clone()).memory;
        assert_eq!(crate::memory::Memory::read(&memory.write()), Ok(memory));
        pod(&mut world, "s0-0").leaving = true;
        world.now = world
            .now
            .saturating_add(SignedDuration::from_mins(2))
            .unwrap();
        if let Signal::Known { at, .. } = &mut world.observed.nodes {
            *at = world.now;
        }
        assert_eq!(decided(&world), ["taint s0"], "{value:?}");
    }
}

#[test]
fn a_notice_without_a_time_holds_nobody_back_once_its_node_is_left() {
    let nodes_of = [("d0", 1), ("s0", 1), ("s1", 0), ("s2", 0)];
    let mut world = warm(taken(placed(&nodes_of), None), &["s1"]);
    let annotations = &mut nodes(&mut world)[3].annotations;
    annotations.insert(names::RECLAIM_ANNOTATION.to_owned(), "soon".to_owned());
    assert_eq!(decided(&world), ["taint s2", "detach d0-0"]);
}

#[test]
fn a_base_above_the_ceiling_is_cut_and_told() {
    let mut world = placed(&[("s0", 2)]);
    world.settings.inference.max_replicas = 40;
    for (asked, base) in [(39, 39), (40, 39), (60, 39), (u32::MAX, 39)] {
        world.foresight.spot.as_mut().unwrap().on_demand_replicas = asked;
        assert_eq!(world.base(), base);
        let told = propose(&world, &Facts::of(&world)).findings.remove(0);
        let named = format!("spot.onDemandReplicas: {asked} must be less");
        assert_eq!(
            told.message.contains(&named),
            asked > base,
            "{}",
            told.message
        );
        let settled = &crate::plan(&world).settled[&Component::Inference];
        let bounds = crate::votes::split(settled, world.base());
        assert!(bounds.max + world.base() <= 40);
    }
}
