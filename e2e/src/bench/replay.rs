//! What is decided ahead of time, played in virtual time: recorded load and spot capacity through the planner itself.
//! The same traces and the same seed give the same figures: one round says all.

use super::choices::{Choice, Value, choice};
use super::program::Program;
use super::{Benchmark, Kind};

/// What the program takes.
pub const CHOICES: &[Choice] = &[
    choice("--data", Value::Folder),
    choice("--trace", Value::File),
    choice("--time", Value::Text),
    choice("--value", Value::Text),
    choice("--step", Value::Number),
    choice("--counter", Value::None),
    choice("--zero-is-gap", Value::None),
    choice("--days", Value::Number),
    choice("--left-out", Value::Number),
    choice("--fill", Value::Number),
    choice("--percentile", Value::Number),
    choice("--spot-trace", Value::File),
    choice("--nodes", Value::Number),
    choice("--standby", Value::Number),
    choice("--idle", Value::Number),
];

/// How little is lost with how little capacity.
pub const ELASTICITY: Benchmark = Benchmark {
    name: "elasticity",
    what: "volume lost and capacity used on recorded load, beside the autoscaler alone (--data DIR or --trace FILE)",
    minutes: 1.0,
    quick_minutes: 0.2,
    kind: Kind::Programs {
        programs: &[Program {
            label: "ours",
            binary: "bench-ahead",
            beside: &[],
            arguments: &["elasticity"],
            choices: CHOICES,
        }],
        rounds: 1,
        quick_rounds: 1,
    },
};

/// What spot capacity saves.
pub const SPOT: Benchmark = Benchmark {
    name: "spot",
    what: "cost and readiness on recorded churn and seeded zones, beside a bound (--data DIR or --spot-trace FILE)",
    minutes: 3.0,
    quick_minutes: 1.0,
    kind: Kind::Programs {
        programs: &[Program {
            label: "ours",
            binary: "bench-ahead",
            beside: &[],
            arguments: &["spot"],
            choices: CHOICES,
        }],
        rounds: 1,
        quick_rounds: 1,
    },
};

/// What can be lent.
pub const TRAINING: Benchmark = Benchmark {
    name: "training",
    what: "capacity-hours lent on recorded load, and how long production waits for one (--data DIR or --trace FILE)",
    minutes: 1.0,
    quick_minutes: 0.2,
    kind: Kind::Programs {
        programs: &[Program {
            label: "ours",
            binary: "bench-ahead",
            beside: &[],
            arguments: &["training"],
            choices: CHOICES,
        }],
        rounds: 1,
        quick_rounds: 1,
    },
};

/// Everything at once.
pub const DAY: Benchmark = Benchmark {
    name: "day",
    what: "seven days of load on 40 nodes with spot, training, standby, events and errors at once (--data DIR or --trace FILE)",
    minutes: 3.0,
    quick_minutes: 1.0,
    kind: Kind::Programs {
        programs: &[Program {
            label: "ours",
            binary: "bench-ahead",
            beside: &[],
            arguments: &["day"],
            choices: CHOICES,
        }],
        rounds: 1,
        quick_rounds: 1,
    },
};
