//! `cargo e2e test`: everything that can fail, least powerful first, counted at the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::audit::{self, Mark};
use crate::checks;
use crate::cluster::Cluster;
use crate::command;
use crate::go_build;
use crate::model;
use crate::places::Places;
use crate::prerequisites::on_path;
use crate::rust_build::{self, Toolchain};
use crate::steps::{Step, Steps};
use crate::up::{self, Purpose, Wish};

/// Tests that `cargo test` leaves out by itself, in one step.
struct Demanding {
    step: &'static str,
    minutes: f32,
    does: &'static str,
    /// Where their crates are.
    folders: &'static [&'static str],
    /// Whether their programs are those with a test on the cluster.
    on_cluster: bool,
    threads: u8,
}

const DEMANDING: [Demanding; 3] = [
    Demanding {
        step: "model tests",
        minutes: 0.3,
        does: "the engine and the processes with a real model",
        folders: &["operator", "workload"],
        on_cluster: false,
        threads: 1,
    },
    Demanding {
        step: "browser and API",
        minutes: 19.0,
        does: "the page in a browser; the operator on API servers of its own, the logs on brokers; two tests at a time",
        folders: &["e2e"],
        on_cluster: false,
        threads: 2,
    },
    Demanding {
        step: "scenarios",
        minutes: 8.0,
        does: "on the cluster, one after the other, each in its own namespace",
        folders: &["e2e"],
        on_cluster: true,
        threads: 1,
    },
];

/// What the reason says for which a test on the cluster is left out by `cargo test`.
const ON_CLUSTER: &str = "needs the cluster";

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    passed: u32,
    failed: u32,
    /// What failed, told once more at the end: names of tests and steps, and where a test panicked and why.
    failures: Vec<String>,
    /// The next line says why a test panicked.
    because: bool,
}

impl Counts {
    /// Adds what a line of a test program's output counts, if it does.
    pub fn add_line(&mut self, line: &str) {
        if std::mem::take(&mut self.because)
            || line.starts_with("test ") && line.ends_with("... FAILED")
        {
            self.failures.push(line.to_owned());
        } else if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.failures.push(line.to_owned());
            self.because = true;
        }
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        let number = |what: &str| {
            let before = result.split(what).next()?;
            before.trim_end().rsplit(' ').next()?.parse().ok()
        };
        self.passed += number(" passed").unwrap_or(0);
        self.failed += number(" failed").unwrap_or(0);
    }

    /// Adds something that was done as a whole.
    fn add(&mut self, steps: &Steps, name: &'static str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                let told = format!("{error:#}");
                steps.say(name, &told);
                self.failed += 1;
                self.failures.push(format!("{name}: {told}"));
            }
        }
    }
}

