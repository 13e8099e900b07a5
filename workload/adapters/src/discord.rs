//! Discord: the Gateway's dispatches, and interactions by webhook.
//!
//! # In
//! Over the Gateway's WebSocket come frames `{op, t, s, d}`; `op` 0 is an event of the type `t`. `s` counts them, and is
//! where a connection resumes. The other codes are the connection's own and named in [`opcode`]. An interaction, such as a
//! slash command, comes over the Gateway, or by webhook where `interactionsPublicKey` is set: then it carries
//! `X-Signature-Ed25519` (hex) over `X-Signature-Timestamp` and the body, and a PING (type 1) is answered with a PONG.
//! An interaction must be acknowledged within 3 s and can be answered for 15 minutes
//! (docs.discord.com/developers/interactions/receiving-and-responding), so that it is answered "thinking" at once. The id of a
//! message or an interaction is its snowflake; an edit adds its time.
//!
//! # Groups
//! In a direct message everything is for the bot; in a guild a mention of it, or an answer to what it said. A thread is a
//! channel of its own.
//!
//! # Out
//! `POST /channels/<id>/messages`, at most 2000 characters, mentioning nobody. `nonce` (25 characters) with `enforce_nonce` is an
//! idempotency key, "checked for uniqueness in the past few minutes": the message that was made with it is returned.
//! 429 carries `retry_after` in seconds with decimals, and `global`. In a guild an answer refers to its question, unless the
//! bot lacks the permission to read the history there.

mod gateway;
mod interaction;
mod send;

use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::PlatformConfig;
use chatbot_message::{Attachment, Details, Reply};
use http::Method;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;

use crate::draft::Draft;
use crate::inbound::header;
use crate::outbound::base;
use crate::text::{bounded, kind_of, without};
use crate::{
    Admission, Delivery, Event, Fault, Head, Limits, Link, Me, Notice, Parsed, Platform,
    ProtocolAdapter, Refusal, Request, Response, Scope, Secrets, Transport, Verdict, json, sign,
};

pub use send::{heartbeat, identify, resume};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "discord",
    example: || PlatformConfig::Discord {
        interactions_public_key: None,
        api_url: None,
    },
    adapter: |config, secrets| match config {
        PlatformConfig::Discord {
            interactions_public_key,
            api_url,
        } => Some(Arc::new(Discord {
            public_key: interactions_public_key.clone().or_else(|| {
                // Where single deliveries are looked at, the key is given like a secret.
                secrets.get("interactionsPublicKey").map(str::to_owned)
            }),
            base: base(api_url.as_deref(), "https://discord.com/api/v10"),
            secrets,
        })),
        _ => None,
    },
};

/// Codes of the Gateway's frames (docs.discord.com/developers/topics/opcodes-and-status-codes).
pub mod opcode {
    /// An event.
    pub const DISPATCH: i64 = 0;
    /// The other side wants a heartbeat, or gives one.
    pub const HEARTBEAT: i64 = 1;
    /// Who the client is; the first frame of a new session.
    pub const IDENTIFY: i64 = 2;
    /// Which session goes on.
    pub const RESUME: i64 = 6;
    /// The platform wants the client to connect anew and to resume.
    pub const RECONNECT: i64 = 7;
    /// The session is over; `d` says whether it can be resumed.
    pub const INVALID_SESSION: i64 = 9;
    /// The first frame of the platform, with the pause between heartbeats.
    pub const HELLO: i64 = 10;
    /// The platform has the heartbeat.
    pub const HEARTBEAT_ACK: i64 = 11;
}

const LARGEST: usize = 1 << 20;
/// The longest text that a person can write (with Nitro).
const LONGEST_READ: usize = 4_000;
const SIGNATURE: &str = "x-signature-ed25519";
const TIMESTAMP: &str = "x-signature-timestamp";

struct Discord {
    public_key: Option<String>,
    base: String,
    secrets: Secrets,
}

