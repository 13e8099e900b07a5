//! Objects that several components have alike.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::Configuration;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::proposal::Component;
use crate::world::{Identity, World};

/// The port of the adapters' Service where it is not the one of TLS.
pub const SERVICE_PORT: i32 = 80;

/// Metadata with a name.
#[must_use]
pub fn named(name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        ..ObjectMeta::default()
    }
}

/// The ConfigMap of a component's configuration.
#[must_use]
pub fn config_map(component: Component, configuration: &Configuration) -> Object {
    Object {
        component: Some(component),
        manifest: Manifest::ConfigMap(Box::new(ConfigMap {
            metadata: named(configuration.name.clone()),
            data: Some(BTreeMap::from([(
                names::CONFIG_KEY.to_owned(),
                configuration.content.clone(),
            )])),
            // The name says the content; a change is another ConfigMap.
            immutable: Some(true),
            ..ConfigMap::default()
        })),
    }
}

/// The Service of a component, one port.
#[must_use]
pub fn service(world: &World, component: Component, name: &str, port: u16) -> Service {
    Service {
        metadata: named(names::workload(&world.cluster, component)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            // By client's address, every question of a worker would go to one instance.
            session_affinity: Some("None".to_owned()),
            selector: Some(names::service_selector(&world.cluster, component)),
            ports: Some(vec![ServicePort {
                name: Some(name.to_owned()),
                port: i32::from(port),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(name.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// How many of a component's pods may be taken away at a time.
#[must_use]
pub fn budget(cluster: &Identity, component: Component, max_unavailable: IntOrString) -> Object {
    Object {
        component: Some(component),
        manifest: Manifest::PodDisruptionBudget(Box::new(PodDisruptionBudget {
            metadata: named(names::workload(cluster, component)),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(max_unavailable),
                selector: Some(LabelSelector {
                    match_labels: Some(names::selector(cluster, component)),
                    ..LabelSelector::default()
                }),
                // A pod that does not work anyway never blocks a node's drain.
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        })),
    }
}
