//! The pods that talk to the chat platforms, and their Service.
//!
//! Until the pipeline is outside of them, queue and store are in this pod's memory: there is exactly one, and a new
//! one starts when the old one is gone, so that two never answer the same user from different memories.

use std::collections::BTreeMap;

use chatbot_crds::ConditionType;
use chatbot_crds::config::{HTTP_PORT, SYSTEM_PROMPT_DIRECTORY, SYSTEM_PROMPT_KEY};
use chatbot_crds::settings::{Resources, SystemPrompt};
use chatbot_crds::spec::{Quantity, ServiceType, SessionAffinity};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, KeyToPath, PodSpec, Service, Volume,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::Facts;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{budget, config_map, named, service};
use crate::pod::{PodOf, mount};
use crate::proposal::{Action, Component, Proposal, Verdict};
use crate::world::World;

const REPLICAS: u32 = 1;
const SERVICE_PORT: i32 = 80;

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    Proposal {
        pods: BTreeMap::from([(Component::Adapters, pod(world, facts))]),
        objects: vec![
            config_map(Component::Adapters, &facts.hub_config),
            entrance(world),
            budget(&world.cluster, Component::Adapters, IntOrString::Int(1)),
            deployment(world),
        ],
        actions: keep_one(world).into_iter().collect(),
        verdict: Some(Verdict::Pods {
            kind: ConditionType::AdaptersReady,
            component: Component::Adapters,
            minimum: REPLICAS,
        }),
        ..Proposal::default()
    }
}

fn pod(world: &World, facts: &Facts) -> PodSpec {
    let adapters = &world.settings.adapters;
    let mut pod = PodOf {
        component: Component::Adapters,
        command: "hub",
        port: ("http", HTTP_PORT),
        config: &facts.hub_config.name,
        resources: adapters.resources.over(&own_resources()),
        node_selector: &adapters.node_selector,
        tolerations: &adapters.tolerations,
    }
    .spec(world);
    if let Some(SystemPrompt::ConfigMap(reference)) = &world.settings.conversation.system_prompt {
        pod.volumes.get_or_insert_default().push(Volume {
            name: "system-prompt".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: reference.name.clone(),
                items: Some(vec![KeyToPath {
                    key: reference.key.clone(),
                    path: SYSTEM_PROMPT_KEY.to_owned(),
                    mode: None,
                }]),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
        if let Some(Container { volume_mounts, .. }) = pod.containers.first_mut() {
            volume_mounts
                .get_or_insert_default()
                .push(mount("system-prompt", SYSTEM_PROMPT_DIRECTORY, true));
        }
    }
    pod
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
                strategy: Some(DeploymentStrategy {
                    type_: Some("Recreate".to_owned()),
                    rolling_update: None,
                }),
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
    for port in spec.ports.iter_mut().flatten() {
        port.port = SERVICE_PORT;
    }
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
        manifest: Manifest::Service(service),
    }
}

fn keep_one(world: &World) -> Option<Action> {
    let name = names::workload(&world.cluster, Component::Adapters);
    let seen = world.observed.deployments.get(&name)?;
    (seen.desired != REPLICAS).then(|| Action::Scale {
        deployment: name,
        resource_version: seen.resource_version.clone(),
        replicas: REPLICAS,
    })
}
