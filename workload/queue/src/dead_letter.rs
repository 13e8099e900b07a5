//! What could not be delivered, or not be answered: the topic `dead-letter`, with what is needed to try it once more.
//!
//! A letter is written before whatever it stands for is settled, so a crash in between may write it twice: both copies
//! have the same id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chatbot_message::{Account, Message, Reply};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Log, Offset, Record, Topic};

/// The most bytes of an unreadable record that a letter holds: encoded and wrapped it stays below what brokers take.
const MOST_KEPT: usize = 512 * 1024;

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// `UUIDv5` of what it stands for.
    pub id: Uuid,
    /// Why, for a person.
    pub reason: String,
    /// The channel's name; empty when nobody can tell.
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
    /// A record of `inbound` that is no message to this release; a newer one may have written it.
    Unreadable {
        /// Where it stands.
        partition: u32,
        /// Where it stands.
        offset: Offset,
        /// The record, base64; of a very long one the beginning.
        record: String,
        /// Whether that is all of it.
        whole: bool,
    },
}

/// What is appended to `inbound` when a letter is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The partition.
    pub partition: u32,
    /// The record.
    pub value: Vec<u8>,
    /// The id of the message in it; none when it could not be read.
    pub message: Option<Uuid>,
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

    /// Of a record that cannot be read.
    #[must_use]
    pub fn unreadable(partition: u32, record: &Record, reason: &str, at: i64) -> Self {
        let kept = &record.value[..record.value.len().min(MOST_KEPT)];
        let place = format!(
            "inbound/{partition}/{}/{}",
            record.offset, record.appended_at
        );
        Self {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, place.as_bytes()),
            reason: reason.to_owned(),
            channel: String::new(),
            at,
            content: Content::Unreadable {
                partition,
                offset: record.offset,
                record: BASE64.encode(kept),
                whole: kept.len() == record.value.len(),
            },
        }
    }

    /// The user's own message that led to it, if it can be told.
    #[must_use]
    pub fn message_id(&self) -> Option<Uuid> {
        match &self.content {
            Content::Undelivered { reply, .. } => Some(reply.message_id),
            Content::Unanswered { message } => Some(message.id),
            Content::Unreadable { .. } => None,
        }
    }

    /// Whom it concerns, if it can be told.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        match &self.content {
            Content::Undelivered { reply, .. } => Some(&reply.account),
            Content::Unanswered { message } => Some(&message.account),
            Content::Unreadable { .. } => None,
        }
    }

    /// What asks the same once more: it is answered anew, and that reply is delivered. The same letter gives the same
    /// message, so that replaying it twice is answered once. What could not be read is given as it was, for a release
    /// that can; what is not there whole cannot be given.
    pub fn replay(&self, partitions: u32) -> Result<Replay, Error> {
        let id = Uuid::new_v5(&self.id, b"replay");
        let message = match &self.content {
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
            Content::Unreadable {
                partition,
                offset,
                record,
                whole,
            } => return unread(*partition, *offset, record, *whole),
        };
        let value = serde_json::to_vec(&message).map_err(|error| refused(&error))?;
        Ok(Replay {
            partition: message.account.partition(partitions),
            value,
            message: Some(id),
        })
    }

    /// Appends it; the partition is that of its account.
    pub async fn append(&self, log: &dyn Log, partition: u32) -> Result<Option<Offset>, Error> {
        let value = serde_json::to_vec(self).map_err(|error| refused(&error))?;
        log.append(Topic::DeadLetter, partition, value).await
    }
}

fn refused(error: &serde_json::Error) -> Error {
    Error::Refused {
        reason: format!("the dead letter cannot be serialised: {error}"),
    }
}

fn unread(partition: u32, offset: Offset, record: &str, whole: bool) -> Result<Replay, Error> {
    let refused = |reason: String| Error::Refused { reason };
    if !whole {
        return Err(refused(format!(
            "the letter holds the beginning of the record alone: read it from partition {partition} of the inbound topic, \
             offset {offset}, while the broker keeps it"
        )));
    }
    let value = BASE64
        .decode(record)
        .map_err(|error| refused(format!("the record in the letter is no base64: {error}")))?;
    Ok(Replay {
        partition,
        value,
        message: None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(value: Vec<u8>) -> DeadLetter {
        let record = Record {
            offset: 7,
            appended_at: 1,
            trace: None,
            value,
        };
        DeadLetter::unreadable(3, &record, "expected value", 2)
    }

    #[test]
    fn a_record_that_was_not_read_is_replayed_as_it_was() {
        let letter = letter(vec![0, 255, 1]);
        let stored = serde_json::to_vec(&letter).unwrap();
        let read: DeadLetter = serde_json::from_slice(&stored).unwrap();
        let replay = read.replay(16).unwrap();
        assert_eq!((replay.partition, replay.value), (3, vec![0, 255, 1]));
        assert_eq!(
            (read.account(), read.message_id(), replay.message),
            (None, None, None)
        );
    }

    #[test]
    fn of_a_long_record_the_beginning_is_kept_and_where_the_rest_is() {
        let letter = letter(vec![b'x'; 1024 * 1024]);
        assert!(serde_json::to_vec(&letter).unwrap().len() < 900_000);
        let told = letter.replay(16).unwrap_err().to_string();
        assert!(
            told.contains("partition 3") && told.contains("offset 7"),
            "{told}"
        );
    }
}
