//! The benchmark `hub`; what it prints is described in `e2e/BENCHMARKS.md`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    chatbot_bench::hub::run(&chatbot_bench::hub::Arguments::parse())
}