impl ProtocolAdapter for Discord {
    fn transports(&self) -> &'static [Transport] {
        if self.public_key.is_some() {
            &[Transport::LongConnection, Transport::Webhook]
        } else {
            &[Transport::LongConnection]
        }
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["botToken"]
    }

    fn max_body(&self) -> usize {
        LARGEST
    }

    fn limits(&self) -> Limits {
        send::LIMITS
    }

    fn check_headers(&self, head: &Head) -> Result<Admission, Refusal> {
        if *head.method != Method::POST {
            return Err(Refusal::new(Fault::Method, "the method must be POST"));
        }
        self.key()?;
        signature(header(head.headers, SIGNATURE))?;
        timestamp(header(head.headers, TIMESTAMP))?;
        Ok(Admission::Read { most: LARGEST })
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        if delivery.is_asked_for() {
            return Ok(());
        }
        let key = self.key()?;
        let given = signature(delivery.header(SIGNATURE))?;
        let timestamp = timestamp(delivery.header(TIMESTAMP))?;
        let signed = [timestamp.as_bytes(), delivery.body].concat();
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&signed, &given)
            .map_err(|_| {
                Refusal::unauthenticated(
                    "X-Signature-Ed25519: it is not the signature of timestamp and body by the key of the channel's \
                     `interactionsPublicKey`",
                )
            })
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let body = json::parse(delivery.body)?;
        if body.get("op").is_some() {
            return self.frame(delivery, &body);
        }
        if body.get("type").is_some_and(Value::is_i64) && body.get("id").is_some() {
            return self.interaction(delivery, &body);
        }
        Err(Refusal::malformed(
            "op: it must be a frame of the Gateway `{op, t, s, d}`, or an interaction with `id` and `type`",
        ))
    }

    fn format_response(&self, reply: &Reply, _position: u64) -> Vec<Request> {
        self.messages(reply)
    }

    fn typing(&self, origin: &str) -> Option<Request> {
        self.writing(origin)
    }

    fn classify(&self, response: &Response) -> Verdict {
        send::classify(response)
    }

    fn instead(&self, _origin: &str, refused: &Request, response: &Response) -> Option<Request> {
        send::without_reference(refused, response)
    }

    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        send::chat(origin)
    }

    fn identify(&self) -> Option<Request> {
        Some(self.authorized(Request::get(format!("{}/users/@me", self.base))))
    }

    fn identified(&self, response: &Response) -> Result<Me, Verdict> {
        let body = response.json();
        json::owned(&body, "/id")
            .filter(|_| response.status.is_success())
            .map(|id| Me { id, name: None })
            .ok_or_else(|| send::classify(response))
    }

    fn connect(&self) -> Option<Request> {
        Some(self.authorized(Request::get(format!("{}/gateway/bot", self.base))))
    }

    fn link(&self, cursor: Option<&str>, share: f64) -> Option<Box<dyn Link>> {
        let token = self.secrets.or_empty("botToken");
        Some(Box::new(gateway::Gateway::new(token, cursor, share)))
    }

    fn address(&self, response: &Response) -> Result<String, Verdict> {
        let body = response.json();
        // Of sessions that begin there are so many a day; more cost the token.
        let left = json::number(&body, "/session_start_limit/remaining");
        if left == Some(0) {
            let pause = json::number(&body, "/session_start_limit/reset_after");
            return Err(Verdict::Later {
                after: pause
                    .and_then(|pause| u64::try_from(pause).ok())
                    .map(Duration::from_millis),
                scope: Scope::Channel,
                reason: "no more sessions may begin today".to_owned(),
            });
        }
        json::text(&body, "/url")
            .filter(|_| response.status.is_success())
            .map(gateway::address)
            .ok_or_else(|| send::classify(response))
    }
}

fn signature(value: Option<&str>) -> Result<Vec<u8>, Refusal> {
    value
        .and_then(sign::unhex)
        .filter(|bytes| bytes.len() == 64)
        .ok_or_else(|| {
            Refusal::unauthenticated("X-Signature-Ed25519: it must be 128 hexadecimal digits, once")
        })
}

fn timestamp(value: Option<&str>) -> Result<&str, Refusal> {
    value
        .filter(|text| text.len() <= 20 && text.parse::<u64>().is_ok())
        .ok_or_else(|| {
            Refusal::unauthenticated("X-Signature-Timestamp: it must be seconds since 1970, once")
        })
}

impl Discord {
    fn key(&self) -> Result<Vec<u8>, Refusal> {
        let key = self.public_key.as_deref().and_then(sign::unhex);
        key.filter(|bytes| bytes.len() == 32).ok_or_else(|| {
            Refusal::unauthenticated(
                "interactionsPublicKey: the channel has none of 64 hexadecimal digits, so no interaction is taken",
            )
        })
    }

    fn frame(&self, delivery: &Delivery, frame: &Value) -> Result<Parsed, Refusal> {
        let code = json::required_number(frame, "/op")?;
        let of = |kind: &str, notice| Ok(Parsed::event(Event::new(kind, notice)));
        let ignored = |kind: &str| Ok(Parsed::event(Event::ignored(kind, "the connection's own")));
        match code {
            opcode::DISPATCH => {
                let kind = json::required(frame, "/t")?;
                let data = frame.get("d").unwrap_or(&Value::Null);
                // A dispatch that cannot be read must not come again with every resumption.
                let mut parsed = self
                    .dispatch(delivery, kind, data)
                    .unwrap_or_else(|refusal| Parsed::event(Event::ignored(kind, refusal.message)));
                parsed.cursor = json::number(frame, "/s").map(|sequence| sequence.to_string());
                Ok(parsed)
            }
            opcode::HELLO => of("hello", Notice::Connected),
            opcode::RECONNECT => of("reconnect", Notice::Reconnect),
            opcode::INVALID_SESSION => of("invalid session", Notice::Reconnect),
            opcode::HEARTBEAT => ignored("heartbeat"),
            opcode::HEARTBEAT_ACK => ignored("heartbeat acknowledged"),
            code => Err(Refusal::malformed(format!(
                "op: {code} is none that a client is sent"
            ))),
        }
    }

