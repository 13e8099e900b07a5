//! A connection of Slack's Socket Mode (docs.slack.dev/apis/events-api/using-socket-mode).
//!
//! It begins with `hello`. Envelopes are acknowledged one by one; several connections may be open, each envelope comes over
//! one of them. A `disconnect` with `warning` or `refresh_requested` comes some seconds before the end.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::json;
use crate::link::{Ending, Frame, Heard, Link, Parcel, Pulse, Step};

/// How long Slack may take to say hello.
const HELLO: Duration = Duration::from_secs(30);
/// Between two questions whether it is there.
const ASKS: Duration = Duration::from_secs(15);
/// After which a silent connection is given up.
const SILENCE: Duration = Duration::from_secs(45);
const LARGEST: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Socket {
    pulse: Option<Pulse>,
    hello_until: Option<Instant>,
}

impl Link for Socket {
    fn largest(&self) -> usize {
        LARGEST
    }

    fn opened(&mut self, _address: &str, now: Instant) -> Vec<Step> {
        self.pulse = Some(Pulse::new(ASKS, SILENCE, now));
        self.hello_until = Some(now + HELLO);
        Vec::new()
    }

    fn heard(&mut self, heard: Heard, now: Instant) -> Vec<Step> {
        if let Some(pulse) = &mut self.pulse {
            pulse.heard(now);
        }
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Sign => return Vec::new(),
            Heard::Binary(_) => return vec![Step::Close(unreadable())],
        };
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return vec![Step::Close(unreadable())];
        };
        match json::text(&frame, "/type").unwrap_or_default() {
            "hello" => {
                self.hello_until = None;
                vec![Step::Up]
            }
            "disconnect" if json::text(&frame, "/reason") == Some("link_disabled") => {
                let reason = "Socket Mode is switched off: switch it on in the app's settings";
                vec![Step::Close(Ending::Rejected {
                    reason: reason.to_owned(),
                })]
            }
            "disconnect" => vec![Step::Replace],
            _ => vec![Step::Take(Parcel {
                body: text.as_bytes().to_vec(),
                cursor: None,
                receipt: Vec::new(),
            })],
        }
    }

    fn due(&self) -> Option<Instant> {
        let pulse = self.pulse.map(|pulse| pulse.due());
        [self.hello_until, pulse].into_iter().flatten().min()
    }

    fn elapsed(&mut self, now: Instant) -> Vec<Step> {
        if self.hello_until.is_some_and(|until| now >= until) {
            let reason = "the platform opened a connection and said no hello";
            return vec![Step::Close(Ending::again(reason))];
        }
        let pulse = self.pulse.as_mut();
        pulse.map_or_else(Vec::new, |pulse| pulse.elapsed(now, || Frame::Ping))
    }
}

fn unreadable() -> Ending {
    Ending::again("a frame came that is not Slack's")
}
