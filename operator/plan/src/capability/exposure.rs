//! The way in from outside: an Ingress or an HTTPRoute, and the certificate.
//!
//! The operator reads no Secret. The adapters mount the one with the certificate, and tell what they find.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chatbot_crds::Reason;
use chatbot_crds::config::{TLS_CERTIFICATE, TLS_DIRECTORY, TLS_KEY};
use chatbot_crds::settings::{Exposure, Route};
use chatbot_crds::spec::ParentRef;
use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, SecretVolumeSource, Volume};
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

use crate::facts::Facts;
use crate::hops::Hops;
use crate::http_route::{self, HttpRoute, RouteSeen};
use crate::kinds;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{SERVICE_PORT, named};
use crate::pod::mount;
use crate::proposal::{Component, Hindrance, Proposal};
use crate::world::{ObjectKey, Signal, World};

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let Some(exposure) = &world.settings.exposure else {
        return Proposal::default();
    };
    let impairments = certificate(world, facts)
        .into_iter()
        .chain(refusal(world, exposure));
    Proposal {
        pods: fragment(exposure)
            .map(|pod| (Component::Adapters, pod))
            .into_iter()
            .collect(),
        objects: route(world, exposure).into_iter().collect(),
        held: still_needed(world, exposure),
        impairments: impairments
            .map(|impairment| (Component::Adapters, impairment))
            .collect(),
        ..Proposal::default()
    }
}

/// The certificate's Secret in the adapters' pods. It is optional: a pod without it still says so, and begins to serve
/// when it comes.
fn fragment(exposure: &Exposure) -> Option<PodSpec> {
    let secret = exposure.tls.as_ref()?;
    let mut keys = vec![TLS_CERTIFICATE];
    // Only who serves the certificate needs its key.
    if exposure.served_by_pods().is_some() {
        keys.push(TLS_KEY);
    }
    let items = keys
        .into_iter()
        .map(|key| KeyToPath {
            key: key.to_owned(),
            path: key.to_owned(),
            mode: None,
        })
        .collect();
    Some(PodSpec {
        containers: vec![Container {
            name: names::CONTAINER.to_owned(),
            volume_mounts: Some(vec![mount("tls", TLS_DIRECTORY, true)]),
            ..Container::default()
        }],
        volumes: Some(vec![Volume {
            name: "tls".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.clone()),
                optional: Some(true),
                items: Some(items),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    })
}

fn route(world: &World, exposure: &Exposure) -> Option<Object> {
    let name = names::workload(&world.cluster, Component::Adapters);
    let manifest = match &exposure.route {
        Route::Service => return None,
        Route::Ingress {
            class_name,
            annotations,
        } => Manifest::Ingress(Box::new(ingress(
            exposure,
            name,
            class_name.as_deref(),
            annotations,
        ))),
        Route::HttpRoute(_) if is_absent(world) => return None,
        Route::HttpRoute(parents) => {
            let seen = world.observed.routes.get(&name).cloned();
            let namespace = &world.cluster.namespace;
            let parents = seen.unwrap_or_default().keeping(parents, namespace);
            Manifest::HttpRoute(Box::new(HttpRoute::new(
                named(name.clone()),
                &exposure.host,
                &parents,
                name,
                SERVICE_PORT,
            )))
        }
    };
    Some(Object {
        component: Some(Component::Adapters),
        manifest,
    })
}

/// What led here before, until what follows it brings somebody here: an Ingress while the cluster has no HTTPRoute or a
/// Gateway does not take it, an HTTPRoute while the Ingress has no address, and either of them while there are pods that do not serve the certificate yet.
fn still_needed(world: &World, exposure: &Exposure) -> Vec<ObjectKey> {
    let name = names::workload(&world.cluster, Component::Adapters);
    let kinds: &[&'static str] = match &exposure.route {
        Route::Service if exposure.tls.is_some() && has_plain_pods(world) => {
            &["Ingress", http_route::KIND]
        }
        Route::HttpRoute(parents) if !is_taken(world, &name, parents) => &["Ingress"],
        Route::Ingress { .. } if !world.observed.served_ingresses.contains(&name) => {
            &[http_route::KIND]
        }
        _ => &[],
    };
    let key = |kind: &&'static str| ObjectKey {
        kind,
        name: name.clone(),
    };
    kinds.iter().map(key).collect()
}

fn has_plain_pods(world: &World) -> bool {
    Hops::meanwhile(world).iter().any(|hops| !hops.tls)
}

fn is_taken(world: &World, name: &str, parents: &[ParentRef]) -> bool {
    let namespace = &world.cluster.namespace;
    let takes = |seen: &RouteSeen| {
        let mut parents = parents.iter();
        parents.all(|parent| seen.refusal(parent, namespace).is_none())
    };
    !is_absent(world) && world.observed.routes.get(name).is_some_and(takes)
}

fn ingress(
    exposure: &Exposure,
    name: String,
    class_name: Option<&str>,
    annotations: &BTreeMap<String, String>,
) -> Ingress {
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: name.clone(),
            port: Some(ServiceBackendPort {
                number: Some(SERVICE_PORT),
                name: None,
            }),
        }),
        resource: None,
    };
    let mut metadata = named(name);
    metadata.annotations = (!annotations.is_empty()).then(|| annotations.clone());
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: class_name.map(str::to_owned),
            tls: exposure.tls.as_ref().map(|secret| {
                vec![IngressTLS {
                    hosts: Some(vec![exposure.host.clone()]),
                    secret_name: Some(secret.clone()),
                }]
            }),
            rules: Some(vec![IngressRule {
                host: Some(exposure.host.clone()),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![HTTPIngressPath {
                        path: Some("/".to_owned()),
                        path_type: "Prefix".to_owned(),
                        backend,
                    }],
                }),
            }]),
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    }
}

