//! The benchmarks `elasticity`, `spot`, `training` and `day`: recorded load and spot capacity through the planner, in
//! virtual time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chatbot_forecast::trace;
use chatbot_replay::bench::{Report, Series, day, elasticity, spot, training};
use chatbot_replay::trace::{SpotTrace, Trace};
use clap::{Parser, ValueEnum};

use super::{RECORDED, there};
use crate::file::{Columns, bytes, series};
use crate::table::figure;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days that `day` plays.
const WEEK: i64 = 7;
/// Days that are played of a trace of somebody's own.
const OWN_DAYS: i64 = 5;
/// Seconds for which a spot node is empty before it is let go.
const IDLE: i64 = 600;
/// The most days of spot capacity that are played.
const MOST_DAYS: i64 = 31;
/// The recorded churn.
const CHURN: [(&str, &str); 2] = [
    ("p3", "bamboo_p3-trace.csv.gz"),
    ("g4dn", "bamboo_g4dn-trace.csv.gz"),
];

/// Recorded load and spot capacity through the planner, in virtual time.
#[derive(Parser)]
pub struct Arguments {
    /// What is shown.
    pub benchmark: Benchmark,
    /// The folder with the recorded traces.
    #[arg(long, default_value = "../shared/data")]
    pub data: PathBuf,
    /// A trace of your own, in place of the recorded load.
    #[arg(long)]
    pub trace: Option<PathBuf>,
    #[command(flatten)]
    columns: Columns,
    /// Days at its end that are played. Absent: 7 for `day`, else 5; with --quick 2.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=366))]
    pub days: Option<i64>,
    /// Days at the end that are left out.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=366))]
    pub left_out: i64,
    /// How busy instances may be at the percentile that is prepared for, percent; the planner's own choice when absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub fill: Option<u32>,
    /// The percentile of the forecast that is prepared for; the planner's own choice when absent.
    #[arg(long, value_parser = clap::value_parser!(u8).range(50..=99))]
    pub percentile: Option<u8>,
    /// Spot capacity of your own, in place of the recorded churn, or of the seeded zones of `day`: seconds from the
    /// beginning of the part that is played, zone, obtainable nodes.
    #[arg(long)]
    pub spot_trace: Option<PathBuf>,
    /// Nodes of the service in it; half of what there ever was when absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(spot::LARGEST)))]
    pub nodes: Option<u32>,
    /// Standby nodes. Absent: for `spot` 4, else as many as the largest rise of the days before needs.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub standby: Option<u32>,
    /// Seconds for which a spot node is empty before it is let go; 600 when absent.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..=86_400))]
    pub idle: Option<i64>,
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

impl Arguments {
    /// Refuses what the benchmark would not look at: a person who gives it would be told of something else.
    fn check(&self) -> Result<()> {
        let is_spot = matches!(self.benchmark, Benchmark::Spot);
        let given = [
            ("--trace", self.trace.is_some(), is_spot),
            ("--days", self.days.is_some(), is_spot),
            ("--left-out", self.left_out > 0, is_spot),
            ("--fill", self.fill.is_some(), is_spot),
            ("--percentile", self.percentile.is_some(), is_spot),
            (
                "--spot-trace",
                self.spot_trace.is_some(),
                matches!(self.benchmark, Benchmark::Elasticity | Benchmark::Training),
            ),
            ("--nodes", self.nodes.is_some(), !is_spot),
            ("--idle", self.idle.is_some(), !is_spot),
        ];
        for (option, is_given, is_of_no_use) in given {
            ensure!(
                !(is_given && is_of_no_use),
                "{option}: the benchmark `{}` does not look at it; leave it out",
                self.benchmark
                    .to_possible_value()
                    .map_or_else(String::new, |value| value.get_name().to_owned())
            );
        }
        if let (Benchmark::Day, Some(days)) = (self.benchmark, self.days) {
            ensure!(
                days <= WEEK,
                "--days {days}: the benchmark `day` plays {WEEK} at most; give fewer"
            );
        }
        Ok(())
    }

