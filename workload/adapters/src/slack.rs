//! Slack: the Events API and Socket Mode, one form.
//!
//! # In
//! A webhook carries `X-Slack-Signature: v0=<hex HMAC-SHA256(signing secret, "v0:" timestamp ":" body)>` and
//! `X-Slack-Request-Timestamp`, refused when it is more than five minutes off (docs.slack.dev, "Verifying requests from
//! Slack"). Its body is an event as JSON, or a form: a slash command, or an interaction in `payload`. Socket Mode wraps the
//! same in an envelope, and wants `{"envelope_id": …}` back. Slack waits 3 s and repeats at once, after 1 min and 5 min;
//! a copy is known by its id, never by `X-Slack-Retry-Num`, since the first copy may not have come.
//!
//! A mention arrives twice, as `message` and as `app_mention`: the id is channel and `ts`, which both have.
//!
//! # Groups
//! In a direct message everything is for the bot; elsewhere a mention of it, or a message in a thread that it began. A
//! thread is a conversation: an answer to a message outside of one begins one.
//!
//! # Out
//! `chat.postMessage`. Slack cuts a text after 40,000 characters and advises 4,000, which is what a part has. `&`, `<` and
//! `>` are escaped, so that an answer can mention nobody. There is no idempotency key. A slash command is answered at the
//! address that came with it, which takes five messages within 30 minutes: a longer answer has longer parts, and what is
//! refused there goes to the channel, where the bot may have to be a member.

mod mrkdwn;
mod send;
mod socket;

use std::sync::Arc;

use chatbot_crds::config::{ChannelTransport, PlatformConfig};
use chatbot_message::{Attachment, Details, Reply};
use http::Method;
use serde_json::{Map, Value, json};

use crate::draft::Draft;
use crate::inbound::header;
use crate::outbound::base;
use crate::text::{bounded, kind_of, without};
use crate::{
    Admission, Answer, Delivery, Event, Fault, Head, Limits, Link, Me, Notice, Parsed, Platform,
    ProtocolAdapter, Refusal, Request, Response, Secrets, Transport, Verdict, json, sign,
};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "slack",
    example: || PlatformConfig::Slack {
        transport: ChannelTransport::Webhook,
        api_url: None,
    },
    adapter: |config, secrets| match config {
        PlatformConfig::Slack { transport, api_url } => Some(Arc::new(Slack {
            webhook: *transport == ChannelTransport::Webhook,
            base: base(api_url.as_deref(), "https://slack.com/api"),
            secrets,
        })),
        _ => None,
    },
};

const LARGEST: usize = 1 << 20;
/// The longest text that a message holds, either way.
const LONGEST: usize = 40_000;
/// How far a timestamp may be off, milliseconds.
const TOLERANCE: i64 = 5 * 60 * 1_000;
const SIGNATURE: &str = "x-slack-signature";
const TIMESTAMP: &str = "x-slack-request-timestamp";

struct Slack {
    webhook: bool,
    base: String,
    secrets: Secrets,
}

impl ProtocolAdapter for Slack {
    fn transports(&self) -> &'static [Transport] {
        if self.webhook {
            &[Transport::Webhook]
        } else {
            &[Transport::LongConnection]
        }
    }

    fn secrets(&self) -> &'static [&'static str] {
        if self.webhook {
            &["botToken", "signingSecret"]
        } else {
            &["botToken", "appToken"]
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
        self.secrets.verifying("signingSecret")?;
        signature(header(head.headers, SIGNATURE))?;
        timestamp(header(head.headers, TIMESTAMP), head.received_at)?;
        Ok(Admission::Read { most: LARGEST })
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        if delivery.is_asked_for() {
            return Ok(());
        }
        let secret = self.secrets.verifying("signingSecret")?;
        let given = signature(delivery.header(SIGNATURE))?;
        let timestamp = timestamp(delivery.header(TIMESTAMP), delivery.received_at)?;
        let made = sign::hmac_sha256(
            secret.as_bytes(),
            &[b"v0:", timestamp.as_bytes(), b":", delivery.body],
        );
        if sign::same(&given, &made) {
            Ok(())
        } else {
            Err(Refusal::unauthenticated(
                "X-Slack-Signature: it is not the signature of timestamp and body by the channel's `signingSecret`",
            ))
        }
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let body = if delivery.body.first() == Some(&b'{') {
            json::parse(delivery.body)?
        } else {
            form(delivery.body)?
        };
        let Some(envelope) = json::text(&body, "/envelope_id") else {
            return payload(delivery, &body);
        };
        let acknowledgement = Answer::json(&json!({ "envelope_id": envelope }));
        // A frame that is not acknowledged comes again, and again; what cannot be read never can.
        let inside = body.get("payload").unwrap_or(&body);
        let parsed = payload(delivery, inside).unwrap_or_else(|refusal| {
            let kind = json::text(&body, "/type").unwrap_or("envelope");
            Parsed::event(Event::ignored(kind, refusal.message))
        });
        Ok(Parsed {
            acknowledgement,
            ..parsed
        })
    }

    fn format_response(&self, reply: &Reply, _position: u64) -> Vec<Request> {
        self.messages(reply)
    }

    fn classify(&self, response: &Response) -> Verdict {
        send::classify(response)
    }

    fn instead(&self, origin: &str, refused: &Request, _response: &Response) -> Option<Request> {
        self.in_channel(origin, refused)
    }

    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        send::chat(origin)
    }

    fn is_group(&self, origin: &str) -> bool {
        !origin.starts_with('D')
    }

    fn identify(&self) -> Option<Request> {
        Some(self.call("auth.test", "botToken", &json!({})))
    }

    fn identified(&self, response: &Response) -> Result<Me, Verdict> {
        let body = response.json();
        json::owned(&body, "/user_id")
            .filter(|_| json::flag(&body, "/ok"))
            .map(|id| Me { id, name: None })
            .ok_or_else(|| send::classify(response))
    }

    fn connect(&self) -> Option<Request> {
        Some(self.call("apps.connections.open", "appToken", &json!({})))
    }

    fn link(&self, _cursor: Option<&str>, _share: f64) -> Option<Box<dyn Link>> {
        Some(Box::<socket::Socket>::default())
    }

    fn address(&self, response: &Response) -> Result<String, Verdict> {
        let body = response.json();
        json::owned(&body, "/url")
            .filter(|_| json::flag(&body, "/ok"))
            .ok_or_else(|| send::classify(response))
    }
}

