//! The benchmarks `elasticity`, `spot`, `training` and `day`; what they print is described in `e2e/BENCHMARKS.md`.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    chatbot_trace::bench::ahead::run(&chatbot_trace::bench::ahead::Arguments::parse())
}
