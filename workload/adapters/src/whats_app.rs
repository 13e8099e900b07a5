//! The `WhatsApp` Cloud API.
//!
//! # In
//! A webhook. `GET` with `hub.mode=subscribe`, `hub.verify_token` and `hub.challenge` is answered with the challenge. `POST`
//! carries `X-Hub-Signature-256: sha256=<hex HMAC-SHA256(app secret, body)>` and a batch: `entry[].changes[]`, of which those
//! with the field `messages` hold `messages[]` and `statuses[]`. Delivered at least once, in no order, for up to 7 days, at
//! most 3 MB. A message's id is its `wamid`. One item that cannot be read does not hold up the others.
//!
//! # Out
//! `POST /<version>/<phone number>/messages`. There is no idempotency key. The codes are those of Meta's "`WhatsApp` error codes"
//! (developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes): 130429 is the throughput of the
//! number, 131056 the pace towards one user (one in 6 s), 131047 the end of the 24 hours in which a user may be answered.
//!
//! # Groups
//! A message with a `group_id` was said in a group; only what answers the business or names its number is for it.

mod send;

use std::sync::Arc;

use chatbot_crds::config::PlatformConfig;
use chatbot_message::{Attachment, Details, Reply};
use http::Method;
use serde_json::Value;

use crate::draft::Draft;
use crate::inbound::header;
use crate::outbound::base;
use crate::text::{bounded, clean, kind_of};
use crate::{
    Admission, Answer, Delivery, Event, Fault, Head, Limits, Me, Notice, Parsed, Platform,
    Progress, ProtocolAdapter, Refusal, Request, Response, Secrets, Transport, Verdict, json, sign,
};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "whatsApp",
    example: || PlatformConfig::WhatsApp {
        phone_number_id: String::new(),
        api_url: None,
    },
    adapter: |config, secrets| match config {
        PlatformConfig::WhatsApp {
            phone_number_id,
            api_url,
        } => Some(Arc::new(WhatsApp {
            phone_number: phone_number_id.clone(),
            base: base(api_url.as_deref(), "https://graph.facebook.com"),
            secrets,
        })),
        _ => None,
    },
};

/// The largest webhook that Meta sends: 3 MB.
const LARGEST: usize = 3 << 20;
/// The longest text of a message of the business.
const LONGEST: usize = 4_096;
/// The longest text of a user's message, as their app has it; Meta names no bound for what it delivers.
const LONGEST_READ: usize = 65_536;
const SIGNATURE: &str = "x-hub-signature-256";

struct WhatsApp {
    /// Empty when single deliveries are looked at: then it is any.
    phone_number: String,
    base: String,
    secrets: Secrets,
}

impl ProtocolAdapter for WhatsApp {
    fn transports(&self) -> &'static [Transport] {
        &[Transport::Webhook]
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["accessToken", "appSecret", "verifyToken"]
    }

    fn max_body(&self) -> usize {
        LARGEST
    }

    fn limits(&self) -> Limits {
        send::LIMITS
    }

    fn check_headers(&self, head: &Head) -> Result<Admission, Refusal> {
        match *head.method {
            Method::GET => self.challenge(head.query).map(Admission::Answer),
            Method::POST => {
                self.secrets.verifying("appSecret")?;
                signature(header(head.headers, SIGNATURE))?;
                Ok(Admission::Read { most: LARGEST })
            }
            _ => Err(Refusal::new(
                Fault::Method,
                "the method must be GET or POST",
            )),
        }
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let secret = self.secrets.verifying("appSecret")?;
        let given = signature(delivery.header(SIGNATURE))?;
        let made = sign::hmac_sha256(secret.as_bytes(), &[delivery.body]);
        if sign::same(&given, &made) {
            Ok(())
        } else {
            Err(Refusal::unauthenticated(
                "X-Hub-Signature-256: it is not the body's signature by the channel's `appSecret`",
            ))
        }
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let body = json::parse(delivery.body)?;
        if json::text(&body, "/object") != Some("whatsapp_business_account") {
            return Err(Refusal::malformed(
                "object: it must be `whatsapp_business_account`",
            ));
        }
        let mut parsed = Parsed::default();
        for change in json::list(&body, "/entry")
            .iter()
            .flat_map(|entry| json::list(entry, "/changes"))
        {
            parsed.add(self.change(delivery, change));
        }
        if parsed == Parsed::default() {
            return Err(Refusal::malformed("entry: it holds no changes"));
        }
        Ok(parsed)
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

    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        send::chat(origin)
    }

    fn identify(&self) -> Option<Request> {
        Some(self.authorized(Request::get(
            self.address("?fields=id,display_phone_number"),
        )))
    }

    fn identified(&self, response: &Response) -> Result<Me, Verdict> {
        let body = response.json();
        match json::owned(&body, "/id") {
            Some(id) if response.status.is_success() => Ok(Me {
                id,
                name: json::owned(&body, "/display_phone_number"),
            }),
            _ => Err(send::classify(response)),
        }
    }
}

