//! The trace of a message through every hop, as W3C Trace Context writes it (`traceparent`).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

/// What the header is called, of requests and of records.
pub const TRACEPARENT: &str = "traceparent";

/// Where a message is in its trace: the trace's id, and the id of the span that it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    id: [u8; 16],
    parent: [u8; 8],
    flags: u8,
}

/// A header that is no `traceparent`: whoever finds one goes on as without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no traceparent: must be such as 00-<32 hexadecimal digits>-<16 of them>-<2 of them>")]
pub struct NoTrace;

impl Trace {
    /// That of a message that brings none: its id is the message's own, so that a copy, and whoever has lost the header,
    /// has the same.
    #[must_use]
    pub fn of(message: Uuid) -> Self {
        let id = *message.as_bytes();
        Self {
            id,
            parent: span(&id, [0; 8], "message"),
            flags: 1,
        }
    }

    /// The next span: what a hop does for this one. Every try of the same hop is the same span.
    #[must_use]
    pub fn at(self, hop: &str) -> Self {
        Self {
            parent: span(&self.id, self.parent, hop),
            ..self
        }
    }

    /// The trace's id, as it is logged.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.id))
    }
}

/// Eight bytes, never all 0, which the standard forbids.
fn span(trace: &[u8; 16], parent: [u8; 8], hop: &str) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(trace);
    hash.update(parent);
    hash.update(hop.as_bytes());
    let mut id = [0; 8];
    id.copy_from_slice(&hash.finalize()[..8]);
    id[7] |= u8::from(id == [0; 8]);
    id
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = u64::from_be_bytes(self.parent);
        write!(f, "00-{}-{parent:016x}-{:02x}", self.id(), self.flags)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Trace {
    type Err = NoTrace;

    /// Of a later version than this one's the beginning is read, as the standard asks.
    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let mut parts = text.split('-');
        let mut part = |length| {
            let part = parts.next().filter(|part| part.len() == length);
            part.ok_or(NoTrace)
        };
        let version = bytes::<1>(part(2)?)?[0];
        let trace = Self {
            id: bytes(part(32)?)?,
            parent: bytes(part(16)?)?,
            flags: bytes::<1>(part(2)?)?[0],
        };
        let is_whole = version != 0 || parts.next().is_none();
        let is_valid = version != 0xff && trace.id != [0; 16] && trace.parent != [0; 8];
        (is_whole && is_valid).then_some(trace).ok_or(NoTrace)
    }
}

/// Lower-case hexadecimal digits, as the standard wants them.
fn bytes<const N: usize>(digits: &str) -> Result<[u8; N], NoTrace> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NoTrace),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let [high, low] = pair else {
            return Err(NoTrace);
        };
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_written_is_what_was_read() {
        let trace: Trace = GIVEN.parse().unwrap();
        assert_eq!(trace.to_string(), GIVEN);
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let next = trace.at("worker");
        assert_eq!(next.id(), trace.id());
        assert_ne!(next, trace);
        assert_eq!(next, trace.at("worker"), "a second try is the same span");
        assert_eq!(next.to_string().parse(), Ok(next));
        let own = Trace::of(Uuid::from_u128(7));
        assert_eq!(own.to_string().parse(), Ok(own));
        assert_eq!(own.id(), Uuid::from_u128(7).simple().to_string());
    }

    #[test]
    fn only_what_the_standard_allows_is_a_trace() {
        for refused in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47ü-00f067aa0ba902b7-01",
        ] {
            assert_eq!(refused.parse::<Trace>(), Err(NoTrace), "{refused}");
        }
        let later = format!("01{}-more", &GIVEN[2..]);
        assert_eq!(later.parse::<Trace>().unwrap().to_string(), GIVEN);
    }
}
