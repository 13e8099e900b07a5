//! A `PodMonitor` of the Prometheus operator: the little of it that is written here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Serialize;

use crate::names;

/// The kind, as in a manifest.
pub const KIND: &str = "PodMonitor";
/// The version of its group, as in a manifest.
const API_VERSION: &str = "monitoring.coreos.com/v1";

/// A `PodMonitor` as it is applied.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitor {
    api_version: &'static str,
    kind: &'static str,
    /// Its metadata.
    pub metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    selector: LabelSelector,
    pod_metrics_endpoints: Vec<Endpoint>,
    /// Labels of the pods that every sample gets.
    pod_target_labels: Vec<&'static str>,
}

/// A pod without a port of this name is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Endpoint {
    port: &'static str,
}

impl PodMonitor {
    /// Of all pods of a resource that tell about themselves.
    #[must_use]
    pub fn new(metadata: ObjectMeta, cluster: &str) -> Self {
        let labels = BTreeMap::from([(names::CLUSTER_LABEL.to_owned(), cluster.to_owned())]);
        Self {
            api_version: API_VERSION,
            kind: KIND,
            metadata,
            spec: Spec {
                selector: LabelSelector {
                    match_labels: Some(labels),
                    ..LabelSelector::default()
                },
                pod_metrics_endpoints: vec![Endpoint {
                    port: names::ADMIN_PORT_NAME,
                }],
                pod_target_labels: vec![names::CLUSTER_LABEL, names::COMPONENT_LABEL],
            },
        }
    }
}
