//! The broker: whether it can be used, as the pods find it, and one for development where none is named.

use std::collections::BTreeMap;

use chatbot_crds::config::{BackboneState, DEVELOPMENT_BROKER_PORT, State};
use chatbot_crds::settings::{Kafka, Resources};
use chatbot_crds::spec::Quantity;
use chatbot_crds::{ConditionType, Reason};
use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Volume};

use crate::backbone::{Found, found};
use crate::development::{DATA_DIRECTORY, Server, keep_one, objects};
use crate::facts::Facts;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::named;
use crate::pod::mount;
use crate::proposal::{Component, Condition, Proposal, Verdict};
use crate::status::with_remedy;
use crate::world::World;

/// Where Apache's image has Java and Kafka.
const JAVA: &str = "/opt/java/openjdk/bin/java";
const LIBRARIES: &str = "/opt/kafka/libs/*";
/// Where that image has its archives of loaded classes, which halve the time to start; without them it starts as well.
const ARCHIVES: &str = "/opt/kafka";
const PROPERTIES: &str = "server.properties";
const PROPERTIES_DIRECTORY: &str = "/properties";
/// Each pod is a cluster of its own, so that who talks to it knows when everything in it is gone.
const CLUSTER_ID: &str = "$(POD_UID)";

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let condition = condition(world, facts);
    if world.settings.kafka.is_some() {
        return Proposal {
            verdict: Some(Verdict::Decided(condition)),
            ..Proposal::default()
        };
    }
    let properties = properties(world);
    let mut objects = objects(world, Component::Broker, DEVELOPMENT_BROKER_PORT);
    objects.push(config_map(world, &properties));
    Proposal {
        pods: BTreeMap::from([(Component::Broker, server(world, &properties).pod(world))]),
        objects,
        actions: keep_one(world, Component::Broker).into_iter().collect(),
        verdict: Some(Verdict::Behind {
            component: Component::Broker,
            condition,
        }),
        ..Proposal::default()
    }
}

fn condition(world: &World, facts: &Facts) -> Condition {
    let seen = |state: &State| -> Option<BackboneState> { state.broker.clone() };
    let (status, reason, message) = match found(world, facts, seen) {
        Found::Usable if world.settings.kafka.is_none() => (
            Some(true),
            Reason::DevelopmentBroker,
            "one pod holds all messages, for development, and what it holds is lost with it: name a Kafka in \
             messaging.kafka for production"
                .to_owned(),
        ),
        Found::Usable => (
            Some(true),
            Reason::BrokerReady,
            "broker and topics can be used".to_owned(),
        ),
        Found::Unusable(reason, message) => {
            let reason = reason
                .filter(|reason| ConditionType::MessagingReady.reasons().contains(reason))
                .unwrap_or(Reason::BrokerUnreachable);
            let message = match &world.settings.kafka {
                Some(kafka) => helped(reason, message, kafka),
                None => message,
            };
            (Some(false), reason, message)
        }
        Found::Unknown => (
            None,
            Reason::Pending,
            "no pod has told about the broker yet".to_owned(),
        ),
    };
    Condition {
        kind: ConditionType::MessagingReady,
        status,
        reason,
        message,
    }
}

/// What a client library says has no remedy in it.
fn helped(reason: Reason, message: String, kafka: &Kafka) -> String {
    match (reason, &kafka.sasl) {
        (Reason::CredentialsRejected, Some((_, secret))) => format!(
            "{message}: correct the user name and the password in Secret {secret:?}, which messaging.kafka.sasl names, \
             or let the broker know them"
        ),
        (Reason::CredentialsRejected, None) => {
            format!("{message}: the broker asks who signs in: set messaging.kafka.sasl")
        }
        (Reason::TLSFailed | Reason::BrokerUnreachable, _) => with_remedy(&[message], reason),
        _ => message,
    }
}

fn server<'a>(world: &'a World, properties: &str) -> Server<'a> {
    let quantities = |cpu: Option<&str>, memory| {
        cpu.map(|cpu| ("cpu".to_owned(), Quantity::from(cpu)))
            .into_iter()
            .chain([("memory".to_owned(), Quantity::from(memory))])
            .collect()
    };
    let java = |archive: &str, arguments: &[&str]| {
        let file = format!("{PROPERTIES_DIRECTORY}/{PROPERTIES}");
        [
            JAVA,
            "-Xms128m",
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain([
            format!("-XX:SharedArchiveFile={ARCHIVES}/{archive}"),
            "-cp".to_owned(),
            LIBRARIES.to_owned(),
        ])
        .chain(
            arguments
                .iter()
                .map(|argument| argument.replace('@', &file)),
        )
        .collect::<Vec<_>>()
    };
    let config = Volume {
        name: "properties".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: name(world, properties),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    Server {
        image: &world.release.broker_image,
        command: java("kafka.jsa", &["kafka.Kafka", "@"]),
        port: DEVELOPMENT_BROKER_PORT,
        resources: Resources {
            requests: quantities(Some("100m"), "512Mi"),
            limits: quantities(None, "768Mi"),
        },
        volumes: vec![(config, mount("properties", PROPERTIES_DIRECTORY, true))],
        before: Some(java(
            "storage.jsa",
            &[
                "kafka.tools.StorageTool",
                "format",
                "--ignore-formatted",
                "--cluster-id",
                CLUSTER_ID,
                "--config",
                "@",
            ],
        )),
    }
}

/// One node that is broker and controller. What one broker cannot replicate is not asked for, and groups begin at once.
fn properties(world: &World) -> String {
    let host = names::workload(&world.cluster, Component::Broker);
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://:{DEVELOPMENT_BROKER_PORT},CONTROLLER://localhost:9093
advertised.listeners=PLAINTEXT://{host}:{DEVELOPMENT_BROKER_PORT}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={DATA_DIRECTORY}/logs
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
"
    )
}