/// What the adapters say of the certificate, as far as they look for the one that is wanted now.
fn certificate(world: &World, facts: &Facts) -> Option<Hindrance> {
    let state = world
        .observed
        .pods_of(Component::Adapters)
        .filter(|pod| pod.config_maps.contains(&facts.adapters_config.name))
        .find_map(|pod| match &pod.state {
            Signal::Known { value, .. } => value.tls.as_ref(),
            Signal::Unknown(_) => None,
        })?;
    (!state.usable).then(|| Hindrance {
        // A reason that this release does not know is told by its meaning.
        reason: state.reason.parse().unwrap_or(Reason::TLSSecretInvalid),
        message: format!("exposure.tls.secretRef.name: {}", state.message),
    })
}

fn is_absent(world: &World) -> bool {
    world.observed.absent_kinds.contains(http_route::KIND)
}

/// Why the route brings nobody here.
fn refusal(world: &World, exposure: &Exposure) -> Option<Hindrance> {
    let Route::HttpRoute(parents) = &exposure.route else {
        return None;
    };
    let message = if is_absent(world) {
        format!(
            "exposure.httpRoute: this cluster has no HTTPRoute; install {}, or use exposure.ingress",
            kinds::provider(http_route::KIND)
        )
    } else {
        let name = names::workload(&world.cluster, Component::Adapters);
        // It is about to be applied.
        let seen = world.observed.routes.get(&name)?;
        parents.iter().find_map(|parent| {
            let refusal = seen.refusal(parent, &world.cluster.namespace)?;
            Some(format!("{}: {refusal}", told(parent)))
        })?
    };
    Some(Hindrance {
        reason: Reason::RouteNotAccepted,
        message,
    })
}

fn told(parent: &ParentRef) -> String {
    let mut text = format!("exposure.httpRoute: Gateway {}", parent.name);
    if let Some(namespace) = &parent.namespace {
        text = format!("{text} in namespace {namespace}");
    }
    if let Some(section) = &parent.section_name {
        text = format!("{text}, listener {section}");
    }
    text
}
