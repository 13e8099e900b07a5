//! What a process takes: time, CPU and memory, as the kernel counts them.

use std::fs;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The kernel's clock ticks in a second, as it tells them to programs: 100 on every Linux.
const TICKS: f64 = 100.0;

/// What a process took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// From start to end.
    pub seconds: f64,
    /// Of all its threads, in the program and in the kernel.
    pub cpu_s: f64,
    /// The most memory it held at once; absent when it ended before it was looked at.
    pub peak_mib: Option<f64>,
}

/// Waits for a child's end and gives what it took.
pub fn to_the_end(child: &mut Child, started: Instant) -> Result<Taken> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.context("failed to read a process's number")?;
    let mut peak = None;
    // It is looked at before it is reaped: its CPU time can be read until then, its memory only while it runs.
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        peak = peak_mib(child.id()).or(peak);
        let status = waitid(WaitId::Pid(pid), ended).context("failed to wait for a process")?;
        if status.is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let taken = Taken {
        seconds: started.elapsed().as_secs_f64(),
        cpu_s: cpu_s(child.id()).context("failed to read a process's CPU time")?,
        peak_mib: peak,
    };
    Ok(taken)
}

/// CPU-seconds of a process so far, user and kernel.
#[must_use]
pub fn cpu_s(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, and may contain anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

/// The memory that a process holds now, MiB.
#[must_use]
pub fn rss_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmRSS:")
}

/// The most memory that a process has held at once, MiB.
#[must_use]
pub fn peak_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_busy_process_is_seen_to_take_time_and_memory() {
        let started = Instant::now();
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let mut child = Command::new("sh").args(["-c", busy]).spawn().unwrap();
        let taken = to_the_end(&mut child, started).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(taken.cpu_s > 0.0 && taken.seconds > 0.0, "{taken:?}");
        assert!(taken.peak_mib.unwrap() > 0.1, "{taken:?}");
    }

    #[test]
    fn this_process_holds_memory() {
        assert!(rss_mib(std::process::id()).unwrap() > 0.5);
        assert_eq!(rss_mib(u32::MAX), None);
    }
}
