//! A benchmark that is a program of some crate: built in release, run for several rounds, its last line read.
//!
//! Its progress is what it writes to standard error; the last line of its standard output is one [`Report`] as JSON.
//! What it took in time, CPU and memory is measured here and needs no word of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use super::Wish;
use super::choices::Choice;
use super::measure::{self, Taken};
use super::report::{Report, Row, Summary};
use crate::command;
use crate::places::Places;
use crate::rust_build;
use crate::steps::Steps;

/// A program, and how it is called.
pub struct Program {
    /// What it is called in the table, such as `ours`.
    pub label: &'static str,
    /// The `[[bin]]` of the workspace.
    pub binary: &'static str,
    /// Further ones that it starts: built as well, and found beside it.
    pub beside: &'static [&'static str],
    /// Given before everything else.
    pub arguments: &'static [&'static str],
    /// What else it takes.
    pub choices: &'static [Choice],
}

/// Builds all, runs their rounds interleaved, and puts the peers beside the first.
pub fn run(
    places: &Places,
    wish: &Wish,
    steps: &Steps,
    programs: &[Program],
    rounds: u8,
) -> Result<Summary> {
    for other in programs.iter().flat_map(|program| program.beside) {
        build(places, steps, other)?;
    }
    let paths: Vec<PathBuf> = programs
        .iter()
        .map(|program| build(places, steps, program.binary))
        .collect::<Result<_>>()?;
    let mut found: Vec<Vec<Report>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        // Interleaved: what else the machine does meanwhile falls on all alike.
        for ((program, path), reports) in programs.iter().zip(&paths).zip(&mut found) {
            let name = format!("round {round} of {rounds}, {}", program.label);
            let mut call = Command::new(path);
            call.current_dir(&places.repository).args(program.arguments);
            call.args(wish.quick.then_some("--quick"));
            call.arg("--seed").arg(wish.seed.to_string());
            call.args(&wish.more);
            let (mut report, taken) = report_of(&mut call, steps, &name)?;
            add(&mut report, &taken);
            reports.push(report);
        }
    }
    let mut summaries = found.iter().map(|reports| Summary::of(reports));
    let ours = summaries.next().context("there is no program to run")??;
    programs
        .iter()
        .skip(1)
        .zip(summaries)
        .try_fold(ours, |ours, (peer, theirs)| {
            Ok(ours.beside(peer.label, &theirs?))
        })
}

/// Builds one program of the workspace in release, and gives its path.
pub fn build(places: &Places, steps: &Steps, binary: &str) -> Result<PathBuf> {
    steps.say(
        "build",
        &format!("{binary} in release (minutes the first time)"),
    );
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&places.repository)
        .args(["build", "--release", "--workspace", "--bin", binary])
        // The lints have their own build.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CLIPPY_ARGS");
    let compiled = AtomicU32::new(0);
    command::watched(&mut cargo, |line| {
        rust_build::show(steps, "build", &compiled, line);
    })
    .with_context(|| format!("failed to build {binary}"))?;
    let path = places.binaries.with_file_name("release").join(binary);
    if !path.exists() {
        bail!("cargo built {binary}, but it is not at {}", path.display());
    }
    Ok(path)
}

/// One run. A program that ends with a failure and a report has found something that must not be: the report says what.
pub fn report_of(call: &mut Command, steps: &Steps, name: &str) -> Result<(Report, Taken)> {
    let started = Instant::now();
    let mut child = call
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{}`", command::line(call)))?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (said, taken) = thread::scope(|scope| {
        let said = scope.spawn(|| output.map(read));
        scope.spawn(|| errors.map(|errors| progress(errors, steps, name)));
        let taken = measure::to_the_end(&mut child, started);
        let said = said
            .join()
            .map_err(|_| anyhow!("failed to read its output"));
        Ok::<_, anyhow::Error>((said?, taken?))
    })?;
    let said = said.unwrap_or_default();
    let succeeded = reap(&mut child, call)?;
    let report = said
        .trim_end()
        .lines()
        .last()
        .context("it printed nothing")
        .and_then(Report::parse)
        .with_context(|| {
            let end = if succeeded { "succeeded" } else { "failed" };
            format!("`{}` {end} without a report", command::line(call))
        })?;
    if !succeeded
        && Summary::of(std::slice::from_ref(&report))?
            .broken()
            .is_empty()
    {
        bail!("`{}` failed, and says nothing of why", command::line(call));
    }
    steps.say(
        name,
        &format!("{:.1} s, {:.1} CPU-s", taken.seconds, taken.cpu_s),
    );
    Ok((report, taken))
}

fn reap(child: &mut Child, call: &Command) -> Result<bool> {
    let status = child.wait();
    let status = status.with_context(|| format!("failed to wait for `{}`", command::line(call)))?;
    Ok(status.success())
}

fn read(mut output: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = output.read_to_end(&mut bytes); // what was read before counts
    String::from_utf8_lossy(&bytes).into_owned()
}

fn progress(errors: impl Read, steps: &Steps, name: &str) {
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        steps.say(name, &line);
    }
}

/// What was measured, in the table and in the result.
fn add(report: &mut Report, taken: &Taken) {
    report.rows.extend([
        Row::new("time of the run", "s", taken.seconds),
        Row::new("CPU of the run", "s", taken.cpu_s),
        Row::new("most memory of the run", "MiB", taken.peak_mib),
    ]);
    report.result.insert(
        "run".to_owned(),
        json!({ "seconds": taken.seconds, "cpu_s": taken.cpu_s, "peak_mib": taken.peak_mib }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_shell(script: &str) -> Result<Report> {
        let steps = Steps::begin("a test", &[], 0.0);
        let mut shell = Command::new("sh");
        let (mut report, taken) = report_of(shell.args(["-c", script]), &steps, "round")?;
        add(&mut report, &taken);
        Ok(report)
    }

    #[test]
    fn the_last_line_is_read_and_the_rest_is_not() {
        let report =
            run_shell(r#"echo working >&2; echo a table; echo '{"result":{"wape":13}}'; echo "#);
        let report = report.unwrap();
        assert_eq!(report.result["wape"], 13);
        assert!(report.result["run"]["cpu_s"].is_number());
        assert!(report.rows.iter().any(|row| row.name == "time of the run"));
    }

    #[test]
    fn a_failure_with_a_report_is_a_finding_and_one_without_is_an_error() {
        let found = run_shell(r#"echo '{"must_be_zero":{"breaches":2}}'; exit 1"#).unwrap();
        assert_eq!(found.must_be_zero["breaches"], 2);
        let failed = run_shell(r#"echo '{"result":{}}'; exit 1"#).unwrap_err();
        assert!(failed.to_string().contains("says nothing of why"));
        let silent = format!("{:#}", run_shell("exit 3").unwrap_err());
        assert!(silent.contains("failed without a report"), "{silent}");
        assert!(silent.contains("it printed nothing"), "{silent}");
    }
}
