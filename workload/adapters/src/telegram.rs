//! Telegram's Bot API (core.telegram.org/bots/api).
//!
//! # In
//! Updates, one in a webhook's body, or the list that `getUpdates` returns: the same form, one parser. A webhook carries
//! `X-Telegram-Bot-Api-Secret-Token`, which `subscribe` sets; that is all there is to verify, and it is verified before the
//! body is read. What is not answered with 2xx is sent again. The id of a message is chat and message: an `update_id` is
//! no lasting one, since after a quiet week the platform chooses the next at random. An edit has the id of its update.
//!
//! # Groups
//! For the bot are commands (unless they name another bot), mentions of it, and answers to what it said. A topic of a forum
//! is a group of its own.
//!
//! # Out
//! `sendMessage`, at most 4096 characters, without markup: what a model writes need not be valid in any. There is no
//! idempotency key. 429 carries `parameters.retry_after`. A group that has become a supergroup has another id, which the
//! refusal names in `parameters.migrate_to_chat_id`: the reply goes there.

mod send;

use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::{ChannelTransport, PlatformConfig};
use chatbot_message::{Attachment, AttachmentKind, Details, Reply};
use http::Method;
use serde_json::Value;

use crate::draft::Draft;
use crate::inbound::header;
use crate::outbound::{base, id_at};
use crate::text::{bounded, command, without};
use crate::{
    Admission, Delivery, Event, Fault, Head, Limits, Me, Parsed, Platform, Polled, ProtocolAdapter,
    Refusal, Request, Response, Secrets, Transport, Verdict, json, sign,
};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "telegram",
    example: || PlatformConfig::Telegram {
        transport: ChannelTransport::Webhook,
        api_url: None,
    },
    adapter: |config, secrets| match config {
        PlatformConfig::Telegram { transport, api_url } => Some(Arc::new(Telegram {
            webhook: *transport == ChannelTransport::Webhook,
            base: base(api_url.as_deref(), "https://api.telegram.org"),
            secrets,
        })),
        _ => None,
    },
};

/// Larger than any update: texts are at most 4096 characters, and attachments are references. A list of updates holds up
/// to 100 of them.
const LARGEST: usize = 1 << 20;
const LARGEST_LIST: usize = 8 << 20;
/// The longest text, either way.
const LONGEST: usize = 4_096;
const TOKEN: &str = "x-telegram-bot-api-secret-token";

struct Telegram {
    webhook: bool,
    base: String,
    secrets: Secrets,
}

impl ProtocolAdapter for Telegram {
    fn transports(&self) -> &'static [Transport] {
        if self.webhook {
            &[Transport::Webhook]
        } else {
            &[Transport::Polling]
        }
    }

    fn secrets(&self) -> &'static [&'static str] {
        if self.webhook {
            &["botToken", "webhookSecret"]
        } else {
            &["botToken"]
        }
    }

    fn max_body(&self) -> usize {
        if self.webhook { LARGEST } else { LARGEST_LIST }
    }

    fn limits(&self) -> Limits {
        send::LIMITS
    }

    fn check_headers(&self, head: &Head) -> Result<Admission, Refusal> {
        if *head.method != Method::POST {
            return Err(Refusal::new(Fault::Method, "the method must be POST"));
        }
        self.authentic(header(head.headers, TOKEN))?;
        Ok(Admission::Read { most: LARGEST })
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        if delivery.is_asked_for() {
            return Ok(());
        }
        self.authentic(delivery.header(TOKEN))
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let body = json::parse(delivery.body)?;
        let Some(updates) = body.get("result").and_then(Value::as_array) else {
            return self.update(delivery, &body);
        };
        let mut parsed = Parsed::default();
        let mut next = None;
        for update in updates {
            // An update that cannot be read must not come again for ever.
            next = next.max(json::number(update, "/update_id").and_then(|id| id.checked_add(1)));
            parsed.add(self.update(delivery, update).unwrap_or_else(|refusal| {
                Parsed::event(Event::ignored("update", refusal.message))
            }));
        }
        parsed.cursor = next.map(|next| next.to_string());
        Ok(parsed)
    }

    fn format_response(&self, reply: &Reply, _position: u64) -> Vec<Request> {
        self.messages(reply)
    }

    fn typing(&self, origin: &str) -> Option<Request> {
        Some(self.writing(origin))
    }

    fn classify(&self, response: &Response) -> Verdict {
        send::classify(response)
    }

    fn instead(&self, _origin: &str, refused: &Request, response: &Response) -> Option<Request> {
        send::moved(refused, response)
    }

    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        send::chat(origin)
    }

    fn is_group(&self, origin: &str) -> bool {
        origin.starts_with('-')
    }

    fn identify(&self) -> Option<Request> {
        Some(Request::get(self.method("getMe")))
    }

    fn identified(&self, response: &Response) -> Result<Me, Verdict> {
        let body = response.json();
        let id = id_at(&body, "/result/id").filter(|_| json::flag(&body, "/ok"));
        id.map(|id| Me {
            id,
            name: json::owned(&body, "/result/username"),
        })
        .ok_or_else(|| send::classify(response))
    }

    fn subscribe(&self, url: Option<&str>) -> Option<Request> {
        Some(self.webhook(url))
    }

    fn poll(&self, cursor: Option<&str>, patience: Duration) -> Option<Request> {
        Some(self.updates(cursor, patience))
    }

    fn polled(&self, response: &Response) -> Polled {
        send::polled(response)
    }
}

