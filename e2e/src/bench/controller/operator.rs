//! The processes that are measured: the operator, and the peer.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::measure;
use crate::command;

/// The longest that a process may take to end when asked to.
const GRACE: Duration = Duration::from_secs(40);

/// A process that is measured; it ends with its handle.
pub struct Measured {
    child: Child,
    log: PathBuf,
    /// When it was started.
    pub started: Instant,
}

impl Measured {
    /// Starts it, both outputs going to a file.
    pub fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let started = Instant::now();
        // It becomes the program itself, under the same number, and does not outlive this process.
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL"]);
        bound.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            bound.env(name, value.unwrap_or_default());
        }
        let child = bound
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("failed to open a log twice")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start `{}`", command::line(command)))?;
        Ok(Self {
            child,
            log,
            started,
        })
    }

    /// CPU-seconds so far.
    pub fn cpu_s(&self) -> Result<f64> {
        measure::cpu_s(self.child.id()).with_context(|| self.ended())
    }

    /// Memory held now, MiB.
    pub fn rss_mib(&self) -> Result<f64> {
        measure::rss_mib(self.child.id()).with_context(|| self.ended())
    }

    /// The most memory held so far, MiB.
    pub fn peak_mib(&self) -> Result<f64> {
        measure::peak_mib(self.child.id()).with_context(|| self.ended())
    }

    /// Fails when it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => bail!("{}", self.ended()),
        }
    }

    /// What it has written so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits for that.
    pub fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("failed to read a process's number")?;
        kill_process(pid, Signal::TERM).context("failed to end a process")?;
        command::wait_until("the end of a process that was told to end", GRACE, || {
            Ok(self.child.try_wait().context("failed to wait")?.is_some())
        })
    }

    fn ended(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        format!(
            "the process has ended:\n{}",
            lines[lines.len().saturating_sub(12)..].join("\n")
        )
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

/// The operator as its chart starts it, in this network namespace.
pub fn operator(program: &Path, kubeconfig: &Path, log: PathBuf) -> Result<Measured> {
    let mut operator = Command::new(program);
    operator
        .args(["--image", "localhost/chatbot:bench"])
        .args(["--metrics-address", "127.0.0.1:18080"])
        .env("KUBECONFIG", kubeconfig);
    Measured::start(&mut operator, log)
}

/// The peer.
pub fn informers(program: &Path, kubeconfig: &Path, log: PathBuf) -> Result<Measured> {
    let mut informers = Command::new(program);
    informers.env("KUBECONFIG", kubeconfig);
    Measured::start(&mut informers, log)
}