/// Named by its content, as every configuration.
fn name(world: &World, properties: &str) -> String {
    names::config(&world.cluster, Component::Broker, properties)
}

fn config_map(world: &World, properties: &str) -> Object {
    Object {
        component: Some(Component::Broker),
        manifest: Manifest::ConfigMap(Box::new(ConfigMap {
            metadata: named(name(world, properties)),
            data: Some(BTreeMap::from([(
                PROPERTIES.to_owned(),
                properties.to_owned(),
            )])),
            immutable: Some(true),
            ..ConfigMap::default()
        })),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::example::{world, world_with};
    use crate::world::Signal;

    const NAMED: &str = "  messaging: { kafka: { bootstrapServers: [\"kafka:9092\"] } }\n";

    fn reported(mut world: World, pod: usize, usable: Option<bool>, reason: &str) -> World {
        let pods = world.observed.pods.iter_mut();
        let mut pods = pods.filter(|pod| pod.component == Component::Workers);
        if let Some(Signal::Known { value, .. }) = pods.nth(pod).map(|pod| &mut pod.state) {
            value.broker = Some(BackboneState {
                usable,
                reason: reason.to_owned(),
                message: format!("told by {reason}"),
            });
        }
        world
    }

    fn told(world: &World) -> (Option<bool>, Reason, String) {
        let conditions = crate::plan(world).conditions.into_iter();
        let mut conditions = conditions.filter(|told| told.kind == ConditionType::MessagingReady);
        let condition = conditions.next().unwrap();
        (condition.status, condition.reason, condition.message)
    }

    #[test]
    fn a_broker_for_development_is_run_where_none_is_named_and_says_that_it_is_one() {
        let world = world().passed().rolled_out(2);
        assert_eq!(told(&world).1, Reason::DevelopmentBroker);
        let kinds = |world: &World| {
            let objects = crate::plan(world).objects.into_iter();
            let of_broker = objects.filter(|object| object.component == Some(Component::Broker));
            of_broker.map(|object| object.key.kind).collect::<Vec<_>>()
        };
        assert!(kinds(&world).contains(&"Deployment"));
        let named = world_with(|yaml| yaml + NAMED).passed().rolled_out(2);
        assert_eq!(kinds(&named), [""; 0]);
        assert_eq!(told(&named).1, Reason::BrokerReady);
    }

    #[test]
    fn the_worst_that_a_pod_tells_of_the_broker_is_told() {
        let named = || world_with(|yaml| yaml + NAMED).passed().rolled_out(2);
        let failing = reported(named(), 1, Some(false), "CredentialsRejected");
        let (status, reason, message) = told(&failing);
        assert_eq!((status, reason), (Some(false), Reason::CredentialsRejected));
        assert_eq!(
            message,
            "told by CredentialsRejected: the broker asks who signs in: set messaging.kafka.sasl"
        );
        let other_release = reported(named(), 1, Some(false), "OfAnotherRelease");
        assert_eq!(told(&other_release).1, Reason::BrokerUnreachable);
    }

    #[test]
    fn a_refusal_names_the_secret_that_is_to_be_corrected() {
        let named = world_with(|yaml| {
            format!(
                "{yaml}  messaging: {{ kafka: {{ bootstrapServers: [\"kafka:9092\"], \
                 sasl: {{ mechanism: SCRAM-SHA-512, secretRef: {{ name: of-kafka }} }} }} }}\n"
            )
        });
        let failing = reported(
            named.passed().rolled_out(2),
            1,
            Some(false),
            "CredentialsRejected",
        );
        let (_, _, message) = told(&failing);
        let remedy = "correct the user name and the password in Secret \"of-kafka\"";
        assert!(message.contains(remedy), "{message}");
    }

    #[test]
    fn nothing_is_said_of_a_broker_that_nobody_has_asked() {
        let mut world = world_with(|yaml| yaml + NAMED).passed().rolled_out(2);
        world.observed.pods.clear();
        assert_eq!(told(&world).0, None);
    }

    #[test]
    fn the_operator_s_own_broker_stays_until_nobody_is_left_who_talks_to_it() {
        let before = world().settled();
        let mut edited = world_with(|yaml| yaml + NAMED);
        edited.observed = before.observed.clone();
        edited.memory = before.memory;
        assert_eq!(crate::plan(&edited).prune, []);

        let mut done = world_with(|yaml| yaml + NAMED).settled();
        for (key, child) in before.observed.children {
            done.observed.children.entry(key).or_insert(child);
        }
        let plan = crate::plan(&done);
        let pruned: BTreeSet<_> = plan.prune.iter().map(|surplus| surplus.key.kind).collect();
        let kinds = ["ConfigMap", "Deployment", "NetworkPolicy", "Service"];
        assert_eq!(pruned, BTreeSet::from(kinds));
    }
}
