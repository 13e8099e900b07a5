//! The pods that talk to the chat platforms.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PodAutoscaling, Resources, Toleration, shapes};

/// The pods that talk to the chat platforms: Deployment `<name>-adapters`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adapters {
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

    /// The Service in front of the pods, Service `<name>-adapters`.
    #[serde(default)]
    pub service: Service,
}

/// The Service in front of the adapters.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// How it is reached: `ClusterIP` (inside the cluster), `NodePort` or `LoadBalancer`. The last two keep the users'
    /// own addresses (`externalTrafficPolicy: Local`).
    #[serde(rename = "type", default)]
    pub type_: ServiceType,

    /// Annotations of the Service, such as those that a cloud's load balancer reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::annotations")]
    pub annotations: Option<BTreeMap<String, String>>,

    /// `ClientIP` keeps a user on one pod, `None` spreads every connection.
    #[serde(default)]
    pub session_affinity: SessionAffinity,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Inside the cluster.
    #[default]
    ClusterIP,
    /// At a port of every node.
    NodePort,
    /// At an address of the cloud's load balancer.
    LoadBalancer,
}

/// Whether a Service keeps a user on one pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SessionAffinity {
    /// By the user's address.
    #[default]
    ClientIP,
    /// Not at all.
    None,
}
