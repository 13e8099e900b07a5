//! What is sent to the `WhatsApp` Cloud API, and what it says.

use std::time::Duration;

use chatbot_message::Reply;
use serde_json::{Value, json};

use super::{LONGEST, WhatsApp};
use crate::outbound::{id_at, reason};
use crate::split::{Measure, split};
use crate::{Limits, Rate, Request, Response, Scope, Verdict, json};

/// The version of the Graph API that the requests are written for.
const VERSION: &str = "v23.0";
/// The pace towards one user.
const PAIR: Duration = Duration::from_secs(6);

pub(super) const LIMITS: Limits = Limits {
    chat: Some(Rate {
        messages: 1,
        per: PAIR,
    }),
    group: None,
    channel: Some(Rate::per_second(80)),
    typing: Some(Duration::from_secs(25)),
    keys: None,
    // Meta asks for a median of 250 ms.
    acknowledgement: Some(Duration::from_millis(250)),
};

/// `<user>/<wamid>`, or `<group>/<wamid>/group`.
pub(super) fn origin(chat: &str, id: &str, group: bool) -> String {
    format!("{chat}/{id}{}", if group { "/group" } else { "" })
}

pub(super) fn chat(origin: &str) -> &str {
    origin.split('/').next().unwrap_or_default()
}

impl WhatsApp {
    pub(super) fn address(&self, rest: &str) -> String {
        format!("{}/{VERSION}/{}{rest}", self.base, self.phone_number)
    }

    pub(super) fn authorized(&self, request: Request) -> Request {
        request.authorized("Bearer", self.secrets.or_empty("accessToken"))
    }

    pub(super) fn messages(&self, reply: &Reply) -> Vec<Request> {
        // A wamid is base64 and may hold slashes: only the first one separates.
        let (to, rest) = reply.origin.split_once('/').unwrap_or((&reply.origin, ""));
        let group = rest.strip_suffix("/group");
        split(&reply.answer, Measure::utf16(LONGEST))
            .into_iter()
            .enumerate()
            .map(|(part, text)| {
                let mut body = json!({
                    "messaging_product": "whatsapp",
                    "recipient_type": if group.is_some() { "group" } else { "individual" },
                    "to": to,
                    "type": "text",
                    "text": { "preview_url": false, "body": text },
                });
                if let Some(question) = group.filter(|_| part == 0) {
                    body["context"] = json!({ "message_id": question });
                }
                self.authorized(Request::post(self.address("/messages"), &body))
            })
            .collect()
    }

    /// Shows that the question was read, too: the API has no other way.
    pub(super) fn writing(&self, origin: &str) -> Option<Request> {
        let (_, rest) = origin.split_once('/')?;
        let body = json!({
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": rest.strip_suffix("/group").unwrap_or(rest),
            "typing_indicator": { "type": "text" },
        });
        Some(self.authorized(Request::post(self.address("/messages"), &body)))
    }
}

pub(super) fn classify(response: &Response) -> Verdict {
    let body: Value = response.json();
    let reason = reason(response);
    let Some(code) = json::number(&body, "/error/code") else {
        return match Verdict::of_status(response) {
            Verdict::Accepted { .. } => Verdict::Accepted {
                id: id_at(&body, "/messages/0/id"),
            },
            other => other,
        };
    };
    let later = |after: Option<Duration>, scope| Verdict::Later {
        after: response.retry_after().or(after),
        scope,
        reason: reason.clone(),
    };
    match code {
        131_056 => later(Some(PAIR), Scope::Chat),
        // Too many of the app, the account or the number, or too many complaints; and out of service, which is said of
        // requests that were not taken.
        4 | 80_007 | 130_429 | 131_016 | 131_048 | 131_057 => later(None, Scope::Channel),
        0
        | 3
        | 10
        | 190
        | 200..=299
        | 368
        | 131_005
        | 131_031
        | 131_037
        | 131_042
        | 131_045
        | 133_010 => Verdict::Credentials { reason },
        1 | 2 | 131_000 => Verdict::Unknown { reason },
        _ if response.status.is_server_error() => Verdict::Unknown { reason },
        _ => Verdict::Refused { reason },
    }
}
