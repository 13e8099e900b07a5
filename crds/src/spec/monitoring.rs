//! How the service is watched.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes;
use crate::rules::monitoring as rules;

/// How the service is watched.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// The Prometheus that scrapes the pods. Absent: the adapters and the workers let nobody in to scrape them but whom
    /// a `NetworkPolicy` of your own does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,

    /// Labels of the `PodMonitor`, by which the Prometheus operator's instances choose theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::pod_labels")]
    pub labels: Option<BTreeMap<String, String>>,

    /// `Auto` has the pods scraped: they carry the annotations `prometheus.io/scrape` and `prometheus.io/port`, and
    /// where the cluster knows the kind `PodMonitor` there is one of it, too. `None` does neither.
    #[serde(default)]
    pub pod_monitors: PodMonitors,
}

/// A Prometheus.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Where its HTTP API is, without credentials, such as `http://prometheus-operated.monitoring:9090`. A host of one
    /// word is a Service of the resource's own namespace. With `networkPolicy.mode: Managed`, the pods of the Service's
    /// namespace may scrape the service's.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = shapes::plain_url().message(rules::URL))]
    pub url: String,
}

/// Whether the pods are offered to be scraped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodMonitors {
    /// By annotations, and by a `PodMonitor` where the cluster knows that kind.
    #[default]
    Auto,
    /// Not at all.
    None,
}
