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
