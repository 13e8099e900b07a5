//! The pods that run the model.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Autoscaling, Engine, Quantity, Resources, Rollout, Toleration, shapes};

/// The pods that run the model: Deployment `<name>-inference`. Memory of an instance follows from the model's file,
/// `contextTokens` and `maxConcurrentRequests`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inference {
    /// The model.
    pub model: Model,

    /// Another inference server than the built-in one. Absent: the built-in one. An instance of it gets traffic once it has
    /// answered one short question, asked as all are: streaming, for the model `MODEL_NAME`, without a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,

    /// Tokens of a conversation that the model sees: prompt, history and answer together.
    #[serde(default = "context_tokens")]
    #[schemars(range(min = 256, max = 1_048_576))]
    pub context_tokens: i32,

    /// Requests that an instance answers at once. As many again wait; further ones are sent elsewhere.
    #[serde(default = "max_concurrent_requests")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_concurrent_requests: i32,

    /// Instances that share a node. An instance requests this share of `nodeCapacity`, less a reserve of 10 %.
    #[serde(default = "instances_per_node")]
    #[schemars(range(min = 1, max = 64))]
    pub instances_per_node: i32,

    /// What a node has for instances. Absent: the smallest allocatable of the candidate nodes, looked up once and shown
    /// in `status.inference.nodeCapacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_capacity: Option<NodeCapacity>,

    /// Requests and limits of an instance, each over what `instancesPerNode` implies for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Labels of the candidate nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::node_selector")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Option<Vec<Toleration>>,

    /// How many instances there are.
    #[serde(default)]
    pub autoscaling: Autoscaling,

    /// How they are replaced when something about them changes.
    #[serde(default)]
    pub rollout: Rollout,
}

/// The model.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Where the model is. Exactly one source must be set.
    pub source: ModelSource,
}

/// Where the model is. Exactly one source must be set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("[has(self.persistentVolumeClaim)].filter(s, s).size() == 1")
        .message(crate::rules::ONE_SOURCE)
)]
#[serde(rename_all = "camelCase")]
pub struct ModelSource {
    /// A file on a volume. The volume is mounted read-only; instances on several nodes need one that may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimSource>,
}

/// A file on a volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSource {
    /// The `PersistentVolumeClaim`, in the resource's namespace.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub claim_name: String,

    /// The model's file (GGUF), inside the volume.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(p, p == '..')")
            .message(crate::rules::CLAIM_PATH),
        validation = shapes::line()
    )]
    pub path: String,
}

/// CPU and memory of a node.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = shapes::positive("cpu", crate::rules::NODE_CPU),
    validation = shapes::positive("memory", crate::rules::NODE_MEMORY)
)]
#[serde(rename_all = "camelCase")]
pub struct NodeCapacity {
    /// CPUs, such as `8` or `7900m`.
    pub cpu: Quantity,
    /// Memory, such as `32Gi`.
    pub memory: Quantity,
}

fn context_tokens() -> i32 {
    4096
}

fn max_concurrent_requests() -> i32 {
    8
}

fn instances_per_node() -> i32 {
    4
}
