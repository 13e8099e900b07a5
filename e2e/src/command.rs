//! Running other programs: the command line in every error, their output as progress.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a command is called in messages: its program and arguments.
#[must_use]
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs to the end and gives its standard output; its standard error is in the error when it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start `{}`", line(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            errors.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As [`output`], with something to read on standard input.
pub fn output_of_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{}`", line(command)))?;
    let mut pipe = child.stdin.take().context("failed to open a pipe")?;
    let input = input.to_owned();
    let writer = thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child
        .wait_with_output()
        .with_context(|| format!("failed to wait for `{}`", line(command)))?;
    // A program that fails may leave its input unread; its own words say more than the broken pipe.
    let _ = writer.join();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            errors.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end, giving every line of both outputs to `each`; the last lines are in the error when it fails.
pub fn watched(command: &mut Command, each: impl Fn(&str) + Sync) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{}`", line(command)))?;
    let (errors, output) = (child.stderr.take(), child.stdout.take());
    let mut last = Vec::new();
    thread::scope(|scope| {
        let reader = scope.spawn(|| output.map(|pipe| lines(pipe, &each)));
        last = errors.map(|pipe| lines(pipe, &each)).unwrap_or_default();
        if let Ok(Some(of_output)) = reader.join()
            && last.is_empty()
        {
            last = of_output;
        }
    });
    end(&mut child, command, &last)
}

fn end(child: &mut Child, command: &Command, last: &[String]) -> Result<()> {
    let status = child
        .wait()
        .with_context(|| format!("failed to wait for `{}`", line(command)))?;
    if !status.success() {
        bail!(
            "`{}` failed ({status}):\n{}",
            line(command),
            last.join("\n")
        );
    }
    Ok(())
}

/// Gives each line on, and returns the last twenty.
fn lines(pipe: impl Read, each: &(impl Fn(&str) + Sync)) -> Vec<String> {
    let mut last = Vec::new();
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes), Ok(read) if read > 0) {
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        bytes.clear();
        each(&text);
        last.push(text);
        if last.len() > 20 {
            last.remove(0);
        }
    }
    last
}

/// Asks again until the answer is yes; the last "no" is in the error.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let refusal = match ready() {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() > limit {
            let late = format!("failed to see {what} within {} s", limit.as_secs());
            return Err(match refusal {
                Some(error) => error.context(late),
                None => anyhow::anyhow!(late),
            });
        }
        thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_with_its_own_words() {
        let refused =
            output(Command::new("sh").args(["-c", "echo no room >&2; exit 3"])).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("sh -c") && text.contains("no room"), "{text}");
    }

    #[test]
    fn waiting_ends_with_the_last_refusal() {
        let refused = wait_until("rain", Duration::ZERO, || bail!("the sky is blue")).unwrap_err();
        assert_eq!(
            format!("{refused:#}"),
            "failed to see rain within 0 s: the sky is blue"
        );
    }

    #[test]
    fn every_line_of_both_outputs_is_seen() {
        let seen = std::sync::Mutex::new(Vec::new());
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2"]);
        watched(&mut command, |line| {
            seen.lock().unwrap().push(line.to_owned());
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
    }
}