fn signature(value: Option<&str>) -> Result<Vec<u8>, Refusal> {
    value
        .and_then(|value| value.strip_prefix("v0="))
        .and_then(sign::unhex)
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| {
            Refusal::unauthenticated(
                "X-Slack-Signature: it must be `v0=` and 64 hexadecimal digits, once",
            )
        })
}

fn timestamp(value: Option<&str>, received_at: i64) -> Result<&str, Refusal> {
    let text = value.unwrap_or_default();
    let off = text
        .parse::<i64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(1_000))
        .map(|at| received_at.abs_diff(at));
    match off {
        Some(off) if off <= TOLERANCE.unsigned_abs() => Ok(text),
        Some(off) => Err(Refusal::unauthenticated(format!(
            "X-Slack-Request-Timestamp: {text} is {} s off, at most {} are allowed: set the clock, or it is a replay",
            off / 1_000,
            TOLERANCE / 1_000,
        ))),
        None => Err(Refusal::unauthenticated(
            "X-Slack-Request-Timestamp: it must be seconds since 1970, once",
        )),
    }
}

/// A form as an object of texts; an interaction is JSON in its `payload`.
fn form(body: &[u8]) -> Result<Value, Refusal> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Refusal::malformed("the body is neither JSON nor a form in UTF-8"))?;
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(text.trim_end().as_bytes()) {
        fields.insert(name.into_owned(), Value::String(value.into_owned()));
    }
    match fields.get("payload").and_then(Value::as_str) {
        Some(payload) => json::parse(payload.as_bytes()),
        None => Ok(Value::Object(fields)),
    }
}

fn payload(delivery: &Delivery, body: &Value) -> Result<Parsed, Refusal> {
    let ignored = |kind: &str, because: &str| Ok(Parsed::event(Event::ignored(kind, because)));
    if json::text(body, "/command").is_some() {
        return command(delivery, body);
    }
    match json::text(body, "/type").unwrap_or_default() {
        "url_verification" => {
            let challenge = json::required(body, "/challenge")?;
            let mut parsed = Parsed::event(Event::new("url_verification", Notice::Challenge));
            parsed.acknowledgement = Answer::text(challenge);
            Ok(parsed)
        }
        "hello" => Ok(Parsed::event(Event::new("hello", Notice::Connected))),
        "disconnect" => Ok(Parsed::event(Event::new("disconnect", Notice::Reconnect))),
        "" if body.get("event").is_none() => Err(Refusal::malformed(
            "type: it must say what this is, such as `event_callback`",
        )),
        "event_callback" | "" => event(delivery, body),
        "app_rate_limited" => ignored(
            "app_rate_limited",
            "Slack holds events of this app back for a minute: it gets more than 30,000 an hour",
        ),
        kind => ignored(kind, "it is no message to the bot"),
    }
}

/// The bot's own user, as the platform was asked or as the event itself says.
fn bot<'a>(delivery: &Delivery<'a>, body: &'a Value) -> Option<&'a str> {
    let said = || {
        let all = json::list(body, "/authorizations");
        let ours = all
            .iter()
            .find(|authorization| json::flag(authorization, "/is_bot"))?;
        json::text(ours, "/user_id")
    };
    delivery.me.map(|me| me.id.as_str()).or_else(said)
}

