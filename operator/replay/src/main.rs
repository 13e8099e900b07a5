//! The benchmarks of what is decided ahead of time: `chatbot-replay elasticity|spot|training|day`. Progress goes to
//! standard error; the last line of standard output is one JSON object.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use chatbot_forecast::trace::{Reading, read};
use chatbot_replay::arguments::{Arguments, Benchmark};
use chatbot_replay::bench::{Report, Series, day, elasticity, spot, training};
use chatbot_replay::trace::{SpotTrace, Trace};
use clap::Parser;

/// The recorded load: name, file, slot of the recording, step of demand, days played, whether a zero is a gap.
const LOAD: [(&str, &str, u32, i64, i64, bool); 3] = [
    (
        "m-small",
        "servegen_m-small_10min.csv.gz",
        600,
        600,
        5,
        true,
    ),
    (
        "m-large",
        "servegen_m-large_10min.csv.gz",
        600,
        600,
        5,
        false,
    ),
    ("worldcup98", "worldcup98_1min.csv.gz", 60, 300, 7, false),
];
/// The recorded churn.
const CHURN: [(&str, &str); 2] = [
    ("p3", "bamboo_p3-trace.csv.gz"),
    ("g4dn", "bamboo_g4dn-trace.csv.gz"),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let report = match arguments.benchmark {
        Benchmark::Elasticity => elasticity::run(&load(&arguments, 3)?)?,
        Benchmark::Training => training::run(&load(&arguments, 2)?)?,
        Benchmark::Day => day::run(&days(load(&arguments, 2)?), arguments.seed)?,
        Benchmark::Spot => spot::run(
            &churn(&arguments)?,
            &spot::Asked {
                seed: arguments.seed,
                standby: arguments.standby.unwrap_or(4),
                idle: arguments.idle,
            },
        )?,
    };
    tell(&report);
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn tell(report: &Report) {
    for row in &report.rows {
        let ours = row
            .ours
            .map_or_else(|| "not known".to_owned(), |ours| format!("{ours:.3}"));
        let peers: Vec<String> = row
            .peers
            .iter()
            .map(|(name, figure)| format!("{name} {:.3}", figure.as_f64().unwrap_or(f64::NAN)))
            .collect();
        let met = match row.met {
            Some(true) => "met",
            Some(false) => "NOT met",
            None => "",
        };
        eprintln!(
            "{:<58} {ours:>10} {:<16} {:<14} {met:<8} {}",
            row.name,
            row.unit,
            row.goal,
            peers.join(", ")
        );
    }
    for (name, count) in &report.must_be_zero {
        eprintln!("{name:<58} {count:>10} must be 0");
    }
}

fn days(all: Vec<Series>) -> Vec<Series> {
    all.into_iter()
        .map(|series| Series { days: 7, ..series })
        .collect()
}

fn load(arguments: &Arguments, most: usize) -> Result<Vec<Series>> {
    if let Some(path) = &arguments.trace {
        let reading = Reading {
            time: arguments.time.clone(),
            value: arguments.value.clone(),
            step: arguments.step,
            ..Reading::default()
        };
        let trace = series(path, &reading)?;
        // Demand is told in steps of at least five minutes.
        let step = trace.step.max(300 / trace.step * trace.step);
        return Ok(vec![Series {
            name: "trace".to_owned(),
            trace,
            step,
            days: arguments.days,
            left_out: arguments.left_out,
            fill_percent: arguments.fill,
            percentile: arguments.percentile,
            standby: arguments.standby,
        }]);
    }
    let folder = &arguments.data;
    let most = if arguments.quick { 1 } else { most };
    LOAD.iter()
        .take(most)
        .map(|(name, file, slot, step, days, zero_is_gap)| {
            let reading = Reading {
                step: Some(*slot),
                zero_is_gap: *zero_is_gap,
                ..Reading::default()
            };
            Ok(Series {
                name: (*name).to_owned(),
                trace: series(&folder.join(file), &reading)?,
                step: *step,
                days: if arguments.quick { 2 } else { *days },
                left_out: arguments.left_out,
                fill_percent: arguments.fill,
                percentile: arguments.percentile,
                standby: arguments.standby,
            })
        })
        .collect()
}

fn series(path: &Path, reading: &Reading) -> Result<Trace> {
    let series = read(&bytes(path)?, reading)
        .with_context(|| format!("failed to read {}", path.display()))?;
    Ok(Trace::of(&series))
}

fn churn(arguments: &Arguments) -> Result<Vec<spot::Case>> {
    let sized = |mut case: spot::Case| {
        case.nodes = arguments.nodes.unwrap_or(case.nodes);
        case
    };
    if let Some(path) = &arguments.spot_trace {
        let trace = SpotTrace::parse(&text(path)?)?;
        return Ok(vec![sized(spot::Case::half("trace", trace))]);
    }
    let mut cases = Vec::new();
    for (name, file) in CHURN {
        let trace = SpotTrace::churn(&text(&arguments.data.join(file))?)?;
        cases.push(sized(spot::Case::half(name, trace)));
    }
    cases.extend(spot::seeded(arguments.seed));
    if arguments.quick {
        cases.truncate(1);
    }
    Ok(cases)
}

fn text(path: &Path) -> Result<String> {
    String::from_utf8(bytes(path)?).with_context(|| format!("{} is not UTF-8", path.display()))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "gz") {
        return fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    }
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(path)
        .output()
        .context("failed to run gzip")?;
    if !unpacked.status.success() {
        bail!(
            "failed to unpack {}: {}",
            path.display(),
            String::from_utf8_lossy(&unpacked.stderr).trim()
        );
    }
    Ok(unpacked.stdout)
}
