//! The benchmark `forecast`; what it prints is described in `e2e/BENCHMARKS.md`.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    chatbot_trace::bench::forecast::run(&chatbot_trace::bench::forecast::Arguments::parse())
}
