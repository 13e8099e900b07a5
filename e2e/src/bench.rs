//! `cargo e2e bench NAME [--quick]`: one harness for every benchmark of the project.
//!
//! A benchmark is a file in `bench/` and one entry in [`ALL`]. It is either a program of some crate, built in release
//! and run for several rounds ([`program`]), or a function here, for what needs a cluster. Both give a [`Report`]; the
//! harness adds what ran on what, prints a table with the peers beside ours, and as the very last line one JSON object.
//! What a program has to print is described in `e2e/BENCHMARKS.md`.

pub mod choices;
pub mod conditions;
pub mod controller;
pub mod forecast;
pub mod measure;
pub mod pipeline;
pub mod program;
pub mod replay;
pub mod report;

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Map;

use crate::places::Places;
use crate::steps::{Step, Steps};

use conditions::Conditions;
use program::Program;
use report::Summary;

/// Every benchmark, by name.
pub const ALL: &[Benchmark] = &[
    controller::CONTROLLER,
    forecast::FORECAST,
    replay::ELASTICITY,
    replay::SPOT,
    replay::TRAINING,
    replay::DAY,
    pipeline::LEDGER,
    pipeline::HUB,
];

/// One benchmark.
pub struct Benchmark {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What it shows.
    pub what: &'static str,
    /// How long it takes on two idle cores once it is built.
    pub minutes: f32,
    /// The same of `--quick`.
    pub quick_minutes: f32,
    /// What is run.
    pub kind: Kind,
}

/// What a benchmark runs.
pub enum Kind {
    /// Programs, ours first, its peers after it; the rounds of all are interleaved.
    Programs {
        /// Each is built in release.
        programs: &'static [Program],
        /// How often each is run.
        rounds: u8,
        /// The same of `--quick`.
        quick_rounds: u8,
    },
    /// Something that takes a cluster: it does its own rounds.
    Own {
        /// Looks at what was asked for, before anything is built.
        check: fn(&Wish) -> Result<()>,
        /// Runs it.
        run: fn(&Places, &Wish, &Steps) -> Result<Summary>,
    },
}

/// What the command line asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Less of everything: it shows that the benchmark works, its figures are rough.
    pub quick: bool,
    /// Whatever is drawn by chance is drawn from this.
    pub seed: u64,
    /// Given on to the benchmark as they are.
    pub more: Vec<String>,
}

impl Wish {
    /// Options of the harness are also understood behind those that are given on.
    #[must_use]
    pub fn new(quick: bool, seed: u64, mut more: Vec<String>) -> Self {
        let before = more.len();
        more.retain(|word| word != "--quick");
        Self {
            quick: quick || more.len() < before,
            seed,
            more,
        }
    }
}

/// The benchmarks and their minutes.
#[must_use]
pub fn list() -> String {
    let mut text = String::from("cargo e2e bench NAME [--quick] [--seed N]\n\n");
    let _ = writeln!(text, "  {:<14} minutes  --quick", "NAME");
    for benchmark in ALL {
        let Benchmark {
            name,
            what,
            minutes,
            quick_minutes,
            ..
        } = benchmark;
        let _ = writeln!(
            text,
            "  {name:<14} {minutes:>7.1}  {quick_minutes:>7.1}  {what}"
        );
    }
    text + "\nMinutes of two idle cores, without building. The last line printed is one JSON object."
}

/// Runs one benchmark and prints its report; fails when something that must be zero is not.
pub fn run(places: &Places, name: &str, wish: &Wish) -> Result<ExitCode> {
    let Some(benchmark) = ALL.iter().find(|benchmark| benchmark.name == name) else {
        let names: Vec<_> = ALL.iter().map(|benchmark| benchmark.name).collect();
        bail!(
            "{name}: there is no such benchmark; choose one of {}",
            names.join(", ")
        );
    };
    // Before minutes of building.
    match &benchmark.kind {
        Kind::Own { check, .. } => check(wish)?,
        Kind::Programs { programs, .. } => {
            for program in *programs {
                choices::check(program.choices, &wish.more, &places.repository)?;
            }
        }
    }
    let minutes = if wish.quick {
        benchmark.quick_minutes
    } else {
        benchmark.minutes
    };
    let plan = [Step::new(benchmark.name, minutes, benchmark.what)];
    let title = format!("cargo e2e bench {name}, seed {}", wish.seed);
    let steps = Steps::begin(&title, &plan, minutes);
    let conditions = Conditions::find(places, wish);
    let summary = match &benchmark.kind {
        Kind::Programs {
            programs,
            rounds,
            quick_rounds,
        } => {
            let rounds = if wish.quick { *quick_rounds } else { *rounds };
            program::run(places, wish, &steps, programs, rounds)?
        }
        Kind::Own { run, .. } => run(places, wish, &steps)?,
    };
    print!("{}", report(name, &conditions, &summary));
    Ok(if summary.broken().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Everything that is printed on standard output; its last line is the JSON object.
fn report(name: &str, conditions: &Conditions, summary: &Summary) -> String {
    let mut text = format!("{}\n\n{}", summary.table(), conditions.text());
    for broken in summary.broken() {
        let _ = writeln!(text, "FAILED: {broken}");
    }
    let mut line = Map::new();
    line.insert("benchmark".to_owned(), name.into());
    line.extend(summary.json());
    line.insert("conditions".to_owned(), conditions.json());
    let _ = writeln!(text, "\n{}", serde_json::Value::Object(line));
    text
}

#[cfg(test)]
mod tests {
    use super::report::Report;
    use super::*;
    use serde_json::{Value, json};

    fn summary(breaches: u32) -> Summary {
        let report = Report::parse(
            &json!({
                "rows": [{ "name": "cost", "unit": "%", "ours": 41, "peers": { "on demand": 100 } }],
                "must_be_zero": { "floor_breaches": breaches },
                "result": { "series": { "a": { "cost": 41 } } },
            })
            .to_string(),
        );
        Summary::of(&[report.unwrap()]).unwrap()
    }

    #[test]
    fn the_last_line_is_one_json_object_with_the_result_s_own_keys() {
        let text = report("spot", &Conditions::default(), &summary(0));
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["series"]["a"]["cost"], 41);
        assert_eq!(last["benchmark"], "spot");
        assert!(last["conditions"].is_object());
        assert!(text.contains("on demand"));
    }

    #[test]
    fn what_must_be_zero_and_is_not_is_told() {
        assert!(summary(0).broken().is_empty());
        let text = report("spot", &Conditions::default(), &summary(3));
        assert!(
            text.contains("FAILED: floor_breaches is 3, and must be 0"),
            "{text}"
        );
    }

    #[test]
    fn quick_is_understood_wherever_it_stands() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let wish = Wish::new(false, 1, words(&["--trace", "a.csv", "--quick"]));
        assert!(wish.quick);
        assert_eq!(wish.more, ["--trace", "a.csv"]);
        assert!(!Wish::new(false, 1, words(&["--trace", "a.csv"])).quick);
    }

    #[test]
    fn the_list_names_every_benchmark_once() {
        let mut names: Vec<_> = ALL.iter().map(|benchmark| benchmark.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| list().contains(name)));
    }
}
