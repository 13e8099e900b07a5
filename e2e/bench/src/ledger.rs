//! The benchmark `ledger`: messages over a real broker and store while everything that can fail does, once on a platform
//! with idempotency keys and once on one without. Every effect that a user sees is counted.

pub mod judge;
pub mod load;
pub mod logs;
mod report;
mod run;
pub mod schedule;
mod site;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use crate::conclude;
use crate::platform::Platform;

/// Counts what is lost, doubled and reordered under faults.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// A fiftieth of the messages, with every fault once.
    #[arg(long)]
    quick: bool,
    /// Load, faults and what the platform leaves unknown are drawn from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Messages on each platform (200,000; quick: 4,000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..1_000_000))]
    messages: Option<u32>,
    /// Messages a second (400; quick: 40)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..10_000))]
    rate: Option<u32>,
    /// How often each kind of fault comes (3; quick: 1)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..100))]
    faults: Option<u32>,
    /// One platform only: `keys` or `no_keys`
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    only: Option<Platform>,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    messages: u32,
    /// A second.
    rate: u32,
    /// Times that each kind of fault comes.
    faults: u32,
    seed: u64,
}

impl Extent {
    fn of(arguments: &Arguments) -> Self {
        let (messages, rate, faults) = if arguments.quick {
            (4_000, 40, 1)
        } else {
            (200_000, 400, 3)
        };
        Self {
            messages: arguments.messages.unwrap_or(messages),
            rate: arguments.rate.unwrap_or(rate),
            faults: arguments.faults.unwrap_or(faults),
            seed: arguments.seed,
        }
    }

    /// How long the deliveries of a run take.
    fn span(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.messages) / f64::from(self.rate))
    }
}

fn platform(text: &str) -> Result<Platform, &'static str> {
    let mut all = Platform::ALL.into_iter();
    all.find(|platform| platform.name() == text)
        .ok_or("must be `keys` or `no_keys`")
}

/// Prints progress to standard error and the report to standard output.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let extent = Extent::of(arguments);
    let mut outcomes = Vec::new();
    for platform in Platform::ALL {
        if arguments.only.is_none_or(|only| only == platform) {
            outcomes.push(run::run(platform, extent)?);
        }
    }
    conclude(report::report(&outcomes))
}
