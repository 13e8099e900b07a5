//! Two users, what they ask, and what they see.

use chatbot_message::{Account, Details, Message, Outcome, Reply, Way, message_id};

use super::{Kind, Violation};

const CHANNEL: &str = "chat";

/// One of the two.
#[must_use]
pub fn account(user: usize) -> Account {
    Account {
        channel: CHANNEL.to_owned(),
        user: user.to_string(),
    }
}

/// The message with a number: of one user and the other in turn.
#[must_use]
pub fn message(number: usize) -> Message {
    Message {
        id: message_id(CHANNEL, &number.to_string()),
        account: account(number % 2),
        origin: (number % 2).to_string(),
        text: number.to_string(),
        sent_at: None,
        synthetic: false,
        details: Details::default(),
        way: Way::default(),
    }
}

/// A reply to it.
#[must_use]
pub fn reply(number: usize, answer: String) -> Reply {
    let message = message(number);
    Reply {
        message_id: message.id,
        account: message.account,
        origin: message.origin,
        question: message.text,
        answer,
        outcome: Outcome::Answered,
        synthetic: false,
        way: Vec::new(),
        kept_by_client: false,
        effect: None,
    }
}

/// The number of the message that a reply answers.
#[must_use]
pub fn number(reply: &Reply) -> usize {
    reply.question.parse().unwrap()
}

/// What the users see.
#[derive(Default)]
pub struct Users {
    /// The platform shows a reply with the same idempotency key once.
    keys: bool,
    /// Messages in the order in which the broker took them, without copies.
    accepted: Vec<usize>,
    /// Messages whose replies are visible, in order.
    visible: Vec<usize>,
    /// Messages whose replies were sent with unknown effect.
    doubts: Vec<usize>,
}

impl Users {
    /// Who have seen nothing yet.
    #[must_use]
    pub fn new(keys: bool) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    /// The broker takes a message, or a copy of it.
    pub fn accept(&mut self, number: usize) {
        if !self.accepted.contains(&number) {
            self.accepted.push(number);
        }
    }

    /// A reply to a message is sent, and nobody knows whether it will be seen.
    pub fn doubt(&mut self, number: usize) {
        if !self.keys {
            self.doubts.push(number);
        }
    }

    /// A reply to a message becomes visible; says what is wrong with it.
    pub fn see(&mut self, number: usize) -> Option<Violation> {
        let seen = self.visible.contains(&number);
        if self.keys && seen {
            return None;
        }
        let earlier = self.accepted.iter().take_while(|other| **other != number);
        let unseen = |other: &&usize| *other % 2 == number % 2 && !self.visible.contains(other);
        if !seen && earlier.into_iter().any(|other| unseen(&other)) {
            let what = format!("the reply to message {number} overtakes an earlier one");
            return Some(Violation::new(Kind::Overtakes, what));
        }
        self.visible.push(number);
        let of = |numbers: &[usize]| numbers.iter().filter(|other| **other == number).count();
        let (replies, doubts) = (of(&self.visible), of(&self.doubts));
        let what =
            format!("message {number} has {replies} visible replies and {doubts} sends in doubt");
        (replies > 1 + doubts).then(|| Violation::new(Kind::SeenTwice, what))
    }

    /// In the end: a message that the broker took and that has no visible reply.
    #[must_use]
    pub fn unanswered(&self) -> Option<Violation> {
        let mut accepted = self.accepted.iter();
        let unanswered = accepted.find(|number| !self.visible.contains(number));
        unanswered.map(|number| Violation::unanswered(*number))
    }
}
