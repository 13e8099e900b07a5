//! The one form that every platform's messages are converted to, and the ids and keys derived from it.
//!
//! Nothing here does input or output.

mod details;
mod linking;
mod trace;

pub use details::{Attachment, AttachmentKind, Details, Turn};
pub use linking::{Effect, Way};
pub use trace::{NoTrace, TRACEPARENT, Trace};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A user of one channel: the key of everything that must stay in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Account {
    /// The channel's name.
    pub channel: String,
    /// The user's id on that channel's platform.
    pub user: String,
}

impl Account {
    /// The partition of this account among `partitions` (at least 1): a hash of our own, so that no client library
    /// can move a user. Never of a linked person: linking would move the key.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> u32 {
        let mut hash = Sha256::new();
        hash.update(self.channel.as_bytes());
        hash.update([0]);
        hash.update(self.user.as_bytes());
        let bytes = hash.finalize();
        u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % partitions.max(1)
    }
}

/// A message from a user, as it stands in `inbound`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `UUIDv5(channel, verified event id)`: the same message sent again has the same id.
    pub id: Uuid,
    /// Who sent it, and where.
    pub account: Account,
    /// The chat to answer in, in the platform's own terms; copied into the reply, which goes nowhere else.
    pub origin: String,
    /// The text.
    pub text: String,
    /// Milliseconds since the epoch at the platform, if it says.
    pub sent_at: Option<i64>,
    /// A synthetic conversation of the hub itself: answered like any other, but no part of a session or a count.
    #[serde(default)]
    pub synthetic: bool,
    /// What the platform says of it besides; absent in records of earlier releases.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Details,
    /// How it got from its own partition to this one; empty as long as no worker has sent it on.
    #[serde(default, skip_serializing_if = "Way::is_empty")]
    pub way: Way,
}

/// How a message was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The model answered.
    Answered,
    /// The fallback text was sent, and the reason is in the dead letter or the log.
    Fallback,
    /// The hub itself answered, such as a command: no turn of a conversation.
    Told,
    /// It is answered in another partition: this is no reply for its user.
    Forwarded,
}

/// A reply to one message, as it stands in `response`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The message it answers.
    pub message_id: Uuid,
    /// Whom it answers, and where.
    pub account: Account,
    /// The chat to answer in, copied from the message.
    pub origin: String,
    /// What was asked.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// How it was settled.
    pub outcome: Outcome,
    /// Copied from the message.
    #[serde(default)]
    pub synthetic: bool,
    /// The client keeps the conversation itself: no turn of it is kept here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept_by_client: bool,
    /// For whom its message was sent on, in this order; it belongs to the conversation of the last of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub way: Vec<Account>,
    /// What has to be done before the message is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Box<Effect>>,
}

impl Reply {
    /// Whose conversation it belongs to.
    #[must_use]
    pub fn person(&self) -> &Account {
        self.way.last().unwrap_or(&self.account)
    }

    /// Whether its message came from an account, or by way of it.
    #[must_use]
    pub fn came_by(&self, account: &Account) -> bool {
        self.account == *account || self.way.contains(account)
    }

    /// Whether its user is to see it.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.outcome != Outcome::Forwarded
    }

    /// Whether it is a turn of its person's conversation.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        let is_answer = matches!(self.outcome, Outcome::Answered | Outcome::Fallback);
        is_answer && !self.synthetic && !self.kept_by_client
    }

    /// `UUIDv5(message id, "reply")`: the idempotency key towards platforms that take one.
    #[must_use]
    pub fn id(&self) -> Uuid {
        Uuid::new_v5(&self.message_id, b"reply")
    }
}

/// A piece of an answer under way: shown at once, replaced by the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The message being answered.
    pub message_id: Uuid,
    /// Whom it answers.
    pub account: Account,
    /// The answer so far: whole, so that a lost piece costs nothing.
    pub text: String,
}

/// The id of a message: `UUIDv5` of the channel's name and the platform's verified event id.
#[must_use]
pub fn message_id(channel: &str, event_id: &str) -> Uuid {
    let channel = Uuid::new_v5(&Uuid::NAMESPACE_OID, channel.as_bytes());
    Uuid::new_v5(&channel, event_id.as_bytes())
}
