//! Many resources at once, on a control plane of its own: what the operator takes in memory and CPU, how fast it
//! starts and repairs, and that it writes nothing at rest.
//!
//! Everything runs in a network namespace of its own, so that pods can have addresses: nodes and pods are KWOK's, which
//! run nothing, and a stand-in answers `/state` at the address of every pod ([`pods`]). etcd, API server, controller
//! manager, scheduler and the operator are the real ones. The autoscaler is left out: nobody measures CPU here.

mod api;
mod operator;
mod pods;
mod programs;
mod repair;
mod rounds;
mod site;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};

use super::report::Summary;
use super::{Benchmark, Kind, Wish, program};
use crate::go_build;
use crate::places::Places;
use crate::steps::Steps;

/// The benchmark's entry.
pub const CONTROLLER: Benchmark = Benchmark {
    name: "controller",
    what: "the operator with 1,000 resources: memory, CPU, start, repair, and no write at rest",
    minutes: 30.0,
    quick_minutes: 4.0,
    kind: Kind::Own { check, run },
};

/// What is run inside the network namespace.
#[derive(Args, Clone, Debug)]
pub struct Inside {
    /// The folder of kwok and of the peer
    #[arg(long)]
    pub programs: PathBuf,
    /// The operator, built in release
    #[arg(long)]
    pub operator: PathBuf,
    /// A small number of resources, and a short rest
    #[arg(long)]
    pub quick: bool,
    /// Which children are harmed is drawn from this
    #[arg(long)]
    pub seed: u64,
    /// How many resources at most (1,000; quick: 50)
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=5000))]
    pub resources: Option<u32>,
    /// How long nothing must be written (600; quick: 60)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rest_seconds: Option<u64>,
    /// How many children are harmed (400; quick: 80)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub repairs: Option<u32>,
}

/// How much of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Numbers of resources at which everything is measured, rising.
    growth: Vec<u32>,
    /// The number at which nothing must be written.
    rest_at: u32,
    rest_seconds: u64,
    repairs: u32,
    restarts: u8,
}

impl Extent {
    fn of(inside: &Inside) -> Self {
        let quick = inside.quick;
        let most = inside.resources.unwrap_or(if quick { 50 } else { 1000 });
        let rest_at = if quick { most } else { most.min(200) };
        let mut growth = vec![most / 10, rest_at, most];
        growth.sort_unstable();
        growth.dedup();
        Self {
            growth,
            rest_at,
            rest_seconds: inside.rest_seconds.unwrap_or(if quick { 60 } else { 600 }),
            repairs: inside.repairs.unwrap_or(if quick { 80 } else { 400 }),
            restarts: if quick { 1 } else { 3 },
        }
    }

    fn most(&self) -> u32 {
        self.growth.last().copied().unwrap_or_default()
    }
}

/// What is run inside, as a command line of its own.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    _inside: Inside,
}

/// Refuses here what would be refused inside, when everything is built.
fn check(wish: &Wish) -> Result<()> {
    let known = ["bench", "--programs=-", "--operator=-", "--seed=1"];
    let words = known
        .into_iter()
        .chain(wish.more.iter().map(String::as_str));
    if let Err(error) = Line::try_parse_from(words) {
        let text = error.to_string();
        let what = text.split("\n\n").next().unwrap_or_default();
        bail!("{}", what.trim_start_matches("error: "));
    }
    Ok(())
}

/// Builds everything, and runs the rest of it in a network namespace of its own.
fn run(places: &Places, wish: &Wish, steps: &Steps) -> Result<Summary> {
    if !rustix::process::geteuid().is_root() {
        bail!("this benchmark makes a network namespace, which only root may: run it as root");
    }
    go_build::build(places, |line| steps.say("build", line))?;
    let programs = programs::build(places, |line| steps.say("build", line))?;
    let operator = program::build(places, steps, "chatbot-operator")?;
    let folder = std::env::temp_dir().join(format!("chatbot-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    // What it starts ends with it, and it ends with this process.
    let mut inside = Command::new("setpriv");
    inside
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--"])
        // Not by its name: cargo may have replaced the file meanwhile.
        .arg(format!("/proc/{}/exe", std::process::id()))
        .arg("bench-controller")
        .arg("--programs")
        .arg(&programs)
        .arg("--operator")
        .arg(&operator)
        .args(wish.quick.then_some("--quick"))
        .args(["--seed", &wish.seed.to_string()])
        .args(&wish.more)
        .env("TMPDIR", &folder);
    let report = program::report_of(&mut inside, steps, "controller");
    let _ = std::fs::remove_dir_all(&folder); // nothing but what was measured here
    Summary::of(&[report?.0])
}

/// The part inside the namespace: a program by the harness's own contract.
pub fn inside(inside: &Inside) -> Result<ExitCode> {
    let extent = Extent::of(inside);
    let mut site = site::Site::start(inside, &extent)?;
    let report = rounds::measure(&mut site, inside, &extent)?;
    let broken = !Summary::of(std::slice::from_ref(&report))?
        .broken()
        .is_empty();
    println!("{}", report.line());
    Ok(if broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// A line of progress.
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(quick: bool, resources: Option<u32>) -> Extent {
        Extent::of(&Inside {
            programs: PathBuf::new(),
            operator: PathBuf::new(),
            quick,
            seed: 1,
            resources,
            rest_seconds: None,
            repairs: None,
        })
    }

    #[test]
    fn what_it_does_not_know_is_refused_before_anything_is_built() {
        let checked = |words: &[&str]| {
            let more = words.iter().map(|word| (*word).to_owned()).collect();
            check(&Wish::new(false, 1, more))
        };
        checked(&["--quick", "--resources", "20", "--rest-seconds=5"]).unwrap();
        for (words, told) in [
            (&["--quik"][..], "--quik"),
            (&["--resources", "0"], "--resources"),
            (&["--rest-seconds", "-1"], "-1"),
            (&["--operator", "mine"], "--operator"),
        ] {
            let refused = checked(words).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn it_grows_from_a_tenth_and_rests_at_200() {
        assert_eq!(extent(false, None).growth, [100, 200, 1000]);
        assert_eq!(extent(false, None).rest_at, 200);
        assert_eq!(extent(true, None).growth, [5, 50]);
        assert_eq!(extent(false, Some(20)).growth, [2, 20]);
        assert_eq!(extent(false, Some(20)).rest_at, 20);
    }
}
