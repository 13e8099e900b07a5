//! An endpoint as that of the `OpenAI` API, as a channel: `POST /channels/<channel>/v1/chat/completions`.
//!
//! # A request
//! `Authorization: Bearer <token>`: every key of the channel's Secret is a client, its value the token. The client sends the
//! whole conversation, as the protocol wants it, so that the hub keeps none: the last message is the question and must be the
//! user's, the turns before it are what the model is told. The instruction is the resource's; a `system` message is refused,
//! as is every field that would change an answer and does not. `model` may be anything: there is one.
//!
//! `Idempotency-Key` (1 to 128 visible characters) makes a repeated request one with its first copy; without it every
//! request is its own, and a client that repeats one is answered twice.
//!
//! # A reply
//! The response: a `chat.completion`, or with `stream` the same in chunks. Messages of one client are answered side by side,
//! and in order only within one `user` of it.
//!
//! # Errors
//! As the API has them, `{"error": {"message", "type", "param", "code"}}`; see [`error`].

use std::sync::Arc;

use chatbot_crds::config::PlatformConfig;
use chatbot_message::{Details, Reply, Turn};
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::draft::Draft;
use crate::inbound::header;
use crate::text::{bounded, clean};
use crate::{
    Admission, Answer, Delivery, Fault, Head, Parsed, Platform, ProtocolAdapter, Refusal, Request,
    Response, Secrets, Transport, Verdict, json as read, sign,
};

/// The entry in the list of platforms.
pub const PLATFORM: Platform = Platform {
    name: "openAI",
    example: || PlatformConfig::OpenAi {},
    adapter: |config, secrets| match config {
        PlatformConfig::OpenAi {} => Some(Arc::new(OpenAi { secrets })),
        _ => None,
    },
};

/// The path below the channel's own.
pub const PATH: &str = "/v1/chat/completions";
const LARGEST: usize = 1 << 20;
/// The longest question.
const LONGEST: usize = 100_000;
const MOST_MESSAGES: usize = 1_024;
const KEY: &str = "idempotency-key";
/// Fields that cannot change an answer here.
const HARMLESS: [&str; 9] = [
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "model",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
];
/// Fields that change no answer with these values, which some clients always send.
const NEUTRAL: [(&str, &str); 8] = [
    ("n", "1"),
    ("temperature", "1"),
    ("top_p", "1"),
    ("presence_penalty", "0"),
    ("frequency_penalty", "0"),
    ("logprobs", "false"),
    ("tools", "[]"),
    ("response_format", r#"{"type":"text"}"#),
];

struct OpenAi {
    secrets: Secrets,
}

impl ProtocolAdapter for OpenAi {
    fn transports(&self) -> &'static [Transport] {
        &[Transport::Exchange]
    }

    fn max_body(&self) -> usize {
        LARGEST
    }

    fn check_headers(&self, head: &Head) -> Result<Admission, Refusal> {
        if head.path != PATH {
            return Err(Refusal::new(
                Fault::NotFound,
                format!("{}: there is nothing here but {PATH}", clean(head.path)),
            ));
        }
        if *head.method != Method::POST {
            return Err(Refusal::new(Fault::Method, "the method must be POST"));
        }
        self.client(header(head.headers, AUTHORIZATION.as_str()))?;
        Ok(Admission::Read { most: LARGEST })
    }

    fn verify(&self, delivery: &Delivery) -> Result<(), Refusal> {
        self.client(delivery.header(AUTHORIZATION.as_str()))
            .map(|_| ())
    }

    fn read(&self, delivery: &Delivery) -> Result<Parsed, Refusal> {
        let client = self
            .client(delivery.header(AUTHORIZATION.as_str()))
            .unwrap_or("client");
        let Value::Object(mut fields) = read::parse(delivery.body)? else {
            return Err(Refusal::malformed("the body must be a JSON object"));
        };
        let stream = fields.remove("stream").is_some_and(|value| value == true);
        let user = match fields.remove("user") {
            Some(Value::String(user)) if user.chars().count() <= 255 => clean(&user),
            None | Some(Value::Null) => String::new(),
            Some(_) => {
                return Err(Refusal::malformed(
                    "user: it must be a text of at most 255 characters",
                ));
            }
        };
        let (history, question) = messages(fields.remove("messages"))?;
        neutral(fields)?;
        let request = delivery.request.unwrap_or_default();
        let event = match key(delivery)? {
            Some(key) => format!("key/{client}/{key}"),
            None => format!("request/{client}/{request}"),
        };
        let draft = Draft {
            origin: origin(stream, delivery.received_at, request),
            // Who is nobody in particular shares no conversation, and no order, with anybody.
            user: if user.is_empty() {
                format!("{client}/{event}")
            } else {
                format!("{client}/{user}")
            },
            event,
            text: question,
            sent_at: None,
            details: Details {
                history: Some(history),
                ..Details::default()
            },
        };
        let parsed = draft.finish(delivery, "message");
        if parsed.messages.is_empty() {
            return Err(Refusal::malformed("messages: the last one is empty"));
        }
        Ok(parsed)
    }

    fn format_response(&self, reply: &Reply, _position: u64) -> Vec<Request> {
        vec![Request::frame(completion(reply))]
    }

    fn classify(&self, _response: &Response) -> Verdict {
        Verdict::Accepted { id: None }
    }

    fn chat<'o>(&self, origin: &'o str) -> &'o str {
        request_of(origin).unwrap_or(origin)
    }
}

