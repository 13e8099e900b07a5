//! A long connection of Feishu, as its SDKs speak it (github.com/larksuite/oapi-sdk-go, `ws`).
//!
//! Frames are Protocol Buffers. A control frame asks (`ping`) or answers (`pong`, which may carry how often to ask); a data
//! frame holds an event, or a part of one: parts have one `message_id`, `sum` of them and their `seq`. An event is
//! acknowledged by its own frame with another payload.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use prost::Message as _;
use serde_json::{Value, json};

use crate::json;
use crate::link::{Ending, Frame, Heard, Link, Parcel, Pulse, Step};
use crate::{Answer, Response};

/// How often to ask until the platform says otherwise.
const ASKS: Duration = Duration::from_mins(2);
/// What it may say, seconds.
const SHORTEST: u64 = 1;
const LONGEST: u64 = 10 * 60;
/// Events of which only parts have come, at once: further ones push out the oldest, which come again as a whole.
const INCOMPLETE: usize = 16;
/// Parts of one event.
const PARTS: usize = 64;
const LARGEST: usize = 4 << 20;
const CONTROL: i32 = 0;
const DATA: i32 = 1;

/// A frame. What is required is written even when it is 0 or empty: the platform's own form (proto2) demands it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// The platform's count.
    #[prost(uint64, required, tag = "1")]
    pub sequence: u64,
    /// The platform's own.
    #[prost(uint64, required, tag = "2")]
    pub log: u64,
    /// Which of the platform's services.
    #[prost(int32, required, tag = "3")]
    pub service: i32,
    /// 0 is the connection's own, 1 an event.
    #[prost(int32, required, tag = "4")]
    pub method: i32,
    /// What is said of it.
    #[prost(message, repeated, tag = "5")]
    pub headers: Vec<Header>,
    /// How the payload is encoded.
    #[prost(string, tag = "6")]
    pub payload_encoding: String,
    /// Of what kind the payload is.
    #[prost(string, tag = "7")]
    pub payload_type: String,
    /// JSON.
    #[prost(bytes = "vec", tag = "8")]
    pub payload: Vec<u8>,
    /// The platform's own.
    #[prost(string, tag = "9")]
    pub new_log: String,
}

/// One thing that is said of a frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    /// Such as `type`.
    #[prost(string, required, tag = "1")]
    pub key: String,
    /// Such as `event`.
    #[prost(string, required, tag = "2")]
    pub value: String,
}

impl Envelope {
    /// What is said of it under a key.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.key == key)?;
        Some(&header.value)
    }

    /// With something more said of it.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.headers.push(Header {
            key: key.to_owned(),
            value: value.into(),
        });
        self
    }

    fn number(&self, key: &str) -> Option<usize> {
        self.header(key)?.parse().ok()
    }

    fn ping(service: i32) -> Self {
        Self {
            service,
            method: CONTROL,
            ..Self::default()
        }
        .with("type", "ping")
    }
}

/// An event of which parts have come.
struct Parts {
    id: String,
    parts: Vec<Option<Vec<u8>>>,
}

#[derive(Default)]
pub(super) struct Connection {
    service: i32,
    pulse: Option<Pulse>,
    incomplete: VecDeque<Parts>,
}

impl Connection {
    /// The event of a frame, once all of its parts are there.
    fn event(&mut self, envelope: &Envelope) -> Option<Vec<u8>> {
        let sum = envelope.number("sum").unwrap_or(1);
        if sum <= 1 {
            return Some(envelope.payload.clone());
        }
        let number = envelope.number("seq")?;
        let id = envelope.header("message_id")?;
        if sum > PARTS || number >= sum {
            return None;
        }
        let known = self.incomplete.iter().position(|parts| parts.id == id);
        let place = known.unwrap_or_else(|| self.begin(id, sum));
        let parts = &mut self.incomplete.get_mut(place)?.parts;
        *parts.get_mut(number)? = Some(envelope.payload.clone());
        let all: Option<Vec<_>> = parts.iter().map(Option::as_deref).collect();
        let event = all?.concat();
        self.incomplete.remove(place);
        // Together they are no larger than one frame may be.
        (event.len() <= LARGEST).then_some(event)
    }

