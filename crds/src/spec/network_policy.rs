//! Who may talk to the pods.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may talk to the pods, and whom they may talk to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// `Managed` keeps a `NetworkPolicy` for each part of the service: users reach the chat port, the adapters the
    /// model, the operator and the Prometheus that `monitoring` names what pods report, and nobody else anything.
    /// Policies add up: a further peer is a `NetworkPolicy` of your own. `None` keeps none.
    #[serde(default)]
    pub mode: NetworkPolicyMode,
}

/// Whether `NetworkPolicy` objects are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetworkPolicyMode {
    /// One for each part of the service.
    #[default]
    Managed,
    /// None: whatever the cluster allows.
    None,
}
