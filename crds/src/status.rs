//! What the operator tells. Nothing here ticks: at rest nothing is written.

mod conditions;
mod person;
mod reasons;
mod remedies;

pub use conditions::{ConditionType, Reason, UnknownReason};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::spec::NodeCapacity;

/// What is. What another release wrote and this one cannot read is as if it had not been said: it is said anew, and
/// never keeps the spec from being read.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatBotClusterStatus {
    /// The generation that the rest was said of.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub observed_generation: Option<i64>,

    /// What is true of the resource, one condition per type.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,

    /// Figures for the columns of `kubectl get`; programs read the fields below.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub summary: Option<Summary>,

    /// Where people reach it: the host of `exposure`; without one, where it is reached inside the cluster.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 512))]
    pub url: Option<String>,

    /// Image of the pods, in use.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 512))]
    pub image: Option<String>,

    /// Every channel.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub channels: Vec<ChannelStatus>,

    /// Every Deployment.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub workloads: Vec<WorkloadStatus>,

    /// The pods that run the model.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub inference: Option<InferenceStatus>,

    /// The model that is served.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Option::is_none"
    )]
    pub model: Option<ModelStatus>,
}

/// Figures for the columns of `kubectl get`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Ready and wanted inference instances, such as `12/12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub replicas: Option<String>,

    /// Working and wanted channels, such as `3/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub channels: Option<String>,

    /// The model's weight format, such as `Q8_0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub model: Option<String>,

    /// Fewest instances at present and who says so, such as `5 Spec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub floor: Option<String>,
}

/// One channel.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    /// The channel's name.
    #[schemars(length(max = 40))]
    pub name: String,

    /// Its platform, such as `webChat`.
    #[schemars(length(max = 32))]
    pub platform: String,

    /// How messages arrive: `LongConnection`, `Polling` or `Webhook`.
    pub transport: Transport,

    /// Whether it can receive and send.
    pub ready: Readiness,

    /// Why, one of the reasons of the condition `ChannelsReady`.
    #[schemars(length(max = 64))]
    pub reason: String,

    /// Why, in words.
    #[schemars(length(max = 1024))]
    pub message: String,

    /// When `ready` last changed.
    #[schemars(schema_with = "time_schema")]
    pub last_transition_time: Time,
}

/// How messages arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Transport {
    /// Over a connection that is kept.
    LongConnection,
    /// By asking for them.
    Polling,
    /// By a request of the platform's.
    Webhook,
}

/// Whether something works; unknown is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Readiness {
    /// It does.
    True,
    /// It does not.
    False,
    /// It was not looked at, or cannot be seen.
    Unknown,
}

/// One Deployment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// The part, such as `adapters` or `inference`.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Pods there are.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods of the newest revision.
    pub updated_replicas: i32,
}

/// The pods that run the model.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceStatus {
    /// Instances there are.
    #[serde(default)]
    pub replicas: i32,

    /// Instances that are ready.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Label selector of the instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,

    /// What a node is taken to have for instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_capacity: Option<NodeCapacity>,

    /// Who bounds the number of instances, and why. The highest floor and the lowest ceiling count; the ceiling wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["source".into()]))]
    pub bounds: Vec<Bound>,
}

/// One opinion on the number of instances.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// Whose, such as `Spec`.
    #[schemars(length(max = 32))]
    pub source: String,

    /// Fewest instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,

    /// Most instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,

    /// Why.
    #[schemars(length(max = 64))]
    pub reason: String,
}

/// The model that is served.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// Weight format, such as `Q8_0`.
    #[schemars(length(max = 32))]
    pub format: String,

    /// Size of the model's file, such as `138Mi`.
    #[schemars(length(max = 32))]
    pub size: String,
}

/// What can be read of a field.
fn readable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + DeserializeOwned,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// The schema of `metav1.Condition`, with bounds of our own and without its pages of description.
fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One thing that is true, false or unknown of the resource.",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "maxLength": 64, "description": "What is said." },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it is so." },
                "reason": { "type": "string", "minLength": 1, "maxLength": 64, "description": "Why, for programs: one of a closed list." },
                "message": { "type": "string", "maxLength": 1024, "description": "Why, in words." },
                "lastTransitionTime": { "type": "string", "format": "date-time", "description": "When the status last changed." },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0, "description": "The generation that it was said of." },
            },
        },
    })
}
