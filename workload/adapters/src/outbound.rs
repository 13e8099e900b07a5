//! What goes out: requests as plain values, and what a platform says to them.

use std::fmt;
use std::time::Duration;

use chatbot_message::Reply;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::json;

/// A request to a platform, or a frame for a user's own connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its whole address; empty for a frame.
    pub url: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether `Authorization: Bearer <the session's token>` is to be added.
    pub session: bool,
    /// The idempotency key that it carries, on platforms that take one.
    pub key: Option<String>,
}

impl fmt::Debug for Request {
    /// Without address and body: some addresses hold a secret, and bodies hold what people say.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("method", &self.method)
            .field("bytes", &self.body.len())
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A frame.
    pub(crate) fn frame(body: Vec<u8>) -> Self {
        Self {
            method: Method::POST,
            url: String::new(),
            headers: HeaderMap::new(),
            body,
            session: false,
            key: None,
        }
    }

    pub(crate) fn get(url: String) -> Self {
        Self {
            method: Method::GET,
            url,
            ..Self::frame(Vec::new())
        }
    }

    pub(crate) fn post(url: String, body: &Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        Self {
            url,
            headers,
            ..Self::frame(body.to_string().into_bytes())
        }
    }

    /// The JSON that it carries.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The same with other JSON.
    pub(crate) fn carrying(&self, body: &Value) -> Self {
        Self {
            body: body.to_string().into_bytes(),
            ..self.clone()
        }
    }

    /// With a secret in `Authorization`, behind a scheme such as `Bearer`. A secret that no header can hold is left out,
    /// and the platform says so.
    pub(crate) fn authorized(mut self, scheme: &str, secret: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(&format!("{scheme} {secret}")) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// A platform's response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, as far as it was read.
    pub body: &'a [u8],
}

impl Response<'_> {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }

    /// The pause of `Retry-After`, in seconds; a date there is not understood, and no platform here sends one.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds: f64 = self
            .headers
            .get(RETRY_AFTER)?
            .to_str()
            .ok()?
            .trim()
            .parse()
            .ok()?;
        pause(seconds)
    }
}

/// A pause that a platform asks for, within reason: at most a day.
pub(crate) fn pause(seconds: f64) -> Option<Duration> {
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(86_400.0)))
}

/// Whom a pause is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one chat; others go on.
    Chat,
    /// Everything that the channel sends.
    Channel,
}

/// What a platform said to a part of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took it.
    Accepted {
        /// Its id of what was sent, if it gave one.
        id: Option<String>,
    },
    /// It did not take it now: the same request again, after a pause.
    Later {
        /// How long to wait; absent when it did not say.
        after: Option<Duration>,
        /// Who has to wait.
        scope: Scope,
        /// What it said.
        reason: String,
    },
    /// It will never take it.
    Refused {
        /// What it said.
        reason: String,
    },
    /// It does not take the channel's credentials: nothing can be sent until somebody changes them.
    Credentials {
        /// What it said.
        reason: String,
    },
    /// Nobody knows whether it took it: the same request again, with the same key.
    Unknown {
        /// What it said, if anything.
        reason: String,
    },
}

/// What a platform said when it was asked for what is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// The body is a delivery, perhaps an empty one.
    Delivery,
    /// It sends what is new to a webhook: that is to be taken back ([`crate::ProtocolAdapter::subscribe`]).
    Subscribed {
        /// What it said.
        reason: String,
    },
    /// Somebody else asks for the same.
    Contended {
        /// What it said.
        reason: String,
    },
    /// Anything else.
    Failed(Verdict),
}

impl Verdict {
    /// The verdict of a status alone, as HTTP defines it.
    #[must_use]
    pub fn of_status(response: &Response) -> Self {
        let status = response.status;
        let reason = reason(response);
        if status.is_success() {
            return Self::Accepted { id: None };
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Self::Later {
                after: response.retry_after(),
                scope: Scope::Channel,
                reason,
            },
            StatusCode::UNAUTHORIZED => Self::Credentials { reason },
            // Not even a redirect is followed: nobody asked for what is there.
            _ if status.is_client_error() || status.is_redirection() => Self::Refused { reason },
            _ => Self::Unknown { reason },
        }
    }
}

/// The longest reason that is kept.
const REASON: usize = 300;

/// Status and body for a person, without anything that could break a line.
pub(crate) fn reason(response: &Response) -> String {
    let text = String::from_utf8_lossy(&response.body[..response.body.len().min(4 * REASON)]);
    let said: String = text
        .chars()
        .filter(|character| !character.is_control())
        .take(REASON)
        .collect();
    if said.is_empty() {
        response.status.to_string()
    } else {
        format!("{}: {said}", response.status)
    }
}

/// How many messages in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many.
    pub messages: u32,
    /// In this time.
    pub per: Duration,
}

impl Rate {
    pub(crate) const fn per_second(messages: u32) -> Self {
        Self {
            messages,
            per: Duration::from_secs(1),
        }
    }
}

/// What a platform takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Into one chat; absent: no limit is known.
    pub chat: Option<Rate>,
    /// Into one group, where that is less.
    pub group: Option<Rate>,
    /// In all.
    pub channel: Option<Rate>,
    /// How long the user sees that an answer is being written; to be told again before it ends.
    pub typing: Option<Duration>,
    /// How long the platform knows an idempotency key; absent: it takes none, and a repeated request is a second message.
    pub keys: Option<Duration>,
    /// How long the platform waits for the acknowledgement of a delivery.
    pub acknowledgement: Option<Duration>,
}

/// A token that requests carry.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The token.
    pub token: String,
    /// How long it holds.
    pub lasts: Duration,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("lasts", &self.lasts)
            .finish_non_exhaustive()
    }
}

/// The idempotency key of a part of a reply: 22 characters of base64url, 128 bits of reply id and number.
pub(crate) fn key(reply: &Reply, part: usize) -> String {
    use base64::Engine;
    let id = Uuid::new_v5(&reply.id(), &(part as u64).to_be_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// A configured address without its last slash, or the platform's own.
pub(crate) fn base(configured: Option<&str>, own: &str) -> String {
    configured.unwrap_or(own).trim_end_matches('/').to_owned()
}

/// A number or a text, as text: platforms write ids as either.
pub(crate) fn id_at(value: &Value, pointer: &str) -> Option<String> {
    json::id(value.pointer(pointer)?)
}
