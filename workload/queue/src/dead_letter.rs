//! What could not be delivered, or not be answered: the topic `dead-letter`, with what is needed to try it once more.
//!
//! A letter is written before whatever it stands for is settled, so a crash in between may write it twice: both copies
//! have the same id.

use chatbot_message::{Account, Message, Reply};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Log, Offset, Topic};

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// `UUIDv5` of what it stands for.
    pub id: Uuid,
    /// Why, for a person.
    pub reason: String,
    /// The channel's name.
    pub channel: String,
    /// Milliseconds since the epoch when it was given up.
    pub at: i64,
    /// What was given up.
    pub content: Content,
}

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Content {
    /// The platform will not take a reply.
    Undelivered {
        /// The reply; its own id follows from it.
        reply: Reply,
        /// The part that was refused, from 0; those behind it were not sent.
        part: u32,
    },
    /// A message was answered with the fallback text.
    Unanswered {
        /// The message.
        message: Message,
    },
}

impl DeadLetter {
    /// Of a reply that the platform will not take.
    #[must_use]
    pub fn undelivered(reply: &Reply, part: u32, reason: &str, at: i64) -> Self {
        Self {
            id: Uuid::new_v5(&reply.id(), format!("undelivered/{part}").as_bytes()),
            reason: reason.to_owned(),
            channel: reply.account.channel.clone(),
            at,
            content: Content::Undelivered {
                reply: reply.clone(),
                part,
            },
        }
    }

    /// Of a message that cannot be answered.
    #[must_use]
    pub fn unanswered(message: &Message, reason: &str, at: i64) -> Self {
        Self {
            id: Uuid::new_v5(&message.id, b"unanswered"),
            reason: reason.to_owned(),
            channel: message.account.channel.clone(),
            at,
            content: Content::Unanswered {
                message: message.clone(),
            },
        }
    }

    /// The user's own message that led to it.
    #[must_use]
    pub fn message_id(&self) -> Uuid {
        match &self.content {
            Content::Undelivered { reply, .. } => reply.message_id,
            Content::Unanswered { message } => message.id,
        }
    }

    /// Whom it concerns.
    #[must_use]
    pub fn account(&self) -> &Account {
        match &self.content {
            Content::Undelivered { reply, .. } => &reply.account,
            Content::Unanswered { message } => &message.account,
        }
    }

    /// The message that asks the same once more: it is answered anew, and that reply is delivered. The same letter gives
    /// the same message, so that replaying it twice is answered once.
    #[must_use]
    pub fn replayed(&self) -> Message {
        let id = Uuid::new_v5(&self.id, b"replay");
        match &self.content {
            Content::Undelivered { reply, .. } => Message {
                id,
                account: reply.account.clone(),
                origin: reply.origin.clone(),
                text: reply.question.clone(),
                sent_at: None,
                synthetic: false,
                details: chatbot_message::Details::default(),
                way: chatbot_message::Way::default(),
            },
            Content::Unanswered { message } => Message {
                id,
                sent_at: None,
                // Into its own partition, from where it is sent on if need be.
                way: chatbot_message::Way::default(),
                ..message.clone()
            },
        }
    }

    /// Appends it; the partition is that of its account.
    pub async fn append(&self, log: &dyn Log, partition: u32) -> Result<Option<Offset>, Error> {
        let value = serde_json::to_vec(self).map_err(|error| Error::Refused {
            reason: format!("the dead letter cannot be serialised: {error}"),
        })?;
        log.append(Topic::DeadLetter, partition, value).await
    }
}

/// The letters of one partition as they are now, oldest first and each once; what this release does not understand is
/// left out. All that is read is held at once, so it is for who looks, not for a process that serves.
pub async fn read(log: &dyn Log, partition: u32) -> Result<Vec<DeadLetter>, Error> {
    let start = log.start(Topic::DeadLetter, partition).await?;
    let end = log.end(Topic::DeadLetter, partition).await?;
    let mut reader = log.reader(Topic::DeadLetter, partition, start);
    let mut letters: Vec<DeadLetter> = Vec::new();
    let mut next = start;
    while next < end {
        for record in reader.next(BATCH).await? {
            next = record.offset + 1;
            if let Ok(letter) = serde_json::from_slice::<DeadLetter>(&record.value)
                && letters.iter().all(|known| known.id != letter.id)
            {
                letters.push(letter);
            }
        }
    }
    Ok(letters)
}

/// Records asked for at once.
const BATCH: usize = 512;