/// Runs all tests, or the scenarios whose name contains `name`. The last line printed is the count.
pub fn run(
    places: &Places,
    name: Option<&str>,
    all: bool,
    this_program: &Path,
) -> Result<ExitCode> {
    for (tool, component) in [("clippy-driver", "clippy"), ("rustfmt", "rustfmt")] {
        if !on_path(tool) {
            bail!("{tool} is not on PATH: rustup component add {component}");
        }
    }
    if let Some(name) = name {
        check_name(places, name)?;
    }
    let wish = Wish {
        nodes: 3,
        purpose: Purpose::Test,
    };
    let mut plan = up::plan(places, wish);
    if name.is_none() {
        plan.insert(0, Step::new("format", 0.1, "cargo fmt --check"));
        plan.insert(
            2,
            Step::new(
                "tests",
                6.0,
                "cargo test --workspace, with the lints, while Kubernetes is built",
            ),
        );
    }
    if name.is_none() {
        let deny = places.cache.join("tools/bin/cargo-deny").exists();
        plan.push(Step::new(
            "dependencies",
            if deny { 0.1 } else { 5.0 },
            "their licences and sources, by cargo-deny",
        ));
        plan.push(Step::new("chart", 0.1, "helm lint --strict"));
    }
    let demanding = DEMANDING.iter();
    plan.extend(demanding.map(|tests| Step::new(tests.step, tests.minutes, tests.does)));
    // What only the longer scenarios use would be told as unused.
    let rights = all && name.is_none();
    if rights {
        plan.push(Step::new(
            "rights",
            0.1,
            "what the operator may do, against what it has done",
        ));
    }
    let steps = Steps::begin(
        "cargo e2e test: all tests, least powerful first",
        &plan,
        up::total(&plan),
    );
    up::install_packages(&steps)?;
    let mut counts = Counts::default();
    if name.is_none() {
        without_cluster(places, &steps, &mut counts)?;
    }
    let cluster = Cluster::new(places.clone());
    let before = Mark::now(&audit::folder(places));
    match up::start(&cluster, wish, &steps, this_program) {
        Ok(toolchain) => {
            if name.is_none() {
                check(places, &steps, &mut counts);
            }
            for demanding in &DEMANDING {
                demanding.run(places, &toolchain, &steps, (name, all), &mut counts);
            }
            if rights {
                let outcome = steps.run("rights", || audit::check(&cluster, &before));
                counts.add(&steps, "rights", outcome);
            }
        }
        Err(error) => counts.add(&steps, "cluster", Err(error)),
    }
    println!("{}\n", steps.table());
    println!("the cluster goes on running for the next time; `cargo e2e down` ends it\n");
    for failure in &counts.failures {
        println!("failed: {failure}");
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    Ok(if counts.failed == 0 && counts.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Format, lints, unit tests; Kubernetes is built beside them.
fn without_cluster(places: &Places, steps: &Steps, counts: &mut Counts) -> Result<()> {
    let format = steps.run("format", || {
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(&places.repository)
            .args(["fmt", "--all", "--check"]);
        command::output(&mut cargo).map(drop)
    });
    counts.add(steps, "format", format);
    let toolchain = Toolchain::prepare(places, steps)?.for_tests();
    thread::scope(|scope| {
        // Its error is reported when the cluster starts.
        scope.spawn(|| go_build::build(places, |line| steps.say("kubernetes", line)));
        let mut cargo = toolchain.cargo(places);
        cargo.args(["test", "--workspace", "--no-fail-fast"]);
        tests(steps, "tests", &mut cargo, counts);
    });
    Ok(())
}

/// What the project is made of.
fn check(places: &Places, steps: &Steps, counts: &mut Counts) {
    let step = "dependencies";
    let compiled = AtomicU32::new(0);
    let dependencies = steps.run(step, || {
        let unchecked = checks::dependencies(places, |line| {
            rust_build::show(steps, step, &compiled, line);
        })?;
        if let Some(unchecked) = unchecked {
            steps.say(step, unchecked);
        }
        Ok(())
    });
    counts.add(steps, step, dependencies);
    let chart = steps.run("chart", || checks::chart(places));
    counts.add(steps, "chart", chart);
}

/// Refuses a name that no scenario has, before anything is built.
fn check_name(places: &Places, name: &str) -> Result<()> {
    for demanding in &DEMANDING {
        for file in demanding.files(places)? {
            if declares(&fs::read_to_string(file)?, name) {
                return Ok(());
            }
        }
    }
    bail!(
        "no scenario has `{name}` in its name: give a part of the name of a function below e2e/tests, such as \
         `deleted_resource`, or none to run everything"
    )
}

/// Whether a program has a function or a module with the last part of this name in its own.
fn declares(program: &str, name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap_or(name);
    program.lines().any(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "async");
        let is_declaration = matches!(words.next(), Some("fn" | "mod"));
        let declared = words.next().and_then(|word| word.split('(').next());
        is_declaration && declared.is_some_and(|declared| declared.contains(last))
    })
}

impl Demanding {
    /// Runs all of them that are not long, all, or those whose name contains `name`.
    fn run(
        &self,
        places: &Places,
        toolchain: &Toolchain,
        steps: &Steps,
        (name, all): (Option<&str>, bool),
        counts: &mut Counts,
    ) {
        let mut cargo = toolchain.cargo(places);
        cargo.args(["test", "--workspace", "--no-fail-fast"]);
        match self.programs(places) {
            Ok(names) => cargo.args(names.iter().flat_map(|name| ["--test", name])),
            Err(error) => return counts.add(steps, self.step, Err(error)),
        };
        cargo.args(["--", "--ignored"]);
        cargo.arg(format!("--test-threads={}", self.threads));
        if !all && name.is_none() {
            cargo.args(["--skip", "long::"]);
        }
        cargo
            .args(name)
            .env("KUBECONFIG", places.kubeconfig())
            .env("CHATBOT_TEST_MODEL", places.models().join(model::FILE));
        tests(steps, self.step, &mut cargo, counts);
    }

    /// Their programs by name, one per file.
    fn programs(&self, places: &Places) -> Result<BTreeSet<String>> {
        let files = self.files(places)?;
        let name = |file: &PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
        Ok(files.iter().filter_map(name).collect())
    }

    /// The files of their programs: those with a test marked `ignore`.
    fn files(&self, places: &Places) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for folder in self.folders {
            let folder = places.repository.join(folder);
            let mut crates = vec![folder.clone()];
            crates.extend(entries(&folder)?);
            for tests in crates.into_iter().map(|folder| folder.join("tests")) {
                if !tests.is_dir() {
                    continue;
                }
                for file in entries(&tests)? {
                    let is_program = file.extension().is_some_and(|extension| extension == "rs");
                    if !is_program {
                        continue;
                    }
                    let text = fs::read_to_string(&file)?;
                    if text.contains("#[ignore") && text.contains(ON_CLUSTER) == self.on_cluster {
                        files.push(file);
                    }
                }
            }
        }
        Ok(files)
    }
}

