//! What must be remembered between passes: one ConfigMap `<name>-memory`, versioned and bounded.
//!
//! It is written before what follows from it, and only when a decision changed it. Absent or unreadable means that
//! nothing is known; what the status shows is then the next best source.

use serde::{Deserialize, Serialize};

use crate::hops::Hops;
use crate::recollection::Recollection;

/// The version written. Another one is not guessed at.
const VERSION: u32 = 1;
/// The most that is read: far above what is ever written, far below what a ConfigMap can hold.
const LIMIT: usize = 256 * 1024;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The version of this form.
    pub version: u32,
    /// The nodes' capacity, looked up once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_capacity: Option<TakenCapacity>,
    /// The last rollout that was seen to be complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Completed>,
    /// What the pods serve and call that may be there: of those that were rolled out last, and of all that were asked for
    /// since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hops>,
    /// What the capabilities that look ahead remember.
    #[serde(default, skip_serializing_if = "Recollection::is_empty")]
    pub foresight: Box<Recollection>,
}

/// The capacity of a node, and for which candidates it was looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenCapacity {
    /// CPU, in thousandths.
    pub cpu_milli: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Hash of what makes a node a candidate: another selector is another question.
    pub candidates: String,
}

/// A rollout that was seen to be complete. A synthetic conversation proves it only when it ended later, and later is
/// told by the pod's own clock: the operator's may differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completed {
    /// What was rolled out: the hash of every pod template.
    pub revision: String,
    /// The pod that made the conversation last seen at that moment.
    pub pod_uid: String,
    /// When that conversation ended, in seconds since the epoch; 0 when there was none.
    pub probe_at: i64,
}

/// Why a memory cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is larger than anything this operator writes.
    #[error("the memory has {0} bytes, more than the limit of {LIMIT}")]
    TooLarge(usize),
    /// It is no memory.
    #[error("failed to parse the memory: {0}")]
    Malformed(String),
    /// It was written by another release.
    #[error("the memory has version {0}, this operator reads {VERSION}")]
    Version(u32),
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            version: VERSION,
            node_capacity: None,
            completed: None,
            hops: Vec::new(),
            foresight: Box::default(),
        }
    }
}

impl Memory {
    /// Reads what [`Memory::write`] wrote.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        if text.len() > LIMIT {
            return Err(Unreadable::TooLarge(text.len()));
        }
        let memory: Self =
            serde_json::from_str(text).map_err(|error| Unreadable::Malformed(error.to_string()))?;
        if memory.version == VERSION {
            Ok(memory)
        } else {
            Err(Unreadable::Version(memory.version))
        }
    }

    /// The text that is stored.
    #[must_use]
    pub fn write(&self) -> String {
        // A struct of numbers and strings cannot fail to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let memory = Memory {
            node_capacity: Some(TakenCapacity {
                cpu_milli: 7900,
                memory_bytes: 32 << 30,
                candidates: "a".to_owned(),
            }),
            completed: Some(Completed {
                revision: "b".to_owned(),
                pod_uid: "c".to_owned(),
                probe_at: 17,
            }),
            hops: vec![Hops {
                tls: true,
                inference_port: 8080,
                elsewhere: false,
                platforms: [443].into(),
                context_tokens: 2048,
                meeting: "d".to_owned(),
            }],
            ..Memory::default()
        };
        assert_eq!(Memory::read(&memory.write()), Ok(memory));
    }

    #[test]
    fn the_memory_is_one_object_and_the_first() {
        let world = crate::example::world();
        let is_memory: Vec<bool> = crate::plan(&world)
            .objects
            .iter()
            .map(|object| object.is_memory(&world.cluster))
            .collect();
        assert_eq!(is_memory.iter().position(|is| *is), Some(0));
        assert_eq!(is_memory.iter().filter(|is| **is).count(), 1);
    }

    #[test]
    fn another_version_a_truncated_or_a_huge_memory_is_refused() {
        assert_eq!(
            Memory::read(r#"{"version":2}"#),
            Err(Unreadable::Version(2))
        );
        assert!(matches!(
            Memory::read(r#"{"version":1,"#),
            Err(Unreadable::Malformed(_))
        ));
        assert!(matches!(Memory::read(""), Err(Unreadable::Malformed(_))));
        assert!(matches!(
            Memory::read(&" ".repeat(LIMIT + 1)),
            Err(Unreadable::TooLarge(_))
        ));
    }
}
