//! Who may talk to the pods, and whom they may talk to: one NetworkPolicy for each component.
//!
//! Every hop that is used, and what lets it through:
//! - users, an Ingress' or a Gateway's proxy → the adapters' chat port: from anywhere;
//! - workers → inference API: egress of the one, ingress of the other;
//! - adapters and workers → broker and store: to the operator's own for development, or to whatever address is named;
//! - operator → `/state` of adapters, workers and inference: by its namespace and labels;
//! - the Prometheus that is named → metrics of adapters and workers: by its namespace;
//! - any pod of the cluster → metrics of inference, which hold nothing of anybody;
//! - adapters and workers → DNS; adapters → platforms, where a channel's platform is called;
//! - kubelet → probes, volumes, logs, port-forward: a node always reaches its own pods, or reaches them from inside;
//! - the adapters' synthetic conversation: inside the pod.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_crds::config::{
    ADMIN_PORT, DEVELOPMENT_BROKER_PORT, DEVELOPMENT_STORE_PORT, HTTP_PORT, INFERENCE_PORT,
};
use chatbot_crds::settings::Platform;
use chatbot_crds::spec::NetworkPolicyMode;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::Facts;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::named;
use crate::proposal::{Component, Proposal};
use crate::world::{Release, World};

/// Where names are resolved: by some clusters' resolvers at another port than their Service's.
const DNS_PORTS: [u16; 2] = [53, 5353];
const HTTPS_PORT: u16 = 443;
const HTTP_DEFAULT_PORT: u16 = 80;
/// The label that Kubernetes gives every namespace.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn propose(world: &World, _: &Facts) -> Proposal {
    match world.settings.network_policy {
        NetworkPolicyMode::None => Proposal::default(),
        NetworkPolicyMode::Managed => Proposal {
            objects: policies(world),
            ..Proposal::default()
        },
    }
}

fn policies(world: &World) -> Vec<Object> {
    let mut policies = vec![adapters(world), workers(world), inference(world)];
    for (component, port, named) in [
        (
            Component::Broker,
            DEVELOPMENT_BROKER_PORT,
            world.settings.kafka.is_some(),
        ),
        (
            Component::Store,
            DEVELOPMENT_STORE_PORT,
            world.settings.redis.is_some(),
        ),
    ] {
        if !named {
            policies.push(development(world, component, port));
        }
    }
    policies
}

fn adapters(world: &World) -> Object {
    let mut ingress = vec![allowed_in(None, &[HTTP_PORT])];
    ingress.extend(observers(world));
    let mut egress = backbone(world);
    let channels = world.settings.channels.iter();
    let called: BTreeSet<u16> = channels
        .flat_map(|channel| ports_called(&channel.platform))
        .collect();
    if !called.is_empty() {
        let ports = called.into_iter().map(|called| port("TCP", called));
        egress.push(allowed_out(None, ports.collect()));
    }
    policy(world, Component::Adapters, ingress, egress)
}

fn workers(world: &World) -> Object {
    let ingress = observers(world);
    let mut egress = backbone(world);
    egress.push(allowed_out(
        Some(pods_of(world, Component::Inference)),
        vec![port("TCP", inference_port(world))],
    ));
    policy(world, Component::Workers, ingress, egress)
}

/// Who may ask a pod about itself: the operator, and the pods beside the Prometheus that is named.
fn observers(world: &World) -> Vec<NetworkPolicyIngressRule> {
    let prometheus = world.settings.monitoring.prometheus.as_ref();
    let namespace = prometheus.and_then(|named| named.namespace.clone());
    let beside = namespace.map(|namespace| NetworkPolicyPeer {
        namespace_selector: Some(matching([(NAMESPACE_LABEL.to_owned(), namespace)])),
        ..NetworkPolicyPeer::default()
    });
    let operator = allowed_in(operator(&world.release), &[ADMIN_PORT]);
    let beside = beside.map(|peer| allowed_in(Some(peer), &[ADMIN_PORT]));
    [operator].into_iter().chain(beside).collect()
}

/// To broker and store. Those that are named may be anywhere, and tell of further addresses of theirs, which may have
/// other ports: all are open then.
fn backbone(world: &World) -> Vec<NetworkPolicyEgressRule> {
    let mut egress = vec![dns()];
    for (component, number, named) in [
        (
            Component::Broker,
            DEVELOPMENT_BROKER_PORT,
            world.settings.kafka.is_some(),
        ),
        (
            Component::Store,
            DEVELOPMENT_STORE_PORT,
            world.settings.redis.is_some(),
        ),
    ] {
        egress.push(if named {
            allowed_out(None, Vec::new())
        } else {
            allowed_out(Some(pods_of(world, component)), vec![port("TCP", number)])
        });
    }
    egress
}

