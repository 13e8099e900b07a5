//! From what a platform says to a canonical message.

use chatbot_message::{Account, Details, Message, Way, message_id};

use crate::text;
use crate::{Delivery, Event, Parsed};

/// A message as a parser has read it.
pub(crate) struct Draft {
    /// The platform's id of the event: what is delivered again has the same.
    pub(crate) event: String,
    /// The platform's id of the user.
    pub(crate) user: String,
    /// Where the reply goes.
    pub(crate) origin: String,
    /// What was said; empty when only attachments were sent.
    pub(crate) text: String,
    /// Milliseconds since the epoch when this event was made; of an edit, when it was edited: how far back copies of it
    /// can lie follows from this.
    pub(crate) sent_at: Option<i64>,
    /// What else is known.
    pub(crate) details: Details,
}

impl Draft {
    /// The message; or the event `kind`, when there is nothing to answer.
    pub(crate) fn finish(self, delivery: &Delivery, kind: &str) -> Parsed {
        let Some(text) = text::question(self.text, &self.details.attachments) else {
            return Parsed::event(Event::ignored(
                kind,
                "it has neither text nor an attachment",
            ));
        };
        let user = match &self.details.group {
            Some(group) => format!("{}@{group}", self.user),
            None => self.user,
        };
        Parsed::message(Message {
            id: message_id(delivery.channel, &self.event),
            account: Account {
                channel: delivery.channel.to_owned(),
                user,
            },
            origin: self.origin,
            text,
            sent_at: self.sent_at,
            synthetic: false,
            details: self.details,
            way: Way::default(),
        })
    }
}