impl WhatsApp {
    fn challenge(&self, query: &str) -> Result<Answer, Refusal> {
        let of = |name: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        };
        let token = self.secrets.verifying("verifyToken")?;
        let given = of("hub.verify_token").unwrap_or_default();
        if of("hub.mode").as_deref() != Some("subscribe")
            || !sign::same(given.as_bytes(), token.as_bytes())
        {
            return Err(Refusal::unauthenticated(
                "hub.verify_token: it is not the channel's `verifyToken`",
            ));
        }
        match of("hub.challenge") {
            Some(challenge) if challenge.len() <= 1_024 => Ok(Answer::text(&challenge)),
            _ => Err(Refusal::malformed("hub.challenge: it must be set")),
        }
    }

    fn change(&self, delivery: &Delivery, change: &Value) -> Parsed {
        let field = json::text(change, "/field").unwrap_or("change");
        let Some(value) = change.get("value").filter(|_| field == "messages") else {
            return Parsed::event(Event::ignored(field, "it is no message of a user"));
        };
        let number = json::text(value, "/metadata/phone_number_id").unwrap_or_default();
        if !self.phone_number.is_empty() && number != self.phone_number {
            return Parsed::event(Event::ignored(
                field,
                "it is for another phone number of the same business account",
            ));
        }
        let mut parsed = Parsed::default();
        for message in json::list(value, "/messages") {
            let kind = json::text(message, "/type").unwrap_or("message");
            parsed.add(
                read_message(delivery, value, message, kind)
                    .unwrap_or_else(|refusal| Parsed::event(Event::ignored(kind, refusal.message))),
            );
        }
        parsed
            .events
            .extend(json::list(value, "/statuses").iter().map(status));
        for error in json::list(value, "/errors") {
            let said = json::text(error, "/message").unwrap_or("an error of the account");
            parsed.events.push(Event::ignored("error", said));
        }
        if parsed == Parsed::default() {
            parsed.events.push(Event::ignored(
                field,
                "it holds neither messages nor statuses",
            ));
        }
        parsed
    }
}

fn signature(value: Option<&str>) -> Result<Vec<u8>, Refusal> {
    value
        .and_then(|value| value.strip_prefix("sha256="))
        .and_then(sign::unhex)
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| {
            Refusal::unauthenticated(
                "X-Hub-Signature-256: it must be `sha256=` and 64 hexadecimal digits, once",
            )
        })
}

