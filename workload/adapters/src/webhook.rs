//! A program of the user's own: signed requests both ways, as [Standard Webhooks](https://www.standardwebhooks.com) signs them, so
//! that libraries of many languages make and check them.
//!
//! # A request to the channel
//! `POST https://<host>/channels/<channel>`, at most 256 KiB, with three headers:
//!
//! | header | value |
//! |---|---|
//! | `webhook-id` | the client's own id of the message, 1 to 128 visible characters of ASCII without `.` |
//! | `webhook-timestamp` | seconds since 1970, when it is sent; more than five minutes off is refused |
//! | `webhook-signature` | `v1,` and base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`; several, one space apart, while a key is changed |
//!
//! The key is the bytes of `signingKey`; of one that begins with `whsec_`, the bytes that the rest is base64 of. At least 24
//! bytes are advised. The body is a JSON object:
//!
//! | field | |
//! |---|---|
//! | `user` | who asks: 1 to 255 characters. One conversation each |
//! | `text` | what is asked: 1 to 16,000 characters; may be empty when there are attachments |
//! | `chat` | where the answer goes, if a user has several places; told again in the reply |
//! | `group` | whether others read along in `chat`: then the user's conversation there is one of its own |
//! | `replyTo`, `editOf` | ids of earlier messages |
//! | `attachments` | up to 16 of `{url, name, mediaType}` |
//!
//! A field that is not known is refused. `200` means that the message is in the queue and will be answered, and nothing less
//! does: after anything else, or nothing, send it again with the same `webhook-id`, for ever. Copies are recognised, hours
//! later too.
//!
//! # A reply
//! `POST` to `replyURL`, signed with the same key; `webhook-id` is the same whenever the same part of the same reply is sent
//! again, so that a receiver that remembers ids has every part exactly once. The body:
//! ```json
//! {"replyTo":"q-1","user":"u-1","chat":"","text":"…","fallback":false,"part":0,"parts":1}
//! ```
//! A part has at most 16,000 characters. `2xx` and `409` (done before) end it; `429` and `503` are tried again after
//! `Retry-After`; `401` and `403` stop the channel until somebody acts; any other `4xx` gives the part up; all else is sent
//! again.

mod send;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chatbot_crds::config::PlatformConfig;
use chatbot_message::{Attachment, Details, Reply};
use http::{HeaderMap, Method};
use serde::Deserialize;

use crate::draft::Draft;
use crate::inbound::header;
use crate::text::{bounded, kind_of};
use crate::{
    Admission, Delivery, Fault, Head, Limits, Parsed, Platform, ProtocolAdapter, Refusal, Request,
    Response, Secrets, Transport, Verdict, sign,
};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "webhook",
    example: || PlatformConfig::Webhook {
        reply_url: "http://127.0.0.1/".to_owned(),
    },
    adapter: |config, secrets| match config {
        PlatformConfig::Webhook { reply_url } => Some(Arc::new(Webhook {
            reply_url: reply_url.clone(),
            secrets,
        })),
        _ => None,
    },
};

const LARGEST: usize = 256 << 10;
/// The longest text, either way.
const LONGEST: usize = 16_000;
const LONGEST_NAME: usize = 255;
const MOST_ATTACHMENTS: usize = 16;
/// How far a timestamp may be off, milliseconds.
const TOLERANCE: i64 = 5 * 60 * 1_000;
const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
const VERSION: &str = "v1,";

struct Webhook {
    reply_url: String,
    secrets: Secrets,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    user: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    chat: String,
    #[serde(default)]
    group: bool,
    reply_to: Option<String>,
    edit_of: Option<String>,
    #[serde(default)]
    attachments: Vec<File>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    url: String,
    name: Option<String>,
    media_type: Option<String>,
}

