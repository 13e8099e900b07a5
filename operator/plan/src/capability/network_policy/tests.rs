mod rollouts;

use super::*;
use crate::example::{world, world_with};
use crate::names::service_selector;
use chatbot_crds::config::INFERENCE_PORT;

const HTTPS_PORT: u16 = 443;
const HTTP_DEFAULT_PORT: u16 = 80;

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
fn beside_another_engine_only_its_port_and_the_one_that_tells_of_it_are_reached() {
    let world = world_with(|yaml| format!("{yaml}    engine: {{ image: e, port: 9000 }}\n"));
    let inference = Component::Inference;
    assert!(lets_in(&world, inference, &operator_pod(), ADMIN_PORT));
    for peer in [&operator_pod(), &Peer::Outside] {
        assert!(!lets_in(&world, inference, peer, 9000));
        assert!(!lets_out(&world, inference, peer, ("TCP", HTTPS_PORT)));
    }
    assert!(!lets_in(&world, inference, &Peer::Outside, ADMIN_PORT));
}

fn pruned(world: &World) -> Vec<&'static str> {
    let plan = crate::plan(world);
    plan.prune.iter().map(|surplus| surplus.key.kind).collect()
}

#[test]
fn where_none_are_wanted_those_that_were_there_go() {
    let none = |yaml: String| format!("{yaml}\n  networkPolicy: {{ mode: None }}\n");
    let before = world().settled();
    let mut after = world_with(none);
    after.observed = before.observed;
    after.memory = before.memory;
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
