//! The benchmark `ledger`; what it prints is described in `e2e/BENCHMARKS.md`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    chatbot_bench::ledger::run(&chatbot_bench::ledger::Arguments::parse())
}
