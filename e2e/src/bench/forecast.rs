//! How good the forecast is on recorded traces, beside simple ones.

use super::program::Program;
use super::{Benchmark, Kind};

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
            arguments: &[],
        }],
        rounds: 3,
        quick_rounds: 1,
    },
};
