//! The resource as a user writes it, one file per part. A doc comment on a field is its user documentation.
//!
//! A part is here when it works: whatever is not here is unknown to the schema, so nothing is accepted and ignored.

mod adapters;
mod autoscaling;
mod cache;
mod channels;
mod conversation;
mod duration;
mod engine;
mod exposure;
mod inference;
mod messaging;
mod monitoring;
mod network_policy;
mod pods;
mod quantity;
mod references;
mod rollout;
mod run;
pub(crate) mod shapes;
mod state;
mod workers;

pub use adapters::{Adapters, Service, ServiceType, SessionAffinity};
pub use autoscaling::{
    Autoscaling, Behavior, PodAutoscaling, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy,
};
pub use cache::{AnswersCache, Cache, MemoryCache};
pub use channels::{
    Channel, ConnectionTransport, Discord, Feishu, OpenAi, PollingTransport, Slack, Telegram,
    WebChat, Webhook, WhatsApp,
};
pub use conversation::{Conversation, SystemPromptSource};
pub use duration::Duration;
pub use engine::{Engine, EnvSource, EnvVar};
pub use exposure::{Exposure, ExposureTls, HttpRouteExposure, IngressExposure, ParentRef};
pub use inference::{ClaimSource, Inference, Model, ModelSource, NodeCapacity};
pub use messaging::{Kafka, Messaging, Sasl, SaslMechanism};
pub use monitoring::{Monitoring, PodMonitors, Prometheus};
pub use network_policy::{NetworkPolicy, NetworkPolicyMode};
pub use pods::{PodMetadata, Resources, Toleration, TolerationEffect, TolerationOperator};
pub use quantity::Quantity;
pub use references::{CaSecretRef, ConfigMapKeyRef, SecretKeyRef, SecretRef};
pub use rollout::{Amount, Rollout};
pub use run::RunStrategy;
pub use state::{BackboneTls, Redis, RedisMode, State};
pub use workers::Workers;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::status::ChatBotClusterStatus;

/// What is wanted.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "chatbot.dev",
    version = "v1alpha1",
    kind = "ChatBotCluster",
    plural = "chatbotclusters",
    shortname = "cbc",
    category = "chatbot",
    namespaced,
    doc = "An AI chat service: chat platforms in front, a language model behind, scaled by load.",
    status = "ChatBotClusterStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.inference.autoscaling.minReplicas",
        status_replicas_path = ".status.inference.replicas",
        label_selector_path = ".status.inference.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether this generation is rolled out and a conversation through it succeeded."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not."
    ),
    printcolumn(
        name = "Replicas",
        type_ = "string",
        json_path = ".status.summary.replicas",
        description = "Ready and wanted inference instances."
    ),
    printcolumn(
        name = "Channels",
        type_ = "string",
        json_path = ".status.summary.channels",
        description = "Working and wanted channels."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status",
        description = "Whether users are answered now.",
        priority = 1
    ),
    printcolumn(
        name = "Model",
        type_ = "string",
        json_path = ".status.summary.model",
        description = "The model's weight format.",
        priority = 1
    ),
    printcolumn(
        name = "Floor",
        type_ = "string",
        json_path = ".status.summary.floor",
        description = "Fewest instances at present, and who says so.",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "Why it is ready or not, in words.",
        priority = 1
    ),
    validation = Rule::new(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    )
    .message(crate::rules::NAME)
    .field_path(".metadata.name")
)]
#[x_kube(
    validation = Rule::new("self.conversation.maxAnswerTokens < self.inference.contextTokens")
        .message(crate::rules::ANSWER_FITS)
        .field_path(".conversation.maxAnswerTokens"),
    validation = Rule::new(
        "self.workers.autoscaling.maxReplicas <= (has(self.messaging) ? self.messaging.kafka.partitions : 24)"
    )
    .message(crate::rules::backbone::WORKERS_HAVE_PARTITIONS)
    .field_path(".workers.autoscaling.maxReplicas"),
    validation = Rule::new(crate::rules::channels::EXPOSED_RULE)
        .message(crate::rules::channels::EXPOSED)
        .field_path(".channels")
)]
#[serde(rename_all = "camelCase")]
pub struct ChatBotClusterSpec {
    /// `Always` runs it. `Paused` leaves everything as it is: the operator writes nothing but the status, and repairs
    /// nothing. `Halted` takes no more messages, answers what it has begun, and brings every pod to 0; Services,
    /// volumes and Secrets stay, and `Always` brings it back.
    #[serde(default)]
    pub run_strategy: RunStrategy,

    /// Image of the pods. Absent: the image of the operator's release, shown in `status.image`. A pinned image is not
    /// rolled by an upgrade of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::image())]
    pub image: Option<String>,

    /// When a node pulls the image: `Always`, `IfNotPresent` or `Never`.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,

    /// Secrets, by name, with which private images are pulled.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretRef>,

    /// `PriorityClass` of every pod but those of the development broker and store: whose place they may take, and who
    /// may take theirs. Absent: the class of the operator's installation, which those two always have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub priority_class_name: Option<String>,

    /// Labels and annotations for every pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<PodMetadata>,

    /// Who may talk to the pods, and whom they may talk to.
    #[serde(default)]
    pub network_policy: NetworkPolicy,

    /// The ways in: at least one chat platform.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub channels: Vec<Channel>,

    /// How the service is reached from outside the cluster. Absent: not at all, unless `adapters.service` is of a type
    /// that is reached from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,

    /// How the assistant talks.
    #[serde(default)]
    pub conversation: Conversation,

    /// The pods that talk to the chat platforms.
    #[serde(default)]
    pub adapters: Adapters,

    /// The pods that answer messages.
    #[serde(default)]
    pub workers: Workers,

    /// What the workers keep to be used again.
    #[serde(default)]
    pub cache: Cache,

    /// The pods that run the model.
    pub inference: Inference,

    /// The broker that messages go through. Absent: one pod that the operator runs, for development: what it holds is
    /// lost with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging: Option<Messaging>,

    /// The store of sessions and routes. Absent: one pod that the operator runs, for development.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,

    /// How the service is watched.
    #[serde(default)]
    pub monitoring: Monitoring,
}

/// When a node pulls the image.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum ImagePullPolicy {
    /// Every time a pod starts.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Not at all: the image must be on the node.
    Never,
}
