//! The message pipeline as processes, on a real broker and store: what faults do to it, and how fast it is.

use super::choices::{Choice, Value, choice};
use super::program::Program;
use super::{Benchmark, Kind};

/// What the program of `ledger` takes.
pub const LEDGER_CHOICES: &[Choice] = &[
    choice("--messages", Value::Number),
    choice("--rate", Value::Number),
    choice("--faults", Value::Number),
    choice("--only", Value::Text),
];

/// What the program of `hub` takes.
pub const HUB_CHOICES: &[Choice] = &[
    choice("--rate", Value::Number),
    choice("--seconds", Value::Number),
    choice("--questions", Value::Number),
    choice("--exponent-hundredths", Value::Number),
    choice("--sockets", Value::Number),
];

/// Nothing lost, doubled or reordered, whatever dies.
pub const LEDGER: Benchmark = Benchmark {
    name: "ledger",
    what: "200,000 messages under faults, with idempotency keys and without: lost, doubled, in doubt, reordered",
    minutes: 26.0,
    quick_minutes: 7.0,
    kind: Kind::Programs {
        programs: &[Program {
            label: "ours",
            binary: "bench-ledger",
            beside: &["chatbot"],
            arguments: &[],
            choices: LEDGER_CHOICES,
        }],
        rounds: 1,
        quick_rounds: 1,
    },
};

/// From webhook to platform.
pub const HUB: Benchmark = Benchmark {
    name: "hub",
    what: "from a signed webhook through broker, worker and cache to the platform: times, highest rate, routes, sockets",
    minutes: 5.0,
    quick_minutes: 2.0,
    kind: Kind::Programs {
        programs: &[Program {
            label: "ours",
            binary: "bench-hub",
            beside: &["chatbot"],
            arguments: &[],
            choices: HUB_CHOICES,
        }],
        rounds: 1,
        quick_rounds: 1,
    },
};
