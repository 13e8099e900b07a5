//! What is sent to Feishu, and what it says.

use std::time::Duration;

use chatbot_message::Reply;
use serde_json::{Value, json};

use super::Feishu;
use crate::outbound::{key, pause, reason};
use crate::split::{Measure, split};
use crate::{Limits, Rate, Request, Response, Scope, Session, Verdict, json};

/// Of the 150 KB of a request, what a text may have once it is escaped twice: it is JSON in JSON.
const LONGEST: usize = 140 * 1_024;
/// A token is renewed so long before it ends.
const AHEAD: u64 = 5 * 60;

pub(super) const LIMITS: Limits = Limits {
    chat: Some(Rate::per_second(5)),
    group: None,
    // 50 a second and 1,000 a minute: the slower one holds all the time.
    channel: Some(Rate {
        messages: 1_000,
        per: Duration::from_mins(1),
    }),
    typing: None,
    keys: Some(Duration::from_hours(1)),
    acknowledgement: Some(Duration::from_secs(3)),
};

/// `<chat>` alone with a user; `<chat>/<message>` in a group, and `/thread` behind it in a topic.
pub(super) fn origin(chat: &str, message: Option<&str>, thread: bool) -> String {
    match message {
        Some(message) => format!("{chat}/{message}{}", if thread { "/thread" } else { "" }),
        None => chat.to_owned(),
    }
}

pub(super) fn chat(origin: &str) -> &str {
    origin.split('/').next().unwrap_or_default()
}

/// What a character costs in JSON in JSON, at most.
fn cost(character: char) -> usize {
    match character {
        '"' | '\\' => 4,
        character if character.is_control() => 7,
        character => character.len_utf8(),
    }
}

/// A text in which nothing calls anybody: Feishu reads `<at …>` in a plain text.
fn harmless(text: &str) -> String {
    text.replace("<at ", "<\u{200b}at ")
        .replace("</at>", "<\u{200b}/at>")
}

impl Feishu {
    pub(super) fn messages(&self, reply: &Reply) -> Vec<Request> {
        let places: Vec<&str> = reply.origin.split('/').collect();
        let measure = Measure {
            most: LONGEST,
            cost,
        };
        split(&harmless(&reply.answer), measure)
            .into_iter()
            .enumerate()
            .map(|(part, text)| {
                let key = key(reply, part);
                let mut body = json!({
                    "msg_type": "text",
                    "content": json!({ "text": text }).to_string(),
                    "uuid": key,
                });
                let messages = format!("{}/open-apis/im/v1/messages", self.base);
                let address = if let [_, message, rest @ ..] = places.as_slice() {
                    body["reply_in_thread"] = (!rest.is_empty()).into();
                    format!("{messages}/{message}/reply")
                } else {
                    body["receive_id"] = reply.origin.as_str().into();
                    format!("{messages}?receive_id_type=chat_id")
                };
                Request {
                    session: true,
                    key: Some(key),
                    ..Request::post(address, &body)
                }
            })
            .collect()
    }

    pub(super) fn token(&self) -> Request {
        let body = json!({ "app_id": self.app, "app_secret": self.secrets.or_empty("appSecret") });
        let path = "open-apis/auth/v3/tenant_access_token/internal";
        Request::post(format!("{}/{path}", self.base), &body)
    }

    pub(super) fn endpoint(&self) -> Request {
        let body = json!({ "AppID": self.app, "AppSecret": self.secrets.or_empty("appSecret") });
        Request::post(format!("{}/callback/ws/endpoint", self.base), &body)
    }
}

pub(super) fn session(response: &Response) -> Result<Session, Verdict> {
    let body = response.json();
    let token = json::owned(&body, "/tenant_access_token");
    let seconds = json::number(&body, "/expire").and_then(|seconds| u64::try_from(seconds).ok());
    match (token, seconds) {
        (Some(token), Some(seconds)) if json::number(&body, "/code") == Some(0) => Ok(Session {
            token,
            lasts: Duration::from_secs(seconds.saturating_sub(AHEAD).max(seconds / 2)),
        }),
        _ => Err(classify(response)),
    }
}

pub(super) fn classify(response: &Response) -> Verdict {
    let body: Value = response.json();
    let reason = reason(response);
    let reset = || {
        let seconds = response
            .headers
            .get("x-ogw-ratelimit-reset")?
            .to_str()
            .ok()?;
        seconds.parse().ok().and_then(pause)
    };
    let later = |scope, reason| Verdict::Later {
        after: reset().or_else(|| response.retry_after()),
        scope,
        reason,
    };
    match json::number(&body, "/code") {
        Some(0) if response.status.is_success() => Verdict::Accepted {
            id: json::owned(&body, "/data/message_id"),
        },
        // Too many to one group or user.
        Some(230_020) => later(Scope::Chat, reason),
        // Too many in all; and too busy.
        Some(99_991_400 | 11_232 | 11_233 | 1_500 | 2_200) => later(Scope::Channel, reason),
        // A token that is wrong or has run out, an app that is wrong, not there, or switched off. With a session: a new
        // token first.
        Some(
            10_003 | 10_012 | 10_014 | 99_991_661 | 99_991_663 | 99_991_664 | 99_991_665
            | 99_991_668 | 99_991_671 | 99_991_672 | 99_991_673 | 99_991_662,
        ) => Verdict::Credentials { reason },
        Some(_) if response.status.is_server_error() => Verdict::Unknown { reason },
        Some(_) if response.status.as_u16() == 429 => later(Scope::Channel, reason),
        Some(_) => Verdict::Refused { reason },
        None => match Verdict::of_status(response) {
            // 200 without a code is not Feishu's.
            Verdict::Accepted { .. } => Verdict::Unknown { reason },
            other => other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_costs_more_than_is_reckoned() {
        for character in [
            'a', 'é', '"', '\\', '\n', '\u{1}', '\u{7f}', '😀', '\u{2028}',
        ] {
            let content = json!({ "text": character.to_string() }).to_string();
            let twice = json!({ "content": content }).to_string().len();
            let empty = json!({ "content": json!({ "text": "" }).to_string() })
                .to_string()
                .len();
            assert!(twice - empty <= cost(character), "{character:?}");
        }
    }
}
