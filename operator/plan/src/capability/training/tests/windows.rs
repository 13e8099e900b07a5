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
                .contains("\"a\": schedule \"0 * * * *\" with duration 1h 1m: it opens again")
        );
        assert_eq!(reason(&world), "WindowOpen", "the other one stays");
    }
}

#[test]
fn windows_may_touch_where_clocks_are_changed() {
    let in_zones = |zones: [&str; 2], second: &str| {
        let mut world = idle(&[("a", "0 1 * * *", 120), ("b", second, 120)]);
        let windows = &mut world.foresight.training.as_mut().unwrap().windows;
        for (window, zone) in windows.iter_mut().zip(zones) {
            window.time_zone = zone.to_owned();
        }
        // The night in Berlin after whose 01:59 comes 03:00: both are open.
        world.now = "2026-03-29T01:30:00Z".parse().unwrap();
        reason(&world)
    };
    let berlin = ["Europe/Berlin"; 2];
    assert_ne!(in_zones(berlin, "0 3 * * *"), "OverlappingWindows");
    assert_eq!(in_zones(berlin, "59 2 * * *"), "OverlappingWindows");
    let zones = ["Europe/Berlin", "Etc/UTC"];
    assert_eq!(in_zones(zones, "0 1 * * *"), "OverlappingWindows");
}