/// Runs a `cargo test`, and counts. One that fails without a failed test did not build: that counts as one.
fn tests(steps: &Steps, step: &'static str, cargo: &mut Command, counts: &mut Counts) {
    let compiled = AtomicU32::new(0);
    let counted = Mutex::new(Counts::default());
    let result = steps.run(step, || {
        command::watched(cargo, |line| {
            counted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add_line(line);
            if is_result(line) || (is_told(step) && line.ends_with("... ok")) {
                steps.say(step, line);
            } else if !is_noise(line) {
                rust_build::show(steps, step, &compiled, line);
            }
        })
    });
    let counted = counted.into_inner().unwrap_or_else(PoisonError::into_inner);
    counts.passed += counted.passed;
    counts.failed += counted.failed;
    counts.failures.extend(counted.failures);
    if let Err(error) = result
        && counted.failed == 0
    {
        counts.add(steps, step, Err(error));
    }
}

/// Whether each test of a step is told, too: they take long.
fn is_told(step: &str) -> bool {
    DEMANDING.iter().any(|demanding| demanding.step == step)
}

fn is_result(line: &str) -> bool {
    line.starts_with("test ") && !line.ends_with("... ok") && !line.contains("... ignored")
        || line.starts_with("test result")
}

/// Hundreds of passed tests, and the headings of empty test programs.
fn is_noise(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty()
        || line.starts_with("test ")
        || line.starts_with("running ")
        || line.starts_with("Running ")
        || line.starts_with("Doc-tests ")
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_among_functions_and_modules() {
        let program = "mod long {\n    #[test]\n    async fn a_chat_goes_on() {\n        let other = a_name();\n";
        for name in ["long", "chat_goes", "long::a_chat_goes_on"] {
            assert!(declares(program, name), "{name}");
        }
        for name in ["other", "a_name", "long::rollout"] {
            assert!(!declares(program, name), "{name}");
        }
    }

    #[test]
    fn results_are_summed_over_all_test_programs() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            counts.add_line(line);
        }
        assert_eq!((counts.passed, counts.failed), (16, 2));
    }

    #[test]
    fn what_failed_and_why_is_told_at_the_end() {
        let mut counts = Counts::default();
        let lines = [
            "test a ... ok",
            "test b ... FAILED",
            "thread 'b' (7) panicked at e2e/tests/b.rs:1:1:",
            "not as it should be",
            "stack backtrace:",
        ];
        for line in lines {
            counts.add_line(line);
        }
        assert_eq!(counts.failures, lines[1..4]);
    }

    #[test]
    fn failures_are_shown_and_passed_tests_are_not() {
        assert!(is_result("test tests::this ... FAILED"));
        assert!(!is_result("test tests::this ... ok"));
        assert!(is_noise("test tests::this ... ok"));
        assert!(!is_noise(
            "thread 'tests::this' panicked at src/lib.rs:1:1:"
        ));
    }
}
