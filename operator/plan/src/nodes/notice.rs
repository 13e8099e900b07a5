//! Notices that a node will be taken, as its agent has written them on it.

use jiff::{SignedDuration, Timestamp};

use crate::names;
use crate::world::{NodeSeen, World};

/// The longest notice that is believed; one so long past was left over.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// The deadline of a notice without a time that can be read and believed: instances leave as at any other, and none is
/// deleted before its replacement is ready.
pub const UNTIMED: Timestamp = Timestamp::MAX;
/// How much of a value is shown.
const SHOWN: usize = 64;

enum Notice<'a> {
    Timed(Timestamp),
    Unreadable(&'a str),
    TooFar(&'a str),
    OfAnother(&'a str),
}

/// When a node is taken. A notice is for one identity: an annotation that names another was copied or left over. A
/// deadline in the past is a node that may go at any moment, for a day.
#[must_use]
pub fn leaving(world: &World, node: &NodeSeen) -> Option<Timestamp> {
    match notice(world, node)? {
        Notice::Timed(deadline) => Some(deadline),
        Notice::Unreadable(_) | Notice::TooFar(_) => Some(UNTIMED),
        Notice::OfAnother(_) => None,
    }
}

/// What a person should know of a notice: which node and annotation, its value, and what to do.
#[must_use]
pub fn odd(world: &World, node: &NodeSeen) -> Option<String> {
    let key = names::RECLAIM_ANNOTATION;
    let (key, value, what) = match notice(world, node)? {
        Notice::Timed(_) => return None,
        Notice::Unreadable(value) => (
            key,
            value,
            "cannot be read; its instances leave without a deadline; write a time such as 2026-12-01T12:02:00Z, or \
             remove it",
        ),
        Notice::TooFar(value) => (
            key,
            value,
            "is more than a day away; its instances leave without a deadline; correct the time or the clock that wrote \
             it, or remove it",
        ),
        Notice::OfAnother(value) => (
            names::RECLAIM_UID_ANNOTATION,
            value,
            "is not this node's uid; the notice is not acted on; write this node's uid, or remove the notice",
        ),
    };
    let value: String = value.chars().take(SHOWN).collect();
    Some(format!(
        "node {}: annotation {key}: {value:?} {what}",
        node.name
    ))
}

fn notice<'a>(world: &World, node: &'a NodeSeen) -> Option<Notice<'a>> {
    world.foresight.spot.as_ref()?;
    let value = node.annotations.get(names::RECLAIM_ANNOTATION)?;
    let of = node.annotations.get(names::RECLAIM_UID_ANNOTATION);
    if let Some(another) = of.filter(|uid| **uid != node.uid) {
        return Some(Notice::OfAnother(another));
    }
    let Ok(deadline) = value.parse::<Timestamp>() else {
        return Some(Notice::Unreadable(value));
    };
    let left = deadline.duration_since(world.now);
    if left > LONGEST {
        return Some(Notice::TooFar(value));
    }
    (left >= -LONGEST).then_some(Notice::Timed(deadline))
}
