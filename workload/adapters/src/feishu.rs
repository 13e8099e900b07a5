//! Feishu and Lark: webhook and long connection, one form.
//!
//! # In
//! A webhook's body is `{"encrypt": …}`: base64 of a random IV and AES-256-CBC (PKCS#7) under SHA-256 of the encrypt key. It
//! carries `X-Lark-Signature`, hex SHA-256 of timestamp, nonce, encrypt key and body. Inside, `header.token` (or `token`) is
//! the verification token. `url_verification` is answered with its challenge; it comes without a signature, and whoever can
//! encrypt it and knows the token is the platform. A long connection delivers the same events, plain. Feishu waits 3 s, and
//! repeats after 15 s, 5 min, 1 h and 6 h. Events have two forms: schema 2.0 with `header`, and the older one with `uuid`.
//!
//! A message's id is its `message_id`, which every copy and both transports have.
//!
//! # Groups
//! For the bot is what mentions it. A topic is a group of its own.
//!
//! # Out
//! `POST /open-apis/im/v1/messages`, or `…/<message>/reply` in a group, with a tenant access token. `uuid` (at most 50
//! characters) is an idempotency key: with the same one at most one message is sent within an hour; a text's request has at
//! most 150 KB (open.feishu.cn/document/server-docs/im-v1/message/create). `code` ≠ 0 is an error.

mod crypt;
mod event;
pub mod frames;
mod send;

use std::sync::Arc;

use chatbot_crds::config::{ChannelTransport, PlatformConfig};
use chatbot_message::Reply;
use http::Method;
use serde_json::{Value, json};

use crate::inbound::header;
use crate::outbound::{base, reason};
use crate::{
    Admission, Answer, Delivery, Event, Fault, Head, Limits, Link, Me, Notice, Parsed, Platform,
    ProtocolAdapter, Refusal, Request, Response, Secrets, Session, Transport, Verdict, json, sign,
};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "feishu",
    example: || PlatformConfig::Feishu {
        app_id: String::new(),
        transport: ChannelTransport::Webhook,
        api_url: None,
    },
    adapter: |config, secrets| match config {
        PlatformConfig::Feishu {
            app_id,
            transport,
            api_url,
        } => Some(Arc::new(Feishu {
            app: app_id.clone(),
            webhook: *transport == ChannelTransport::Webhook,
            base: base(api_url.as_deref(), "https://open.feishu.cn"),
            secrets,
        })),
        _ => None,
    },
};

const LARGEST: usize = 1 << 20;
/// The largest body without a signature: a challenge.
const LARGEST_UNSIGNED: usize = 4 << 10;
const SIGNATURE: &str = "x-lark-signature";
const TIMESTAMP: &str = "x-lark-request-timestamp";
const NONCE: &str = "x-lark-request-nonce";

struct Feishu {
    app: String,
    webhook: bool,
    base: String,
    secrets: Secrets,
}