    /// Days that are played of a series that is made for so many.
    fn days_of(&self, usual: i64) -> i64 {
        let usual = match self.benchmark {
            _ if self.quick => 2,
            Benchmark::Day => WEEK,
            _ => usual,
        };
        self.days.unwrap_or(usual)
    }
}

/// Prints the table to standard error and the report to standard output.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.check()?;
    let report = match arguments.benchmark {
        Benchmark::Elasticity => elasticity::run(&load(arguments, 3)?)?,
        Benchmark::Training => training::run(&load(arguments, 2)?)?,
        Benchmark::Day => {
            let market = own_market(arguments)?;
            day::run(&load(arguments, 2)?, market.as_ref(), arguments.seed)?
        }
        Benchmark::Spot => spot::run(
            &churn(arguments)?,
            &spot::Asked {
                seed: arguments.seed,
                standby: arguments.standby.unwrap_or(4),
                idle: arguments.idle.unwrap_or(IDLE),
            },
        )?,
    };
    tell(&report);
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn tell(report: &Report) {
    for row in &report.rows {
        let ours = figure(row.ours);
        let peers: Vec<String> = row
            .peers
            .iter()
            .map(|(name, other)| format!("{name} {}", figure(other.as_f64())))
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

fn load(arguments: &Arguments, most: usize) -> Result<Vec<Series>> {
    let part = |name: &str, recorded: &trace::Series, step: i64, days: i64| {
        let series = Series {
            name: name.to_owned(),
            trace: Trace::of(recorded),
            step,
            days,
            left_out: arguments.left_out,
            fill_percent: arguments.fill,
            percentile: arguments.percentile,
            standby: arguments.standby,
        };
        playable(&series).map(|()| series)
    };
    if let Some(path) = &arguments.trace {
        let recorded = series(path, &arguments.columns)?;
        let slot = i64::from(recorded.step.max(1));
        // Demand is told in steps of at least five minutes.
        let step = slot.max(300 / slot * slot);
        let days = arguments.days_of(OWN_DAYS);
        return Ok(vec![part("trace", &recorded, step, days)?]);
    }
    let most = if arguments.quick { 1 } else { most };
    let recorded = RECORDED.iter().take(most).map(|recorded| {
        let path = recorded.path(&arguments.data)?;
        let days = arguments.days_of(i64::try_from(recorded.days)?);
        part(
            recorded.name,
            &series(&path, &recorded.columns(recorded.slot))?,
            i64::from(recorded.step),
            days,
        )
    });
    recorded.collect()
}

/// Refuses a part without a day before it where the number of standby nodes follows from the days before.
pub(crate) fn has_days_before(series: &Series) -> Result<()> {
    let there = series.trace.length() / DAY;
    ensure!(
        series.standby.is_some() || series.days + series.left_out < there,
        "{}: of its {there} whole days none is before those that are played, from which the number of standby nodes \
         follows; give --days {} or fewer, or --standby with a number",
        series.name,
        (there - series.left_out - 1).max(1)
    );
    Ok(())
}

/// There are as many days as are to be played, and some load in them: nothing played would be every goal met.
fn playable(series: &Series) -> Result<()> {
    let there = series.trace.length() / DAY;
    ensure!(
        series.days + series.left_out <= there,
        "{}: it has {there} whole days, and --days {} with --left-out {} need more; give fewer",
        series.name,
        series.days,
        series.left_out
    );
    has_days_before(series)?;
    let (from, until) = series.part();
    ensure!(
        series.trace.peak(from, until) > 0.0,
        "{}: there is no load in the days that are played; give another trace or column (--value)",
        series.name
    );
    Ok(())
}

fn churn(arguments: &Arguments) -> Result<Vec<spot::Case>> {
    let sized = |mut case: spot::Case| {
        case.nodes = arguments.nodes.unwrap_or(case.nodes);
        case
    };
    if let Some(trace) = own_market(arguments)? {
        return Ok(vec![sized(spot::Case::half("trace", trace))]);
    }
    let mut cases = Vec::new();
    for (name, file) in CHURN {
        let trace = SpotTrace::churn(&text(&there(&arguments.data, file)?)?)?;
        cases.push(sized(spot::Case::half(name, trace)));
    }
    cases.extend(spot::seeded(arguments.seed));
    if arguments.quick {
        cases.truncate(1);
    }
    Ok(cases)
}

/// Spot capacity of somebody's own.
fn own_market(arguments: &Arguments) -> Result<Option<SpotTrace>> {
    let Some(path) = &arguments.spot_trace else {
        return Ok(None);
    };
    let failed = || format!("failed to read {}", path.display());
    let trace = SpotTrace::parse(&text(path)?).with_context(failed)?;
    // How long `day` is its load says, and what the last row has goes on.
    let least = match arguments.benchmark {
        Benchmark::Day => 0,
        _ => 3600,
    };
    covers(&trace, least).with_context(failed)?;
    Ok(Some(trace))
}

/// A spot trace is of hours, from its beginning on, and of no more days than can be played.
fn covers(trace: &SpotTrace, least: i64) -> Result<()> {
    trace.begins_within(DAY)?;
    let length = trace.length();
    ensure!(
        (least..=MOST_DAYS * DAY).contains(&length),
        "its last row is at {length} s: give an hour to {MOST_DAYS} days, in seconds from its beginning"
    );
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    String::from_utf8(bytes(path)?).with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_trace_that_is_too_short_or_too_long_to_be_played_is_refused() {
        let of = |text| covers(&SpotTrace::parse(text).unwrap(), 3600);
        assert!(of("0,a,3\n3600,a,1\n").is_ok());
        for text in ["0,a,3\n3599,a,1\n", "0,a,3\n100000000000000,a,1\n"] {
            let refused = of(text).unwrap_err().to_string();
            assert!(refused.contains("give an hour to 31 days"), "{refused}");
        }
        assert!(covers(&SpotTrace::parse("0,a,3\n").unwrap(), 0).is_ok());
    }

    #[test]
    fn the_days_that_are_asked_for_are_played_and_some_are_before_them() {
        let of = |given: &[&str]| {
            let all = ["bench-ahead"].iter().chain(given);
            Arguments::try_parse_from(all).unwrap()
        };
        assert_eq!(of(&["day"]).days_of(5), 7);
        assert_eq!(of(&["day", "--days", "3"]).days_of(5), 3);
        assert_eq!(of(&["day", "--quick"]).days_of(5), 2);
        assert_eq!(of(&["training"]).days_of(5), 5);
        let refused = of(&["day", "--days", "8"]).check().unwrap_err();
        assert!(refused.to_string().contains("7 at most"), "{refused}");
        let series = |days, standby| Series {
            name: "own".to_owned(),
            trace: Trace {
                step: 600,
                values: vec![Some(1.0); 7 * 144],
            },
            step: 600,
            days,
            left_out: 0,
            fill_percent: None,
            percentile: None,
            standby,
        };
        assert!(has_days_before(&series(6, None)).is_ok());
        assert!(has_days_before(&series(7, Some(2))).is_ok());
        let refused = has_days_before(&series(7, None)).unwrap_err();
        assert!(refused.to_string().contains("--days 6"), "{refused}");
    }

    #[test]
    fn what_a_benchmark_does_not_look_at_is_refused() {
        let check = |benchmark: &str, option: &str| {
            let given = ["bench-ahead", benchmark, option, "3"];
            Arguments::try_parse_from(given).unwrap().check()
        };
        for (benchmark, option) in [
            ("day", "--spot-trace"),
            ("spot", "--spot-trace"),
            ("day", "--standby"),
            ("training", "--standby"),
            ("day", "--days"),
            ("spot", "--idle"),
        ] {
            assert!(check(benchmark, option).is_ok(), "{benchmark} {option}");
        }
        for (benchmark, option) in [
            ("elasticity", "--spot-trace"),
            ("training", "--spot-trace"),
            ("day", "--nodes"),
            ("spot", "--trace"),
            ("spot", "--days"),
            ("day", "--idle"),
            ("elasticity", "--idle"),
            ("training", "--idle"),
        ] {
            let refused = check(benchmark, option).unwrap_err().to_string();
            assert!(refused.contains("leave it out"), "{refused}");
        }
    }
}