    /// The place of an event of which nothing has come yet.
    fn begin(&mut self, id: &str, sum: usize) -> usize {
        if self.incomplete.len() == INCOMPLETE {
            self.incomplete.pop_front();
        }
        self.incomplete.push_back(Parts {
            id: id.to_owned(),
            parts: vec![None; sum],
        });
        self.incomplete.len() - 1
    }

    fn learns(&mut self, config: &Value) {
        let seconds = json::number(config, "/PingInterval").and_then(|one| u64::try_from(one).ok());
        if let (Some(seconds), Some(pulse)) = (seconds, &mut self.pulse) {
            let every = Duration::from_secs(seconds.clamp(SHORTEST, LONGEST));
            pulse.change(every, silence(every));
        }
    }
}

impl Link for Connection {
    fn largest(&self) -> usize {
        LARGEST
    }

    /// The address says which service it is. There is no hello: what is open is up.
    fn opened(&mut self, address: &str, now: Instant) -> Vec<Step> {
        let query = url::Url::parse(address).ok();
        let service = query.as_ref().and_then(|url| {
            let mut pairs = url.query_pairs();
            pairs.find_map(|(key, value)| (key == "service_id").then(|| value.parse().ok())?)
        });
        self.service = service.unwrap_or_default();
        self.pulse = Some(Pulse::new(ASKS, silence(ASKS), now));
        let ping = Frame::Binary(Envelope::ping(self.service).encode_to_vec());
        vec![Step::Up, Step::Send(ping)]
    }

    fn heard(&mut self, heard: Heard, now: Instant) -> Vec<Step> {
        if let Some(pulse) = &mut self.pulse {
            pulse.heard(now);
        }
        let envelope = match heard {
            Heard::Binary(bytes) => Envelope::decode(bytes).ok(),
            Heard::Sign => return Vec::new(),
            Heard::Text(_) => None,
        };
        let Some(envelope) = envelope else {
            let reason = "a frame came that is not Feishu's";
            return vec![Step::Close(Ending::again(reason))];
        };
        let kind = envelope.header("type").unwrap_or_default();
        match (envelope.method, kind) {
            (CONTROL, "pong") => {
                let config: Value = serde_json::from_slice(&envelope.payload).unwrap_or_default();
                self.learns(&config);
                Vec::new()
            }
            (DATA, "event") => {
                let Some(body) = self.event(&envelope) else {
                    return Vec::new();
                };
                let receipt = Envelope {
                    payload: Vec::new(),
                    ..envelope
                };
                vec![Step::Take(Parcel {
                    body,
                    cursor: None,
                    receipt: receipt.encode_to_vec(),
                })]
            }
            _ => Vec::new(),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.pulse.map(|pulse| pulse.due())
    }

    fn elapsed(&mut self, now: Instant) -> Vec<Step> {
        let ping = || Frame::Binary(Envelope::ping(self.service).encode_to_vec());
        let pulse = self.pulse.as_mut();
        pulse.map_or_else(Vec::new, |pulse| pulse.elapsed(now, ping))
    }

    fn acknowledge(&self, receipt: &[u8], _answer: &Answer, took: Duration) -> Option<Frame> {
        let payload = json!({ "code": 200, "headers": {}, "data": null });
        let envelope = Envelope::decode(receipt).ok()?;
        let acknowledged = Envelope {
            payload: payload.to_string().into_bytes(),
            ..envelope.with("biz_rt", took.as_millis().to_string())
        };
        Some(Frame::Binary(acknowledged.encode_to_vec()))
    }

    fn refused(&self, response: &Response) -> Ending {
        let said = |name: &str| {
            let value = response.headers.get(name)?.to_str().ok()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let status = said("handshake-status").unwrap_or_else(|| response.status.to_string());
        let message = said("handshake-msg").unwrap_or_default();
        let reason = format!("the connection is refused: {status} {message}");
        // 403: the app may not. 514: it is not known, unless it has too many connections, which end by themselves.
        let too_many = said("handshake-autherrcode").as_deref() == Some("1000040350");
        if status == "403" || (status == "514" && !too_many) {
            Ending::Rejected { reason }
        } else {
            Ending::again(reason)
        }
    }
}

/// After which a connection that is asked so often, and says nothing, is given up.
fn silence(every: Duration) -> Duration {
    every * 2 + Duration::from_secs(10)
}
