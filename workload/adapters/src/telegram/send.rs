//! What is sent to Telegram, and what it says.

use std::time::Duration;

use chatbot_message::Reply;
use http::StatusCode;
use serde_json::{Value, json};

use super::{LONGEST, Telegram};
use crate::outbound::{id_at, pause, reason};
use crate::split::{Measure, split};
use crate::{Limits, Polled, Rate, Request, Response, Scope, Verdict, json};

/// Those of core.telegram.org/bots/faq, "My bot is hitting limits".
pub(super) const LIMITS: Limits = Limits {
    chat: Some(Rate::per_second(1)),
    group: Some(Rate {
        messages: 20,
        per: Duration::from_mins(1),
    }),
    channel: Some(Rate::per_second(30)),
    typing: Some(Duration::from_secs(5)),
    keys: None,
    acknowledgement: None,
};

/// `<chat>/<message>`, or `<chat>/<message>/<topic>`.
pub(super) fn origin(chat: i64, message: i64, topic: Option<i64>) -> String {
    match topic {
        Some(topic) => format!("{chat}/{message}/{topic}"),
        None => format!("{chat}/{message}"),
    }
}

pub(super) fn chat(origin: &str) -> &str {
    origin.split('/').next().unwrap_or_default()
}

/// Chat, message and topic of an origin.
fn places(origin: &str) -> (Value, Option<i64>, Option<i64>) {
    let mut places = origin.split('/');
    let chat = places.next().unwrap_or_default();
    // A channel's public name is no number.
    let chat = chat
        .parse::<i64>()
        .map_or_else(|_| chat.into(), Value::from);
    let mut number = || places.next()?.parse().ok();
    let message = number();
    (chat, message, number())
}

impl Telegram {
    /// The address of a method. The token is part of it.
    pub(super) fn method(&self, name: &str) -> String {
        format!(
            "{}/bot{}/{name}",
            self.base,
            self.secrets.or_empty("botToken")
        )
    }

    pub(super) fn messages(&self, reply: &Reply) -> Vec<Request> {
        let (chat, message, topic) = places(&reply.origin);
        let is_group = chat.as_i64().is_none_or(|chat| chat < 0);
        split(&reply.answer, Measure::utf16(LONGEST))
            .into_iter()
            .enumerate()
            .map(|(part, text)| {
                let mut body = json!({ "chat_id": chat, "text": text });
                if let Some(topic) = topic {
                    body["message_thread_id"] = topic.into();
                }
                if let Some(message) = message.filter(|_| is_group && part == 0) {
                    body["reply_parameters"] =
                        json!({ "message_id": message, "allow_sending_without_reply": true });
                }
                body["link_preview_options"] = json!({ "is_disabled": true });
                Request::post(self.method("sendMessage"), &body)
            })
            .collect()
    }

    pub(super) fn writing(&self, origin: &str) -> Request {
        let (chat, _, topic) = places(origin);
        let mut body = json!({ "chat_id": chat, "action": "typing" });
        if let Some(topic) = topic {
            body["message_thread_id"] = topic.into();
        }
        Request::post(self.method("sendChatAction"), &body)
    }

    pub(super) fn webhook(&self, url: Option<&str>) -> Request {
        match url {
            Some(url) => Request::post(
                self.method("setWebhook"),
                &json!({
                    "url": url,
                    "secret_token": self.secrets.or_empty("webhookSecret"),
                    "allowed_updates": ["message", "edited_message"],
                }),
            ),
            None => Request::post(self.method("deleteWebhook"), &json!({})),
        }
    }

    pub(super) fn updates(&self, cursor: Option<&str>, patience: Duration) -> Request {
        let mut body = json!({
            "timeout": patience.as_secs(),
            "allowed_updates": ["message", "edited_message"],
        });
        if let Some(offset) = cursor.and_then(|cursor| cursor.parse::<i64>().ok()) {
            body["offset"] = offset.into();
        }
        Request::post(self.method("getUpdates"), &body)
    }
}

/// What `getUpdates` said. 409 has two causes, which its description tells apart: "can't use getUpdates method while webhook
/// is active", and "terminated by other getUpdates request".
pub(super) fn polled(response: &Response) -> Polled {
    match classify(response) {
        Verdict::Accepted { .. } => Polled::Delivery,
        Verdict::Later { reason, .. } if response.status == StatusCode::CONFLICT => {
            let told = json::owned(&response.json(), "/description").unwrap_or_default();
            if told.contains("webhook") {
                Polled::Subscribed { reason }
            } else {
                Polled::Contended { reason }
            }
        }
        verdict => Polled::Failed(verdict),
    }
}

/// The same in the supergroup that a group has become. Its messages are counted anew: what was answered has another number
/// there, and may have that of another message.
pub(super) fn moved(refused: &Request, response: &Response) -> Option<Request> {
    let to = json::number(&response.json(), "/parameters/migrate_to_chat_id")?;
    let mut body = refused.json();
    let fields = body.as_object_mut()?;
    fields.insert("chat_id".to_owned(), to.into());
    fields.remove("reply_parameters");
    Some(refused.carrying(&body))
}

pub(super) fn classify(response: &Response) -> Verdict {
    let body: Value = response.json();
    let reason = reason(response);
    if response.status.is_success() && json::flag(&body, "/ok") {
        return Verdict::Accepted {
            id: id_at(&body, "/result/message_id"),
        };
    }
    let asked = body
        .pointer("/parameters/retry_after")
        .and_then(Value::as_f64);
    match response.status {
        // Whether the chat or the bot is too fast is not said. The chat waits; if it is the bot, every chat is told so.
        StatusCode::TOO_MANY_REQUESTS => Verdict::Later {
            after: asked.and_then(pause).or_else(|| response.retry_after()),
            scope: Scope::Chat,
            reason,
        },
        // Somebody else asks for the updates, or a webhook is set.
        StatusCode::CONFLICT => Verdict::Later {
            after: None,
            scope: Scope::Channel,
            reason,
        },
        // A token that nobody has is a path that is not there.
        StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => Verdict::Credentials { reason },
        status if status.is_client_error() => Verdict::Refused { reason },
        _ => match Verdict::of_status(response) {
            // 200 without `ok` is not Telegram's.
            Verdict::Accepted { .. } => Verdict::Unknown { reason },
            other => other,
        },
    }
}
