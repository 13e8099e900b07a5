//! The frames of the web chat, both ways. The table of [`super`] says what they mean.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first frame of a page.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Always `hello`.
    #[serde(rename = "type")]
    pub kind: HelloKind,
    /// Of the protocol.
    pub version: u32,
    /// The user's random id.
    pub user: String,
    /// What the gateway last sent, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<serde_json::Value>,
    /// Whether the page wants the conversation so far.
    #[serde(default)]
    pub history: bool,
}

/// A question.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Always `ask`.
    #[serde(rename = "type")]
    pub kind: AskKind,
    /// The page's random id of it.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// Milliseconds since it was asked first: of one clock, so that the page's clock need not be right.
    #[serde(default)]
    pub age: i64,
}

/// The `type` of [`Hello`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum HelloKind {
    Hello,
}

/// The `type` of [`Ask`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum AskKind {
    Ask,
}

/// A frame of the gateway.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[allow(missing_docs)] // The module's table describes them, once.
pub enum Frame {
    Welcome {
        version: u32,
        cluster: String,
        max_characters: usize,
    },
    History {
        turns: Vec<PastTurn>,
        complete: bool,
    },
    Ready {
        cursor: serde_json::Value,
    },
    Ack {
        id: String,
        message: Uuid,
    },
    Refused {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        code: Code,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    Question {
        id: String,
        message: Uuid,
        text: String,
    },
    Preview {
        message: Uuid,
        text: String,
    },
    Reply {
        id: String,
        message: Uuid,
        position: u64,
        question: String,
        answer: String,
        fallback: bool,
    },
    Cursor {
        cursor: serde_json::Value,
    },
    Alive,
    Error {
        code: Code,
        message: String,
        reload: bool,
    },
}

/// One turn of the history.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // As in the frame `reply`.
pub struct PastTurn {
    pub message: Uuid,
    pub position: u64,
    pub question: String,
    pub answer: String,
    pub fallback: bool,
}

/// Why a question or a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)] // The names are the documentation.
pub enum Code {
    Malformed,
    TooLong,
    TooManyMessages,
    Unavailable,
    Overloaded,
    Version,
    TooSlow,
    Restarting,
}

impl Frame {
    /// The frame's text.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
