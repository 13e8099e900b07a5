//! Interactions: slash commands, and what is pressed on messages.

use chatbot_message::Details;
use serde_json::{Value, json};

use super::{Discord, send};
use crate::draft::Draft;
use crate::text::bounded;
use crate::{Answer, Delivery, Event, Notice, Parsed, Refusal, Request, Transport, json};

const PING: i64 = 1;
const APPLICATION_COMMAND: i64 = 2;
const AUTOCOMPLETE: i64 = 4;
/// A type of option that is a text.
const TEXT: i64 = 3;
/// Where a command was called: among several people who write to each other directly.
const PRIVATE_CHANNEL: i64 = 2;
/// The longest question: an option has up to 6,000 characters, and there may be several.
const LONGEST_SAID: usize = 16_000;
/// How deep options lie in options: groups of commands, commands, and their options.
const DEPTH: usize = 3;

/// Answers: here I am; I am thinking; no change; nothing to choose from.
const PONG: u8 = 1;
const DEFERRED: u8 = 5;
const DEFERRED_UPDATE: u8 = 6;
const CHOICES: u8 = 8;

impl Discord {
    pub(super) fn interaction(&self, delivery: &Delivery, body: &Value) -> Result<Parsed, Refusal> {
        let id = json::required(body, "/id")?;
        match json::required_number(body, "/type")? {
            PING => {
                let mut parsed = Parsed::event(Event::new("PING", Notice::Challenge));
                parsed.acknowledgement = Answer::json(&json!({ "type": PONG }));
                Ok(parsed)
            }
            APPLICATION_COMMAND => {
                let parsed = command(delivery, body, id)?;
                Ok(self.acknowledged(delivery, body, id, parsed, &json!({ "type": DEFERRED })))
            }
            AUTOCOMPLETE => {
                let parsed = Parsed::event(Event::ignored("autocomplete", "nothing is suggested"));
                let answer = json!({ "type": CHOICES, "data": { "choices": [] } });
                Ok(self.acknowledged(delivery, body, id, parsed, &answer))
            }
            kind => {
                let event = Event::ignored(format!("interaction {kind}"), "it asks nothing");
                let answer = json!({ "type": DEFERRED_UPDATE });
                Ok(self.acknowledged(delivery, body, id, Parsed::event(event), &answer))
            }
        }
    }

    /// An interaction is answered in the response where it came by webhook, and by a request of its own else.
    fn acknowledged(
        &self,
        delivery: &Delivery,
        body: &Value,
        id: &str,
        mut parsed: Parsed,
        answer: &Value,
    ) -> Parsed {
        if delivery.via == Transport::Webhook {
            parsed.acknowledgement = Answer::json(answer);
        } else if let Some(token) = json::text(body, "/token").filter(|token| send::is_plain(token))
            && send::is_plain(id)
        {
            let address = format!("{}/interactions/{id}/{token}/callback", self.base);
            parsed.requests.push(Request::post(address, answer));
        }
        parsed
    }
}

fn command(delivery: &Delivery, body: &Value, id: &str) -> Result<Parsed, Refusal> {
    let name = json::required(body, "/data/name")?;
    let user = json::text(body, "/member/user/id")
        .or_else(|| json::text(body, "/user/id"))
        .ok_or_else(|| Refusal::malformed("user: it must say who called the command"))?;
    let application = json::required(body, "/application_id")?;
    let channel = json::required(body, "/channel_id")?;
    let token = json::required(body, "/token")?;
    if ![application, channel, token]
        .into_iter()
        .all(send::is_plain)
    {
        return Err(Refusal::malformed(
            "token: it, `application_id` and `channel_id` must be letters, digits, '-', '_', '.' or '='",
        ));
    }
    let mut said = Vec::new();
    texts(json::list(body, "/data/options"), DEPTH, &mut said);
    let said = bounded(&said.join(" "), LONGEST_SAID)?;
    // In a group of direct messages others read along, too.
    let is_read_by_others = json::text(body, "/guild_id").is_some()
        || json::number(body, "/context") == Some(PRIVATE_CHANNEL);
    let draft = Draft {
        event: format!("interaction/{id}"),
        user: user.to_owned(),
        origin: send::origin_of_interaction(channel, application, token),
        text: if said.trim().is_empty() {
            format!("/{name}")
        } else {
            said
        },
        sent_at: None,
        details: Details {
            command: Some(name.to_owned()),
            group: is_read_by_others.then(|| channel.to_owned()),
            ..Details::default()
        },
    };
    Ok(draft.finish(delivery, "application command"))
}

fn texts<'v>(options: &'v [Value], depth: usize, said: &mut Vec<&'v str>) {
    for option in options {
        if json::number(option, "/type") == Some(TEXT) {
            said.extend(json::text(option, "/value"));
        } else if depth > 1 {
            texts(json::list(option, "/options"), depth - 1, said);
        }
    }
}