impl ProtocolAdapter for Feishu {
    fn transports(&self) -> &'static [Transport] {
        if self.webhook {
            &[Transport::Webhook]
        } else {
            &[Transport::LongConnection]
        }
    }

    fn secrets(&self) -> &'static [&'static str] {
        if self.webhook {
            &["appSecret", "encryptKey", "verificationToken"]
        } else {
            &["appSecret"]
        }
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
        self.secrets.verifying("encryptKey")?;
        self.secrets.verifying("verificationToken")?;
        let most = if head.headers.contains_key(SIGNATURE) {
            signature(header(head.headers, SIGNATURE))?;
            LARGEST
        } else {
            LARGEST_UNSIGNED
        };
        Ok(Admission::Read { most })
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        if delivery.is_asked_for() {
            return Ok(());
        }
        let key = self.secrets.verifying("encryptKey")?;
        let token = self.secrets.verifying("verificationToken")?;
        let is_signed = delivery.headers.contains_key(SIGNATURE);
        if is_signed {
            signed(delivery, key)?;
        }
        let body = json::parse(delivery.body)?;
        if json::text(&body, "/encrypt").is_none() {
            return Err(Refusal::unauthenticated(
                "encrypt: the body is not encrypted; set the same Encrypt Key in the app's event settings",
            ));
        }
        let event = self.opened(body)?;
        if !is_signed && json::text(&event, "/type") != Some("url_verification") {
            return Err(Refusal::unauthenticated("X-Lark-Signature: it must be set"));
        }
        let given = ["/header/token", "/token"]
            .iter()
            .find_map(|pointer| json::text(&event, pointer));
        if sign::same(given.unwrap_or_default().as_bytes(), token.as_bytes()) {
            Ok(())
        } else {
            Err(Refusal::unauthenticated(
                "token: it is not the channel's `verificationToken`",
            ))
        }
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let body = self.opened(json::parse(delivery.body)?)?;
        if json::text(&body, "/type") == Some("url_verification") {
            let challenge = json::required(&body, "/challenge")?;
            let mut parsed = Parsed::event(Event::new("url_verification", Notice::Challenge));
            parsed.acknowledgement = Answer::json(&json!({ "challenge": challenge }));
            return Ok(parsed);
        }
        event::read(delivery, &body)
    }

    fn format_response(&self, reply: &Reply, _position: u64) -> Vec<Request> {
        self.messages(reply)
    }

    fn classify(&self, response: &Response) -> Verdict {
        send::classify(response)
    }

    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        send::chat(origin)
    }

    fn is_group(&self, origin: &str) -> bool {
        origin.contains('/')
    }

    fn identify(&self) -> Option<Request> {
        Some(Request {
            session: true,
            ..Request::get(format!("{}/open-apis/bot/v3/info", self.base))
        })
    }

    fn identified(&self, response: &Response) -> Result<Me, Verdict> {
        let body = response.json();
        json::owned(&body, "/bot/open_id")
            .map(|id| Me {
                id,
                name: json::owned(&body, "/bot/app_name"),
            })
            .ok_or_else(|| send::classify(response))
    }

    fn session(&self) -> Option<Request> {
        Some(self.token())
    }

    fn session_of(&self, response: &Response) -> Result<Session, Verdict> {
        send::session(response)
    }

    fn connect(&self) -> Option<Request> {
        Some(self.endpoint())
    }

    fn link(&self, _cursor: Option<&str>, _share: f64) -> Option<Box<dyn Link>> {
        Some(Box::<frames::Connection>::default())
    }

    fn address(&self, response: &Response) -> Result<String, Verdict> {
        let body = response.json();
        json::owned(&body, "/data/URL")
            .filter(|_| json::number(&body, "/code") == Some(0))
            .ok_or_else(|| match json::number(&body, "/code") {
                // Busy, and an error of its own.
                Some(1 | 1_000_040_343) => Verdict::Unknown {
                    reason: reason(response),
                },
                _ => send::classify(response),
            })
    }
}

fn signature(value: Option<&str>) -> Result<Vec<u8>, Refusal> {
    value
        .and_then(sign::unhex)
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| {
            Refusal::unauthenticated("X-Lark-Signature: it must be 64 hexadecimal digits, once")
        })
}

fn signed(delivery: &Delivery, key: &str) -> Result<(), Refusal> {
    let given = signature(delivery.header(SIGNATURE))?;
    let part = |name| delivery.header(name).unwrap_or_default().as_bytes();
    let made = sign::sha256(&[part(TIMESTAMP), part(NONCE), key.as_bytes(), delivery.body]);
    if sign::same(&given, &made) {
        Ok(())
    } else {
        Err(Refusal::unauthenticated(
            "X-Lark-Signature: it is not that of timestamp, nonce, the channel's `encryptKey` and the body",
        ))
    }
}

impl Feishu {
    /// The event, out of its envelope if it is in one.
    fn opened(&self, body: Value) -> Result<Value, Refusal> {
        let Some(encrypted) = json::text(&body, "/encrypt") else {
            return Ok(body);
        };
        let key = self.secrets.verifying("encryptKey")?;
        let plain = crypt::decrypted(encrypted, key).ok_or_else(undecipherable)?;
        // One refusal for both, so that nobody can tell a wrong padding from a wrong content.
        json::parse(&plain).map_err(|_| undecipherable())
    }
}

fn undecipherable() -> Refusal {
    Refusal::unauthenticated("encrypt: it cannot be decrypted with the channel's `encryptKey`")
}
