//! How the assistant talks.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigMapKeyRef, Duration, duration, shapes};

/// How the assistant talks.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.systemPrompt) && has(self.systemPromptFrom))").message(crate::rules::ONE_PROMPT)
)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// The instruction that precedes every conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    #[x_kube(validation = shapes::text())]
    pub system_prompt: Option<String>,

    /// Where the instruction is kept instead. A change of it is taken up without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt_from: Option<SystemPromptSource>,

    /// Turns of the conversation (a question and its answer) that the model is given again with each question.
    #[serde(default = "history_turns")]
    #[schemars(range(min = 0, max = 200))]
    pub history_turns: i32,

    /// Time without a message after which a conversation starts anew.
    #[serde(default = "session_timeout")]
    #[x_kube(validation = duration::syntax(), validation = duration::between("1m", "720h"))]
    pub session_timeout: Duration,

    /// Longest answer, in tokens. It must be less than `inference.contextTokens`.
    #[serde(default = "max_answer_tokens")]
    #[schemars(range(min = 1, max = 32768))]
    pub max_answer_tokens: i32,

    /// How freely the model chooses its words, a decimal from "0" (the likeliest) to "2".
    #[serde(default = "temperature")]
    #[schemars(length(max = 8))]
    #[x_kube(
        validation = Rule::new("self.matches('^([01](\\\\.[0-9]{1,2})?|2(\\\\.0{1,2})?)$')")
            .message(crate::rules::TEMPERATURE)
    )]
    pub temperature: String,

    /// What users read when there is no answer.
    #[serde(default = "fallback_message")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = shapes::text())]
    pub fallback_message: String,

    /// Messages that one user may send in a minute; 0 is no limit.
    #[serde(default = "messages_per_user_per_minute")]
    #[schemars(range(min = 0, max = 10000))]
    pub messages_per_user_per_minute: i32,
}

/// Where the system prompt is kept.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemPromptSource {
    /// A key of a `ConfigMap` in the resource's namespace.
    pub config_map_key_ref: ConfigMapKeyRef,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            system_prompt: None,
            system_prompt_from: None,
            history_turns: history_turns(),
            session_timeout: session_timeout(),
            max_answer_tokens: max_answer_tokens(),
            temperature: temperature(),
            fallback_message: fallback_message(),
            messages_per_user_per_minute: messages_per_user_per_minute(),
        }
    }
}

fn history_turns() -> i32 {
    20
}

fn session_timeout() -> Duration {
    Duration::from("24h")
}

fn max_answer_tokens() -> i32 {
    512
}

fn temperature() -> String {
    "0.7".to_owned()
}

fn fallback_message() -> String {
    "Sorry, I cannot answer right now. Please try again in a moment.".to_owned()
}

fn messages_per_user_per_minute() -> i32 {
    30
}
