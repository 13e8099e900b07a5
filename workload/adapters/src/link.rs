//! Connections that the gateway opens to a platform: what is said on them besides deliveries. Frames and moments in, steps
//! out; sockets and clocks are the transport's.
//!
//! ```text
//! opened ──▶ heard ──▶ … ──▶ closed      each gives steps: frames to send, deliveries to take, what became of it
//!              elapsed (at `due`)        deliveries that the log has are acknowledged
//! ```

use std::fmt;
use std::time::{Duration, Instant};

use crate::{Answer, Response};

/// A frame for the platform.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// The protocol's own question whether the other side is there.
    Ping,
}

impl fmt::Debug for Frame {
    /// Without what is in it: some frames hold a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(formatter, "Binary({} bytes)", bytes.len()),
            Self::Ping => formatter.write_str("Ping"),
        }
    }
}

/// What came from the platform.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// A text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// A frame of the protocol's own, which only says that the other side is there.
    Sign,
}

/// A delivery that came over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The body of the delivery.
    pub body: Vec<u8>,
    /// Where to go on once the log has its messages, where the platform counts its deliveries.
    pub cursor: Option<String>,
    /// What [`Link::acknowledge`] needs to know of it.
    pub receipt: Vec<u8>,
}

/// What is to be done on a connection, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame is to be sent.
    Send(Frame),
    /// A delivery is to be taken.
    Take(Parcel),
    /// Messages come from now on.
    Up,
    /// The platform will close the connection: another is to be opened first, and this one goes on until it is closed.
    Replace,
    /// The connection is to be closed.
    Close(Ending),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Another is to be opened.
    Again {
        /// Why, for a person.
        reason: String,
        /// Not before.
        after: Duration,
        /// Whether where to go on is of no use any more.
        forget: bool,
    },
    /// Another would end in the same way, until somebody changes something.
    Rejected {
        /// What is to be changed, for a person.
        reason: String,
    },
}

impl Ending {
    /// Another is to be opened, which goes on there.
    pub fn again(reason: impl Into<String>) -> Self {
        Self::Again {
            reason: reason.into(),
            after: Duration::ZERO,
            forget: false,
        }
    }
}

/// One connection to a platform, from its opening to its end.
pub trait Link: Send {
    /// The address (`wss://…`) where to go on, when there is one of its own.
    fn address(&self) -> Option<&str> {
        None
    }

    /// The largest message that is read, bytes; a larger one ends the connection.
    fn largest(&self) -> usize;

    /// The connection is open, at this address.
    fn opened(&mut self, address: &str, now: Instant) -> Vec<Step>;

    /// Something came.
    fn heard(&mut self, heard: Heard, now: Instant) -> Vec<Step>;

    /// When [`Self::elapsed`] is to be called, unless something comes before.
    fn due(&self) -> Option<Instant>;

    /// A moment that was waited for is there.
    fn elapsed(&mut self, now: Instant) -> Vec<Step>;

    /// The frame that acknowledges a delivery of which the log has every message; none where there is no such thing.
    /// `took` is the time since it came.
    fn acknowledge(&self, _receipt: &[u8], answer: &Answer, _took: Duration) -> Option<Frame> {
        let text = String::from_utf8(answer.body.clone()).ok()?;
        (!text.is_empty()).then_some(Frame::Text(text))
    }

    /// The platform has closed the connection, with a code (RFC 6455) and a reason if it gave them.
    fn closed(&self, code: Option<u16>, reason: &str) -> Ending {
        Ending::again(closed(code, reason))
    }

    /// The platform has answered the opening otherwise.
    fn refused(&self, response: &Response) -> Ending {
        Ending::again(format!(
            "the connection is refused: {}",
            crate::outbound::reason(response)
        ))
    }
}

/// An end of a connection, for a person.
pub(crate) fn closed(code: Option<u16>, reason: &str) -> String {
    let reason: String = reason.chars().filter(|one| !one.is_control()).collect();
    match (code, reason.is_empty()) {
        (None, _) => "the connection was cut".to_owned(),
        (Some(code), true) => format!("the platform closed the connection ({code})"),
        (Some(code), false) => format!("the platform closed the connection ({code}: {reason})"),
    }
}

/// Asks a quiet connection whether it is there, and gives it up when it stays silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    every: Duration,
    silence: Duration,
    heard: Instant,
    asks: Instant,
}

impl Pulse {
    pub(crate) fn new(every: Duration, silence: Duration, now: Instant) -> Self {
        Self {
            every,
            silence,
            heard: now,
            asks: now + every,
        }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(crate) fn change(&mut self, every: Duration, silence: Duration) {
        self.asks = self.asks.min(self.heard + every);
        (self.every, self.silence) = (every, silence);
    }

    pub(crate) fn due(&self) -> Instant {
        self.asks.min(self.heard + self.silence)
    }

    /// The question, or the end, if it is time.
    pub(crate) fn elapsed(&mut self, now: Instant, question: impl FnOnce() -> Frame) -> Vec<Step> {
        if now >= self.heard + self.silence {
            let silent = self.silence.as_secs_f32();
            let reason = format!("nothing came over the connection for {silent} s");
            return vec![Step::Close(Ending::again(reason))];
        }
        if now < self.asks {
            return Vec::new();
        }
        self.asks = now + self.every;
        vec![Step::Send(question())]
    }
}
