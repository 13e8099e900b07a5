//! Events of Feishu, of both forms.

use std::fmt::Write as _;

use chatbot_message::{Attachment, AttachmentKind, Details};
use serde_json::Value;

use super::send;
use crate::draft::Draft;
use crate::text::{bounded, without};
use crate::{Delivery, Event, Notice, Parsed, Progress, Refusal, json};

/// A text's request has at most 150 KB, so that no text has more characters.
const LONGEST: usize = 150_000;

pub(super) fn read(delivery: &Delivery, body: &Value) -> Result<Parsed, Refusal> {
    let Some(kind) = json::text(body, "/header/event_type") else {
        return old(delivery, body);
    };
    let event = body.get("event").unwrap_or(&Value::Null);
    match kind {
        "im.message.receive_v1" => message(delivery, event, kind),
        "im.message.message_read_v1" => {
            let read = json::list(event, "/message_id_list")
                .iter()
                .filter_map(Value::as_str);
            let events = read.map(|id| {
                Event::new(
                    kind,
                    Notice::Progress {
                        message: id.to_owned(),
                        progress: Progress::Read,
                        reason: None,
                    },
                )
            });
            let mut parsed = Parsed::default();
            parsed.events.extend(events);
            if parsed.events.is_empty() {
                parsed
                    .events
                    .push(Event::ignored(kind, "it names no message"));
            }
            Ok(parsed)
        }
        _ => Ok(Parsed::event(Event::ignored(
            kind,
            "it is no message to the bot",
        ))),
    }
}

fn message(delivery: &Delivery, event: &Value, kind: &str) -> Result<Parsed, Refusal> {
    let ignored = |because: &str| Ok(Parsed::event(Event::ignored(kind, because)));
    let id = json::required(event, "/message/message_id")?;
    let chat = json::required(event, "/message/chat_id")?;
    if json::text(event, "/sender/sender_type").is_some_and(|sender| sender != "user") {
        return ignored("a bot wrote it");
    }
    let user = json::required(event, "/sender/sender_id/open_id")?;
    let form = json::text(event, "/message/message_type").unwrap_or_default();
    let content = json::text(event, "/message/content").unwrap_or("{}");
    let Some((said, attachments)) = content_of(form, &json::parse(content.as_bytes())?)? else {
        return ignored("it asks nothing");
    };
    let is_group = json::text(event, "/message/chat_type") != Some("p2p");
    let mentions = json::list(event, "/message/mentions");
    let me = me(delivery, mentions);
    if is_group && me.is_none() {
        return ignored("it was said in a group, and not to the bot");
    }
    let thread = json::text(event, "/message/thread_id");
    let group = is_group.then(|| match thread {
        Some(thread) => format!("{chat}/{thread}"),
        None => chat.to_owned(),
    });
    let draft = Draft {
        event: format!("message/{id}"),
        user: user.to_owned(),
        origin: send::origin(chat, is_group.then_some(id), thread.is_some()),
        text: named(said, mentions, me),
        sent_at: milliseconds(event, "/message/create_time"),
        details: Details {
            platform_id: Some(id.to_owned()),
            reply_to: json::owned(event, "/message/parent_id"),
            group,
            attachments,
            ..Details::default()
        },
    };
    Ok(draft.finish(delivery, kind))
}

/// The key of the mention that is of the bot. Of a bot that is not known it is the first: an app is told only of those
/// messages of a group that mention it, unless it has asked for all.
fn me<'v>(delivery: &Delivery, mentions: &'v [Value]) -> Option<&'v str> {
    let mention = match delivery.me {
        Some(me) => mentions
            .iter()
            .find(|mention| json::text(mention, "/id/open_id") == Some(&me.id)),
        None => mentions.first(),
    };
    json::text(mention?, "/key")
}

/// A text with the names of those mentioned in place of keys such as `@_user_1`, and without the bot.
fn named(mut text: String, mentions: &[Value], me: Option<&str>) -> String {
    // The last first: `@_user_1` is the beginning of `@_user_10`.
    for mention in mentions.iter().rev() {
        let key = json::text(mention, "/key").unwrap_or_default();
        if Some(key) == me {
            text = without(&text, key).into_owned();
        } else if !key.is_empty() {
            let name = json::text(mention, "/name").unwrap_or("somebody");
            text = text.replace(key, &format!("@{}", crate::text::clean(name)));
        }
    }
    text.trim().to_owned()
}

