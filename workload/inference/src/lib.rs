//! One inference instance: an `OpenAI`-compatible HTTP API in front of a model.
//!
//! It knows no users, sessions or channels: a request is a conversation, an answer is text. What it promises: it is
//! ready only when the model has answered once; a request is answered, or refused with what is wrong and what to do;
//! it never has more in hand than its configuration says; a client that goes away frees its place; and the end of the
//! process cuts off no answer that can be finished within the drain time.

mod admission;
mod completion;
mod error;
mod fields;
mod generate;
mod metrics;
mod request;
mod serve;

pub use error::ApiError;
pub use generate::Generate;
pub use request::Ask;
pub use serve::{Server, run};

use chatbot_engine::LoadError;
use chatbot_engine::gguf::Broken;

/// What of a configuration an engine can find fault with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The model's file.
    Model,
    /// Tokens of context.
    ContextTokens,
    /// Requests answered at once.
    MaxConcurrentRequests,
}

/// The field that is to be changed, when it is one.
#[must_use]
pub fn field(error: &LoadError) -> Option<Field> {
    match error {
        LoadError::File(_) | LoadError::Unsupported { .. } => Some(Field::Model),
        LoadError::ContextTooLong { .. } => Some(Field::ContextTokens),
        LoadError::TooManySequences { .. } => Some(Field::MaxConcurrentRequests),
        LoadError::Context { .. } | LoadError::Start { .. } => None,
    }
}

/// The reason of the condition `ModelReady` for a model that cannot be served, or of another part's.
#[must_use]
pub fn reason(error: &LoadError) -> &'static str {
    match error {
        LoadError::File(Broken::Missing { .. }) => "SourceNotFound",
        LoadError::File(Broken::Unreadable { .. }) => "SourceUnreadable",
        LoadError::File(Broken::Truncated { .. }) => "SourceTruncated",
        LoadError::File(Broken::Damaged { .. }) => "SourceDamaged",
        LoadError::File(Broken::NotGguf { .. } | Broken::Version { .. })
        | LoadError::Unsupported { .. } => "UnsupportedFormat",
        LoadError::ContextTooLong { .. } | LoadError::TooManySequences { .. } => "LimitExceeded",
        LoadError::Context { .. } => "DoesNotFit",
        // Not the model's fault: the condition of the instances tells it.
        LoadError::Start { .. } => "Error",
    }
}
