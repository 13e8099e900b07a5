use chatbot_forecast::Settings;
use chatbot_forecast::backtest::backtest;
use chatbot_forecast::trace::Series;

use super::{refusal, steps};

#[test]
fn a_trace_that_is_too_short_is_refused_with_the_option_and_the_least_that_would_do() {
    let settings = Settings::new(600, 3);
    let refused = |slots: usize, days: usize| {
        let series = Series {
            begin: jiff::Timestamp::UNIX_EPOCH,
            step: 600,
            values: vec![Some(1.0); slots],
        };
        let refused = backtest(&series, &settings, days * 144).err();
        refused.map(|refused| refusal(refused, &settings).to_string())
    };
    for slots in [2, 288, 290] {
        let told = refused(slots, 1).unwrap_or_default();
        for part in ["--trace", "the least is 291", "--step"] {
            assert!(told.contains(part), "{told}");
        }
    }
    assert_eq!(refused(291, 1), None);
    let told = refused(5 * 144, 5).unwrap_or_default();
    for part in ["--test-days 5", "at most --test-days 3"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(refused(5 * 144, 3), None);
}

#[test]
fn minutes_that_are_too_many_are_refused_and_never_wrap_around() {
    assert_eq!(steps(30, 600).unwrap(), 3);
    for minutes in [0, 481, 71_582_789, u32::MAX] {
        let refused = steps(minutes, 600).unwrap_err().to_string();
        assert!(refused.contains("give 1 to 48"), "{refused}");
    }
}
