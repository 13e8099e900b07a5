//! The pods that answer messages.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{PodAutoscaling, Resources, Toleration, shapes};

/// The pods that answer messages, between the adapters and the model: Deployment `<name>-workers`. Each has some of the
/// partitions of `messaging`; one that leaves hands them over.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// How many pods there are.
    #[serde(default)]
    pub autoscaling: PodAutoscaling,

    /// Requests and limits of a pod. Absent: the operator's own figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Labels of the nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::node_selector")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Option<Vec<Toleration>>,
}
