//! What pods have in common.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Quantity, shapes};

/// Labels and annotations for every pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels. Keys must not start with `chatbot.dev/` or `app.kubernetes.io/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::pod_labels")]
    pub labels: Option<BTreeMap<String, String>>,

    /// Annotations. Keys must not start with `chatbot.dev/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::annotations")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Requests and limits of a pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = shapes::within_limit(crate::rules::WITHIN_LIMITS[0]),
    validation = shapes::within_limit(crate::rules::WITHIN_LIMITS[1]),
    validation = shapes::within_limit(crate::rules::WITHIN_LIMITS[2])
)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for the pod: `cpu`, `memory`, `ephemeral-storage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::requests")]
    pub requests: Option<BTreeMap<String, Quantity>>,

    /// What the pod may use at most: `cpu`, `memory`, `ephemeral-storage`, or a device such as `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::limits")]
    pub limits: Option<BTreeMap<String, Quantity>>,
}

/// A taint that a pod tolerates.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.operator) && self.operator == 'Exists' ? !has(self.value) : has(self.key)")
        .message(crate::rules::TOLERATION_OPERATOR),
    validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')")
        .message(crate::rules::TOLERATION_SECONDS)
)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// The taint's key. Absent, with `operator: Exists`: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(validation = shapes::taint_key())]
    pub key: Option<String>,

    /// `Equal` (absent: this) compares key and value, `Exists` the key alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,

    /// The taint's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = shapes::taint_value())]
    pub value: Option<String>,

    /// The taint's effect: `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Absent: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TolerationEffect>,

    /// Seconds that a `NoExecute` taint is tolerated for. Absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<i64>,
}

/// `Equal` (absent: this) compares key and value, `Exists` the key alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// Key and value.
    Equal,
    /// The key alone.
    Exists,
}

/// The taint's effect: `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Absent: every effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationEffect {
    /// No new pods.
    NoSchedule,
    /// New pods only where there is no other place.
    PreferNoSchedule,
    /// No pods at all.
    NoExecute,
}