impl Telegram {
    fn authentic(&self, given: Option<&str>) -> Result<(), Refusal> {
        let secret = self.secrets.verifying("webhookSecret")?;
        match given {
            Some(given) if sign::same(given.as_bytes(), secret.as_bytes()) => Ok(()),
            _ => Err(Refusal::unauthenticated(
                "X-Telegram-Bot-Api-Secret-Token: it must be the channel's `webhookSecret`, once",
            )),
        }
    }

    fn update(&self, delivery: &Delivery, update: &Value) -> Result<Parsed, Refusal> {
        let number = json::required_number(update, "/update_id")?;
        if let Some(message) = update.get("message") {
            return self.message(delivery, message, None);
        }
        if let Some(message) = update.get("edited_message") {
            return self.message(delivery, message, Some(number));
        }
        let kind = other_field(update, &["update_id"]).unwrap_or("update");
        Ok(Parsed::event(Event::ignored(
            kind,
            "it is no message to the bot",
        )))
    }

    fn message(
        &self,
        delivery: &Delivery,
        message: &Value,
        edit: Option<i64>,
    ) -> Result<Parsed, Refusal> {
        let id = json::required_number(message, "/message_id")?;
        let chat = json::required_number(message, "/chat/id")?;
        let ignored = |kind: &str, because: &str| Ok(Parsed::event(Event::ignored(kind, because)));
        let Some(user) = json::number(message, "/from/id") else {
            return ignored("message", "nobody is named as its sender");
        };
        if json::flag(message, "/from/is_bot") {
            return ignored("message", "a bot wrote it");
        }
        let said = ["/text", "/caption"]
            .iter()
            .find_map(|pointer| json::text(message, pointer))
            .unwrap_or_default();
        let attachments = attachments(message);
        let place = place(message);
        if edit.is_some() && message.get("location").is_some() {
            return ignored("location", "it moves, and asks nothing new");
        }
        if said.is_empty() && attachments.is_empty() && place.is_none() {
            let kind = other_field(message, &USUAL).unwrap_or("message");
            return ignored(kind, "it asks nothing");
        }
        let said = bounded(said, LONGEST)?;
        let bot = Bot::of(delivery, &self.secrets);
        let command_of = command(&said);
        if let Some((_, Some(named))) = command_of
            && bot
                .name
                .is_some_and(|name| !name.eq_ignore_ascii_case(named))
        {
            return ignored("message", "it is a command for another bot");
        }
        let topic = json::number(message, "/message_thread_id")
            .filter(|_| json::flag(message, "/is_topic_message"));
        let is_group = json::text(message, "/chat/type") != Some("private");
        if is_group && command_of.is_none() && !bot.is_meant(message, &said) {
            return ignored("message", "it was said in a group, and not to the bot");
        }
        let group = is_group.then(|| match topic {
            Some(topic) => format!("{chat}/{topic}"),
            None => chat.to_string(),
        });
        let text = arguments(&bot.not_called(message, &said)).to_owned();
        let draft = Draft {
            // Each bot counts for itself, in the same private chats.
            event: match (edit, bot.id.unwrap_or_default()) {
                (Some(update), bot) => format!("edit/{bot}/{update}"),
                (None, bot) => format!("message/{bot}/{chat}/{id}"),
            },
            user: user.to_string(),
            origin: send::origin(chat, id, topic),
            text: if text.is_empty() {
                place.unwrap_or_default()
            } else {
                text
            },
            sent_at: ["/edit_date", "/date"]
                .iter()
                .find_map(|pointer| json::number(message, pointer))
                .and_then(|seconds| seconds.checked_mul(1_000)),
            details: Details {
                platform_id: Some(id.to_string()),
                reply_to: id_at(message, "/reply_to_message/message_id"),
                edit_of: edit.map(|_| id.to_string()),
                command: command_of.map(|(name, _)| name.to_owned()),
                group,
                attachments,
                ..Details::default()
            },
        };
        Ok(draft.finish(delivery, "message"))
    }
}

