//! How many pods there are.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many instances there are, by load.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message(crate::rules::MIN_MAX)
        .field_path(".minReplicas")
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Fewest instances. `kubectl scale` moves it.
    #[serde(default = "min_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,

    /// Most instances.
    #[serde(default = "max_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// Mean CPU use, in percent of what the instances request, that the number of instances is steered to.
    #[serde(
        rename = "targetCPUUtilizationPercentage",
        default = "target_cpu_utilization_percentage"
    )]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization_percentage: i32,

    /// How fast instances are added and removed, as in `HorizontalPodAutoscaler` `autoscaling/v2`. Absent: as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// How many pods there are, by load.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas")
        .message(crate::rules::MIN_MAX)
        .field_path(".minReplicas")
)]
#[serde(rename_all = "camelCase")]
pub struct PodAutoscaling {
    /// Fewest pods. With 2 a lost node interrupts nothing.
    #[serde(default = "min_pods")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,

    /// Most pods.
    #[serde(default = "max_pods")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// Mean CPU use, in percent of what the pods request, that the number of pods is steered to.
    #[serde(
        rename = "targetCPUUtilizationPercentage",
        default = "target_cpu_utilization_percentage"
    )]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization_percentage: i32,

    /// How fast pods are added and removed, as in `HorizontalPodAutoscaler` `autoscaling/v2`. Absent: as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// How fast instances are added and removed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// How instances are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,

    /// How instances are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// How fast the number of instances changes in one direction.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Seconds of past recommendations that are looked at; the most careful one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,

    /// Which policy counts: `Max` (the largest change), `Min` (the smallest) or `Disabled` (no change).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,

    /// Limits of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub policies: Option<Vec<ScalingPolicy>>,
}

/// A limit of the change.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// What `value` counts: `Pods`, or `Percent` of the instances.
    #[serde(rename = "type")]
    pub type_: PolicyType,

    /// The largest change within `periodSeconds`.
    #[schemars(range(min = 1, max = 1000))]
    pub value: i32,

    /// Seconds that the change is counted over.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// Instances.
    Pods,
    /// Percent of the instances.
    Percent,
}

/// Which policy counts: `Max` (the largest change; absent: this), `Min` (the smallest) or `Disabled` (no change).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: no change in this direction.
    Disabled,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            min_replicas: min_replicas(),
            max_replicas: max_replicas(),
            target_cpu_utilization_percentage: target_cpu_utilization_percentage(),
            behavior: None,
        }
    }
}

impl Default for PodAutoscaling {
    fn default() -> Self {
        Self {
            min_replicas: min_pods(),
            max_replicas: max_pods(),
            target_cpu_utilization_percentage: target_cpu_utilization_percentage(),
            behavior: None,
        }
    }
}

fn min_pods() -> i32 {
    2
}

fn max_pods() -> i32 {
    10
}

fn min_replicas() -> i32 {
    5
}

fn max_replicas() -> i32 {
    40
}

fn target_cpu_utilization_percentage() -> i32 {
    70
}
