//! The formats of two platforms, written here a second time so that ours are tried against something else: one that
//! takes idempotency keys, and one that does not.

use anyhow::{Context, Result, bail, ensure};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chatbot_crds::config::{ChannelTransport, PlatformConfig};
use ring::hmac;
use serde_json::{Value, json};

/// The key by which both sides of the webhook sign.
const SIGNING_KEY: &str = "a key of the benchmark, 32 bytes";
/// The secret by which Slack signs its events.
const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
/// By which Slack knows the bot.
const BOT_TOKEN: &str = "xoxb-benchmark";
/// What every answer of the model begins with.
pub const ANSWER: &str = "You said: ";

/// A platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// The generic webhook: its replies carry an idempotency key.
    Keys,
    /// Slack: it shows whatever it is sent.
    NoKeys,
}

/// A user's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its own number, below 1,000,000.
    pub number: u32,
    /// Who asks.
    pub user: u32,
    /// What is asked.
    pub text: String,
}

/// A request to the gateway.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// A reply as the platform reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The question's number, where the format names it.
    pub number: Option<u32>,
    /// Whom it is for.
    pub user: u32,
    /// What is shown.
    pub text: String,
    /// Under which it is remembered.
    pub key: Option<String>,
}

impl Platform {
    /// Both, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Keys, Self::NoKeys];

    /// As it is called in the result.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::NoKeys => "no_keys",
        }
    }

    /// The channel's configuration, its platform at a base address.
    #[must_use]
    pub fn config(self, base: &str) -> PlatformConfig {
        match self {
            Self::Keys => PlatformConfig::Webhook {
                reply_url: format!("{base}/reply"),
            },
            Self::NoKeys => PlatformConfig::Slack {
                transport: ChannelTransport::Webhook,
                api_url: Some(base.to_owned()),
            },
        }
    }

    /// The channel's Secret.
    #[must_use]
    pub fn secrets(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Keys => &[("signingKey", SIGNING_KEY)],
            Self::NoKeys => &[("botToken", BOT_TOKEN), ("signingSecret", SIGNING_SECRET)],
        }
    }

    /// A message as the platform delivers it at `now`, seconds since 1970. `began` is when the platform began to number
    /// its messages, seconds since 1970: a copy is the same but for its signature.
    #[must_use]
    pub fn delivery(self, question: &Question, began: i64, now: i64) -> Delivery {
        let Question { number, user, text } = question;
        match self {
            Self::Keys => {
                let id = format!("m-{number}");
                let body = json!({ "user": format!("u-{user}"), "text": text }).to_string();
                let tag = webhook_tag(&id, &now.to_string(), body.as_bytes());
                Delivery {
                    headers: vec![
                        ("webhook-id", id),
                        ("webhook-timestamp", now.to_string()),
                        ("webhook-signature", format!("v1,{}", STANDARD.encode(tag))),
                    ],
                    body: body.into_bytes(),
                }
            }
            Self::NoKeys => {
                let body = json!({
                    "type": "event_callback",
                    "event_id": format!("Ev{number}"),
                    "event": {
                        "type": "message",
                        "channel_type": "im",
                        "channel": format!("D{user}"),
                        "user": format!("U{user}"),
                        "ts": format!("{began}.{number:06}"),
                        "text": text,
                    },
                })
                .to_string();
                let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_SECRET.as_bytes());
                let tag = hmac::sign(&key, format!("v0:{now}:{body}").as_bytes());
                Delivery {
                    headers: vec![
                        ("x-slack-request-timestamp", now.to_string()),
                        ("x-slack-signature", format!("v0={}", hex(tag.as_ref()))),
                    ],
                    body: body.into_bytes(),
                }
            }
        }
    }

    /// Reads a reply, and fails when the gateway has not shown who it is.
    pub fn reply(self, headers: &HeaderMap, body: &[u8]) -> Result<Reply> {
        let value: Value = serde_json::from_slice(body).context("the body is not JSON")?;
        let text = |name: &str| {
            let text = value[name].as_str().map(str::to_owned);
            text.with_context(|| format!("{name}: it must be text"))
        };
        match self {
            Self::Keys => {
                let id = header(headers, "webhook-id")?;
                let timestamp = header(headers, "webhook-timestamp")?;
                let tag = STANDARD.encode(webhook_tag(id, timestamp, body));
                let signature = header(headers, "webhook-signature")?;
                ensure!(signature == format!("v1,{tag}"), "webhook-signature: wrong");
                ensure!(value["parts"] == 1, "parts: every answer here has one");
                ensure!(value["fallback"] == false, "fallback: the model answers");
                Ok(Reply {
                    number: Some(numbered("replyTo", &text("replyTo")?, "m-")?),
                    user: numbered("user", &text("user")?, "u-")?,
                    text: text("text")?,
                    key: Some(id.to_owned()),
                })
            }
            Self::NoKeys => {
                let given = header(headers, "authorization")?;
                ensure!(
                    given == format!("Bearer {BOT_TOKEN}"),
                    "authorization: wrong"
                );
                Ok(Reply {
                    number: None,
                    user: numbered("channel", &text("channel")?, "D")?,
                    text: text("text")?,
                    key: None,
                })
            }
        }
    }

    /// What the platform says when it has taken a reply.
    #[must_use]
    pub fn taken(self) -> (StatusCode, Value) {
        match self {
            Self::Keys => (StatusCode::OK, json!({})),
            Self::NoKeys => (
                StatusCode::OK,
                json!({ "ok": true, "ts": "1.000001", "user_id": "UBOT" }),
            ),
        }
    }
}

