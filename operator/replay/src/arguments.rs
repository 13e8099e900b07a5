//! How the benchmarks are called.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Recorded load and spot capacity through the planner, in virtual time.
#[derive(Parser)]
pub struct Arguments {
    /// What is shown.
    pub benchmark: Benchmark,
    /// The folder with the recorded traces.
    #[arg(long, default_value = "../shared/data")]
    pub data: PathBuf,
    /// A trace of your own, in place of the recorded load; `.gz` is unpacked.
    #[arg(long)]
    pub trace: Option<PathBuf>,
    /// Its column of times.
    #[arg(long)]
    pub time: Option<String>,
    /// Its column of values.
    #[arg(long)]
    pub value: Option<String>,
    /// Seconds of one of its slots.
    #[arg(long)]
    pub step: Option<u32>,
    /// Days at its end that are played.
    #[arg(long, default_value_t = 5)]
    pub days: i64,
    /// Days at the end that are left out.
    #[arg(long, default_value_t = 0)]
    pub left_out: i64,
    /// How busy instances may be at the percentile that is prepared for, percent; the planner's own choice when absent.
    #[arg(long)]
    pub fill: Option<u32>,
    /// The percentile of the forecast that is prepared for; the planner's own choice when absent.
    #[arg(long)]
    pub percentile: Option<u8>,
    /// Spot capacity of your own, in place of the recorded churn: seconds, zone, obtainable instances.
    #[arg(long)]
    pub spot_trace: Option<PathBuf>,
    /// Nodes of the service in it; half of what there ever was when absent.
    #[arg(long)]
    pub nodes: Option<u32>,
    /// Standby nodes. Absent: for `elasticity` as many as the largest rise of the days before needs, for `spot` 4.
    #[arg(long)]
    pub standby: Option<u32>,
    /// Seconds for which a node is empty before it is let go.
    #[arg(long, default_value_t = 600)]
    pub idle: i64,
    /// What chance is made from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// One series, two days.
    #[arg(long)]
    pub quick: bool,
}

/// What is shown.
#[derive(Clone, Copy, ValueEnum)]
pub enum Benchmark {
    /// How little is lost with how little capacity.
    Elasticity,
    /// What spot capacity saves.
    Spot,
    /// What can be lent.
    Training,
    /// Everything at once.
    Day,
}
