//! A connection to Discord's Gateway (docs.discord.com/developers/events/gateway).
//!
//! The platform says Hello with the pause between heartbeats; the client identifies itself, or resumes a session after the
//! last sequence that it has taken. A heartbeat that is not acknowledged before the next one means a dead connection. READY
//! names the session and where it is resumed.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{heartbeat, identify, opcode, resume};
use crate::json;
use crate::link::{Ending, Frame, Heard, Link, Parcel, Step, closed};

/// How long the platform may take to say hello, and then to let the session begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bounds of the pause between heartbeats: none is so short that it would be an attack, nor so long that a dead connection
/// is not noticed.
const SHORTEST: u64 = 50;
const LONGEST: u64 = 10 * 60 * 1_000;
/// A large guild, as it is told of after READY, can have several.
const LARGEST: usize = 16 << 20;

/// A session that can be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    id: String,
    url: String,
    sequence: i64,
}

pub(super) struct Gateway {
    token: String,
    /// The session, with the last sequence that came. Before the platform has answered, the one that is to be resumed.
    session: Option<Session>,
    /// Where the session to be resumed is.
    address: Option<String>,
    /// Between 0 and 1, so that those who connect together do not beat together.
    share: f64,
    sequence: Option<i64>,
    every: Duration,
    beats_at: Option<Instant>,
    is_answered: bool,
    until: Option<Instant>,
}

impl Gateway {
    pub(super) fn new(token: &str, cursor: Option<&str>, share: f64) -> Self {
        let session: Option<Session> = cursor.and_then(|cursor| serde_json::from_str(cursor).ok());
        let address = session.as_ref().map(|session| address(&session.url));
        Self {
            token: token.to_owned(),
            sequence: session.as_ref().map(|session| session.sequence),
            session,
            address,
            share: share.clamp(0.0, 1.0),
            every: Duration::ZERO,
            beats_at: None,
            is_answered: true,
            until: None,
        }
    }

    fn hello(&mut self, data: &Value, now: Instant) -> Vec<Step> {
        let pause = json::number(data, "/heartbeat_interval");
        let pause = pause.and_then(|pause| u64::try_from(pause).ok());
        let Some(pause) = pause else {
            return over("the platform's hello names no heartbeat_interval");
        };
        self.every = Duration::from_millis(pause.clamp(SHORTEST, LONGEST));
        self.beats_at = Some(now + self.every.mul_f64(self.share));
        self.until = Some(now + PATIENCE);
        let first = match &self.session {
            Some(session) => resume(&self.token, &session.id, session.sequence),
            None => identify(&self.token, (0, 1)),
        };
        vec![Step::Send(Frame::Text(first))]
    }

    fn dispatch(&mut self, frame: &Value, text: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        self.sequence = json::number(frame, "/s").or(self.sequence);
        let kind = json::text(frame, "/t").unwrap_or_default();
        if kind == "READY" {
            let begun = |pointer| json::owned(frame, pointer);
            self.session = begun("/d/session_id")
                .zip(begun("/d/resume_gateway_url"))
                .map(|(id, url)| Session {
                    id,
                    url,
                    sequence: 0,
                });
        }
        if matches!(kind, "READY" | "RESUMED") {
            self.until = None;
            steps.push(Step::Up);
        }
        if let (Some(session), Some(sequence)) = (&mut self.session, self.sequence) {
            session.sequence = sequence;
        }
        steps.push(Step::Take(Parcel {
            body: text.as_bytes().to_vec(),
            cursor: self
                .session
                .as_ref()
                .and_then(|session| serde_json::to_string(session).ok()),
            receipt: Vec::new(),
        }));
        steps
    }

    fn invalid(&self, data: &Value) -> Vec<Step> {
        // Between 1 and 5 s, as the platform asks for.
        let after = Duration::from_secs(1) + Duration::from_secs(4).mul_f64(self.share);
        vec![Step::Close(Ending::Again {
            reason: "the platform has ended the session".to_owned(),
            after,
            forget: data.as_bool() != Some(true),
        })]
    }
}

impl Link for Gateway {
    fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    fn largest(&self) -> usize {
        LARGEST
    }

    fn opened(&mut self, _address: &str, now: Instant) -> Vec<Step> {
        self.until = Some(now + PATIENCE);
        Vec::new()
    }

    fn heard(&mut self, heard: Heard, now: Instant) -> Vec<Step> {
        let text = match heard {
            Heard::Text(text) => text,
            Heard::Sign => return Vec::new(),
            Heard::Binary(_) => return over("a frame came that is not Discord's"),
        };
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return over("a frame came that is not Discord's");
        };
        let data = frame.get("d").unwrap_or(&Value::Null);
        match json::number(&frame, "/op") {
            Some(opcode::HELLO) => self.hello(data, now),
            Some(opcode::DISPATCH) => self.dispatch(&frame, text),
            Some(opcode::HEARTBEAT) => vec![Step::Send(Frame::Text(heartbeat(self.sequence)))],
            Some(opcode::HEARTBEAT_ACK) => {
                self.is_answered = true;
                Vec::new()
            }
            Some(opcode::RECONNECT) => over("the platform wants another connection"),
            Some(opcode::INVALID_SESSION) => self.invalid(data),
            // What a later release of the platform says besides.
            _ => Vec::new(),
        }
    }

    fn due(&self) -> Option<Instant> {
        [self.beats_at, self.until].into_iter().flatten().min()
    }

    fn elapsed(&mut self, now: Instant) -> Vec<Step> {
        if self.until.is_some_and(|until| now >= until) {
            return over("the platform opened a connection and did not let the session begin");
        }
        if self.beats_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        if !self.is_answered {
            return over("the platform did not acknowledge a heartbeat");
        }
        self.is_answered = false;
        self.beats_at = Some(now + self.every);
        vec![Step::Send(Frame::Text(heartbeat(self.sequence)))]
    }

    /// Codes of docs.discord.com/developers/topics/opcodes-and-status-codes.
    fn closed(&self, code: Option<u16>, reason: &str) -> Ending {
        let told = closed(code, reason);
        let rejected = |remedy: &str| Ending::Rejected {
            reason: format!("{told}: {remedy}"),
        };
        match code {
            Some(4004) => rejected("the bot's token is not taken; put a new one into the Secret"),
            Some(4010 | 4011) => rejected("the bot is in so many guilds that it needs shards"),
            Some(4012) => rejected("this version of the Gateway is no longer spoken"),
            Some(4013 | 4014) => rejected(
                "switch on the Message Content Intent of the bot, in the application's settings",
            ),
            // A sequence or a session that the platform no longer knows.
            Some(4007 | 4009) => Ending::Again {
                reason: told,
                after: Duration::ZERO,
                forget: true,
            },
            _ => Ending::again(told),
        }
    }
}

/// The address of a Gateway, with what is spoken there.
pub(super) fn address(url: &str) -> String {
    format!("{}/?v=10&encoding=json", url.trim_end_matches('/'))
}

fn over(reason: &str) -> Vec<Step> {
    vec![Step::Close(Ending::again(reason))]
}
