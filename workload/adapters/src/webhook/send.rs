//! Replies to a program of the user's own.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chatbot_message::{Outcome, Reply};
use http::StatusCode;
use serde_json::json;

use super::{ID, LONGEST, SIGNATURE, TIMESTAMP, VERSION, Webhook, signature};
use crate::outbound::{key, reason};
use crate::split::{Measure, split};
use crate::{Limits, Request, Response, Verdict};

pub(super) const LIMITS: Limits = Limits {
    chat: None,
    group: None,
    channel: None,
    typing: None,
    // How long a receiver remembers ids is its own affair; the documentation asks it to.
    keys: Some(Duration::from_hours(24)),
    acknowledgement: None,
};

/// A JSON list, since the client's own ids may hold anything.
pub(super) fn origin(id: &str, user: &str, chat: &str) -> String {
    json!([id, user, chat]).to_string()
}

/// The user within an origin, as JSON writes it: a user's replies stay in order wherever they go.
pub(super) fn user(origin: &str) -> &str {
    let mut escaped = false;
    let mut quotes = origin.char_indices().filter_map(|(at, character)| {
        let is_end = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        is_end.then_some(at)
    });
    // Behind the two of the id.
    let (begin, end) = (quotes.nth(2), quotes.next());
    begin
        .zip(end)
        .and_then(|(begin, end)| origin.get(begin..=end))
        .unwrap_or(origin)
}

impl Webhook {
    /// The parts of a reply, unsigned: a signature holds the time at which they are sent.
    pub(super) fn parts(&self, reply: &Reply) -> Vec<Request> {
        let (id, user, chat): (String, String, String) =
            serde_json::from_str(&reply.origin).unwrap_or_default();
        let texts = split(&reply.answer, Measure::utf16(LONGEST));
        let parts = texts.len();
        texts
            .into_iter()
            .enumerate()
            .map(|(part, text)| {
                let key = key(reply, part);
                let body = json!({
                    "replyTo": id,
                    "user": user,
                    "chat": chat,
                    "text": text,
                    "fallback": reply.outcome == Outcome::Fallback,
                    "part": part,
                    "parts": parts,
                });
                let request = Request::post(self.reply_url.clone(), &body).with_header(ID, &key);
                Request {
                    key: Some(key),
                    ..request
                }
            })
            .collect()
    }
}

impl Webhook {
    pub(super) fn sign(&self, request: Request, now: i64) -> Request {
        let Ok(key) = self.key() else {
            return request;
        };
        let id = request.key.clone().unwrap_or_default();
        let timestamp = (now / 1_000).to_string();
        let tag = signature(&key, &id, &timestamp, &request.body);
        let signature = format!("{VERSION}{}", STANDARD.encode(tag));
        request
            .with_header(TIMESTAMP, &timestamp)
            .with_header(SIGNATURE, &signature)
    }
}

pub(super) fn classify(response: &Response) -> Verdict {
    match response.status {
        StatusCode::CONFLICT => Verdict::Accepted { id: None },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Verdict::Credentials {
            reason: reason(response),
        },
        StatusCode::REQUEST_TIMEOUT => Verdict::Unknown {
            reason: reason(response),
        },
        _ => Verdict::of_status(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_found_whatever_ids_and_names_are_made_of() {
        for (id, user_name, chat) in [
            ("q-1", "u-1", ""),
            ("\"", "\\\"", "\""),
            ("a\\", "[\",\"", "b"),
            ("q", "\u{1f600}", "\\"),
        ] {
            let origin = origin(id, user_name, chat);
            assert_eq!(user(&origin), json!(user_name).to_string(), "{origin}");
        }
        assert_eq!(user("no list"), "no list");
    }
}
