//! The contract with the data plane: what each pod is configured with, and what it reports.
//!
//! The operator renders a configuration into one `ConfigMap` per component, named by its content's hash and mounted at
//! [`CONFIG_FILE`]; the pod parses it with unknown fields refused, so that a pod and an operator of different
//! releases disagree loudly. A pod reports [`State`] as JSON at `GET :9090/state`.

mod backbone;
pub mod engine;
mod platform;
mod tls;

pub use backbone::{
    Backbone, BackboneState, BackboneTlsConfig, CA_FILE, DEFAULT_PARTITIONS,
    DEVELOPMENT_BROKER_PORT, DEVELOPMENT_STORE_PORT, KAFKA_DIRECTORY, KafkaConfig, MountedSecret,
    REDIS_DIRECTORY, RedisConfig, SaslConfig,
};
pub use platform::{CHANNELS_DIRECTORY, ChannelTransport, PlatformConfig};
pub use tls::{ServedBy, TLS_CERTIFICATE, TLS_DIRECTORY, TLS_KEY, TlsConfig, TlsState};

use serde::{Deserialize, Serialize};

use crate::settings::{self, ModelSource, Platform, Settings};

/// Where a pod finds its configuration.
pub const CONFIG_FILE: &str = "/config/config.yaml";
/// The port of users' traffic: web chat and webhooks.
pub const HTTP_PORT: u16 = 8080;
/// The port of the OpenAI-compatible inference API.
pub const INFERENCE_PORT: u16 = 8000;
/// The port of `/livez`, `/readyz`, `/metrics` and `/state`; never exposed by a Service.
pub const ADMIN_PORT: u16 = 9090;

/// Configuration of `chatbot run`: gateway and worker in one process, queue and store in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HubConfig {
    /// The receiving and sending half.
    pub gateway: GatewayConfig,
    /// The answering half.
    pub worker: WorkerConfig,
}

/// Configuration of an adapters pod: a gateway, with broker and store outside of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AdaptersConfig {
    /// The gateway.
    pub gateway: GatewayConfig,
    /// Where messages go and come from.
    pub backbone: Backbone,
}

/// Configuration of a workers pod: a worker, with broker and store outside of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WorkersConfig {
    /// The worker.
    pub worker: WorkerConfig,
    /// Where messages come from and go to.
    pub backbone: Backbone,
}

/// Configuration of the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayConfig {
    /// `<namespace>/<name>` of the resource.
    pub cluster: String,
    /// Every channel, by name.
    pub channels: Vec<ChannelConfig>,
    /// Messages one user may send in a minute; 0 is no limit.
    pub messages_per_user_per_minute: u32,
    /// The certificate of the host that users reach, if TLS was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Where platforms reach the gateway, such as `https://chat.example.com`, without a slash at its end: platforms that
    /// can be told are told where their webhooks go.
    #[serde(default, rename = "publicURL", skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
}

/// One channel of the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ChannelConfig {
    /// The channel's name, unique in the resource.
    pub name: String,
    /// The platform and its options.
    pub platform: PlatformConfig,
}

/// Configuration of the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WorkerConfig {
    /// `<namespace>/<name>` of the resource.
    pub cluster: String,
    /// Base URL of the OpenAI-compatible inference API, such as `http://support-inference:8000`.
    pub inference_url: String,
    /// The model's name, as the inference API knows it.
    pub model: String,
    /// The system prompt, if any.
    pub system_prompt: Option<SystemPrompt>,
    /// Turns of history given to the model.
    pub history_turns: u32,
    /// Seconds without a message after which a session starts anew.
    pub session_timeout_seconds: u64,
    /// Longest answer, in tokens.
    pub max_answer_tokens: u32,
    /// Sampling temperature, 0 to 2.
    pub temperature: f64,
    /// The answer when there is none.
    pub fallback_message: String,
    /// Tokens the model can hold: prompt and answer together.
    pub context_tokens: u32,
    /// What is kept to be used again; absent: nothing.
    #[serde(default)]
    pub cache: CacheConfig,
}

/// What a worker keeps to be used again; 0 switches each of them off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CacheConfig {
    /// Seconds that answers are kept in the store, for all workers.
    pub answers_ttl_seconds: u64,
    /// Bytes of sessions kept in the worker's memory.
    pub context_bytes: u64,
    /// Bytes of answers kept in the worker's memory.
    pub results_bytes: u64,
}

/// Where the system prompt is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum SystemPrompt {
    /// Written in the resource.
    Text(String),
    /// A file, mounted from the user's `ConfigMap` and read again when it changes.
    File(String),
}

/// Configuration of one inference instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InferenceConfig {
    /// The model's file, GGUF.
    pub model_path: String,
    /// The model's name in the API.
    pub model_name: String,
    /// Tokens of context per request.
    pub context_tokens: u32,
    /// Requests served at once; as many again may wait, further ones get 429.
    pub max_concurrent_requests: u32,
    /// Threads of the engine; 1 where instances share a node's CPUs.
    pub threads: u32,
}

/// What a pod reports at `/state`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// The gateway's channels.
    pub channels: Vec<ChannelState>,
    /// The certificate, where TLS was asked for; absent before it was looked for.
    pub tls: Option<TlsState>,
    /// The broker; absent where the logs are in memory.
    pub broker: Option<BackboneState>,
    /// The store; absent where the sessions are in memory.
    pub store: Option<BackboneState>,
    /// Why the model refuses the system prompt that is asked for, in its words; absent while it does not.
    pub system_prompt_refused: Option<String>,
    /// Why the server of an instance, which is not the built-in one, answers no question, in its words; absent before it
    /// was asked, and once it has answered.
    pub engine_refused: Option<String>,
    /// The last synthetic conversation; absent before the first has ended.
    pub probe: Option<ProbeState>,
    /// The model that an inference instance serves.
    pub model: Option<ModelState>,
    /// Counts since the pod started.
    pub counters: Counters,
}