impl OpenAi {
    /// The client that a token belongs to.
    fn client(&self, authorization: Option<&str>) -> Result<&str, Refusal> {
        let given = authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let given = given.unwrap_or_default().as_bytes();
        // All of them are compared, so that the time does not tell whose token is nearly right.
        let mut found = None;
        for (client, token) in self.secrets.iter() {
            if sign::same(given, token.as_bytes()) {
                found = Some(client);
            }
        }
        found.ok_or_else(|| {
            Refusal::unauthenticated(
                "Authorization: it must be `Bearer` and the value of one of the keys of the channel's Secret",
            )
        })
    }
}

/// The client's own id of a request, if it gives one.
fn key<'a>(delivery: &Delivery<'a>) -> Result<Option<&'a str>, Refusal> {
    if !delivery.headers.contains_key(KEY) {
        return Ok(None);
    }
    let is_key = |key: &&str| {
        (1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match delivery.header(KEY).filter(is_key) {
        Some(key) => Ok(Some(key)),
        None => Err(Refusal::malformed(
            "Idempotency-Key: it must be 1 to 128 visible characters of ASCII, once",
        )),
    }
}

/// The turns so far, and the question.
fn messages(list: Option<Value>) -> Result<(Vec<Turn>, String), Refusal> {
    let Some(Value::Array(list)) = list else {
        return Err(Refusal::malformed("messages: it must be a list"));
    };
    if list.is_empty() || list.len() > MOST_MESSAGES {
        return Err(Refusal::malformed(format!(
            "messages: there are {}, it must be 1 to {MOST_MESSAGES}",
            list.len()
        )));
    }
    let mut history = Vec::new();
    let mut question: Option<String> = None;
    for (index, message) in list.iter().enumerate() {
        let text = content(index, message)?;
        match (
            read::text(message, "/role").unwrap_or_default(),
            question.take(),
        ) {
            ("user", None) => question = Some(text),
            ("user", Some(before)) => question = Some(format!("{before}\n{text}")),
            ("assistant", Some(question)) => history.push(Turn {
                question,
                answer: text,
            }),
            // What was said before anything was asked, as a greeting is.
            ("assistant", None) => {}
            ("system" | "developer", _) => {
                return Err(Refusal::malformed(format!(
                    "messages[{index}].role: the instruction is the resource's, `spec.conversation.systemPrompt`; leave this one out"
                )));
            }
            _ => {
                return Err(Refusal::malformed(format!(
                    "messages[{index}].role: it must be `user` or `assistant`"
                )));
            }
        }
    }
    match question {
        Some(question) => Ok((history, bounded(&question, LONGEST)?)),
        None => Err(Refusal::malformed(
            "messages: the last one must be the user's",
        )),
    }
}

/// A text, or the texts of parts.
fn content(index: usize, message: &Value) -> Result<String, Refusal> {
    match message.get("content") {
        Some(Value::String(text)) => Ok(clean(text)),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| match read::text(part, "/type") {
                Some("text") => Ok(clean(read::text(part, "/text").unwrap_or_default())),
                other => Err(Refusal::malformed(format!(
                    "messages[{index}].content: a part is `{}`; only `text` is understood",
                    clean(other.unwrap_or("nothing"))
                ))),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|texts| texts.join("\n")),
        _ => Err(Refusal::malformed(format!(
            "messages[{index}].content: it must be a text, or parts of one"
        ))),
    }
}

/// Whether what is left changes nothing.
fn neutral(mut fields: Map<String, Value>) -> Result<(), Refusal> {
    for name in HARMLESS {
        fields.remove(name);
    }
    for (name, value) in NEUTRAL {
        if fields
            .get(name)
            .is_some_and(|given| same_number(given, value))
        {
            fields.remove(name);
        }
    }
    match fields.into_iter().find(|(_, value)| !value.is_null()) {
        Some((name, _)) => Err(Refusal::malformed(format!(
            "{}: it is not understood here, and would change the answer: leave it out",
            clean(&name)
        ))),
        None => Ok(()),
    }
}

/// Whether two values are the same, `1` and `1.0` among them.
fn same_number(given: &Value, neutral: &str) -> bool {
    let neutral: Value = serde_json::from_str(neutral).unwrap_or_default();
    match (given.as_f64(), neutral.as_f64()) {
        (Some(given), Some(neutral)) => (given - neutral).abs() < f64::EPSILON,
        _ => *given == neutral,
    }
}

/// `<stream or whole>/<seconds>/<the transport's id of the request>`.
fn origin(stream: bool, received_at: i64, request: &str) -> String {
    let form = if stream { "stream" } else { "whole" };
    format!("{form}/{}/{request}", received_at / 1_000)
}

/// The transport's id of the request that a reply belongs to.
#[must_use]
pub fn request_of(origin: &str) -> Option<&str> {
    origin.splitn(3, '/').nth(2)
}

/// The media type of a reply.
#[must_use]
pub fn content_type(origin: &str) -> &'static str {
    if origin.starts_with("stream/") {
        "text/event-stream"
    } else {
        "application/json"
    }
}

