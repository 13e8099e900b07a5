//! From the body of a chat completion request to what the engine is asked. Pure.
//!
//! Every field is understood, or harmless and named here, or refused: a client that asks for tools and gets prose
//! would never know why.

use chatbot_engine::{Request, Role, Turn};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::fields::{Fields, shown};

const MOST_MESSAGES: usize = 1024;
const MOST_STOPS: usize = 4;
const LONGEST_STOP: usize = 256;

/// Fields that cannot change an answer here: they are about accounts, billing and storage.
const HARMLESS: [&str; 6] = [
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What the engine is asked.
    pub request: Request,
    /// Whether the answer comes in pieces.
    pub stream: bool,
    /// Whether the last piece tells the tokens.
    pub include_usage: bool,
}

impl Ask {
    /// Reads a request for `model`, whose context holds `context_tokens`.
    pub fn parse(body: &[u8], model: &str, context_tokens: u32) -> Result<Self, ApiError> {
        let value = serde_json::from_slice(body)
            .map_err(|error| ApiError::Body(format!("the body is not JSON: {error}")))?;
        let mut fields = Fields::of("", value)?;
        check_model(&mut fields, model)?;
        let turns = messages(&mut fields)?;
        let stream = fields.flag("stream")?.unwrap_or(false);
        let include_usage = stream_options(&mut fields, stream)?;
        let request = Request {
            turns,
            max_tokens: max_tokens(&mut fields, context_tokens)?,
            temperature: single(fields.number("temperature", 0.0, 2.0)?.unwrap_or(1.0)),
            top_p: single(fields.number("top_p", 0.0, 1.0)?.unwrap_or(1.0)),
            seed: seed(&mut fields)?,
            stop: stop(&mut fields)?,
        };
        neutral(&mut fields)?;
        for name in HARMLESS {
            fields.take(name);
        }
        fields.finish(
            "known are messages, model, max_tokens, max_completion_tokens, temperature, top_p, stop, seed, stream, \
             stream_options: leave it out",
        )?;
        Ok(Self {
            request,
            stream,
            include_usage,
        })
    }
}

fn check_model(fields: &mut Fields, served: &str) -> Result<(), ApiError> {
    match fields.text("model")? {
        Some(asked) if asked == served => Ok(()),
        Some(asked) => Err(ApiError::UnknownModel {
            asked,
            served: served.to_owned(),
        }),
        None => Err(fields.invalid("model", format!("is missing; use `{served}`"))),
    }
}

fn messages(fields: &mut Fields) -> Result<Vec<Turn>, ApiError> {
    let list = match fields.take("messages") {
        Some(Value::Array(list)) => list,
        Some(other) => {
            return Err(fields.invalid(
                "messages",
                format!("is {}; it must be a list", shown(&other)),
            ));
        }
        None => {
            return Err(fields.invalid("messages", "is missing; it must hold at least one message"));
        }
    };
    if list.is_empty() || list.len() > MOST_MESSAGES {
        let problem = format!(
            "has {} entries; it must have 1 to {MOST_MESSAGES}",
            list.len()
        );
        return Err(fields.invalid("messages", problem));
    }
    list.into_iter()
        .enumerate()
        .map(|(index, message)| turn(&format!("messages[{index}]"), message))
        .collect()
}

fn turn(path: &str, message: Value) -> Result<Turn, ApiError> {
    let mut fields = Fields::of(path, message)?;
    let role = match fields.text("role")?.as_deref() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some(other) => {
            let problem = format!("is `{other}`; it must be system, developer, user or assistant");
            return Err(fields.invalid("role", problem));
        }
        None => {
            return Err(fields.invalid("role", "is missing; it must be system, user or assistant"));
        }
    };
    let content = match fields.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(index, part)| text_part(&format!("{path}.content[{index}]"), part))
            .collect::<Result<String, _>>()?,
        Some(other) => {
            return Err(fields.invalid(
                "content",
                format!("is {}; it must be a string", shown(&other)),
            ));
        }
        None => return Err(fields.invalid("content", "is missing; it must be a string")),
    };
    if content.contains('\0') {
        return Err(fields.invalid("content", "contains a NUL character; leave it out"));
    }
    // A participant's name is no part of the chat templates of the models served here.
    fields.take("name");
    fields.finish("a message has role, content and name: leave it out")?;
    Ok(Turn { role, content })
}

