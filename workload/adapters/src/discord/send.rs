//! What is sent to Discord, and what it says.

use std::time::Duration;

use chatbot_message::Reply;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Discord, opcode};
use crate::outbound::{key, pause, reason};
use crate::split::{Measure, split};
use crate::{Limits, Rate, Request, Response, Scope, Verdict, json};

/// The longest text of a message.
const LONGEST: usize = 2_000;
/// Before an interaction is answered again that was not acknowledged yet.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);
/// The code of a message that refers to another one without the permission to read the history.
const NO_HISTORY: i64 = 160_002;
/// Direct messages, messages of guilds, and their text (docs.discord.com/developers/events/gateway#gateway-intents).
const INTENTS: u32 = (1 << 9) | (1 << 12) | (1 << 15);

/// The rate in all is documented (50 requests a second); that of a channel is told in each response only, and five in five
/// seconds is what it usually is.
pub(super) const LIMITS: Limits = Limits {
    chat: Some(Rate {
        messages: 5,
        per: Duration::from_secs(5),
    }),
    group: None,
    channel: Some(Rate::per_second(50)),
    typing: Some(Duration::from_secs(10)),
    // "A few minutes": of which two are certain.
    keys: Some(Duration::from_mins(2)),
    acknowledgement: Some(Duration::from_secs(3)),
};

/// `<channel>/<message>`, and `/guild` behind it in a guild.
pub(super) fn origin(channel: &str, message: &str, is_guild: bool) -> String {
    format!(
        "{channel}/{message}{}",
        if is_guild { "/guild" } else { "" }
    )
}

/// `<channel>/interaction/<application>/<token>`.
pub(super) fn origin_of_interaction(channel: &str, application: &str, token: &str) -> String {
    format!("{channel}/interaction/{application}/{token}")
}

pub(super) fn chat(origin: &str) -> &str {
    origin.split('/').next().unwrap_or_default()
}

/// Whether a text can be part of a path as it is.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text != ".."
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte))
}

impl Discord {
    pub(super) fn authorized(&self, request: Request) -> Request {
        request
            .authorized("Bot", self.secrets.or_empty("botToken"))
            .with_header("user-agent", "DiscordBot (https://chatbot.dev, 0.1)")
    }

    pub(super) fn messages(&self, reply: &Reply) -> Vec<Request> {
        let places: Vec<&str> = reply.origin.split('/').collect();
        split(&reply.answer, Measure::utf16(LONGEST))
            .into_iter()
            .enumerate()
            .map(|(part, text)| {
                let mut body = json!({
                    "content": text,
                    "allowed_mentions": { "parse": [], "replied_user": false },
                });
                if let [_, "interaction", application, token] = places.as_slice() {
                    return self.to_interaction(application, token, part, &body);
                }
                let key = key(reply, part);
                body["nonce"] = key.as_str().into();
                body["enforce_nonce"] = true.into();
                if let [_, message, "guild"] = places.as_slice()
                    && part == 0
                {
                    body["message_reference"] =
                        json!({ "message_id": message, "fail_if_not_exists": false });
                }
                let channel = places.first().copied().unwrap_or_default();
                let address = format!("{}/channels/{channel}/messages", self.base);
                Request {
                    key: Some(key),
                    ..self.authorized(Request::post(address, &body))
                }
            })
            .collect()
    }

    /// The first part takes the place of "thinking", which may be done again; the others follow it.
    fn to_interaction(&self, application: &str, token: &str, part: usize, body: &Value) -> Request {
        let address = format!("{}/webhooks/{application}/{token}", self.base);
        if part > 0 {
            return Request::post(address, body);
        }
        Request {
            method: Method::PATCH,
            key: Some(token.to_owned()),
            ..Request::post(format!("{address}/messages/@original"), body)
        }
    }

    /// An interaction shows "thinking" by itself.
    pub(super) fn writing(&self, origin: &str) -> Option<Request> {
        let (channel, rest) = origin.split_once('/')?;
        if rest.starts_with("interaction/") {
            return None;
        }
        let address = format!("{}/channels/{channel}/typing", self.base);
        Some(self.authorized(Request::post(address, &json!({}))))
    }
}

/// The same without a reference to what it answers, where that is what the bot lacks a permission for.
pub(super) fn without_reference(refused: &Request, response: &Response) -> Option<Request> {
    json::number(&response.json(), "/code").filter(|code| *code == NO_HISTORY)?;
    let mut body = refused.json();
    body.as_object_mut()?.remove("message_reference")?;
    Some(refused.carrying(&body))
}

pub(super) fn classify(response: &Response) -> Verdict {
    let body = response.json();
    match Verdict::of_status(response) {
        Verdict::Accepted { .. } => Verdict::Accepted {
            id: json::owned(&body, "/id"),
        },
        Verdict::Later { after, reason, .. } => {
            let asked = body
                .get("retry_after")
                .and_then(Value::as_f64)
                .and_then(pause);
            let is_global = json::flag(&body, "/global")
                || response.headers.contains_key("x-ratelimit-global")
                || response.status == StatusCode::SERVICE_UNAVAILABLE;
            Verdict::Later {
                after: asked.or(after),
                scope: if is_global {
                    Scope::Channel
                } else {
                    Scope::Chat
                },
                reason,
            }
        }
        other => of_code(&body, response).unwrap_or(other),
    }
}

/// What Discord's own code says, where it says more than the status.
fn of_code(body: &Value, response: &Response) -> Option<Verdict> {
    let reason = reason(response);
    Some(match json::number(body, "/code")? {
        40_001 => Verdict::Credentials { reason },
        // The interaction was acknowledged before, by a request whose answer did not come.
        40_060 => Verdict::Accepted { id: None },
        // The interaction's token, which lasts for 15 minutes; nothing is said of the bot's.
        50_027 => Verdict::Refused { reason },
        // A webhook that is not known is an interaction whose acknowledgement has not come yet.
        10_015 => Verdict::Later {
            after: Some(UNACKNOWLEDGED),
            scope: Scope::Chat,
            reason,
        },
        _ => return None,
    })
}

/// The frame that begins a session, with the bot's token. A presence is not asked for; messages and their text are.
#[must_use]
pub fn identify(token: &str, shard: (u32, u32)) -> String {
    json!({
        "op": opcode::IDENTIFY,
        "d": {
            "token": token,
            "intents": INTENTS,
            "shard": [shard.0, shard.1],
            "properties": { "os": "linux", "browser": "chatbot", "device": "chatbot" },
        },
    })
    .to_string()
}

/// The frame that goes on with a session, after `sequence`.
#[must_use]
pub fn resume(token: &str, session: &str, sequence: i64) -> String {
    json!({
        "op": opcode::RESUME,
        "d": { "token": token, "session_id": session, "seq": sequence },
    })
    .to_string()
}

/// The frame that keeps a connection, with the last sequence that was received.
#[must_use]
pub fn heartbeat(sequence: Option<i64>) -> String {
    json!({ "op": opcode::HEARTBEAT, "d": sequence }).to_string()
}
