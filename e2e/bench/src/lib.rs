//! The benchmarks of the message pipeline: its own processes on a real broker and store, between a stand-in for the chat
//! platform and a stand-in for the model.
//!
//! - [`ledger`]: everything that can fail does, at seeded moments; every effect is counted.
//! - [`hub`]: how long a message takes, and how many there can be.
//!
//! Both use the rest: [`platform`] writes and reads the formats, [`stand_in`] is the platform's server, [`model`] the
//! model's, [`sender`] delivers as a platform does, [`service`] starts and harms processes. What decides is pure and has
//! its tests beside it: loads, schedules, judgements.

pub mod hub;
pub mod ledger;
pub mod model;
pub mod platform;
pub mod sender;
pub mod service;
pub mod stand_in;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use chatbot_e2e::bench::report::{Report, Summary};

/// Microseconds since 1970.
#[must_use]
pub fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Prints the report as the last line, and fails when something that must be zero is not.
pub(crate) fn conclude(report: Report) -> Result<ExitCode> {
    println!("{}", report.line());
    let broken = !Summary::of(&[report])?.broken().is_empty();
    Ok(if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// A number for one event, the same whenever it is asked for: what is drawn for a message does not depend on when the
/// message comes.
#[must_use]
pub fn drawn(seed: u64, event: u64, time: u64) -> fastrand::Rng {
    // One step of SplitMix64 each, so that neighbours have nothing in common.
    let mixed = [event, time].iter().fold(seed, |state, word| {
        let mut state = state ^ word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^ (state >> 31)
    });
    fastrand::Rng::with_seed(mixed)
}

#[cfg(test)]
mod tests {
    use chatbot_e2e::bench::choices::{Choice, Value};
    use chatbot_e2e::bench::pipeline::{HUB_CHOICES, LEDGER_CHOICES};
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_harness_knows_what_the_programs_take() {
        // The harness gives those.
        let given = ["seed", "quick", "help"];
        for (command, choices) in [
            (ledger::Arguments::command(), LEDGER_CHOICES),
            (hub::Arguments::command(), HUB_CHOICES),
        ] {
            let names = command.get_arguments().filter_map(|known| known.get_long());
            let mut names: Vec<_> = names.filter(|name| !given.contains(name)).collect();
            let listed = |choice: &Choice| choice.name.trim_start_matches('-');
            let mut listed: Vec<_> = choices.iter().map(listed).collect();
            assert!(choices.iter().all(|choice| choice.value != Value::None));
            names.sort_unstable();
            listed.sort_unstable();
            assert_eq!(names, listed);
        }
    }

    #[test]
    fn what_is_drawn_for_an_event_is_always_the_same_and_unlike_its_neighbours() {
        let draw = |event, time| drawn(1, event, time).u64(..);
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(2, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
    }
}
