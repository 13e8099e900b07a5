//! What ran, on what: without it a figure says nothing.

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::{Map, Value};

use super::Wish;
use crate::command;
use crate::places::Places;

/// What a figure depends on beside the code, in the order in which it is told.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Map<String, Value>);

impl Conditions {
    /// Of this machine, now. What cannot be found is told as not known.
    #[must_use]
    pub fn find(places: &Places, wish: &Wish) -> Self {
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(&places.repository).args(arguments);
            command::output(&mut git).ok()
        };
        let first = |program: &str, arguments: &[&str]| {
            let text = command::output(Command::new(program).args(arguments)).ok()?;
            Some(text.lines().next()?.trim().to_owned())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).map(|commit| {
            let edited = git(&["status", "--porcelain", "--untracked-files=no"]);
            let edited = edited.is_none_or(|files| !files.trim().is_empty());
            format!(
                "{}{}",
                commit.trim(),
                if edited { " with edits" } else { "" }
            )
        });
        let mut told = Map::new();
        let mut tell = |name: &str, value: Option<Value>| {
            told.insert(name.to_owned(), value.unwrap_or(Value::Null));
        };
        tell("commit", commit.map(Value::from));
        let mut words = vec!["--quick".to_owned(); usize::from(wish.quick)];
        words.extend(wish.more.iter().cloned());
        tell("options", Some(words.join(" ").into()));
        tell("seed", Some(wish.seed.into()));
        tell(
            "date",
            first("date", &["--utc", "+%Y-%m-%dT%H:%MZ"]).map(Value::from),
        );
        tell("cpu", line_of("/proc/cpuinfo", "model name"));
        let cores = thread::available_parallelism().ok();
        tell("cores", cores.map(|cores| cores.get().into()));
        tell("memory", line_of("/proc/meminfo", "MemTotal"));
        tell("kernel", first("uname", &["-sr"]).map(Value::from));
        tell("rustc", first("rustc", &["--version"]).map(Value::from));
        // What else ran: above the number of cores, times are longer than they would be.
        tell("load_before", load().map(Value::from));
        Self(told)
    }

    /// For a person.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("{name:<12} {text}\n"),
            Value::Null => format!("{name:<12} not known\n"),
            other => format!("{name:<12} {other}\n"),
        };
        self.0.iter().map(line).collect()
    }

    /// For the last line.
    #[must_use]
    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// The value of the first line with this name.
fn line_of(file: &str, name: &str) -> Option<Value> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().into())
}

/// Processes that ran or wanted to, on average over the last minute.
fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_machine_and_what_was_asked_for_are_told() {
        let wish = Wish::new(true, 7, vec!["--resources".to_owned(), "9".to_owned()]);
        let places = Places::find().unwrap();
        let text = Conditions::find(&places, &wish).text();
        for told in ["seed         7", "--quick --resources 9", "cores", "kernel"] {
            assert!(text.contains(told), "{told:?} is missing in\n{text}");
        }
    }
}