/// `id`, `created` and the like, around a choice.
fn whole(object: &str, reply: Uuid, origin: &str, choice: &Value) -> Value {
    let created = origin.split('/').nth(1);
    let created: i64 = created
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    json!({
        "id": format!("chatcmpl-{}", reply.simple()),
        "object": object,
        "created": created,
        "model": "chatbot",
        "choices": [choice],
    })
}

fn completion(reply: &Reply) -> Vec<u8> {
    if let Some(mut pieces) = Pieces::of(reply.message_id, &reply.origin) {
        return pieces.end(reply);
    }
    let message = json!({ "role": "assistant", "content": reply.answer });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    whole("chat.completion", reply.id(), &reply.origin, &choice)
        .to_string()
        .into_bytes()
}

/// A response in pieces, for a client that asked for it: each is given to it at once.
#[derive(Debug)]
pub struct Pieces {
    reply: Uuid,
    origin: String,
    /// What the client has of the answer.
    sent: String,
    begun: bool,
}

impl Pieces {
    /// Those of the reply to a message; none if its client wants it whole.
    #[must_use]
    pub fn of(message: Uuid, origin: &str) -> Option<Self> {
        origin.starts_with("stream/").then(|| Self {
            reply: Uuid::new_v5(&message, b"reply"),
            origin: origin.to_owned(),
            sent: String::new(),
            begun: false,
        })
    }

    /// What an answer that has grown to `text` adds; nothing where it does not go on from what was sent, since nothing
    /// can be taken back.
    pub fn grow(&mut self, text: &str) -> Option<Vec<u8>> {
        // As the answer as a whole will be: without blanks around it.
        let text = text.trim();
        let added = text.strip_prefix(self.sent.as_str())?;
        if added.is_empty() {
            return None;
        }
        let piece = self.piece(added);
        text.clone_into(&mut self.sent);
        Some(piece)
    }

    /// What is left of the reply, and the end. If the answer became another one than what was sent of it, the client is
    /// told so: with its `Idempotency-Key` it gets the one that counts.
    pub fn end(&mut self, reply: &Reply) -> Vec<u8> {
        let Some(rest) = reply.answer.strip_prefix(self.sent.as_str()) else {
            return self.fail(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer was begun anew: ask again with the same Idempotency-Key, and get the one that counts",
            );
        };
        let mut bytes = if rest.is_empty() && self.begun {
            Vec::new()
        } else {
            self.piece(rest)
        };
        bytes.extend(self.chunk(&json!({}), Some("stop")));
        bytes.extend_from_slice(b"data: [DONE]\n\n");
        bytes
    }

    /// The end without a reply.
    #[must_use]
    pub fn fail(&self, status: StatusCode, message: &str) -> Vec<u8> {
        format!("data: {}\n\n", failed(status, message)).into_bytes()
    }

    fn piece(&mut self, added: &str) -> Vec<u8> {
        let delta = if std::mem::replace(&mut self.begun, true) {
            json!({ "content": added })
        } else {
            json!({ "role": "assistant", "content": added })
        };
        self.chunk(&delta, None)
    }

    fn chunk(&self, delta: &Value, reason: Option<&str>) -> Vec<u8> {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk = whole("chat.completion.chunk", self.reply, &self.origin, &choice);
        format!("data: {chunk}\n\n").into_bytes()
    }
}

/// What a client is told of a refusal.
#[must_use]
pub fn error(refusal: &Refusal) -> Answer {
    failure(refusal.fault.status(), &refusal.message)
}

/// What a client is told in place of a reply.
#[must_use]
pub fn failure(status: StatusCode, message: &str) -> Answer {
    Answer {
        status,
        ..Answer::json(&failed(status, message))
    }
}

fn failed(status: StatusCode, message: &str) -> Value {
    let kind = match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
}
