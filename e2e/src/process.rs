//! Processes that go on after this program has ended. Each is known by its number and start time, so that none but
//! our own is ever ended, even when the number has been given to another since.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::places::Places;

/// Starts it in a session of its own, logging to a file named for it; does nothing when it runs already.
pub fn start(places: &Places, name: &str, command: &Command) -> Result<()> {
    if running(places, name).is_some() {
        return Ok(());
    }
    places.claim_state()?;
    for folder in [places.logs(), places.processes()] {
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let log = log(places, name);
    let output = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("failed to open {}", log.display()))?;
    let mut detached = Command::new("setsid");
    detached.arg(command.get_program()).args(command.get_args());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => detached.env(variable, value),
            None => detached.env_remove(variable),
        };
    }
    let child = detached
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("failed to open a log twice")?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("failed to start {name}"))?;
    let identity = identity(child.id())
        .with_context(|| format!("failed to start {name}: see {}", log.display()))?;
    let file = file(places, name);
    fs::write(&file, identity).with_context(|| format!("failed to write {}", file.display()))
}

/// The number of the process with this name, if it runs.
#[must_use]
pub fn running(places: &Places, name: &str) -> Option<Pid> {
    let written = fs::read_to_string(file(places, name)).ok()?;
    let number = written.split(' ').next()?.parse().ok()?;
    if identity(number)? != written {
        return None;
    }
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// The names of all that were started and not stopped.
#[must_use]
pub fn names(places: &Places) -> Vec<String> {
    let entries = fs::read_dir(places.processes())
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Asks it to end, insists after ten seconds, and returns when it is gone.
pub fn stop(places: &Places, name: &str) -> Result<()> {
    if let Some(pid) = running(places, name) {
        // It may end by itself in between: then there is nothing to signal.
        let _ = kill_process(pid, Signal::TERM);
        if !gone_within(places, name, Duration::from_secs(10)) {
            let _ = kill_process(pid, Signal::KILL);
            gone_within(places, name, Duration::from_secs(10));
        }
    }
    forget(places, name)
}

/// Ends it at once.
pub fn kill(places: &Places, name: &str) -> Result<()> {
    if let Some(pid) = running(places, name) {
        let _ = kill_process(pid, Signal::KILL);
        gone_within(places, name, Duration::from_secs(10));
    }
    forget(places, name)
}

/// The first child of a process: what `unshare --fork` runs as process 1 of new namespaces.
#[must_use]
pub fn child(of: Pid) -> Option<Pid> {
    let number = of.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{number}/task/{number}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// Where the process with this name writes.
#[must_use]
pub fn log(places: &Places, name: &str) -> PathBuf {
    places.logs().join(format!("{name}.log"))
}

/// The last lines of its log, for an error message.
#[must_use]
pub fn last_words(places: &Places, name: &str) -> String {
    let log = log(places, name);
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(12)..].join("\n");
    format!("{last}\n(all of it: {})", log.display())
}

fn gone_within(places: &Places, name: &str, limit: Duration) -> bool {
    let start = Instant::now();
    while running(places, name).is_some() {
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
    true
}

fn forget(places: &Places, name: &str) -> Result<()> {
    let file = file(places, name);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn file(places: &Places, name: &str) -> PathBuf {
    places.processes().join(name)
}

/// Number, start time and boot: no two processes share all three. Nothing for a process that has ended.
fn identity(number: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The second field is the program's name in brackets, and may contain anything.
    let mut fields = status.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let started = fields.nth(18)?;
    let boot = fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).ok()?;
    Some(format!("{number} {started} {}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str) -> Places {
        let state = std::env::temp_dir().join(format!("chatbot-e2e-{name}-{}", std::process::id()));
        Places {
            repository: state.clone(),
            cache: state.clone(),
            binaries: state.clone(),
            state,
        }
    }

    #[test]
    fn a_started_process_is_known_until_it_is_stopped() {
        let places = places("started");
        let mut sleep = Command::new("sleep");
        sleep.arg("600");
        start(&places, "sleeper", &sleep).unwrap();
        let first = running(&places, "sleeper").unwrap();
        start(&places, "sleeper", &sleep).unwrap();
        assert_eq!(
            running(&places, "sleeper"),
            Some(first),
            "a second start begins nothing"
        );
        stop(&places, "sleeper").unwrap();
        assert_eq!(running(&places, "sleeper"), None);
        assert!(names(&places).is_empty());
        fs::remove_dir_all(places.state).unwrap();
    }

    #[test]
    fn a_number_given_to_another_process_is_not_ours() {
        let places = places("reused");
        fs::create_dir_all(places.processes()).unwrap();
        let ours = identity(std::process::id()).unwrap();
        fs::write(file(&places, "this"), &ours).unwrap();
        assert!(running(&places, "this").is_some());
        let (number, rest) = ours.split_once(' ').unwrap();
        let boot = rest.split_once(' ').unwrap().1;
        fs::write(file(&places, "this"), format!("{number} 1 {boot}")).unwrap();
        assert!(running(&places, "this").is_none());
        fs::remove_dir_all(places.state).unwrap();
    }
}