    fn dispatch(&self, delivery: &Delivery, kind: &str, data: &Value) -> Result<Parsed, Refusal> {
        match kind {
            "MESSAGE_CREATE" => self.message(delivery, kind, data, None),
            "MESSAGE_UPDATE" => match json::text(data, "/edited_timestamp") {
                Some(edited) => self.message(delivery, kind, data, Some(edited)),
                None => Ok(Parsed::event(Event::ignored(
                    kind,
                    "its text is what it was",
                ))),
            },
            "INTERACTION_CREATE" => self.interaction(delivery, data),
            "READY" | "RESUMED" => Ok(Parsed::event(Event::new(kind, Notice::Connected))),
            _ => Ok(Parsed::event(Event::ignored(
                kind,
                "it is no message to the bot",
            ))),
        }
    }

    fn message(
        &self,
        delivery: &Delivery,
        kind: &str,
        message: &Value,
        edited: Option<&str>,
    ) -> Result<Parsed, Refusal> {
        let ignored = |because: &str| Ok(Parsed::event(Event::ignored(kind, because)));
        let id = json::required(message, "/id")?;
        let channel = json::required(message, "/channel_id")?;
        let user = json::required(message, "/author/id")?;
        if json::flag(message, "/author/bot") || json::text(message, "/webhook_id").is_some() {
            return ignored("a bot wrote it");
        }
        // 0 is a plain message, 19 an answer to one; all others are the platform's own, such as a welcome.
        if !matches!(json::number(message, "/type"), None | Some(0 | 19)) {
            return ignored("the platform wrote it");
        }
        let me = self.me(delivery);
        let said = bounded(
            json::text(message, "/content").unwrap_or_default(),
            LONGEST_READ,
        )?;
        let is_guild = json::text(message, "/guild_id").is_some();
        if is_guild && !is_meant(message, me.as_deref()) {
            return ignored("it was said in a guild, and not to the bot");
        }
        let called = me
            .as_deref()
            .or_else(|| first_bot(message))
            .unwrap_or_default();
        let text = without(
            &without(&said, &format!("<@{called}>")),
            &format!("<@!{called}>"),
        )
        .into_owned();
        let draft = Draft {
            event: match edited {
                Some(edited) => format!("edit/{id}/{edited}"),
                None => format!("message/{id}"),
            },
            user: user.to_owned(),
            origin: send::origin(channel, id, is_guild),
            text,
            sent_at: milliseconds(edited.or_else(|| json::text(message, "/timestamp"))),
            details: Details {
                platform_id: Some(id.to_owned()),
                reply_to: json::owned(message, "/message_reference/message_id"),
                edit_of: edited.map(|_| id.to_owned()),
                group: is_guild.then(|| channel.to_owned()),
                attachments: attachments(message),
                ..Details::default()
            },
        };
        Ok(draft.finish(delivery, kind))
    }

    /// The bot's id: as the platform said, or as its token begins.
    fn me(&self, delivery: &Delivery) -> Option<String> {
        use base64::Engine;
        let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
        let of_token = || {
            let first = self.secrets.get("botToken")?.split('.').next()?;
            let id = String::from_utf8(engine.decode(first.trim_end_matches('=')).ok()?).ok()?;
            let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
            digits.then_some(id)
        };
        delivery.me.map(|me| me.id.clone()).or_else(of_token)
    }
}

/// Whether a message of a guild mentions the bot, or answers it. Of a bot that is not known, any bot will do.
fn is_meant(message: &Value, me: Option<&str>) -> bool {
    let is_me = |user: &Value| match me {
        Some(me) => json::text(user, "/id") == Some(me),
        None => json::flag(user, "/bot"),
    };
    json::list(message, "/mentions").iter().any(is_me)
        || message
            .pointer("/referenced_message/author")
            .is_some_and(is_me)
}

fn first_bot(message: &Value) -> Option<&str> {
    let mentions = json::list(message, "/mentions");
    let bot = mentions.iter().find(|user| json::flag(user, "/bot"))?;
    json::text(bot, "/id")
}

fn milliseconds(text: Option<&str>) -> Option<i64> {
    let at: jiff::Timestamp = text?.parse().ok()?;
    Some(at.as_millisecond())
}

fn attachments(message: &Value) -> Vec<Attachment> {
    let attachment = |file: &Value| {
        let media_type = json::owned(file, "/content_type");
        Some(Attachment {
            kind: kind_of(media_type.as_deref()),
            reference: json::owned(file, "/url").or_else(|| json::owned(file, "/id"))?,
            name: json::owned(file, "/filename"),
            media_type,
            bytes: json::number(file, "/size").and_then(|size| u64::try_from(size).ok()),
        })
    };
    let sticker = |sticker: &Value| {
        Some(Attachment {
            kind: chatbot_message::AttachmentKind::Sticker,
            reference: json::owned(sticker, "/id")?,
            name: json::owned(sticker, "/name"),
            media_type: None,
            bytes: None,
        })
    };
    let files = json::list(message, "/attachments")
        .iter()
        .filter_map(attachment);
    files
        .chain(
            json::list(message, "/sticker_items")
                .iter()
                .filter_map(sticker),
        )
        .collect()
}