fn event(delivery: &Delivery, body: &Value) -> Result<Parsed, Refusal> {
    let event = body.get("event").unwrap_or(&Value::Null);
    let kind = json::required(body, "/event/type")?;
    let ignored = |kind: &str, because: &str| Ok(Parsed::event(Event::ignored(kind, because)));
    if !matches!(kind, "message" | "app_mention") {
        return ignored(kind, "it is no message to the bot");
    }
    let subtype = json::text(event, "/subtype").unwrap_or_default();
    match subtype {
        "" | "file_share" | "thread_broadcast" | "me_message" => {
            message(delivery, body, event, kind, None)
        }
        "message_changed" => {
            let (now, before) = ("/message/text", "/previous_message/text");
            let edited = json::text(event, "/message/edited/ts");
            // A link that got its preview is changed, too.
            if edited.is_none() || json::text(event, now) == json::text(event, before) {
                return ignored(subtype, "its text is what it was");
            }
            let changed = event.get("message").unwrap_or(&Value::Null);
            message(delivery, body, changed, subtype, Some(event))
        }
        _ => ignored(subtype, "it is no message to the bot"),
    }
}

/// A message, or a changed one inside the event `around` it.
fn message(
    delivery: &Delivery,
    body: &Value,
    message: &Value,
    kind: &str,
    around: Option<&Value>,
) -> Result<Parsed, Refusal> {
    let ignored = |because: &str| Ok(Parsed::event(Event::ignored(kind, because)));
    let outer = around.unwrap_or(message);
    let bot = bot(delivery, body);
    let Some(user) = json::text(message, "/user") else {
        return ignored("nobody is named as its sender");
    };
    // A user's message that an integration passes on has a `bot_id` as well.
    if message.get("bot_profile").is_some()
        || json::text(message, "/bot_id").is_some()
        || bot == Some(user)
    {
        return ignored("a bot wrote it");
    }
    let channel = json::required(outer, "/channel")?;
    let ts = json::required(message, "/ts")?;
    let said = bounded(json::text(message, "/text").unwrap_or_default(), LONGEST)?;
    let is_direct = match json::text(outer, "/channel_type") {
        Some(channel_type) => channel_type == "im",
        None => channel.starts_with('D'),
    };
    let calls = bot.map(|bot| format!("<@{bot}>"));
    let is_called = kind == "app_mention"
        || calls
            .as_ref()
            .is_some_and(|call| said.contains(call.as_str()))
        || (bot.is_some() && json::text(message, "/parent_user_id") == bot);
    if !is_direct && !is_called {
        return ignored("it was said in a channel, and not to the bot");
    }
    let text = match &calls {
        Some(call) => without(&said, call).into_owned(),
        // Whom an `app_mention` mentions first is the bot, most likely.
        None if kind == "app_mention" => mrkdwn::without_first_mention(&said).to_owned(),
        None => said,
    };
    let thread = json::text(message, "/thread_ts");
    let root = if is_direct {
        thread
    } else {
        thread.or(Some(ts))
    };
    // An edit that first calls the bot comes as a mention as well.
    let edited = json::text(message, "/edited/ts");
    let draft = Draft {
        event: match edited {
            Some(edited) => format!("{channel}/{ts}/{edited}"),
            None => format!("{channel}/{ts}"),
        },
        user: user.to_owned(),
        origin: send::origin(channel, root),
        text: mrkdwn::plain(&text),
        sent_at: milliseconds(edited.unwrap_or(ts)),
        details: Details {
            platform_id: Some(ts.to_owned()),
            reply_to: thread.filter(|thread| *thread != ts).map(str::to_owned),
            edit_of: edited.or(around.map(|_| ts)).map(|_| ts.to_owned()),
            group: (!is_direct).then(|| send::origin(channel, root)),
            attachments: files(message),
            ..Details::default()
        },
    };
    Ok(draft.finish(delivery, kind))
}

fn command(delivery: &Delivery, body: &Value) -> Result<Parsed, Refusal> {
    let name = json::required(body, "/command")?;
    let user = json::required(body, "/user_id")?;
    let channel = json::required(body, "/channel_id")?;
    let trigger = json::required(body, "/trigger_id")?;
    let said = bounded(json::text(body, "/text").unwrap_or_default(), LONGEST)?;
    let text = if said.trim().is_empty() { name } else { &said };
    let draft = Draft {
        event: format!("command/{trigger}"),
        user: user.to_owned(),
        origin: send::origin_of_command(channel, json::text(body, "/response_url")),
        text: mrkdwn::plain(text),
        sent_at: None,
        details: Details {
            command: Some(name.trim_start_matches('/').to_owned()),
            group: (!channel.starts_with('D')).then(|| channel.to_owned()),
            ..Details::default()
        },
    };
    Ok(draft.finish(delivery, "command"))
}

/// Seconds with six decimals, as milliseconds.
fn milliseconds(ts: &str) -> Option<i64> {
    let (seconds, fraction) = ts.split_once('.')?;
    let thousandths: i64 = fraction.get(..3)?.parse().ok()?;
    seconds
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000)?
        .checked_add(thousandths)
}

fn files(message: &Value) -> Vec<Attachment> {
    let file = |file: &Value| {
        let media_type = json::owned(file, "/mimetype");
        Some(Attachment {
            kind: kind_of(media_type.as_deref()),
            reference: json::owned(file, "/id")?,
            name: json::owned(file, "/name"),
            media_type,
            bytes: json::number(file, "/size").and_then(|size| u64::try_from(size).ok()),
        })
    };
    json::list(message, "/files")
        .iter()
        .filter_map(file)
        .collect()
}
