//! The state that is stored between two looks.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{DAY, at, having_seen, load};
use crate::{Forecaster, Settings};

#[test]
fn a_restart_in_the_middle_gives_the_same_numbers_bit_for_bit() {
    let zone = TimeZone::get("Asia/Shanghai").expect("a known zone");
    let mut kept = Forecaster::new(Settings::new(600, 3).in_zone(zone)).expect("valid");
    let mut restarted = kept.clone();
    for slot in 0..9 * DAY {
        let value = (slot % 50 != 0).then(|| load(slot));
        kept.observe(at(slot), value).expect("in order");
        restarted.observe(at(slot), value).expect("in order");
        if slot % 97 == 0 {
            let text = serde_json::to_string(&restarted).expect("is stored");
            restarted = serde_json::from_str(&text).expect("is read");
        }
        assert_eq!(restarted.forecast(), kept.forecast(), "slot {slot}");
    }
    assert_eq!(restarted, kept);
}

#[test]
fn a_stored_state_is_bounded() {
    let stored = |settings: Settings| {
        let step = i64::from(settings.step);
        let mut forecaster = Forecaster::new(settings).expect("valid");
        for slot in 0..9 * 86_400 / step {
            let at = Timestamp::from_second(slot * step).expect("in range");
            forecaster.observe(at, Some(load(slot))).expect("in order");
        }
        serde_json::to_string(&forecaster).expect("is stored").len()
    };
    assert!(stored(Settings::new(600, 3)) < 32 * 1024);
    assert!(stored(Settings::new(300, 6)) < 72 * 1024);
    assert!(stored(Settings::new(60, 30)) < 160 * 1024);
}

#[test]
fn a_damaged_state_or_one_of_another_release_is_refused() {
    let forecaster = having_seen(0..2 * DAY, |slot| Some(load(slot)));
    let text = serde_json::to_string(&forecaster).expect("is stored");
    let refused = |text: &str| {
        serde_json::from_str::<Forecaster>(text)
            .expect_err("is refused")
            .to_string()
    };
    assert!(refused(&text.replacen("\"version\":3", "\"version\":1", 1)).contains("version 1"));
    assert!(refused(&text.replacen("\"step\":600", "\"step\":7", 1)).contains("settings"));
    assert!(refused(&text.replacen("\"horizon\":3", "\"horizon\":2", 1)).contains("damaged"));
    let at = text.find("\"products\":\"").expect("is there") + 12;
    let cut = format!("{}{}", &text[..at], &text[at + 32..]);
    assert!(refused(&cut).contains("another length") || refused(&cut).contains("damaged"));
    refused(&text[..text.len() / 2]);
    refused("{}");
}
