//! How the service is reached from outside the cluster.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{SecretRef, shapes};
use crate::rules::exposure as rules;

/// How the service is reached from outside the cluster: by an Ingress, by an `HTTPRoute`, or (with neither) by a layer-4
/// balancer in front of `adapters.service`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.ingress) && has(self.httpRoute))").message(rules::ONE_ROUTE),
    validation = Rule::new("!(has(self.tls) && has(self.httpRoute))").message(rules::GATEWAY_TLS).field_path(".tls")
)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// The public DNS name. Pages under it may open the web chat.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(format!("self.matches('{}')", rules::HOST_PATTERN)).message(rules::HOST))]
    pub host: String,

    /// The certificate of the host. The Ingress serves it if there is one, else the pods do, and nothing but TLS is
    /// served then. A renewed certificate is taken up without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ExposureTls>,

    /// Asks for an Ingress. The web chat's sockets are never silent for more than 15 seconds, so that a proxy's usual
    /// idle timeout of 60 seconds does not end them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressExposure>,

    /// Asks for an `HTTPRoute` of the Gateway API (`gateway.networking.k8s.io/v1`), which must be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRouteExposure>,
}

/// The certificate of the host.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExposureTls {
    /// A Secret of type `kubernetes.io/tls`, with the keys `tls.crt` (the certificate and its chain) and `tls.key`.
    pub secret_ref: SecretRef,
}

/// An Ingress.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressExposure {
    /// The `IngressClass`. Absent: the cluster's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub class_name: Option<String>,

    /// Annotations of the Ingress, such as those that its controller or cert-manager reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shapes::annotations")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// An `HTTPRoute`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteExposure {
    /// The Gateways that the route attaches to.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = Rule::new(rules::DISTINCT_PARENTS_RULE).message(rules::DISTINCT_PARENTS)
    )]
    pub parent_refs: Vec<ParentRef>,
}

/// A Gateway, or one listener of it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The Gateway's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub name: String,

    /// The Gateway's namespace, whose listener must allow routes from the resource's. Absent: the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message(rules::NAMESPACE))]
    pub namespace: Option<String>,

    /// The listener's name. Absent: every listener that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub section_name: Option<String>,
}
