//! Obeying what a user types to link accounts. What is said here is the hub's own and no turn of a conversation.

use std::collections::BTreeSet;

use chatbot_message::{Account, Effect, Message, Outcome, Reply};
use chatbot_queue::Topic;
use chatbot_store::{Taken, Unavailable};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::Shared;
use crate::answer::{self, Question, reply as reply_to};
use crate::backoff::Backoff;
use crate::command::{self, Command};
use crate::delivered;
use crate::view::Link;
use crate::ways::{Next, STEPS};

const PRIVATE_ONLY: &str = "Accounts are linked in private chats only. Write to me alone.";
const LINKED: &str =
    "Linked: from now on this is one conversation, here and there. Send /unlink to end it.";
const APART: &str = "This account is on its own again.";
const NOT_LINKED: &str = "This account is not linked to another one. If others are linked to it, send /unlink from \
     those. To link it, send /link here, and the code from your other account.";
const LINKED_ALREADY: &str =
    "This account is linked already. To link it to another one, send /unlink first, then the code.";
const OWN_CODE: &str = "This code is this account's own. Send it from your other account.";
const UNKNOWN: &str =
    "This code is not known. Check it, or send /link from your other account for a new one.";
const EXPIRED: &str =
    "This code is older than ten minutes. Send /link from your other account for a new one.";
const USED: &str = "This code has been used. Send /link from your other account for a new one.";
const TOO_MANY: &str = "Too many codes were tried from this account. Try again in ten minutes.";
const NOT_YET: &str =
    "Earlier answers are still on their way to you. Send this again when they have come.";
const NOT_NOW: &str = "Accounts cannot be linked at the moment. Try again in a minute.";

/// The reply to a message, or what is written in its place where it is not answered; `channels` are those on which replies
/// to its person may be under way.
pub(crate) async fn reply(
    shared: &Shared,
    link: &Link,
    question: Question,
    next: Next,
    channels: &BTreeSet<String>,
) -> Reply {
    match next {
        Next::On(to) => on(shared, question.message, to, false).await,
        Next::Apart => apart(question.message),
        Next::Here => match command::command(&question.message) {
            Some(command) => {
                let Question {
                    partition, message, ..
                } = question;
                obey(shared, partition, message, command, channels).await
            }
            None => answer::answer(shared, link, question).await,
        },
    }
}

/// The reply to a command that has come to where its person is answered.
async fn obey(
    shared: &Shared,
    partition: u32,
    message: Message,
    command: Command,
    channels: &BTreeSet<String>,
) -> Reply {
    if message.details.group.is_some() {
        return told(message, PRIVATE_ONLY);
    }
    let obeyed = match command {
        Command::Offer => return offer(shared, message).await,
        Command::Link(_) if message.way.links => return told(message, LINKED),
        Command::Link(_) if !message.way.is_empty() => return told(message, LINKED_ALREADY),
        Command::Unlink if message.way.to.len() > STEPS => return told(message, NOT_YET),
        Command::Unlink if message.way.is_empty() || *message.person() == message.account => {
            return told(message, NOT_LINKED);
        }
        // What a user was answered here must not be overtaken by what they are answered elsewhere.
        _ if !delivered::wait(shared, partition, &message.account, channels).await => Err(NOT_YET),
        Command::Unlink => Ok(message.account.clone()),
        Command::Link(code) => claim(shared, partition, &message, &code).await,
    };
    match obeyed {
        Err(why) => told(message, why),
        Ok(to) if message.way.is_empty() => on(shared, message, to, true).await,
        Ok(to) => on(shared, message, to, false).await,
    }
}

/// The account is a person of its own again.
fn apart(message: Message) -> Reply {
    Reply {
        effect: Some(Box::new(Effect::Unlink)),
        ..told(message, APART)
    }
}

/// The message is answered in the partition of `to`, where a reply cannot stand before what is there now.
async fn on(shared: &Shared, message: Message, to: Account, links: bool) -> Reply {
    let partition = to.partition(shared.log.partitions());
    let mut backoff = Backoff::new(&shared.limits);
    let after = loop {
        match shared.log.end(Topic::Response, partition).await {
            Ok(end) => break end,
            Err(error) => {
                debug!("a message waits to be sent on: {error}");
                sleep(backoff.next()).await;
            }
        }
    };
    let effect = if links {
        Effect::Link { to, after }
    } else {
        Effect::Forward { to, after }
    };
    Reply {
        question: String::new(),
        effect: Some(Box::new(effect)),
        ..reply_to(message, String::new(), Outcome::Forwarded)
    }
}

async fn offer(shared: &Shared, message: Message) -> Reply {
    let code = command::new_code();
    match shared.codes.offer(&code, message.person()).await {
        Ok(()) => {
            let text = format!(
                "Send this from your other account within ten minutes, and it is one conversation with this one:\n\n\
                 /link {}",
                command::shown(&code)
            );
            told(message, &text)
        }
        Err(error) => told(message, away(&error)),
    }
}

/// Whose code it is, or what is to be said.
async fn claim(
    shared: &Shared,
    partition: u32,
    message: &Message,
    code: &str,
) -> Result<Account, &'static str> {
    let codes = &shared.codes;
    let within = codes.attempt(partition, &message.account, message.id).await;
    if !within.map_err(|error| away(&error))? {
        return Err(TOO_MANY);
    }
    let taken = codes.take(code, &message.account, message.id).await;
    match taken.map_err(|error| away(&error))? {
        Taken::For(account) => Ok(account),
        Taken::Unknown => Err(UNKNOWN),
        Taken::Expired => Err(EXPIRED),
        Taken::Used => Err(USED),
        Taken::Own => Err(OWN_CODE),
    }
}

fn away(error: &Unavailable) -> &'static str {
    warn!("accounts cannot be linked: {error}");
    NOT_NOW
}

fn told(message: Message, text: &str) -> Reply {
    reply_to(message, text.to_owned(), Outcome::Told)
}
