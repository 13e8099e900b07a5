//! The API server as the benchmark sees it: an administrator with `curl`, and streams of what changes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::command;
use crate::plane::Plane;

/// A client of one control plane.
#[derive(Clone)]
pub struct Api {
    server: String,
    pki: std::path::PathBuf,
}

/// Something changed; told with the moment at which it was heard.
pub struct Event {
    pub heard: Instant,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub kind: String,
    pub object: Value,
}

/// A stream of changes; ends with its handle.
pub struct Watch {
    events: Receiver<Event>,
    curl: Child,
}

impl Api {
    pub fn of(plane: &Plane) -> Self {
        Self {
            server: format!("https://{}", plane.address()),
            pki: plane.places.pki(),
        }
    }

    fn curl(&self, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--cacert"])
            .arg(self.pki.join("ca.crt"))
            .arg("--cert")
            .arg(self.pki.join("admin.crt"))
            .arg("--key")
            .arg(self.pki.join("admin.key"))
            .arg(format!("{}{path}", self.server));
        curl
    }

    pub fn get(&self, path: &str) -> Result<Value> {
        let text = command::output(self.curl(path).args(["--max-time", "120"]))?;
        serde_json::from_str(&text).with_context(|| format!("failed to read {path}"))
    }

    pub fn delete(&self, path: &str) -> Result<()> {
        command::output(
            self.curl(path)
                .args(["--max-time", "30", "--request", "DELETE"]),
        )
        .map(drop)
    }

    /// Changes some fields, as a hand that knows nothing of the operator does.
    pub fn merge(&self, path: &str, change: &Value) -> Result<()> {
        let mut curl = self.curl(path);
        curl.args(["--max-time", "30", "--request", "PATCH", "--data"])
            .arg(change.to_string())
            .args(["--header", "Content-Type: application/merge-patch+json"]);
        command::output(&mut curl).map(drop)
    }

    /// Everything that changes from now on.
    pub fn watch(&self, path: &str) -> Result<Watch> {
        let now = self.get(&format!("{path}?limit=1"))?;
        let version = now["metadata"]["resourceVersion"].as_str();
        let version = version.with_context(|| format!("{path}: a list without a version"))?;
        self.watch_from(path, version)
    }

    /// Everything that has changed since a version.
    pub fn watch_from(&self, path: &str, version: &str) -> Result<Watch> {
        let query = "watch=1&timeoutSeconds=7200&resourceVersion";
        let mut curl = self
            .curl(&format!("{path}?{query}={version}"))
            .arg("--no-buffer")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start curl")?;
        let output = curl.stdout.take().context("failed to open a pipe")?;
        let (send, events) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let heard = Instant::now();
                let Ok(mut event) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                let event = Event {
                    heard,
                    kind: event["type"].as_str().unwrap_or_default().to_owned(),
                    object: event["object"].take(),
                };
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Watch { events, curl })
    }
}

impl Watch {
    /// The next change before a moment; nothing when none came.
    pub fn next(&self, until: Instant) -> Result<Option<Event>> {
        match self
            .events
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok(event) if event.kind == "ERROR" => bail!("a watch failed: {}", event.object),
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(anyhow!("a watch has ended")),
        }
    }

    /// Throws away what has been heard and not looked at.
    pub fn skip(&self) {
        while self.events.recv_timeout(Duration::ZERO).is_ok() {}
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.curl.kill(); // it may have ended by itself
        let _ = self.curl.wait();
    }
}
