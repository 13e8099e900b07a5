//! Where a reader of the journal may begin again: it rides in the metadata of an offset commit.

use super::Fold;
use crate::Offset;
use serde::{Deserialize, Serialize};

/// The fold at a position. It states a fact about the log, so it stays true whoever commits it, however late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// The next position of `response[p]` to read.
    pub position: Offset,
    /// What is known there.
    pub fold: Fold,
}

impl Checkpoint {
    /// As it is written into a commit's metadata: far below 4,096 bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a commit's metadata. Nothing known, or nothing that this release understands: the beginning of the log,
    /// from which everything follows.
    #[must_use]
    pub fn decode(metadata: &str) -> Self {
        serde_json::from_str(metadata).unwrap_or_default()
    }
}
