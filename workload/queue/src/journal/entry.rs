//! The records of the journal, and the rule that says which replies count.

use crate::Offset;
use chatbot_message::Reply;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One record of `response[p]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Entry {
    /// A worker takes the partition over; the position of this record is its epoch.
    Owner {
        /// Unique to this attempt: how the writer finds its own record again.
        nonce: Uuid,
        /// The process that takes over: one that announces itself again has not died.
        worker: Uuid,
        /// The lowest inbound offset without a counting reply, as this owner found it.
        lowest_unsettled: Offset,
        /// Owners in a row before this one that began at the same offset and never let go in order.
        deaths: u32,
    },
    /// The owner of `epoch` has left in order.
    Released {
        /// Position of its owner record.
        epoch: Offset,
    },
    /// An answer to `inbound[p]` at `inbound`.
    Reply {
        /// Position of the writer's owner record.
        epoch: Offset,
        /// Counts up within the epoch, so that a copy of a record does not count.
        seq: u64,
        /// The message's position in `inbound[p]`.
        inbound: Offset,
        /// The answer.
        reply: Reply,
    },
    /// A part of the reply at `position` has been given to the platform, or refused by it for good.
    Delivered {
        /// Position of the reply.
        position: Offset,
        /// Which part of it, from 0.
        part: u32,
        /// What the platform said.
        delivery: Delivery,
        /// Whether nothing of the reply is left to be sent.
        #[serde(default)]
        last: bool,
    },
}

/// What the platform said to a part of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Delivery {
    /// It took it.
    Accepted {
        /// The platform's id of what was sent, if it gave one.
        platform_id: Option<String>,
    },
    /// It will never take it.
    Refused {
        /// Why.
        reason: String,
    },
}

/// What every reader of `response[p]` knows at a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fold {
    /// Position of the latest owner record; absent before the first.
    pub owner: Option<Offset>,
    /// The lowest `seq` that can still count.
    pub next_seq: u64,
    /// The process that wrote it.
    pub worker: Uuid,
    /// Where that owner began.
    pub lowest_unsettled: Offset,
    /// Its `deaths`.
    pub deaths: u32,
    /// It has left in order.
    pub released: bool,
}

impl Fold {
    /// Takes in the record at `position`, and says whether it is a reply that counts.
    pub fn counts(&mut self, position: Offset, entry: &Entry) -> bool {
        match *entry {
            Entry::Owner {
                worker,
                lowest_unsettled,
                deaths,
                ..
            } => {
                *self = Self {
                    owner: Some(position),
                    next_seq: 0,
                    worker,
                    lowest_unsettled,
                    deaths,
                    released: false,
                };
                false
            }
            Entry::Released { epoch } => {
                self.released |= self.owner == Some(epoch);
                false
            }
            Entry::Reply { epoch, seq, .. }
                if self.owner == Some(epoch) && seq >= self.next_seq =>
            {
                self.next_seq = seq + 1;
                true
            }
            Entry::Reply { .. } | Entry::Delivered { .. } => false,
        }
    }

    /// `deaths` of an owner that is announced next, by `worker`, and begins at `lowest_unsettled`.
    #[must_use]
    pub fn deaths_of_next(&self, lowest_unsettled: Offset, worker: Uuid) -> u32 {
        if self.owner.is_none() || self.released || self.lowest_unsettled != lowest_unsettled {
            0
        } else if self.worker == worker {
            self.deaths
        } else {
            self.deaths + 1
        }
    }
}