impl ProtocolAdapter for Webhook {
    fn transports(&self) -> &'static [Transport] {
        &[Transport::Webhook]
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["signingKey"]
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
        Signed::of(head.headers, head.received_at)?;
        Ok(Admission::Read { most: LARGEST })
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let key = self.key()?;
        let signed = Signed::of(delivery.headers, delivery.received_at)?;
        let made = signature(&key, signed.id, signed.timestamp, delivery.body);
        // All of them are compared, so that the time does not tell which one holds.
        let holds = signed
            .signatures
            .iter()
            .fold(false, |holds, given| holds | sign::same(given, &made));
        if holds {
            Ok(())
        } else {
            Err(Refusal {
                event: Some(signed.id.to_owned()),
                ..Refusal::unauthenticated(
                    "webhook-signature: none of it is the signature of id, timestamp and body by the channel's `signingKey`",
                )
            })
        }
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let id = id(delivery.headers)?;
        let refuse = |fault, message: String| Refusal {
            fault,
            message,
            event: Some(id.to_owned()),
        };
        let body: Body = serde_json::from_slice(delivery.body).map_err(|error| {
            refuse(Fault::Malformed, format!("the body is no message: {error}"))
        })?;
        for (field, value, least) in [("user", &body.user, 1), ("chat", &body.chat, 0)] {
            let characters = value.chars().count();
            if !(least..=LONGEST_NAME).contains(&characters) || value.contains(char::is_control) {
                return Err(refuse(
                    Fault::Malformed,
                    format!(
                        "{field}: it must have {least} to {LONGEST_NAME} characters, none of them a control character"
                    ),
                ));
            }
        }
        if body.attachments.len() > MOST_ATTACHMENTS {
            return Err(refuse(
                Fault::TooLong,
                format!(
                    "attachments: there are {}, at most {MOST_ATTACHMENTS} can be sent",
                    body.attachments.len()
                ),
            ));
        }
        let draft = Draft {
            // The user is part of the event: one user's id takes nothing from another.
            event: serde_json::json!([body.user, id]).to_string(),
            origin: send::origin(id, &body.user, &body.chat),
            text: bounded(&body.text, LONGEST).map_err(|refusal| Refusal {
                event: Some(id.to_owned()),
                ..refusal
            })?,
            sent_at: None,
            details: Details {
                platform_id: Some(id.to_owned()),
                reply_to: body.reply_to,
                edit_of: body.edit_of,
                group: body.group.then_some(body.chat),
                attachments: body.attachments.into_iter().map(attachment).collect(),
                ..Details::default()
            },
            // `@` stands before the group that somebody is in.
            user: body.user.replace('%', "%25").replace('@', "%40"),
        };
        let parsed = draft.finish(delivery, "message");
        if parsed.messages.is_empty() {
            return Err(refuse(Fault::Malformed, "text: it is empty".to_owned()));
        }
        Ok(parsed)
    }

    fn format_response(&self, reply: &Reply, _position: u64) -> Vec<Request> {
        self.parts(reply)
    }

    fn signed(&self, request: Request, now: i64) -> Request {
        self.sign(request, now)
    }

    fn classify(&self, response: &Response) -> Verdict {
        send::classify(response)
    }

    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        send::user(origin)
    }
}

fn attachment(file: File) -> Attachment {
    Attachment {
        kind: kind_of(file.media_type.as_deref()),
        reference: file.url,
        name: file.name,
        media_type: file.media_type,
        bytes: None,
    }
}

/// What a request's headers say, each in the right form.
struct Signed<'a> {
    id: &'a str,
    timestamp: &'a str,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Signed<'a> {
    fn of(headers: &'a HeaderMap, received_at: i64) -> Result<Self, Refusal> {
        let id = id(headers)?;
        let refuse = |message: String| Refusal {
            event: Some(id.to_owned()),
            ..Refusal::unauthenticated(message)
        };
        let timestamp = header(headers, TIMESTAMP).unwrap_or_default();
        let at = timestamp
            .parse::<i64>()
            .ok()
            .and_then(|at| at.checked_mul(1_000));
        let off = at.map(|at| received_at.abs_diff(at)).ok_or_else(|| {
            refuse("webhook-timestamp: it must be seconds since 1970, once".to_owned())
        })?;
        if off > TOLERANCE.unsigned_abs() {
            return Err(refuse(format!(
                "webhook-timestamp: {timestamp} is {} s off, at most {} are allowed: set the clock, and sign anew whenever \
                 it is sent again",
                off / 1_000,
                TOLERANCE / 1_000,
            )));
        }
        let signatures: Vec<_> = header(headers, SIGNATURE)
            .unwrap_or_default()
            .split(' ')
            .filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok())
            .filter(|bytes| bytes.len() == 32)
            .take(8)
            .collect();
        if signatures.is_empty() {
            return Err(refuse(
                "webhook-signature: it must be `v1,` and base64 of 32 bytes, once".to_owned(),
            ));
        }
        Ok(Self {
            id,
            timestamp,
            signatures,
        })
    }
}

fn id(headers: &HeaderMap) -> Result<&str, Refusal> {
    let is_id = |id: &&str| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'.')
    };
    header(headers, ID).filter(is_id).ok_or_else(|| {
        Refusal::malformed(
            "webhook-id: it must be 1 to 128 visible characters of ASCII without '.', once",
        )
    })
}

fn signature(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    sign::hmac_sha256(key, &parts)
}

impl Webhook {
    fn key(&self) -> Result<Vec<u8>, Refusal> {
        let text = self.secrets.verifying("signingKey")?;
        match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD
                .decode(encoded)
                .ok()
                .filter(|key| !key.is_empty())
                .ok_or_else(|| {
                    Refusal::unauthenticated("signingKey: after `whsec_` it must be base64")
                }),
            None => Ok(text.as_bytes().to_vec()),
        }
    }
}