fn read_message(
    delivery: &Delivery,
    value: &Value,
    message: &Value,
    kind: &str,
) -> Result<Parsed, Refusal> {
    let id = json::required(message, "/id")?;
    let user = json::required(message, "/from")?;
    let (content, edit_of) = match kind {
        "edit" => (
            message.pointer("/edit/message").unwrap_or(&Value::Null),
            json::owned(message, "/edit/original_message_id"),
        ),
        _ => (message, None),
    };
    let content_kind = json::text(content, "/type").unwrap_or(kind);
    let Some((text, attachments)) = content_of(content, content_kind)? else {
        return Ok(Parsed::event(Event::ignored(kind, "it asks nothing")));
    };
    let group = json::owned(message, "/group_id");
    let me = json::text(value, "/metadata/display_phone_number").unwrap_or_default();
    if group.is_some() && !is_for(message, &text, me) {
        return Ok(Parsed::event(Event::ignored(
            kind,
            "it was said in a group, and not to the business",
        )));
    }
    let seconds = json::text(message, "/timestamp").and_then(|text| text.parse::<i64>().ok());
    let draft = Draft {
        event: id.to_owned(),
        user: user.to_owned(),
        origin: send::origin(group.as_deref().unwrap_or(user), id, group.is_some()),
        text,
        sent_at: seconds.and_then(|seconds| seconds.checked_mul(1_000)),
        details: Details {
            platform_id: Some(id.to_owned()),
            reply_to: json::owned(message, "/context/id"),
            edit_of,
            group,
            attachments,
            ..Details::default()
        },
    };
    Ok(draft.finish(delivery, kind))
}

/// Whether a message of a group answers the business or names its number.
fn is_for(message: &Value, text: &str, me: &str) -> bool {
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let me = digits(me);
    let answers = json::text(message, "/context/from").is_some_and(|from| digits(from) == me);
    !me.is_empty() && (answers || text.contains(&format!("@{me}")))
}

/// Text and attachments; nothing when it is known to ask nothing.
fn content_of(message: &Value, kind: &str) -> Result<Option<(String, Vec<Attachment>)>, Refusal> {
    let text = |pointer: &str| {
        bounded(
            json::text(message, pointer).unwrap_or_default(),
            LONGEST_READ,
        )
    };
    let only = |text: String| Ok(Some((text, Vec::new())));
    match kind {
        "text" => only(text("/text/body")?),
        "button" => only(text("/button/text")?),
        "interactive" => {
            let title = [
                "/interactive/button_reply/title",
                "/interactive/list_reply/title",
            ];
            let answered = title
                .iter()
                .find(|pointer| json::text(message, pointer).is_some());
            answered.map_or(Ok(None), |pointer| only(text(pointer)?))
        }
        "location" => only(location(message)),
        "image" | "video" | "audio" | "document" | "sticker" => {
            let media = message.get(kind).unwrap_or(&Value::Null);
            let media_type = json::owned(media, "/mime_type");
            let attachment = Attachment {
                kind: match kind {
                    "sticker" => chatbot_message::AttachmentKind::Sticker,
                    "document" => chatbot_message::AttachmentKind::File,
                    _ => kind_of(Some(kind)),
                },
                reference: json::required(media, "/id")?.to_owned(),
                name: json::owned(media, "/filename"),
                media_type,
                bytes: None,
            };
            Ok(Some((text(&format!("/{kind}/caption"))?, vec![attachment])))
        }
        // A contact, an order, a reaction, a message taken back, news of the system, and what the API itself cannot read.
        _ => Ok(None),
    }
}

fn location(message: &Value) -> String {
    let number = |pointer: &str| message.pointer(pointer).and_then(Value::as_f64);
    match (number("/location/latitude"), number("/location/longitude")) {
        (Some(latitude), Some(longitude)) => {
            let name = json::text(message, "/location/name").unwrap_or_default();
            format!("[location: {latitude}, {longitude} {}]", clean(name)).replace(" ]", "]")
        }
        _ => String::new(),
    }
}

fn status(status: &Value) -> Event {
    let kind = json::text(status, "/status").unwrap_or("status");
    let progress = match kind {
        "sent" => Progress::Sent,
        "delivered" => Progress::Delivered,
        "read" | "played" => Progress::Read,
        "failed" => Progress::Failed,
        _ => return Event::ignored(kind, "it says nothing of how far a message has come"),
    };
    Event::new(
        kind,
        Notice::Progress {
            message: json::owned(status, "/id").unwrap_or_default(),
            progress,
            reason: json::owned(status, "/errors/0/title"),
        },
    )
}
