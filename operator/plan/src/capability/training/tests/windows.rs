//! What is found of windows once, and remembered.

use super::*;

#[test]
fn windows_are_followed_once_and_again_when_they_change() {
    let facts = |world: &World| Facts::of(world).recollection(&[proposed(world)]);
    let overlapping = [("a", "0 11 * * *", 120), ("b", "0 12 * * *", 60)];
    let mut world = idle(&overlapping);
    assert_eq!(reason(&world), "OverlappingWindows");
    world.memory.foresight = facts(&world);
    let checked = world.memory.foresight.checked.clone().unwrap();
    assert_eq!(checked.clash, Some(("b".to_owned(), "a".to_owned())));
    assert_eq!(reason(&world), "OverlappingWindows", "as remembered");
    // What is remembered of the same windows is believed, and nothing is followed.
    let found = world.memory.foresight.checked.as_mut().unwrap();
    found.clash = None;
    assert_eq!(reason(&world), "WindowOpen");
    let windows = &mut world.foresight.training.as_mut().unwrap().windows;
    windows[1].duration = SignedDuration::from_mins(90);
    assert_eq!(
        reason(&world),
        "OverlappingWindows",
        "others are followed anew"
    );
    let hourly = idle(&[("a", "0 * * * *", 61), ("b", "0 12 * * *", 60)]);
    let remembered = |mut world: World| {
        world.memory.foresight = facts(&world);
        world
    };
    for world in [hourly.clone(), remembered(hourly)] {
        let findings = proposed(&world).findings;
        assert!(
            findings[0]
                .message
                .contains("\"a\": it opens again before it closes")
        );
        assert_eq!(reason(&world), "WindowOpen", "the other one stays");
    }
}
