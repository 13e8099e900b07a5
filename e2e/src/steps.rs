//! What a command is going to do, what it is doing, and how long each part took.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// One line of a plan.
pub struct Step {
    /// A word or two, used again in progress and in the table.
    pub name: &'static str,
    /// What it does.
    pub what: String,
    /// What it took on two idle cores; 0 for what is there already.
    pub minutes: f32,
}

impl Step {
    /// A line of a plan.
    #[must_use]
    pub fn new(name: &'static str, minutes: f32, what: impl Into<String>) -> Self {
        Self {
            name,
            what: what.into(),
            minutes,
        }
    }
}

/// Progress on standard error, and the time of each step.
pub struct Steps {
    start: Instant,
    done: Mutex<Vec<(&'static str, Duration)>>,
    said: Mutex<Option<(String, Instant)>>,
}

impl Steps {
    /// Prints the plan and starts the clock.
    #[must_use]
    pub fn begin(title: &str, plan: &[Step], total: f32) -> Self {
        let mut text = format!("{title}\n");
        for step in plan {
            let minutes = if step.minutes > 0.0 {
                format!("{:4.1} min", step.minutes)
            } else {
                "   ready".to_owned()
            };
            let _ = writeln!(text, "  {:<14} {minutes}  {}", step.name, step.what);
        }
        let _ = write!(
            text,
            "  {:<14} {total:4.1} min  expected on two idle cores",
            "in all"
        );
        eprintln!("{text}\n");
        Self {
            start: Instant::now(),
            done: Mutex::new(Vec::new()),
            said: Mutex::new(None),
        }
    }

    /// Does one step; its name is in the error when it fails.
    pub fn run<T>(&self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work().with_context(|| format!("step `{name}` failed"));
        let took = start.elapsed();
        match &result {
            Ok(_) => self.say(name, &format!("done in {}", minutes(took))),
            Err(_) => self.say(name, "FAILED"),
        }
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name, took));
        result
    }

    /// One line of progress.
    pub fn say(&self, name: &str, text: &str) {
        eprintln!("[{:>8}] {name}: {text}", minutes(self.start.elapsed()));
    }

    /// A line of progress that may be left out: at most one of these in five seconds.
    pub fn mention(&self, name: &str, text: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, when)) = said.as_ref()
            && when.elapsed() < Duration::from_secs(5)
        {
            return;
        }
        *said = Some((text.to_owned(), Instant::now()));
        drop(said);
        self.say(name, text);
    }

    /// The time of each step and of all. Steps that ran side by side add up to more than the whole.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (name, took) in self
            .done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            let _ = writeln!(text, "  {name:<14} {:>8}", minutes(*took));
        }
        let _ = write!(
            text,
            "  {:<14} {:>8}",
            "in all",
            minutes(self.start.elapsed())
        );
        text
    }
}

/// Minutes and seconds.
#[must_use]
pub fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", time.as_secs_f32());
    }
    format!("{}:{:02} min", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named() {
        let steps = Steps::begin("a test", &[Step::new("dig", 1.0, "digs")], 1.0);
        let refused = steps
            .run("dig", || -> Result<()> { anyhow::bail!("stone") })
            .unwrap_err();
        assert_eq!(format!("{refused:#}"), "step `dig` failed: stone");
        assert!(steps.table().contains("dig"));
    }

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!(minutes(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(minutes(Duration::from_secs(61)), "1:01 min");
    }
}
