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
