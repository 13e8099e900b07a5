//! What comes in: heads, deliveries, and what is found in them.

use chatbot_message::Message;
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use thiserror::Error;

use crate::{Request, Transport};

/// A request before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path below the channel's own, empty or such as `/v1/chat/completions`.
    pub path: &'a str,
    /// Its query, undecoded and without `?`; empty when there is none.
    pub query: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Milliseconds since the epoch when it arrived.
    pub received_at: i64,
}

/// What is to be done with a request whose head was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Its body is to be read, up to so many bytes.
    Read {
        /// Bytes; a larger body is refused.
        most: usize,
    },
    /// It is answered as it is: its body, if any, is of no interest.
    Answer(Answer),
}

/// The bot as the platform knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Me {
    /// Its id.
    pub id: String,
    /// The name it is called by in groups, where that is not its id.
    pub name: Option<String>,
}

/// One delivery from a platform, as its transport received it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// How it came.
    pub via: Transport,
    /// The request's headers; those of the handshake on a connection that stays open.
    pub headers: &'a HeaderMap,
    /// The raw body, as signatures are made over it.
    pub body: &'a [u8],
    /// Who the connection belongs to, on transports where the connection says so and the body does not.
    pub peer: Option<&'a str>,
    /// The transport's own id of this request, on [`Transport::Exchange`]: the reply goes back over it.
    pub request: Option<&'a str>,
    /// Who the bot is, once the platform was asked. Without it, fewer messages of groups are known to be for the bot.
    pub me: Option<&'a Me>,
    /// Milliseconds since the epoch when it arrived.
    pub received_at: i64,
}

impl<'a> Delivery<'a> {
    /// A delivery of a webhook, with nothing known besides.
    #[must_use]
    pub fn of(channel: &'a str, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self {
            channel,
            via: Transport::Webhook,
            headers,
            body,
            peer: None,
            request: None,
            me: None,
            received_at: 0,
        }
    }

    /// Whether it came over a connection that the gateway itself opened, with the channel's credentials, to the
    /// platform's own address: TLS says who sent it.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(self.via, Transport::LongConnection | Transport::Polling)
    }

    /// A header's value, if it is there once and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.headers, name)
    }
}

/// A header's value, if it is there once and is text: of two, nobody knows which was meant.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// What a delivery holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Its messages, in order; none for what is no message, such as a receipt.
    pub messages: Vec<Message>,
    /// What else it holds, in order.
    pub events: Vec<Event>,
    /// Where to go on, where the platform counts its deliveries; to be kept once the messages are durable.
    pub cursor: Option<String>,
    /// What the platform is told once all of the messages are durable, and never before.
    pub acknowledgement: Answer,
    /// Requests that are made then, where an acknowledgement is a request of its own.
    pub requests: Vec<Request>,
}

impl Parsed {
    pub(crate) fn event(event: Event) -> Self {
        Self {
            events: vec![event],
            ..Self::default()
        }
    }

    pub(crate) fn message(message: Message) -> Self {
        Self {
            messages: vec![message],
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.messages.extend(other.messages);
        self.events.extend(other.events);
        self.requests.extend(other.requests);
    }
}

/// An answer to a request, or a frame to be sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status, on transports that speak HTTP.
    pub status: StatusCode,
    /// The media type of its body; empty when there is none.
    pub content_type: &'static str,
    /// Its body; on a connection, an empty one is not sent.
    pub body: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "",
            body: Vec::new(),
        }
    }
}

impl Answer {
    pub(crate) fn text(body: &str) -> Self {
        Self {
            content_type: "text/plain; charset=utf-8",
            body: body.as_bytes().to_vec(),
            ..Self::default()
        }
    }

    pub(crate) fn json(body: &serde_json::Value) -> Self {
        Self {
            content_type: "application/json",
            body: body.to_string().into_bytes(),
            ..Self::default()
        }
    }
}

/// Something known that is no message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What it is, in the platform's own terms, such as `message_deleted`.
    pub kind: String,
    /// What it means here.
    #[serde(flatten)]
    pub notice: Notice,
}

impl Event {
    /// An event that nothing follows from, and why.
    pub(crate) fn ignored(kind: impl Into<String>, because: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            notice: Notice::Ignored {
                because: because.into(),
            },
        }
    }

    pub(crate) fn new(kind: impl Into<String>, notice: Notice) -> Self {
        Self {
            kind: kind.into(),
            notice,
        }
    }
}

/// What an event means to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "notice",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Notice {
    /// Nothing follows from it.
    Ignored {
        /// Why.
        because: String,
    },
    /// The platform tries whether the gateway is there and who it is; the acknowledgement says so.
    Challenge,
    /// How far a message that the gateway sent has come.
    Progress {
        /// The platform's id of it.
        message: String,
        /// How far.
        progress: Progress,
        /// Why it failed, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The connection is up.
    Connected,
    /// The platform will close the connection: another is to be opened.
    Reconnect,
}

/// How far a sent message has come. Later ones are greater, and a message never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// The platform has it.
    Sent,
    /// The user's device has it.
    Delivered,
    /// The user has seen it.
    Read,
    /// The platform gave it up.
    Failed,
}

impl Progress {
    /// Where a message is that was here and of which `next` is told: platforms repeat and reorder such news. What was
    /// delivered did not fail, whatever is told later.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Delivered | Self::Read, Self::Failed) => self,
            (Self::Failed, Self::Delivered | Self::Read) => next,
            _ => self.max(next),
        }
    }
}

/// Why a delivery is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of fault it is.
    pub fault: Fault,
    /// For a person: field, value, remedy.
    pub message: String,
    /// The platform's id of the event, where it could be read.
    pub event: Option<String>,
}

impl Refusal {
    pub(crate) fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self {
            fault,
            message: message.into(),
            event: None,
        }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Fault::Malformed, message)
    }

    pub(crate) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Fault::Unauthenticated, message)
    }
}

/// Kinds of faults of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// It is not from whom it claims to be.
    Unauthenticated,
    /// It cannot be read.
    Malformed,
    /// It is longer than the platform allows.
    TooLong,
    /// Nothing is received there.
    NotFound,
    /// Not with this method.
    Method,
}

impl Fault {
    /// The answer on transports that speak HTTP.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Progress::{self, Delivered, Failed, Read, Sent};

    #[test]
    fn a_message_never_goes_back() {
        let told = |news: &[Progress]| news.iter().copied().reduce(Progress::then);
        assert_eq!(told(&[Delivered, Sent]), Some(Delivered));
        assert_eq!(told(&[Sent, Read, Delivered, Sent]), Some(Read));
        assert_eq!(told(&[Sent, Failed, Sent]), Some(Failed));
        assert_eq!(told(&[Read, Failed]), Some(Read));
        assert_eq!(told(&[Failed, Delivered]), Some(Delivered));
    }
}
