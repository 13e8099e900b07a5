//! What is asked of the engine and what comes back.

use thiserror::Error;

/// Who speaks in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The role's name, as chat templates and the `OpenAI` API spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A conversation to be continued by the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The conversation so far, oldest turn first.
    pub turns: Vec<Turn>,
    /// Longest answer, in tokens; absent: as long as the context allows.
    pub max_tokens: Option<u32>,
    /// Sampling temperature; 0 takes the likeliest token always.
    pub temperature: f32,
    /// Share of the probability that tokens are drawn from, 0 to 1.
    pub top_p: f32,
    /// Seed of the draw; absent: a new one every time.
    pub seed: Option<u64>,
    /// Texts that end the answer; they are no part of it.
    pub stop: Vec<String>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model was done, or a stop sequence came.
    Stop,
    /// It reached the longest answer allowed, or the end of the context.
    Length,
}

/// Tokens of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, taken from an earlier request with the same beginning.
    pub cached_tokens: u32,
    /// Tokens of the answer.
    pub completion_tokens: u32,
}

/// A piece of an answer. After `Done` or `Failed` nothing follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More text, never empty.
    Text(String),
    /// The answer is complete.
    Done {
        /// Why it ended.
        finish: Finish,
        /// Tokens.
        usage: Usage,
    },
    /// The answer will not be completed, and why.
    Failed(String),
}

/// What is known about the model that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFacts {
    /// Weight format, such as `Q8_0`.
    pub format: String,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Parameters.
    pub parameters: u64,
    /// Tokens the model was trained to hold.
    pub trained_context_tokens: u32,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The conversation does not fit.
    #[error(
        "the conversation has {prompt_tokens} tokens and the context holds {context_tokens}, the answer included: \
         send fewer or shorter messages"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens of the context.
        context_tokens: u32,
    },
    /// The conversation cannot be written in the model's chat template.
    #[error("the model's chat template does not take this conversation: {reason}")]
    Template {
        /// What the template says.
        reason: String,
    },
    /// The engine's thread has ended.
    #[error("the engine has stopped: start the process again")]
    Stopped,
}
