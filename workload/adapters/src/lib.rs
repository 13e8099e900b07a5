//! What each chat platform's messages look like: one file per platform, one entry in [`ALL`].
//!
//! Everything here is pure: bytes and headers in, canonical messages out; a reply in, bytes out. Sockets, HTTP clients
//! and clocks belong to the gateway's transports, which know nothing of any format.

pub mod web_chat;

use std::sync::Arc;

use chatbot_crds::config::PlatformConfig;
use chatbot_message::{Message, Reply};
use http::{HeaderMap, StatusCode};
use thiserror::Error;

/// Every platform.
pub const ALL: &[Platform] = &[web_chat::PLATFORM];

/// One platform: its name, how its bytes travel, and its adapter for a channel's configuration.
pub struct Platform {
    /// The name, as the resource writes it.
    pub name: &'static str,
    /// How its bytes travel.
    pub transport: Transport,
    /// The adapter, if the configuration is this platform's.
    pub adapter: fn(&PlatformConfig) -> Option<Arc<dyn ProtocolAdapter>>,
}

/// How a platform's bytes reach the gateway and leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Users' own sockets (WebSocket), accepted by the gateway.
    Socket,
}

/// One delivery from a platform, as its transport received it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The request's headers; those of the handshake on a connection that stays open.
    pub headers: &'a HeaderMap,
    /// The raw body, as signatures are made over it.
    pub body: &'a [u8],
    /// Who the connection belongs to, on transports where the connection says so and the body does not.
    pub peer: Option<&'a str>,
    /// Milliseconds since the epoch when it arrived.
    pub received_at: i64,
}

/// What a delivery holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Its messages, in order; none for what is no message, such as a receipt.
    pub messages: Vec<Message>,
    /// What the platform is told once all of them are durable, and never before.
    pub acknowledgement: Vec<u8>,
}

/// One part of a reply, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The body of the request, or the frame.
    pub body: Vec<u8>,
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

/// Kinds of faults of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not from whom it claims to be.
    Unauthenticated,
    /// It cannot be read.
    Malformed,
    /// It is longer than the platform allows.
    TooLong,
}

impl Fault {
    /// The answer on transports that speak HTTP.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// The format of one platform.
pub trait ProtocolAdapter: Send + Sync {
    /// The largest delivery, in bytes; a transport refuses a larger one unread.
    fn max_body(&self) -> usize;

    /// Verifies a delivery and reads its messages. Their ids are made of the verified event id, so that the same event
    /// delivered again has the same id.
    fn parse_message(&self, delivery: &Delivery) -> Result<Parsed, Refusal>;

    /// The parts of a reply, each within the platform's limits. `position` is the reply's place in the journal. The
    /// same reply gives the same parts, since their numbers are part of idempotency keys.
    fn format_response(&self, reply: &Reply, position: u64) -> Vec<Part>;
}

/// The transport and the adapter for a channel's platform; absent only when [`ALL`] lacks an entry.
#[must_use]
pub fn find(config: &PlatformConfig) -> Option<(Transport, Arc<dyn ProtocolAdapter>)> {
    ALL.iter()
        .find_map(|platform| Some((platform.transport, (platform.adapter)(config)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_of_the_configuration_has_an_adapter() {
        let web_chat = PlatformConfig::WebChat {
            allowed_origins: vec![],
        };
        assert!(find(&web_chat).is_some());
    }
}
