//! The pods that talk to the chat platforms, and their Service.
//!
//! Until the pipeline is outside of them, queue and store are in this pod's memory: there is exactly one, and a new
//! one starts when the old one is gone, so that two never answer the same user from different memories.

use std::collections::BTreeMap;

use chatbot_crds::config::{HTTP_PORT, SYSTEM_PROMPT_DIRECTORY, SYSTEM_PROMPT_KEY};
use chatbot_crds::settings::{Resources, SystemPrompt};
use chatbot_crds::spec::{Quantity, ServiceType, SessionAffinity};
use chatbot_crds::{ConditionType, Reason};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, KeyToPath, PodSpec, Service, Volume,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::Facts;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{SERVICE_PORT, budget, config_map, named, service};
use crate::pod::{PodOf, mount};
use crate::proposal::{Action, Component, Hindrance, Proposal, Verdict};
use crate::world::World;

const REPLICAS: u32 = 1;
/// Where browsers look for TLS.
const TLS_PORT: i32 = 443;

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
            hindrance: missing_prompt(world),
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
            volume_mounts.get_or_insert_default().push(mount(
                "system-prompt",
                SYSTEM_PROMPT_DIRECTORY,
                true,
            ));
        }
    }
    pod
}

/// A pod waits for its volumes without a word: what it waits for is told here.
fn missing_prompt(world: &World) -> Option<Hindrance> {
    let Some(SystemPrompt::ConfigMap(reference)) = &world.settings.conversation.system_prompt
    else {
        return None;
    };
    let field = "conversation.systemPromptFrom.configMapKeyRef";
    let (name, key) = (&reference.name, &reference.key);
    let message = match world.observed.system_prompt.known()? {
        None => format!(
            "{field}.name: there is no ConfigMap {name:?} in namespace {}; create it with the key \
             {key:?}, or name another",
            world.cluster.namespace
        ),
        Some(keys) if !keys.contains(key) => format!(
            "{field}.key: ConfigMap {name:?} has no key {key:?}; add it, or name one that it has"
        ),
        Some(_) => return None,
    };
    Some(Hindrance {
        reason: Reason::SystemPromptMissing,
        message,
    })
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
        if serves_tls(world) {
            // Nothing else is served, so that nobody finds the chat without it.
            port.name = Some("https".to_owned());
            port.port = TLS_PORT;
        }
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
        manifest: Manifest::Service(Box::new(service)),
    }
}

fn serves_tls(world: &World) -> bool {
    let exposure = world.settings.exposure.as_ref();
    exposure.is_some_and(|exposure| exposure.served_by_pods().is_some())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::world::Signal;
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
    fn a_prompt_in_a_config_map_is_mounted_under_a_name_of_its_own() {
        let world = world_with(|yaml| {
            format!(
                "{yaml}\n  conversation: {{ systemPromptFrom: {{ configMapKeyRef: {{ name: persona, key: prompt.md }} }} }}\n"
            )
        });
        let pod = &proposed(&world).pods[&Component::Adapters];
        let volumes = pod.volumes.as_ref().unwrap();
        let source = volumes.iter().find_map(|volume| {
            volume
                .config_map
                .as_ref()
                .filter(|source| source.name == "persona")
        });
        let item = &source.unwrap().items.as_ref().unwrap()[0];
        assert_eq!(
            (item.key.as_str(), item.path.as_str()),
            ("prompt.md", SYSTEM_PROMPT_KEY)
        );
        let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
        assert!(
            mounts
                .iter()
                .any(|mount| mount.mount_path == SYSTEM_PROMPT_DIRECTORY)
        );
    }

    #[test]
    fn a_prompt_that_is_not_there_is_named_as_long_as_it_keeps_the_pod_from_starting() {
        let named = world_with(|yaml| {
            format!(
                "{yaml}\n  conversation: {{ systemPromptFrom: {{ configMapKeyRef: {{ name: persona, key: prompt.md }} }} }}\n"
            )
        });
        let told = |world: &World, keys: Option<&[&str]>, ready: bool| {
            let mut world = world.clone().passed().rolled_out(2);
            world.observed.system_prompt = Signal::Known {
                value: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
                at: world.now,
            };
            for pod in &mut world.observed.pods {
                pod.ready = ready;
            }
            let conditions = crate::plan(&world).conditions;
            let condition = conditions
                .into_iter()
                .find(|condition| condition.kind == ConditionType::AdaptersReady);
            let condition = condition.unwrap();
            (condition.reason, condition.message)
        };
        let (reason, message) = told(&named, None, false);
        assert_eq!(reason, Reason::SystemPromptMissing);
        assert!(
            message.contains("configMapKeyRef.name") && message.contains("\"persona\""),
            "{message}"
        );
        let (reason, message) = told(&named, Some(&["other"]), false);
        assert_eq!(reason, Reason::SystemPromptMissing);
        assert!(
            message.contains("configMapKeyRef.key") && message.contains("\"prompt.md\""),
            "{message}"
        );
        for (world, keys, ready, reason) in [
            (
                &named,
                Some(&["prompt.md"][..]),
                false,
                Reason::InsufficientReplicas,
            ),
            (&named, None, true, Reason::MinimumReplicasAvailable),
            (&world(), None, false, Reason::InsufficientReplicas),
        ] {
            assert_eq!(told(world, keys, ready).0, reason);
        }
    }

    #[test]
    fn the_old_pod_is_gone_before_the_new_one_starts() {
        let strategy =
            proposed(&world())
                .objects
                .into_iter()
                .find_map(|object| match object.manifest {
                    Manifest::Deployment(deployment) => deployment.spec?.strategy?.type_,
                    _ => None,
                });
        assert_eq!(strategy.as_deref(), Some("Recreate"));
    }
}
