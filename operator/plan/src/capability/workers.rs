//! The pods that answer messages.

use std::collections::BTreeMap;

use chatbot_crds::config::{SYSTEM_PROMPT_DIRECTORY, SYSTEM_PROMPT_KEY};
use chatbot_crds::settings::{Cache, Resources, SystemPrompt};
use chatbot_crds::spec::Quantity;
use chatbot_crds::{ConditionType, Reason};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, KeyToPath, PodSpec, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::autoscaler::{asked_for, autoscaler};
use crate::facts::Facts;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{budget, config_map, named};
use crate::pod::{PodOf, backbone_secrets, mount, put_in, rolling};
use crate::proposal::{Component, Hindrance, Proposal, Verdict};
use crate::status::with_remedy;
use crate::world::World;

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let autoscaling = &world.settings.workers.autoscaling;
    let missing = missing_prompt(world);
    let impaired = missing
        .as_ref()
        .map(goes_on)
        .or_else(|| refused_prompt(world, facts));
    Proposal {
        votes: vec![asked_for(Component::Workers, autoscaling)],
        pods: BTreeMap::from([(Component::Workers, pod(world, facts))]),
        objects: vec![
            config_map(Component::Workers, &facts.workers_config),
            budget(&world.cluster, Component::Workers, IntOrString::Int(1)),
            deployment(world),
            autoscaler(
                &world.cluster,
                Component::Workers,
                autoscaling.target_cpu_utilization_percentage,
                autoscaling.behavior.as_ref(),
            ),
        ],
        raise: vec![Component::Workers],
        verdict: Some(Verdict::Pods {
            kind: ConditionType::WorkersReady,
            component: Component::Workers,
            minimum: autoscaling.min_replicas,
            hindrance: missing,
        }),
        impairments: impaired
            .map(|impaired| (Component::Workers, impaired))
            .into_iter()
            .collect(),
        ..Proposal::default()
    }
}

fn pod(world: &World, facts: &Facts) -> PodSpec {
    let workers = &world.settings.workers;
    let mut pod = PodOf {
        component: Component::Workers,
        command: "worker",
        port: None,
        config: &facts.workers_config.name,
        resources: workers
            .resources
            .over(&own_resources(&world.settings.cache)),
        node_selector: &workers.node_selector,
        tolerations: &workers.tolerations,
    }
    .spec(world);
    put_in(&mut pod, backbone_secrets(&facts.backbone));
    put_in(&mut pod, system_prompt(world).into_iter().collect());
    pod
}

