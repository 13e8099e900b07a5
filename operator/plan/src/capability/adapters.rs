//! The pods that talk to the chat platforms, and their Service.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_crds::ConditionType;
use chatbot_crds::config::{CHANNELS_DIRECTORY, HTTP_PORT};
use chatbot_crds::settings::{Channel, Resources};
use chatbot_crds::spec::{Quantity, ServiceType, SessionAffinity};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{PodSpec, Service, ServicePort, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::autoscaler::{asked_for, autoscaler};
use crate::facts::Facts;
use crate::hops::Hops;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{SERVICE_PORT, budget, config_map, named, service};
use crate::pod::{PodOf, backbone_secrets, optional_secret, put_in, rolling};
use crate::proposal::{Component, Proposal, Verdict};
use crate::world::World;

/// Where browsers look for TLS.
const TLS_PORT: i32 = 443;

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let autoscaling = &world.settings.adapters.autoscaling;
    Proposal {
        votes: vec![asked_for(Component::Adapters, autoscaling)],
        pods: BTreeMap::from([(Component::Adapters, pod(world, facts))]),
        objects: vec![
            config_map(Component::Adapters, &facts.adapters_config),
            entrance(world),
            budget(&world.cluster, Component::Adapters, IntOrString::Int(1)),
            deployment(world),
            autoscaler(
                &world.cluster,
                Component::Adapters,
                autoscaling.target_cpu_utilization_percentage,
                autoscaling.behavior.as_ref(),
            ),
        ],
        raise: vec![Component::Adapters],
        verdict: Some(Verdict::Pods {
            kind: ConditionType::AdaptersReady,
            component: Component::Adapters,
            minimum: autoscaling.min_replicas,
            hindrance: None,
        }),
        ..Proposal::default()
    }
}

fn pod(world: &World, facts: &Facts) -> PodSpec {
    let adapters = &world.settings.adapters;
    let mut pod = PodOf {
        component: Component::Adapters,
        command: "gateway",
        port: Some(("http", HTTP_PORT)),
        config: &facts.adapters_config.name,
        resources: adapters.resources.over(&own_resources()),
        node_selector: &adapters.node_selector,
        tolerations: &adapters.tolerations,
    }
    .spec(world);
    put_in(&mut pod, backbone_secrets(&facts.backbone));
    let channels = world.settings.channels.iter();
    put_in(&mut pod, channels.filter_map(secret_of).collect());
    pod
}

/// A channel's Secret, a folder of its own. It may be missing: then its channel does not start, and the others do.
fn secret_of(channel: &Channel) -> Option<(Volume, VolumeMount)> {
    let secret = channel.platform.secret()?;
    let name = format!("channel-{}", channel.name);
    let folder = format!("{CHANNELS_DIRECTORY}/{}", channel.name);
    Some(optional_secret(&name, secret, None, &folder))
}

/// A gateway needs little; its memory is bounded, so that it never takes the instances'.
fn own_resources() -> Resources {
    Resources {
        requests: BTreeMap::from([
            ("cpu".to_owned(), Quantity::from("100m")),
            ("memory".to_owned(), Quantity::from("256Mi")),
        ]),
        limits: BTreeMap::from([("memory".to_owned(), Quantity::from("256Mi"))]),
    }
}