/// One channel as its gateway sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// The channel's name.
    pub name: String,
    /// Whether it can receive and send; absent when it was not tried yet.
    pub ready: Option<bool>,
    /// One of the reasons of the condition `ChannelsReady`, such as `Listening`.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// A synthetic conversation: one message through every hop, as a user's would go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeState {
    /// Seconds since the epoch when it ended.
    pub at: i64,
    /// The hop that failed; absent when an answer came back.
    pub failed_hop: Option<Hop>,
    /// What went wrong, for a person; empty when nothing did.
    pub message: String,
}

/// The hops of a message, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hop {
    /// The gateway's own entrance.
    Adapter,
    /// The queue did not take it.
    Queue,
    /// No worker took it.
    Worker,
    /// No inference instance answered.
    Inference,
    /// The answer did not come back.
    Reply,
}

/// The model that an inference instance serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelState {
    /// The model's name.
    pub name: String,
    /// Weight format, such as `Q8_0`.
    pub format: String,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Parameters.
    pub parameters: u64,
}

/// Counts since the pod started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Requests or messages taken.
    pub requests: u64,
    /// Of these, failed.
    pub errors: u64,
}

/// What a pod that cannot start writes to `/dev/termination-log`, as JSON, before it exits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// One of the reasons of the component's condition, such as `SourceNotFound` or `UnsupportedFormat`.
    pub reason: String,
    /// Field, value and remedy.
    pub message: String,
}

/// The folder that the model's volume is mounted at, read-only.
pub const MODEL_DIRECTORY: &str = "/model";
/// The folder that the user's `ConfigMap` with the system prompt is mounted at.
pub const SYSTEM_PROMPT_DIRECTORY: &str = "/prompt";
/// The system prompt's file in that folder, whatever its key is called.
pub const SYSTEM_PROMPT_KEY: &str = "system-prompt";

impl HubConfig {
    /// The hub's configuration, its inference API at a base URL.
    #[must_use]
    pub fn of(settings: &Settings, inference_url: &str) -> Self {
        Self {
            gateway: GatewayConfig::of(settings),
            worker: WorkerConfig::of(settings, inference_url),
        }
    }
}

impl GatewayConfig {
    /// The gateway's configuration.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let channel = |channel: &settings::Channel| ChannelConfig {
            name: channel.name.clone(),
            platform: match &channel.platform {
                Platform::WebChat { allowed_origins } => PlatformConfig::WebChat {
                    allowed_origins: tls::with_host(allowed_origins, settings),
                },
                other => platform::of_others(other),
            },
        };
        Self {
            cluster: cluster(settings),
            channels: settings.channels.iter().map(channel).collect(),
            messages_per_user_per_minute: settings.conversation.messages_per_user_per_minute,
            tls: TlsConfig::of(settings),
            public_url: settings
                .exposure
                .as_ref()
                .map(settings::Exposure::platforms_url),
        }
    }
}

impl WorkerConfig {
    /// The worker's configuration, its inference API at a base URL.
    #[must_use]
    pub fn of(settings: &Settings, inference_url: &str) -> Self {
        let conversation = &settings.conversation;
        Self {
            cluster: cluster(settings),
            inference_url: inference_url.to_owned(),
            model: model_name(settings),
            system_prompt: conversation
                .system_prompt
                .as_ref()
                .map(|prompt| match prompt {
                    settings::SystemPrompt::Text(text) => SystemPrompt::Text(text.clone()),
                    settings::SystemPrompt::ConfigMap(_) => {
                        SystemPrompt::File(format!("{SYSTEM_PROMPT_DIRECTORY}/{SYSTEM_PROMPT_KEY}"))
                    }
                }),
            history_turns: conversation.history_turns,
            session_timeout_seconds: conversation.session_timeout.as_secs(),
            max_answer_tokens: conversation.max_answer_tokens,
            temperature: conversation.temperature,
            fallback_message: conversation.fallback_message.clone(),
            context_tokens: settings.inference.context_tokens,
            cache: CacheConfig {
                answers_ttl_seconds: settings.cache.answers.as_secs(),
                context_bytes: settings.cache.context_bytes,
                results_bytes: settings.cache.results_bytes,
            },
        }
    }
}

impl InferenceConfig {
    /// The configuration of an instance, its model at a path.
    #[must_use]
    pub fn of(settings: &Settings, model_path: &str, threads: u32) -> Self {
        Self {
            model_path: model_path.to_owned(),
            model_name: model_name(settings),
            context_tokens: settings.inference.context_tokens,
            max_concurrent_requests: settings.inference.max_concurrent_requests,
            threads,
        }
    }
}

/// Where the model is in an instance's file system.
#[must_use]
pub fn model_path(settings: &Settings) -> String {
    match &settings.inference.model {
        ModelSource::PersistentVolumeClaim { path, .. } => format!("{MODEL_DIRECTORY}/{path}"),
    }
}

fn cluster(settings: &Settings) -> String {
    format!("{}/{}", settings.namespace, settings.name)
}

/// The model's name in the API is the resource's: another model file changes no configuration but the instances', and
/// while they roll out old and new ones answer alike.
fn model_name(settings: &Settings) -> String {
    settings.name.clone()
}