fn system_prompt(world: &World) -> Option<(Volume, VolumeMount)> {
    const NAME: &str = "system-prompt";
    let Some(SystemPrompt::ConfigMap(reference)) = &world.settings.conversation.system_prompt
    else {
        return None;
    };
    let volume = Volume {
        name: NAME.to_owned(),
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
    };
    Some((volume, mount(NAME, SYSTEM_PROMPT_DIRECTORY, true)))
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

/// A worker that runs has read it, and the next one cannot begin.
fn goes_on(missing: &Hindrance) -> Hindrance {
    let message = &missing.message;
    Hindrance {
        reason: missing.reason,
        message: format!("{message}; the workers that run go on with what they have read"),
    }
}

/// A worker says so of the prompt that is asked for, whether it waits with it or goes on with the one before.
fn refused_prompt(world: &World, facts: &Facts) -> Option<Hindrance> {
    let field = match world.settings.conversation.system_prompt.as_ref()? {
        SystemPrompt::Text(_) => "conversation.systemPrompt",
        SystemPrompt::ConfigMap(_) => "conversation.systemPromptFrom",
    };
    let workers = world.observed.pods_of(Component::Workers);
    let said = workers
        .filter(|pod| pod.config_maps.contains(&facts.workers_config.name))
        .filter_map(|pod| pod.state.known()?.system_prompt_refused.as_ref())
        .min()?;
    Some(Hindrance {
        reason: Reason::SystemPromptRefused,
        message: with_remedy(&[format!("{field}: {said}")], Reason::SystemPromptRefused),
    })
}

/// Memory of a worker beside its caches, bytes.
const MEMORY: u64 = 256 << 20;

/// A worker waits for the broker and for inference most of its time. Its caches may fill.
fn own_resources(cache: &Cache) -> Resources {
    let most = MEMORY
        .saturating_add(cache.context_bytes)
        .saturating_add(cache.results_bytes);
    let most = format!("{}Mi", most.div_ceil(1 << 20));
    Resources {
        requests: BTreeMap::from([
            ("cpu".to_owned(), Quantity::from("100m")),
            ("memory".to_owned(), Quantity::from("256Mi")),
        ]),
        limits: BTreeMap::from([("memory".to_owned(), Quantity::from(most.as_str()))]),
    }
}

fn deployment(world: &World) -> Object {
    Object {
        component: Some(Component::Workers),
        manifest: Manifest::Deployment(Box::new(Deployment {
            metadata: named(names::workload(&world.cluster, Component::Workers)),
            spec: Some(DeploymentSpec {
                // A new one takes partitions over before an old one leaves.
                strategy: Some(rolling(IntOrString::Int(1), IntOrString::Int(0))),
                revision_history_limit: Some(2),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::world::Signal;
    use chatbot_crds::config::State;

    fn proposed(world: &World) -> Proposal {
        propose(world, &Facts::of(world))
    }

    #[test]
    fn a_prompt_in_a_config_map_is_mounted_under_a_name_of_its_own() {
        let world = world_with(|yaml| {
            format!(
                "{yaml}\n  conversation: {{ systemPromptFrom: {{ configMapKeyRef: {{ name: persona, key: prompt.md }} }} }}\n"
            )
        });
        let pod = &proposed(&world).pods[&Component::Workers];
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
    fn a_prompt_that_the_model_refuses_is_told_whether_or_not_the_workers_go_on_with_another() {
        let told = |ready: bool, refused: Option<&str>| {
            let mut world = world_with(|yaml| {
                format!("{yaml}\n  conversation: {{ systemPrompt: You are verbose. }}\n")
            });
            world = world.passed().rolled_out(2);
            let config = Facts::of(&world).workers_config.name;
            for pod in &mut world.observed.pods {
                if pod.component == Component::Workers {
                    pod.ready = ready;
                    pod.config_maps = vec![config.clone()];
                    pod.state = Signal::Known {
                        value: State {
                            system_prompt_refused: refused.map(str::to_owned),
                            ..State::default()
                        },
                        at: world.now,
                    };
                }
            }
            let conditions = crate::plan(&world).conditions.into_iter();
            let mut told = conditions.filter(|told| told.kind == ConditionType::WorkersReady);
            told.next().unwrap()
        };
        for ready in [true, false] {
            let refused = told(ready, Some("400: too long"));
            assert_eq!(refused.reason, Reason::SystemPromptRefused);
            assert_eq!(refused.status, Some(false));
            assert_eq!(
                refused.message,
                "conversation.systemPrompt: 400: too long: shorten conversation.systemPrompt, or raise \
                 inference.contextTokens"
            );
        }
        assert_eq!(told(true, None).reason, Reason::MinimumReplicasAvailable);
    }

    #[test]
    fn a_prompt_that_is_not_there_is_named_whether_or_not_workers_go_on_with_what_they_have_read() {
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
                .find(|condition| condition.kind == ConditionType::WorkersReady);
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
        let (reason, message) = told(&named, None, true);
        assert_eq!(reason, Reason::SystemPromptMissing);
        assert!(
            message.ends_with("go on with what they have read"),
            "{message}"
        );
        for (world, keys, ready, reason) in [
            (
                &named,
                Some(&["prompt.md"][..]),
                false,
                Reason::InsufficientReplicas,
            ),
            (
                &named,
                Some(&["prompt.md"][..]),
                true,
                Reason::MinimumReplicasAvailable,
            ),
            (&world(), None, false, Reason::InsufficientReplicas),
        ] {
            assert_eq!(told(world, keys, ready).0, reason);
        }
    }
}
