//! Several nodes are taken at once.

use chatbot_crds::Reason;

use super::*;
use crate::foresight::Training;

/// Five spot nodes with an instance each, of which the first have a notice that ends in so many seconds.
fn taken(standby: u32, notices: &[i64]) -> World {
    let mut world = placed(&[("s0", 1), ("s1", 1), ("s2", 1), ("s3", 1), ("s4", 1)]);
    world.foresight.standby_nodes = standby;
    for (index, left) in notices.iter().enumerate() {
        world = noticed(world, &format!("s{index}"), *left);
    }
    world
}

#[test]
fn for_each_notice_but_the_first_one_more_node_waits_and_at_most_twice_as_many_as_asked() {
    for (standby, notices, expected) in [
        (2, &[][..], 2),
        (2, &[120], 2),
        (2, &[120, 30], 3),
        (2, &[120, 120, 30], 4),
        (2, &[120, 120, 30, 30], 4),
        (4, &[120, 120, 30, 30], 7),
        (0, &[120, 120, 30], 0),
        // What should have been taken already says nothing of what comes.
        (2, &[120, -5], 2),
        (2, &[-5, -3600, 120], 2),
    ] {
        let world = taken(standby, notices);
        assert_eq!(asked(&world), Some(expected), "{standby}, {notices:?}");
    }
}

#[test]
fn where_training_gives_back_what_it_has_no_more_nodes_wait() {
    let mut world = taken(2, &[120, 120, 120]);
    world.foresight.training = Some(Training::default());
    assert_eq!(asked(&world), Some(2));
}

#[test]
fn notices_that_are_not_seen_are_not_none_and_what_waits_is_left_as_it_is() {
    let mut unseen = taken(2, &[120, 120]);
    unseen.observed.nodes = Signal::Unknown(Reason::Pending);
    let mut old = taken(2, &[120, 120]);
    old.now = old
        .now
        .saturating_add(SignedDuration::from_mins(6))
        .unwrap();
    for world in [unseen, old] {
        assert_eq!(asked(&world), None);
    }
}