/// The operator's own broker or store calls nobody.
fn development(world: &World, component: Component, port: u16) -> Object {
    let callers = [Component::Adapters, Component::Workers];
    let ingress = callers.map(|caller| allowed_in(Some(pods_of(world, caller)), &[port]));
    policy(world, component, ingress.to_vec(), Vec::new())
}

/// An instance calls nobody: its model is on a volume, which its node mounts. An engine of the user's that does is given
/// leave by a policy of the user's.
fn inference(world: &World) -> Object {
    let anywhere_in_the_cluster = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    let ingress = vec![
        allowed_in(
            Some(pods_of(world, Component::Workers)),
            &[inference_port(world)],
        ),
        allowed_in(
            operator(&world.release).and(Some(anywhere_in_the_cluster)),
            &[ADMIN_PORT],
        ),
    ];
    policy(world, Component::Inference, ingress, Vec::new())
}

/// The port of the inference API, whichever server it is of.
fn inference_port(world: &World) -> u16 {
    let engine = world.settings.inference.engine.as_ref();
    engine.map_or(INFERENCE_PORT, |engine| engine.port)
}

/// The ports at which the adapters call a platform: that of HTTPS, and that of another address which the user names.
fn ports_called(platform: &Platform) -> Vec<u16> {
    let url = match platform {
        // Their users come to us, and are answered where they came.
        Platform::WebChat { .. } | Platform::OpenAi(_) => return Vec::new(),
        Platform::Webhook(one) => return vec![port_of(&one.reply_url)],
        Platform::WhatsApp(one) => &one.api_url,
        Platform::Telegram(one) => &one.api_url,
        Platform::Slack(one) => &one.api_url,
        Platform::Discord(one) => &one.api_url,
        Platform::Feishu(one) => &one.api_url,
    };
    // The address of a long connection is the platform's to name.
    let named = url.as_deref().map(port_of);
    named.into_iter().chain([HTTPS_PORT]).collect()
}

/// The port of an address, which the schema has checked.
fn port_of(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let named = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    named.unwrap_or(if scheme == "http" {
        HTTP_DEFAULT_PORT
    } else {
        HTTPS_PORT
    })
}

/// The operator's pods. None when it runs outside the cluster: where it asks from cannot be told then, so that its port
/// is open.
fn operator(release: &Release) -> Option<NetworkPolicyPeer> {
    let pods = release.pods.as_ref()?;
    Some(NetworkPolicyPeer {
        namespace_selector: Some(matching([(
            NAMESPACE_LABEL.to_owned(),
            pods.namespace.clone(),
        )])),
        pod_selector: Some(matching(pods.labels.clone())),
        ip_block: None,
    })
}

fn pods_of(world: &World, component: Component) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(selector(world, component)),
        ..NetworkPolicyPeer::default()
    }
}

/// A component's pods, those on their way out with them.
fn selector(world: &World, component: Component) -> LabelSelector {
    matching(names::service_selector(&world.cluster, component))
}

fn matching(labels: impl Into<BTreeMap<String, String>>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels.into()),
        ..LabelSelector::default()
    }
}

fn dns() -> NetworkPolicyEgressRule {
    let ports = ["UDP", "TCP"]
        .into_iter()
        .flat_map(|protocol| DNS_PORTS.map(|number| port(protocol, number)));
    allowed_out(None, ports.collect())
}

fn allowed_in(from: Option<NetworkPolicyPeer>, ports: &[u16]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: from.map(|peer| vec![peer]),
        ports: Some(ports.iter().map(|number| port("TCP", *number)).collect()),
    }
}

/// To whom and to which ports; to all of them when none is named.
fn allowed_out(
    to: Option<NetworkPolicyPeer>,
    ports: Vec<NetworkPolicyPort>,
) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: to.map(|peer| vec![peer]),
        ports: (!ports.is_empty()).then_some(ports),
    }
}

/// By number: not every network knows the names of ports.
fn port(protocol: &str, number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(i32::from(number))),
        end_port: None,
    }
}

fn policy(
    world: &World,
    component: Component,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> Object {
    Object {
        component: Some(component),
        manifest: Manifest::NetworkPolicy(Box::new(NetworkPolicy {
            metadata: named(names::workload(&world.cluster, component)),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(selector(world, component)),
                policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
                ingress: Some(ingress),
                egress: (!egress.is_empty()).then_some(egress),
            }),
        })),
    }
}

#[cfg(test)]
mod tests;
