//! How good the forecast is on recorded traces, beside simple ones.

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
    choice("--test-days", Value::Number),
    choice("--pictures", Value::Text),
];

/// The benchmark `forecast`. The same traces give the same figures: one round says all but the time of a tick.
pub const FORECAST: Benchmark = Benchmark {
    name: "forecast",
    what: "error and coverage 30 minutes ahead on recorded traces (--data DIR or --trace FILE), and a tick of many series",
    minutes: 0.5,
    quick_minutes: 0.2,
    kind: Kind::Programs {
        programs: &[Program {
            label: "ours",
            binary: "bench-forecast",
            beside: &[],
            arguments: &[],
            choices: CHOICES,
        }],
        rounds: 3,
        quick_rounds: 1,
    },
};
