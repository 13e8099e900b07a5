//! A watch's answer on its way to the operator, event by event.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt, unfold};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::Shared;
use super::rules::{Asked, Event, Fault, Verb};

/// How long an event that is to change places waits for the next one.
const NEXT: Duration = Duration::from_millis(700);

struct Events {
    source: BoxStream<'static, io::Result<Bytes>>,
    partial: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
    resource: String,
    shared: Arc<Shared>,
    /// When the connection was made: those made before a freeze are silent.
    born: u64,
    ended: bool,
}

/// The events as the rules want them.
pub fn through(
    source: BoxStream<'static, io::Result<Bytes>>,
    resource: &str,
    shared: Arc<Shared>,
    born: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let events = Events {
        source,
        partial: Vec::new(),
        lines: VecDeque::new(),
        resource: resource.to_owned(),
        shared,
        born,
        ended: false,
    };
    unfold(events, |mut events| async move {
        if events.ended {
            return None;
        }
        let shared = events.shared.clone();
        let next = {
            let cut = std::pin::pin!(shared.cut.notified());
            tokio::select! {
                () = cut => Some(Err(reset())),
                next = events.next() => next,
            }
        };
        shared.thawed(events.born).await;
        let next = next?;
        events.ended = next.is_err();
        Some((next, events))
    })
}

fn reset() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

impl Events {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let line = match self.line().await? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            let Some(event) = self.judge(&line) else {
                return Some(Ok(line.into()));
            };
            match event {
                Event::Cut => return Some(Err(reset())),
                Event::Gone => return Some(Ok(gone())),
                Event::Twice => return Some(Ok([line.clone(), line].concat().into())),
                Event::Drop => {}
                Event::Delay(time) => {
                    sleep(time).await;
                    return Some(Ok(line.into()));
                }
                Event::Swap => {
                    let next = timeout(NEXT, self.line()).await;
                    let next = match next {
                        Ok(Some(Ok(next))) => next,
                        _ => Vec::new(),
                    };
                    return Some(Ok([next, line].concat().into()));
                }
            }
        }
    }

    /// The next whole line.
    async fn line(&mut self) -> Option<io::Result<Vec<u8>>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(Ok(line));
            }
            match self.source.next().await? {
                Ok(bytes) => self.partial.extend_from_slice(&bytes),
                Err(error) => return Some(Err(error)),
            }
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let rest = self.partial.split_off(end + 1);
                self.lines
                    .push_back(std::mem::replace(&mut self.partial, rest));
            }
        }
    }

    fn judge(&self, line: &[u8]) -> Option<Event> {
        let event: Value = serde_json::from_slice(line).ok()?;
        if event["type"] == "BOOKMARK" {
            return None;
        }
        let asked = Asked {
            verb: Verb::Watch,
            resource: self.resource.clone(),
            namespace: event["object"]["metadata"]["namespace"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        };
        match self.shared.board().judge(&asked, true)? {
            Fault::Event(event) => Some(event),
            _ => None,
        }
    }
}

fn gone() -> Bytes {
    let gone = json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version",
    } });
    format!("{gone}\n").into()
}
