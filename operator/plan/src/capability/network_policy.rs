//! Who may talk to the pods, and whom they may talk to: one NetworkPolicy for each component.
//!
//! Every hop that is used, and what lets it through:
//! - users, an Ingress' or a Gateway's proxy → the adapters' chat port: from anywhere;
//! - workers → inference API: egress of the one, ingress of the other;
//! - adapters and workers → broker and store: to the operator's own for development, or to whatever address is named;
//! - operator → `/state` of adapters, workers and inference, another engine's with them: by its namespace and labels;
//! - the Prometheus that is named → metrics of adapters and workers: by its namespace;
//! - any pod of the cluster → metrics of inference, which hold nothing of anybody;
//! - adapters and workers → DNS; adapters → platforms, where a channel's platform is called;
//! - kubelet → probes, volumes, logs, port-forward: a node always reaches its own pods, or reaches them from inside;
//! - the adapters' synthetic conversation, and the question to another engine: inside the pod.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_crds::config::{
    ADMIN_PORT, DEVELOPMENT_BROKER_PORT, DEVELOPMENT_STORE_PORT, HTTP_PORT,
};
use chatbot_crds::spec::NetworkPolicyMode;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::Facts;
use crate::hops::Hops;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::named;
use crate::proposal::{Component, Proposal};
use crate::world::{Release, World};

/// Where names are resolved: by some clusters' resolvers at another port than their Service's.
const DNS_PORTS: [u16; 2] = [53, 5353];
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
    let own = own_backbone(world).map(|(component, port)| development(world, component, port));
    policies.extend(own);
    policies
}

fn adapters(world: &World) -> Object {
    let mut ingress = vec![allowed_in(None, &[HTTP_PORT])];
    ingress.extend(observers(world));
    let mut egress = backbone(world);
    let hops = Hops::meanwhile(world);
    let called: BTreeSet<u16> = hops.into_iter().flat_map(|hops| hops.platforms).collect();
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
        inference_ports(world).map(|one| port("TCP", one)).collect(),
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
    let own = own_backbone(world).map(|(component, number)| {
        allowed_out(Some(pods_of(world, component)), vec![port("TCP", number)])
    });
    let mut egress: Vec<_> = [dns()].into_iter().chain(own).collect();
    if Hops::meanwhile(world).iter().any(|hops| hops.elsewhere) {
        egress.push(allowed_out(None, Vec::new()));
    }
    egress
}

/// The operator's own broker and store, as far as the user names none.
fn own_backbone(world: &World) -> impl Iterator<Item = (Component, u16)> {
    let settings = &world.settings;
    let broker = (Component::Broker, DEVELOPMENT_BROKER_PORT);
    let store = (Component::Store, DEVELOPMENT_STORE_PORT);
    let broker = settings.kafka.is_none().then_some(broker);
    broker
        .into_iter()
        .chain(settings.redis.is_none().then_some(store))
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
            &inference_ports(world).collect::<Vec<_>>(),
        ),
        allowed_in(
            operator(&world.release).and(Some(anywhere_in_the_cluster)),
            &[ADMIN_PORT],
        ),
    ];
    policy(world, Component::Inference, ingress, Vec::new())
}

/// The ports of the inference API that are called.
fn inference_ports(world: &World) -> impl Iterator<Item = u16> + use<> {
    let hops = Hops::meanwhile(world).into_iter();
    hops.map(|hops| hops.inference_port)
        .collect::<BTreeSet<_>>()
        .into_iter()
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