fn deployment(world: &World) -> Object {
    Object {
        component: Some(Component::Adapters),
        manifest: Manifest::Deployment(Box::new(Deployment {
            metadata: named(names::workload(&world.cluster, Component::Adapters)),
            spec: Some(DeploymentSpec {
                // Pages move over as the old pods leave.
                strategy: Some(rolling(IntOrString::Int(1), IntOrString::Int(0))),
                revision_history_limit: Some(2),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        })),
    }
}

fn entrance(world: &World) -> Object {
    let wanted = &world.settings.adapters.service;
    let mut service: Service = service(world, Component::Adapters, "http", HTTP_PORT);
    if !wanted.annotations.is_empty() {
        service.metadata.annotations = Some(wanted.annotations.clone());
    }
    let spec = service.spec.get_or_insert_default();
    let one = spec.ports.iter().flatten().next().cloned();
    spec.ports = Some(ports(world, &one.unwrap_or_default()));
    spec.type_ = Some(format!("{:?}", wanted.type_));
    spec.session_affinity = Some(
        match wanted.session_affinity {
            SessionAffinity::ClientIP => "ClientIP",
            SessionAffinity::None => "None",
        }
        .to_owned(),
    );
    if wanted.type_ != ServiceType::ClusterIP {
        // Otherwise a node's address would stand in for the users', and all of them would be one client.
        spec.external_traffic_policy = Some("Local".to_owned());
    }
    Object {
        component: Some(Component::Adapters),
        manifest: Manifest::Service(Box::new(service)),
    }
}

/// As the pods serve that are there. Where all serve TLS there is no other port, so that nobody looks for the chat without
/// it.
fn ports(world: &World, one: &ServicePort) -> Vec<ServicePort> {
    let hops = Hops::meanwhile(world).into_iter();
    let served: BTreeSet<bool> = hops.map(|hops| hops.tls).collect();
    let offered = served.into_iter().map(|tls| {
        let (name, port) = if tls {
            ("https", TLS_PORT)
        } else {
            ("http", SERVICE_PORT)
        };
        ServicePort {
            name: Some(name.to_owned()),
            port,
            ..one.clone()
        }
    });
    offered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::memory::Memory;
    use k8s_openapi::api::core::v1::ServiceSpec;

    fn proposed(world: &World) -> Proposal {
        propose(world, &Facts::of(world))
    }

    fn entrance_of(world: &World) -> ServiceSpec {
        proposed(world)
            .objects
            .into_iter()
            .find_map(|object| match object.manifest {
                Manifest::Service(service) => service.spec,
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn the_entrance_keeps_a_user_on_one_pod_inside_the_cluster() {
        let spec = entrance_of(&world());
        assert_eq!(spec.type_.as_deref(), Some("ClusterIP"));
        assert_eq!(spec.session_affinity.as_deref(), Some("ClientIP"));
        assert_eq!(spec.external_traffic_policy, None);
        assert_eq!(spec.ports.unwrap()[0].port, 80);
    }

    #[test]
    fn the_entrance_is_of_all_pods_that_may_be_there() {
        let tls = |yaml: String| {
            yaml + "\n  exposure: { host: chat.example.com, tls: { secretRef: { name: chat } } }\n"
        };
        let ports = |world: &World| {
            let ports = entrance_of(world).ports.unwrap().into_iter();
            let target = Some(IntOrString::String("http".to_owned()));
            ports
                .inspect(|port| assert_eq!(port.target_port, target))
                .map(|port| port.port)
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(&world_with(tls)), [443], "nothing serves yet");
        let before = world().settled();
        let mut edited = world_with(tls);
        edited.observed = before.observed.clone();
        edited.memory = before.memory.clone();
        assert_eq!(ports(&edited), [80, 443], "the old ones serve");
        let mut stuck = edited.clone().passed().rolled_out(2);
        let instances = stuck.observed.deployments.get_mut("support-inference");
        instances.unwrap().progress = "ReplicaSetUpdated".to_owned();
        assert_eq!(ports(&stuck.passed()), [80, 443], "the new ones serve");
        let edited = edited.settled();
        assert_eq!(ports(&edited), [443]);
    }

    #[test]
    fn an_entrance_stays_as_it_is_when_nobody_remembers_what_the_pods_serve() {
        let before = world().settled();
        let mut edited = world_with(|yaml| {
            yaml + "\n  exposure: { host: chat.example.com, tls: { secretRef: { name: chat } } }\n"
        });
        edited.observed = before.observed;
        edited.memory = before.memory;
        let mut edited = edited.passed();
        edited.memory = Memory::default();
        let is_planned = |world: &World| {
            let objects = crate::plan(world).objects;
            let mut services = objects.iter().filter(|object| object.key.kind == "Service");
            services.any(|object| object.key.name == "support-adapters")
        };
        assert!(!is_planned(&edited));
        let edited = edited.passed();
        assert!(!is_planned(&edited) && crate::plan(&edited).prune.is_empty());
        assert!(is_planned(&edited.rolled_out(2).passed()));
    }

    #[test]
    fn an_entrance_from_outside_sees_the_users_own_addresses() {
        for type_ in ["NodePort", "LoadBalancer"] {
            let spec = entrance_of(&world_with(|yaml| {
                format!(
                    "{yaml}\n  adapters: {{ service: {{ type: {type_}, sessionAffinity: None }} }}\n"
                )
            }));
            assert_eq!(spec.type_.as_deref(), Some(type_));
            assert_eq!(spec.external_traffic_policy.as_deref(), Some("Local"));
            assert_eq!(spec.session_affinity.as_deref(), Some("None"));
        }
    }

    #[test]
    fn an_edit_that_cannot_work_takes_nothing_away() {
        let objects = proposed(&world()).objects.into_iter();
        let mut strategies = objects.filter_map(|object| match object.manifest {
            Manifest::Deployment(deployment) => deployment.spec?.strategy?.rolling_update,
            _ => None,
        });
        let strategy = strategies.next().unwrap();
        assert_eq!(strategy.max_unavailable, Some(IntOrString::Int(0)));
        assert_eq!(strategy.max_surge, Some(IntOrString::Int(1)));
    }

    #[test]
    fn a_channel_s_secret_is_a_folder_of_its_own_and_keeps_no_pod_from_starting() {
        let world = world_with(|yaml| {
            yaml.replace(
                "channels:\n",
                "channels:\n    - { name: bot, telegram: { secretRef: { name: telegram } } }\n",
            )
        });
        let pod = &proposed(&world).pods[&Component::Adapters];
        let volumes = pod.volumes.as_ref().unwrap();
        let sources: Vec<_> = volumes
            .iter()
            .filter_map(|volume| volume.secret.as_ref())
            .collect();
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].secret_name.as_deref(), Some("telegram"));
        assert_eq!(sources[0].optional, Some(true));
        let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
        let folder = mounts
            .iter()
            .find(|mount| mount.mount_path == "/channels/bot")
            .unwrap();
        assert_eq!(folder.read_only, Some(true));
    }
}
