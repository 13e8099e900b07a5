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
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::names::service_selector;

    /// What tells about itself.
    const REPORTING: [Component; 3] = [
        Component::Adapters,
        Component::Workers,
        Component::Inference,
    ];

    /// Who talks: a pod, with the labels of its namespace and its own, or somebody outside the cluster.
    enum Peer {
        Pod(BTreeMap<String, String>, BTreeMap<String, String>),
        Outside,
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn pod(namespace: &str, own: BTreeMap<String, String>) -> Peer {
        Peer::Pod(labels(&[(NAMESPACE_LABEL, namespace)]), own)
    }

    fn part(component: Component) -> Peer {
        pod("chat", service_selector(&world().cluster, component))
    }

    fn operator_pod() -> Peer {
        pod(
            "chatbot-system",
            labels(&[("app.kubernetes.io/name", "chatbot-operator"), ("x", "y")]),
        )
    }

    fn spec(world: &World, component: Component) -> NetworkPolicySpec {
        let objects = propose(world, &Facts::of(world)).objects.into_iter();
        let mut specs = objects
            .filter(|object| object.component == Some(component))
            .filter_map(|object| match object.manifest {
                Manifest::NetworkPolicy(policy) => policy.spec,
                _ => None,
            });
        specs.next().unwrap()
    }

    fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
        let wanted = selector.match_labels.iter().flatten();
        wanted
            .into_iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    /// As Kubernetes reads a rule's peers: none are all; a selector alone is of the policy's own namespace.
    fn is_peer(peers: Option<&Vec<NetworkPolicyPeer>>, peer: &Peer) -> bool {
        let Some(peers) = peers else { return true };
        let Peer::Pod(namespace, own) = peer else {
            return false;
        };
        peers.iter().any(|peer| {
            let in_namespace = match &peer.namespace_selector {
                Some(selector) => selects(selector, namespace),
                None => namespace.get(NAMESPACE_LABEL).map(String::as_str) == Some("chat"),
            };
            let is_pod = peer
                .pod_selector
                .as_ref()
                .is_none_or(|selector| selects(selector, own));
            in_namespace && is_pod
        })
    }

    fn has_port(ports: Option<&Vec<NetworkPolicyPort>>, wanted: (&str, u16)) -> bool {
        let wanted = port(wanted.0, wanted.1);
        ports.is_none_or(|ports| ports.contains(&wanted))
    }

    fn lets_in(world: &World, to: Component, from: &Peer, port: u16) -> bool {
        let rules = spec(world, to).ingress.unwrap_or_default();
        rules.iter().any(|rule| {
            is_peer(rule.from.as_ref(), from) && has_port(rule.ports.as_ref(), ("TCP", port))
        })
    }

    fn lets_out(world: &World, from: Component, to: &Peer, port: (&str, u16)) -> bool {
        let rules = spec(world, from).egress.unwrap_or_default();
        rules
            .iter()
            .any(|rule| is_peer(rule.to.as_ref(), to) && has_port(rule.ports.as_ref(), port))
    }

    #[test]
    fn every_hop_that_is_used_is_let_through() {
        let world = world();
        let (adapters, inference) = (Component::Adapters, Component::Inference);
        for user in [Peer::Outside, pod("ingress", labels(&[]))] {
            assert!(lets_in(&world, adapters, &user, HTTP_PORT));
        }
        let workers = Component::Workers;
        let api = ("TCP", INFERENCE_PORT);
        assert!(lets_out(&world, workers, &part(inference), api));
        assert!(lets_in(&world, inference, &part(workers), INFERENCE_PORT));
        for component in REPORTING {
            assert!(lets_in(&world, component, &operator_pod(), ADMIN_PORT));
        }
        for from in [adapters, workers] {
            for (to, port) in [
                (Component::Broker, DEVELOPMENT_BROKER_PORT),
                (Component::Store, DEVELOPMENT_STORE_PORT),
            ] {
                assert!(lets_out(&world, from, &part(to), ("TCP", port)));
                assert!(lets_in(&world, to, &part(from), port));
            }
        }
        let scraper = pod("monitoring", labels(&[("app", "prometheus")]));
        assert!(lets_in(&world, inference, &scraper, ADMIN_PORT));
        let resolver = pod("kube-system", labels(&[("k8s-app", "kube-dns")]));
        for resolver in [resolver, Peer::Outside] {
            for protocol in ["UDP", "TCP"] {
                for from in [adapters, workers] {
                    assert!(lets_out(&world, from, &resolver, (protocol, 53)));
                }
            }
        }
    }

    #[test]
    fn the_prometheus_that_is_named_may_scrape_every_part_and_nothing_else() {
        let named = world_with(|yaml| {
            yaml + "  monitoring: { prometheus: { url: \"http://prometheus.monitoring:9090\" } }\n"
        });
        let scraper = pod("monitoring", labels(&[("app", "prometheus")]));
        for component in REPORTING {
            assert!(lets_in(&named, component, &scraper, ADMIN_PORT));
            let elsewhere = pod("other", labels(&[("app", "prometheus")]));
            let open = component == Component::Inference;
            assert_eq!(lets_in(&named, component, &elsewhere, ADMIN_PORT), open);
            assert_eq!(lets_in(&world(), component, &scraper, ADMIN_PORT), open);
        }
        assert!(!lets_in(
            &named,
            Component::Inference,
            &scraper,
            INFERENCE_PORT
        ));
    }

    #[test]
    fn nobody_else_is_let_through() {
        let world = world();
        let (adapters, inference) = (Component::Adapters, Component::Inference);
        let stranger = pod("chat", labels(&[("app", "other")]));
        let namesake = pod(
            "elsewhere",
            service_selector(&world.cluster, Component::Adapters),
        );
        let impostor = pod(
            "chat",
            labels(&[("app.kubernetes.io/name", "chatbot-operator")]),
        );
        for peer in [&stranger, &namesake, &Peer::Outside, &operator_pod()] {
            assert!(!lets_in(&world, inference, peer, INFERENCE_PORT));
        }
        for peer in [&stranger, &impostor, &Peer::Outside, &part(inference)] {
            for to in [adapters, Component::Workers] {
                assert!(!lets_in(&world, to, peer, ADMIN_PORT));
            }
            assert!(!lets_in(
                &world,
                Component::Broker,
                peer,
                DEVELOPMENT_BROKER_PORT
            ));
            assert!(!lets_in(
                &world,
                Component::Store,
                peer,
                DEVELOPMENT_STORE_PORT
            ));
        }
        assert!(!lets_in(&world, inference, &part(adapters), INFERENCE_PORT));
        assert!(!lets_in(&world, inference, &Peer::Outside, ADMIN_PORT));
        for peer in [&stranger, &Peer::Outside] {
            assert!(!lets_out(&world, adapters, peer, ("TCP", INFERENCE_PORT)));
            assert!(!lets_out(&world, adapters, peer, ("TCP", HTTPS_PORT)));
            assert!(!lets_out(&world, inference, peer, ("UDP", 53)));
        }
        for component in Component::ALL {
            let types = spec(&world, component).policy_types.unwrap();
            assert_eq!(types, ["Ingress", "Egress"]);
        }
    }

    #[test]
    fn an_operator_outside_the_cluster_is_not_shut_out() {
        let mut world = world();
        world.release.pods = None;
        for component in REPORTING {
            assert!(lets_in(&world, component, &Peer::Outside, ADMIN_PORT));
        }
    }

    #[test]
    fn another_engine_is_reached_at_its_own_port() {
        let world = world_with(|yaml| format!("{yaml}    engine: {{ image: e, port: 9000 }}\n"));
        let (workers, inference) = (Component::Workers, Component::Inference);
        assert!(lets_in(&world, inference, &part(workers), 9000));
        assert!(lets_out(&world, workers, &part(inference), ("TCP", 9000)));
        assert!(!lets_in(&world, inference, &part(workers), INFERENCE_PORT));
    }

    #[test]
    fn where_none_are_wanted_those_that_were_there_go() {
        let none = |yaml: String| format!("{yaml}\n  networkPolicy: {{ mode: None }}\n");
        let before = world().settled();
        let mut after = world_with(none);
        after.observed = before.observed;
        after.memory = before.memory;
        let pruned = |world: &World| {
            let plan = crate::plan(world);
            let kinds = plan.prune.iter().map(|surplus| surplus.key.kind);
            kinds.collect::<Vec<_>>()
        };
        assert_eq!(pruned(&after), ["NetworkPolicy"; 5]);
        // Nor are they waited for, whatever is rolled out meanwhile.
        for deployment in after.observed.deployments.values_mut() {
            deployment.updated = 0;
        }
        assert_eq!(pruned(&after), ["NetworkPolicy"; 5]);
    }

    #[test]
    fn a_broker_and_a_store_that_are_named_may_be_anywhere() {
        let world = world_with(|yaml| {
            yaml + "  messaging: { kafka: { bootstrapServers: [\"kafka:9093\"] } }\n  \
                    state: { redis: { addresses: [\"redis:6380\"] } }\n"
        });
        for from in [Component::Adapters, Component::Workers] {
            for port in [9093, 6380] {
                assert!(lets_out(&world, from, &Peer::Outside, ("TCP", port)));
            }
        }
        let objects = propose(&world, &Facts::of(&world)).objects;
        assert_eq!(objects.len(), 3);
    }

    #[test]
    fn the_adapters_may_call_what_their_channels_need_and_nothing_else() {
        for (channel, ports) in [
            ("openAI: { secretRef: { name: s } }", &[][..]),
            ("telegram: { secretRef: { name: s } }", &[HTTPS_PORT][..]),
            (
                "slack: { secretRef: { name: s }, apiURL: \"http://slack.test:8088/api\" }",
                &[HTTPS_PORT, 8_088],
            ),
            (
                "webhook: { replyURL: \"http://bot.test/reply\", secretRef: { name: s } }",
                &[HTTP_DEFAULT_PORT],
            ),
        ] {
            let world = world_with(|yaml| {
                yaml.replace(
                    "channels:\n",
                    &format!("channels:\n    - {{ name: bot, {channel} }}\n"),
                )
            });
            for port in [HTTPS_PORT, HTTP_DEFAULT_PORT, 8_088, 25] {
                assert_eq!(
                    lets_out(&world, Component::Adapters, &Peer::Outside, ("TCP", port)),
                    ports.contains(&port),
                    "{channel}: {port}"
                );
            }
        }
    }
}
