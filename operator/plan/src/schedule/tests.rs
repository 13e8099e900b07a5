use proptest::prelude::*;

use super::*;

fn window(schedule: &str, zone: &str, minutes: i64) -> Window {
    Window {
        name: "night".to_owned(),
        schedule: schedule.to_owned(),
        time_zone: zone.to_owned(),
        duration: SignedDuration::from_mins(minutes),
    }
}

fn schedule(fields: &str, zone: &str, minutes: i64) -> Schedule {
    Schedule::of(&window(fields, zone, minutes)).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_window_is_open_from_its_time_on_the_wall_for_its_duration() {
    let night = schedule("0 1 * * *", "Asia/Shanghai", 300);
    let open = at("2026-11-23T17:00:00Z");
    for (now, is_open) in [
        ("2026-11-23T16:59:59Z", false),
        ("2026-11-23T17:00:00Z", true),
        ("2026-11-23T21:59:59Z", true),
        ("2026-11-23T22:00:00Z", false),
    ] {
        assert_eq!(
            night.at(at(now)).map(|it| it.open),
            is_open.then_some(open),
            "{now}"
        );
    }
    let next = night.after(at("2026-11-23T17:00:00Z")).unwrap();
    assert_eq!(next.open, at("2026-11-24T17:00:00Z"));
}

#[test]
fn a_time_that_the_change_of_clocks_leaves_out_comes_as_much_later() {
    // Berlin, 2026-03-29: after 01:59:59 comes 03:00:00.
    let night = schedule("30 2 * * *", "Europe/Berlin", 60);
    let opened = night.after(at("2026-03-28T12:00:00Z")).unwrap();
    assert_eq!(
        opened.open,
        at("2026-03-29T01:30:00Z"),
        "03:30 in summer time"
    );
    let next = night.after(opened.open).unwrap();
    assert_eq!(next.open, at("2026-03-30T00:30:00Z"));
}

#[test]
fn a_time_that_comes_twice_is_the_first_of_the_two() {
    // Berlin, 2026-10-25: after 02:59:59 comes 02:00:00 once more.
    let night = schedule("30 2 * * *", "Europe/Berlin", 60);
    let opened = night.after(at("2026-10-24T12:00:00Z")).unwrap();
    assert_eq!(opened.open, at("2026-10-25T00:30:00Z"));
    assert_eq!(
        night.at(at("2026-10-25T01:45:00Z")),
        None,
        "02:45 the second time"
    );
    assert_eq!(
        night.after(opened.open).unwrap().open,
        at("2026-10-26T01:30:00Z")
    );
}

#[test]
fn what_cannot_be_used_is_refused_and_says_why() {
    for (fields, zone, minutes, expected) in [
        ("0 25 * * *", "Etc/UTC", 60, "five fields"),
        ("0 1 * * * Asia/Shanghai", "Etc/UTC", 60, "five fields"),
        ("@daily", "Etc/UTC", 60, "five fields"),
        ("", "Etc/UTC", 60, "five fields"),
        ("H 1 * * *", "Etc/UTC", 60, "five fields"),
        ("0 0 31 2 *", "Etc/UTC", 60, "never comes"),
        ("0 1 * * *", "Asia/Shangai", 60, "unknown time zone"),
        ("0 1 * * *", "", 60, "unknown time zone"),
        (
            "0 1 * * *",
            "Etc/UTC",
            0,
            "0s must be between '5m' and '24h'",
        ),
        ("0 1 * * *", "Etc/UTC", -60, "between '5m' and '24h'"),
        (
            "0 1 * * *",
            "Etc/UTC",
            25 * 60,
            "25h must be between '5m' and '24h'",
        ),
        (
            "0 * * * *",
            "Etc/UTC",
            61,
            "\"0 * * * *\" with duration 1h 1m: it opens again before it closes",
        ),
    ] {
        let refused = Schedule::of(&window(fields, zone, minutes)).unwrap_err();
        assert!(
            refused.to_string().contains(expected),
            "{fields} {zone} {minutes}: {refused}"
        );
    }
}

#[test]
fn a_closed_window_stays_closed_when_the_clock_goes_back() {
    let night = schedule("0 1 * * *", "Etc/UTC", 60);
    let (open, opened) = night.look(at("2026-11-24T01:30:00Z"), None);
    assert!(open.is_some());
    let (open, opened) = night.look(at("2026-11-24T02:05:00Z"), opened.as_ref());
    assert_eq!(open, None);
    let (open, opened) = night.look(at("2026-11-24T01:55:00Z"), opened.as_ref());
    assert_eq!(open, None, "ten minutes back");
    let (open, _) = night.look(at("2026-11-25T01:00:00Z"), opened.as_ref());
    assert!(open.is_some(), "the next night");
}

#[test]
fn an_open_window_stays_open_when_the_clock_goes_back_before_it() {
    let night = schedule("0 1 * * *", "Etc/UTC", 60);
    let (_, opened) = night.look(at("2026-11-24T01:00:05Z"), None);
    let (open, opened) = night.look(at("2026-11-24T00:55:00Z"), opened.as_ref());
    assert!(open.is_some());
    assert!(!opened.unwrap().closed);
}

#[test]
fn one_look_with_a_clock_that_is_back_by_far_changes_nothing() {
    let night = schedule("0 1 * * *", "Etc/UTC", 300);
    let (_, opened) = night.look(at("2026-11-24T03:00:00Z"), None);
    for wrong in [
        "2026-11-23T23:59:00Z",
        "2026-11-23T12:00:00Z",
        "2026-11-23T03:00:00Z",
        "1970-01-01T00:00:00Z",
    ] {
        let (open, kept) = night.look(at(wrong), opened.as_ref());
        assert!(open.is_some(), "{wrong}");
        let (again, kept) = night.look(at("2026-11-24T03:05:00Z"), kept.as_ref());
        assert_eq!((again, &kept), (open, &opened), "{wrong}");
        let (_, closed) = night.look(at("2026-11-24T06:00:00Z"), kept.as_ref());
        let (wrongly, closed) = night.look(at(wrong), closed.as_ref());
        let (later, _) = night.look(at("2026-11-24T05:55:00Z"), closed.as_ref());
        assert_eq!((wrongly, later), (None, None), "closed once, {wrong}");
    }
}

#[test]
fn what_was_opened_by_a_clock_far_ahead_blocks_nothing_for_longer_than_it_is_doubted() {
    let night = schedule("0 1 * * *", "Etc/UTC", 60);
    for last in [None, Some("2026-11-23T01:00:00Z")] {
        let opened = last.map(|last| night.look(at(last), None).1.unwrap());
        let (_, opened) = night.look(at("2036-11-24T01:30:00Z"), opened.as_ref());
        let (_, opened) = night.look(at("2026-11-24T01:30:00Z"), opened.as_ref());
        let (open, _) = night.look(at("2026-11-24T01:40:00Z"), opened.as_ref());
        assert_eq!(open.map(|open| open.open), Some(at("2026-11-24T01:00:00Z")));
    }
}

#[test]
fn one_look_in_the_next_night_opens_this_one_no_second_time() {
    let night = schedule("0 1 * * *", "Etc/UTC", 300);
    let (mut opened, mut openings) = (None, Vec::new());
    for now in [
        "2026-11-24T03:00:00Z",
        "2026-11-25T03:00:00Z",
        "2026-11-24T03:05:00Z",
        "2026-11-24T03:20:00Z",
        "2026-11-25T01:00:00Z",
    ] {
        let (open, kept) = night.look(at(now), opened.as_ref());
        openings.extend(open.map(|open| open.open));
        opened = kept;
    }
    openings.dedup();
    assert_eq!(
        openings
            .iter()
            .filter(|open| **open == at("2026-11-24T01:00:00Z"))
            .count(),
        1
    );
}

#[test]
fn a_day_that_meets_itself_in_the_short_night_goes_on() {
    let day = schedule("0 0 * * *", "Europe/Berlin", 24 * 60);
    let mut opened = None;
    let mut now = at("2026-03-28T12:00:00Z");
    while now < at("2026-03-30T12:00:00Z") {
        let (open, kept) = day.look(now, opened.as_ref());
        assert!(open.is_some(), "{now}");
        opened = kept;
        now = now.saturating_add(SignedDuration::from_mins(10)).unwrap();
    }
}

#[test]
fn a_window_that_was_edited_away_is_closed() {
    let before = schedule("0 1 * * *", "Etc/UTC", 300);
    let (_, opened) = before.look(at("2026-11-24T01:30:00Z"), None);
    let after = schedule("0 5 * * *", "Etc/UTC", 300);
    let (open, opened) = after.look(at("2026-11-24T01:45:00Z"), opened.as_ref());
    assert_eq!((open, opened.unwrap().closed), (None, true));
}

proptest! {
    /// Steps of the clock, ten minutes back included, and restarts at which the memory is all that is left.
    #[test]
    fn a_window_is_opened_once_and_closed_once_whatever_the_clock_does(
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"]),
        start in prop::sample::select(vec!["2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z", "2026-03-07T00:00:00Z", "2026-04-04T00:00:00Z"]),
        hour in 0u8..24,
        minute in 0u8..60,
        steps in prop::collection::vec(-600i64..1800, 1..400),
    ) {
        let schedule = schedule(&format!("{minute} {hour} * * *"), zone, 90);
        let (mut now, mut opened) = (at(start), None);
        let (mut openings, mut closings, mut last) = (Vec::new(), Vec::new(), None);
        for step in steps {
            now = now.saturating_add(SignedDuration::from_secs(step)).unwrap();
            // A restart: what is stored is all that is left.
            let stored = serde_json::to_string(&opened).unwrap();
            opened = serde_json::from_str(&stored).unwrap();
            let (open, next) = schedule.look(now, opened.as_ref());
            opened = next;
            prop_assert_eq!(schedule.look(now, opened.as_ref()).0, open, "a second look");
            if open != last {
                openings.extend(open);
                closings.extend(last);
            }
            last = open;
        }
        let distinct = |of: &[Occurrence]| of.iter().collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(distinct(&openings), openings.len());
        prop_assert_eq!(distinct(&closings), closings.len());
    }
}
