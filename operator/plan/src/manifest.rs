//! The objects a capability can propose: one variant per owned kind.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::http_route::{self, HttpRoute};
use crate::pod_monitor::{self, PodMonitor};
use crate::proposal::Component;
use crate::world::ObjectKey;

/// An object and the component it belongs to. Labels, the owner, a Deployment's pod template and an autoscaler's
/// bounds are filled in when everybody has proposed.
#[derive(Clone, Debug)]
pub struct Object {
    /// The component, if it belongs to one.
    pub component: Option<Component>,
    /// The object.
    pub manifest: Manifest,
}

/// An object of an owned kind.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// Configuration.
    ConfigMap(Box<ConfigMap>),
    /// An address.
    Service(Box<Service>),
    /// How many pods may be taken away at a time.
    PodDisruptionBudget(Box<PodDisruptionBudget>),
    /// Pods. Neither its replicas nor its pod template is set here.
    Deployment(Box<Deployment>),
    /// Scaling by load. Its bounds are not set here.
    HorizontalPodAutoscaler(Box<HorizontalPodAutoscaler>),
    /// Who may talk to pods.
    NetworkPolicy(Box<NetworkPolicy>),
    /// A way in, by an Ingress' controller.
    Ingress(Box<Ingress>),
    /// A way in, by a Gateway.
    HttpRoute(Box<HttpRoute>),
    /// What is scraped.
    PodMonitor(Box<PodMonitor>),
}

impl Manifest {
    /// The kind and the name.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let (kind, metadata) = match self {
            Self::ConfigMap(object) => ("ConfigMap", &object.metadata),
            Self::Service(object) => ("Service", &object.metadata),
            Self::PodDisruptionBudget(object) => ("PodDisruptionBudget", &object.metadata),
            Self::Deployment(object) => ("Deployment", &object.metadata),
            Self::HorizontalPodAutoscaler(object) => ("HorizontalPodAutoscaler", &object.metadata),
            Self::NetworkPolicy(object) => ("NetworkPolicy", &object.metadata),
            Self::Ingress(object) => ("Ingress", &object.metadata),
            Self::HttpRoute(object) => (http_route::KIND, &object.metadata),
            Self::PodMonitor(object) => (pod_monitor::KIND, &object.metadata),
        };
        ObjectKey {
            kind,
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// The metadata.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::ConfigMap(object) => &mut object.metadata,
            Self::Service(object) => &mut object.metadata,
            Self::PodDisruptionBudget(object) => &mut object.metadata,
            Self::Deployment(object) => &mut object.metadata,
            Self::HorizontalPodAutoscaler(object) => &mut object.metadata,
            Self::NetworkPolicy(object) => &mut object.metadata,
            Self::Ingress(object) => &mut object.metadata,
            Self::HttpRoute(object) => &mut object.metadata,
            Self::PodMonitor(object) => &mut object.metadata,
        }
    }

    /// The object as it is sent.
    pub fn to_json(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::ConfigMap(object) => serde_json::to_value(object),
            Self::Service(object) => serde_json::to_value(object),
            Self::PodDisruptionBudget(object) => serde_json::to_value(object),
            Self::Deployment(object) => serde_json::to_value(object),
            Self::HorizontalPodAutoscaler(object) => serde_json::to_value(object),
            Self::NetworkPolicy(object) => serde_json::to_value(object),
            Self::Ingress(object) => serde_json::to_value(object),
            Self::HttpRoute(object) => serde_json::to_value(object),
            Self::PodMonitor(object) => serde_json::to_value(object),
        }
    }
}
