//! Accounts that are one person: how a message gets to the partition in which it is answered.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Account, Message};

/// For whom workers have sent a message on, each to the partition of the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Way {
    /// In this order; it is answered for the last of them, unless that one is linked, too.
    pub to: Vec<Account>,
    /// Whether it is the message that has linked its account to the first of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub links: bool,
}

impl Way {
    /// Whether no worker has sent the message on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to.is_empty()
    }
}

impl Message {
    /// For whom it is answered, as far as is known in this partition: its account, or whom that one is linked to.
    #[must_use]
    pub fn person(&self) -> &Account {
        self.way.to.last().unwrap_or(&self.account)
    }

    /// What copies of it in one log share. One that is sent on is no copy, whichever partition that leads to.
    #[must_use]
    pub fn key(&self) -> Uuid {
        match self.way.to.len() {
            0 => self.id,
            steps => Uuid::new_v5(&self.id, &steps.to_be_bytes()),
        }
    }

    /// The message as it is sent on.
    #[must_use]
    pub fn sent_on(&self, to: &Account, links: bool) -> Self {
        let mut message = self.clone();
        message.way.to.push(to.clone());
        message.way.links |= links;
        message
    }
}

/// What follows from a reply that counts. It is done before the message is settled, by the next owner if need be: so it
/// may be done twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Effect {
    /// The message is sent on.
    Forward {
        /// For whom it is answered.
        to: Account,
        /// Its reply stands in the journal of that one's partition, at this position or later.
        after: u64,
    },
    /// The account is one person with another from now on, and the message is sent on.
    Link {
        /// The other one, whose conversation goes on.
        to: Account,
        /// As with `Forward`.
        after: u64,
    },
    /// The account is a person of its own again.
    Unlink,
    /// Somebody who is linked to the person has been answered on a channel for the first time.
    Join,
}

impl Effect {
    /// Where the message is sent on to, and the position before which its reply cannot stand there.
    #[must_use]
    pub fn way(&self) -> Option<(&Account, u64)> {
        match self {
            Self::Forward { to, after } | Self::Link { to, after } => Some((to, *after)),
            Self::Unlink | Self::Join => None,
        }
    }
}