/// Text and attachments; nothing when it is known to ask nothing.
fn content_of(form: &str, content: &Value) -> Result<Option<(String, Vec<Attachment>)>, Refusal> {
    use AttachmentKind::{Audio, File, Image, Sticker, Video};
    let (kind, key) = match form {
        "text" => {
            let text = bounded(json::text(content, "/text").unwrap_or_default(), LONGEST)?;
            return Ok(Some((text, Vec::new())));
        }
        "post" => return rich(content).map(Some),
        "image" => (Image, "/image_key"),
        "audio" => (Audio, "/file_key"),
        "media" => (Video, "/file_key"),
        "sticker" => (Sticker, "/file_key"),
        "file" => (File, "/file_key"),
        _ => return Ok(None),
    };
    let attachment = Attachment {
        kind,
        reference: json::required(content, key)?.to_owned(),
        name: json::owned(content, "/file_name"),
        media_type: None,
        bytes: None,
    };
    Ok(Some((String::new(), vec![attachment])))
}

/// A text of several paragraphs with links and pictures. One that is sent has its language around it.
fn rich(content: &Value) -> Result<(String, Vec<Attachment>), Refusal> {
    let inside = content
        .as_object()
        .filter(|fields| !fields.contains_key("content"))
        .and_then(|languages| {
            languages
                .values()
                .find(|value| value.get("content").is_some())
        })
        .unwrap_or(content);
    let mut text = json::owned(inside, "/title").unwrap_or_default();
    let mut attachments = Vec::new();
    for paragraph in json::list(inside, "/content") {
        if !text.is_empty() {
            text.push('\n');
        }
        for part in paragraph.as_array().into_iter().flatten() {
            let said = json::text(part, "/text").unwrap_or_default();
            match json::text(part, "/tag").unwrap_or_default() {
                "a" => {
                    let address = json::text(part, "/href").unwrap_or_default();
                    let _infallible = write!(text, "{said} ({address})");
                }
                // The key, which is replaced as in a plain text.
                "at" => text.push_str(json::text(part, "/user_id").unwrap_or_default()),
                "img" => attachments.extend(json::owned(part, "/image_key").map(|reference| {
                    Attachment {
                        kind: AttachmentKind::Image,
                        reference,
                        name: None,
                        media_type: None,
                        bytes: None,
                    }
                })),
                _ => text.push_str(said),
            }
        }
    }
    Ok((bounded(&text, LONGEST)?, attachments))
}

/// The older form, which some apps still have.
fn old(delivery: &Delivery, body: &Value) -> Result<Parsed, Refusal> {
    let Some(kind) = json::text(body, "/event/type") else {
        return Err(Refusal::malformed(
            "header.event_type: it must say what this is, such as `im.message.receive_v1`",
        ));
    };
    if kind != "message" {
        return Ok(Parsed::event(Event::ignored(
            kind,
            "it is no message to the bot",
        )));
    }
    let event = body.get("event").unwrap_or(&Value::Null);
    let id = json::required(event, "/open_message_id")?;
    let chat = json::required(event, "/open_chat_id")?;
    let user = json::required(event, "/open_id")?;
    let is_group = json::text(event, "/chat_type") == Some("group");
    if is_group && !json::flag(event, "/is_mention") {
        return Ok(Parsed::event(Event::ignored(
            kind,
            "it was said in a group, and not to the bot",
        )));
    }
    let said = json::text(event, "/text_without_at_bot").or_else(|| json::text(event, "/text"));
    let draft = Draft {
        event: format!("message/{id}"),
        user: user.to_owned(),
        origin: send::origin(chat, is_group.then_some(id), false),
        text: bounded(said.unwrap_or_default(), LONGEST)?
            .trim()
            .to_owned(),
        sent_at: None,
        details: Details {
            platform_id: Some(id.to_owned()),
            reply_to: json::owned(event, "/parent_id"),
            group: is_group.then(|| chat.to_owned()),
            ..Details::default()
        },
    };
    Ok(draft.finish(delivery, kind))
}

fn milliseconds(event: &Value, pointer: &str) -> Option<i64> {
    json::text(event, pointer)?.parse().ok()
}