/// The number of the question that an answer repeats, where questions are [`asked`].
pub fn answered(text: &str) -> Result<u32> {
    let question = text
        .strip_prefix(ANSWER)
        .with_context(|| format!("the answer {text:?} does not repeat a question"))?;
    numbered("text", question, "question ")
}

/// A text by which its answer is known.
#[must_use]
pub fn asked(number: u32) -> String {
    format!("question {number}")
}

fn numbered(field: &str, text: &str, prefix: &str) -> Result<u32> {
    let number = text.strip_prefix(prefix).and_then(|rest| rest.parse().ok());
    match number {
        Some(number) => Ok(number),
        None => bail!("{field}: {text:?} is not {prefix:?} and a number"),
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.with_context(|| format!("{name}: missing"))
}

fn webhook_tag(id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY.as_bytes());
    let mut signed = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        signed.update(part);
    }
    signed.sign()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a string does not fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(id: &str, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let signature = format!("v1,{}", STANDARD.encode(webhook_tag(id, "7", body)));
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", "7".parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn a_reply_that_is_not_signed_as_it_stands_is_refused() {
        let body = |text: &str| {
            json!({ "replyTo": "m-7", "user": "u-3", "text": text, "fallback": false, "parts": 1 })
                .to_string()
                .into_bytes()
        };
        let headers = signed("key", &body("You said: question 7"));
        let reply = Platform::Keys.reply(&headers, &body("You said: question 7"));
        let reply = reply.unwrap();
        assert_eq!((reply.number, reply.user), (Some(7), 3));
        assert_eq!(reply.key.as_deref(), Some("key"));
        assert_eq!(answered(&reply.text).unwrap(), 7);
        assert!(Platform::Keys.reply(&headers, &body("other")).is_err());
    }

    #[test]
    fn a_copy_of_a_message_differs_in_its_signature_only() {
        let question = Question {
            number: 7,
            user: 3,
            text: asked(7),
        };
        for platform in Platform::ALL {
            let first = platform.delivery(&question, 1_000, 2_000);
            let copy = platform.delivery(&question, 1_000, 5_600);
            assert_eq!(first.body, copy.body);
            assert_ne!(first.headers, copy.headers);
        }
    }

    #[test]
    fn slack_is_told_by_its_token_and_its_channel() {
        let mut headers = HeaderMap::new();
        let body = br#"{"channel":"D3","text":"You said: question 7"}"#;
        assert!(Platform::NoKeys.reply(&headers, body).is_err());
        headers.insert(
            "authorization",
            format!("Bearer {BOT_TOKEN}").parse().unwrap(),
        );
        let reply = Platform::NoKeys.reply(&headers, body).unwrap();
        assert_eq!((reply.user, reply.key), (3, None));
    }
}