fn text_part(path: &str, part: Value) -> Result<String, ApiError> {
    let mut fields = Fields::of(path, part)?;
    match fields.text("type")?.as_deref() {
        Some("text") => {}
        Some(other) => {
            return Err(fields.invalid(
                "type",
                format!("is `{other}`; only text is understood here"),
            ));
        }
        None => return Err(fields.invalid("type", "is missing; it must be text")),
    }
    let text = fields
        .text("text")?
        .ok_or_else(|| fields.invalid("text", "is missing; it must be a string"))?;
    fields.finish("a part has type and text: leave it out")?;
    Ok(text)
}

fn max_tokens(fields: &mut Fields, context_tokens: u32) -> Result<Option<u32>, ApiError> {
    let old = fields.count("max_tokens", context_tokens)?;
    let new = fields.count("max_completion_tokens", context_tokens)?;
    match (old, new) {
        (Some(old), Some(new)) if old != new => Err(fields.invalid(
            "max_tokens",
            format!(
                "is {old} and max_completion_tokens is {new}; they mean the same: leave one out"
            ),
        )),
        (old, new) => Ok(new.or(old)),
    }
}

fn seed(fields: &mut Fields) -> Result<Option<u64>, ApiError> {
    let Some(value) = fields.take("seed") else {
        return Ok(None);
    };
    // Every 64-bit number is a seed of its own, below zero too.
    match (value.as_u64(), value.as_i64()) {
        (Some(seed), _) => Ok(Some(seed)),
        (None, Some(seed)) => Ok(Some(seed.cast_unsigned())),
        _ => Err(fields.invalid(
            "seed",
            format!("is {}; it must be a whole number of 64 bits", shown(&value)),
        )),
    }
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let problem = format!(
        "must be a string or a list of up to {MOST_STOPS} strings of 1 to {LONGEST_STOP} bytes"
    );
    let texts = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(text) => vec![text],
    };
    if texts.len() > MOST_STOPS {
        return Err(fields.invalid("stop", format!("has {} entries; it {problem}", texts.len())));
    }
    texts
        .into_iter()
        .map(|text| match text {
            Value::String(text) if (1..=LONGEST_STOP).contains(&text.len()) => Ok(text),
            other => Err(fields.invalid("stop", format!("has {}; it {problem}", shown(&other)))),
        })
        .collect()
}

fn stream_options(fields: &mut Fields, stream: bool) -> Result<bool, ApiError> {
    let Some(options) = fields.take("stream_options") else {
        return Ok(false);
    };
    if !stream {
        return Err(fields.invalid(
            "stream_options",
            "is set without stream: true; set both or neither",
        ));
    }
    let mut options = Fields::of("stream_options", options)?;
    let include_usage = options.flag("include_usage")?.unwrap_or(false);
    options.finish("known is include_usage: leave it out")?;
    Ok(include_usage)
}

/// Fields that some clients always send with the value that changes nothing; any other value is refused.
fn neutral(fields: &mut Fields) -> Result<(), ApiError> {
    let known: [(&str, &[Value], &str); 9] = [
        (
            "n",
            &[json!(1)],
            "one answer is given: set it to 1, or ask several times",
        ),
        (
            "frequency_penalty",
            &[json!(0), json!(0.0)],
            "penalties are not applied here: leave it out",
        ),
        (
            "presence_penalty",
            &[json!(0), json!(0.0)],
            "penalties are not applied here: leave it out",
        ),
        (
            "logit_bias",
            &[json!({})],
            "token probabilities cannot be changed here: leave it out",
        ),
        (
            "logprobs",
            &[json!(false)],
            "token probabilities are not told here: leave it out",
        ),
        (
            "response_format",
            &[json!({ "type": "text" })],
            "answers are plain text here: leave it out",
        ),
        (
            "tools",
            &[json!([])],
            "tools are not called here: leave it out",
        ),
        (
            "tool_choice",
            &[json!("none")],
            "tools are not called here: leave it out",
        ),
        (
            "modalities",
            &[json!(["text"])],
            "answers are text here: leave it out",
        ),
    ];
    for (name, allowed, remedy) in known {
        if let Some(value) = fields.take(name)
            && !allowed.contains(&value)
        {
            return Err(fields.invalid(name, format!("is {}; {remedy}", shown(&value))));
        }
    }
    Ok(())
}

/// The engine computes in single precision; the bounds were checked in double.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding a temperature is meant"
)]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests;