/// The bot, as far as it is known.
struct Bot<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> Bot<'a> {
    /// A token begins with the bot's id, so that answers to it are known before the platform was asked.
    fn of(delivery: &Delivery<'a>, secrets: &'a Secrets) -> Self {
        let token = secrets
            .get("botToken")
            .and_then(|token| token.split_once(':'));
        Self {
            id: delivery
                .me
                .map_or(token.map(|(id, _)| id), |me| Some(&me.id)),
            name: delivery.me.and_then(|me| me.name.as_deref()),
        }
    }

    fn is_meant(&self, message: &Value, text: &str) -> bool {
        let is_me =
            |pointer: &str| id_at(message, pointer).is_some_and(|id| Some(id.as_str()) == self.id);
        is_me("/reply_to_message/from/id") || !self.calls(message, text).is_empty()
    }

    /// The text's ranges that call the bot, as byte offsets.
    fn calls(&self, message: &Value, text: &str) -> Vec<std::ops::Range<usize>> {
        let entities = ["/entities", "/caption_entities"]
            .iter()
            .flat_map(|pointer| json::list(message, pointer));
        let calls = entities.filter_map(|entity| {
            let range = utf16_range(
                text,
                json::number(entity, "/offset")?,
                json::number(entity, "/length")?,
            )?;
            let called = match json::text(entity, "/type")? {
                "mention" => {
                    let name = text[range.clone()].strip_prefix('@')?;
                    self.name.is_some_and(|own| own.eq_ignore_ascii_case(name))
                }
                "text_mention" => id_at(entity, "/user/id").as_deref() == self.id,
                _ => false,
            };
            called.then_some(range)
        });
        calls.collect()
    }

    fn not_called(&self, message: &Value, text: &str) -> String {
        let mut text = text.to_owned();
        let mut calls = self.calls(message, &text);
        calls.sort_by_key(|range| std::cmp::Reverse(range.start));
        for range in calls {
            // Of ranges that overlap, as only a forger sends them, the later one may be gone.
            if text.get(range.clone()).is_some() {
                text.replace_range(range, "\u{1}");
            }
        }
        without(&text, "\u{1}").into_owned()
    }
}

/// A command's arguments, or the whole text when there are none, or it is no command.
fn arguments(text: &str) -> &str {
    let arguments = command(text)
        .and_then(|_| text.split_once(char::is_whitespace))
        .map(|(_, arguments)| arguments.trim());
    arguments
        .filter(|arguments| !arguments.is_empty())
        .unwrap_or(text)
}

/// Bytes of a range that is counted in UTF-16 code units, as Telegram counts.
fn utf16_range(text: &str, offset: i64, length: i64) -> Option<std::ops::Range<usize>> {
    let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
    let end = offset.checked_add(length)?;
    let mut units = 0;
    let mut start = None;
    for (at, character) in text.char_indices() {
        if units == offset {
            start = Some(at);
        }
        if units == end {
            return Some(start?..at);
        }
        units += character.len_utf16();
    }
    (units == end).then_some(start?..text.len())
}

/// Fields that say nothing of what a message is.
const USUAL: [&str; 11] = [
    "message_id",
    "message_thread_id",
    "is_topic_message",
    "from",
    "sender_chat",
    "chat",
    "date",
    "reply_to_message",
    "has_protected_content",
    "media_group_id",
    "edit_date",
];

/// The first field that is not one of these.
fn other_field<'v>(value: &'v Value, usual: &[&str]) -> Option<&'v str> {
    let fields = value.as_object()?.keys().map(String::as_str);
    fields.into_iter().find(|field| !usual.contains(field))
}

fn attachments(message: &Value) -> Vec<Attachment> {
    use AttachmentKind::{Audio, File, Image, Sticker, Video};
    // An animation is a document, too: the first of them is what it is.
    let kinds = [
        ("animation", Video),
        ("audio", Audio),
        ("document", File),
        ("sticker", Sticker),
        ("video", Video),
        ("video_note", Video),
        ("voice", Audio),
    ];
    let one = |kind, file: &Value| {
        Some(Attachment {
            kind,
            reference: json::owned(file, "/file_id")?,
            name: json::owned(file, "/file_name"),
            media_type: json::owned(file, "/mime_type"),
            bytes: json::number(file, "/file_size").and_then(|size| u64::try_from(size).ok()),
        })
    };
    // A photo comes in several sizes, the largest last.
    let photo = json::list(message, "/photo")
        .last()
        .and_then(|photo| one(Image, photo));
    let file = kinds
        .into_iter()
        .find_map(|(field, kind)| one(kind, message.get(field)?));
    photo.into_iter().chain(file).collect()
}

/// A place, in words.
fn place(message: &Value) -> Option<String> {
    let number = |pointer: &str| message.pointer(pointer).and_then(Value::as_f64);
    let (latitude, longitude) = (
        number("/location/latitude")?,
        number("/location/longitude")?,
    );
    Some(format!("[location: {latitude}, {longitude}]"))
}
