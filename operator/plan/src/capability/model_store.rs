//! The model: today a file on a volume that somebody else has filled, mounted read-only.

use std::collections::BTreeMap;

use chatbot_crds::config::{MODEL_DIRECTORY, ModelState};
use chatbot_crds::settings::ModelSource;
use chatbot_crds::{ConditionType, Reason};
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaimVolumeSource, PodSpec, Volume};

use crate::claim;
use crate::facts::Facts;
use crate::names;
use crate::pod::mount;
use crate::proposal::{Component, Condition, Proposal, Verdict};
use crate::status::Section;
use crate::workload::{last_words, out_of_memory};
use crate::world::{PodSeen, Signal, Trouble, World};

const VOLUME: &str = "model";
/// The memory that a server takes without any model, in bytes: no runtime starts a process with much less.
const LEAST_MEMORY: u64 = 16 << 20;

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let ModelSource::PersistentVolumeClaim { claim_name, .. } = &world.settings.inference.model;
    let current: Vec<&PodSeen> = world
        .observed
        .pods_of(Component::Inference)
        .filter(|pod| {
            facts
                .inference_config
                .as_ref()
                .is_some_and(|config| pod.config_maps.contains(&config.name))
        })
        .collect();
    let model = current
        .iter()
        .filter(|pod| pod.ready)
        .find_map(|pod| served(pod));
    let missing = missing(world, facts, &current);
    let unbound = missing.reason == Reason::StoreUnbound;
    let verdict = match published(world, &current, model) {
        Some(condition) => Verdict::Current {
            component: Component::Inference,
            condition,
            otherwise: missing,
        },
        None => Verdict::Decided(missing),
    };
    Proposal {
        pods: if facts.inference_config.is_some() {
            BTreeMap::from([(Component::Inference, fragment(claim_name))])
        } else {
            BTreeMap::new()
        },
        wake_at: unbound.then(|| claim::waited_for(world)).flatten(),
        verdict: Some(verdict),
        sections: model
            .filter(|_| world.settings.inference.engine.is_none())
            .cloned()
            .map(Section::Model)
            .into_iter()
            .collect(),
        ..Proposal::default()
    }
}

fn fragment(claim_name: &str) -> PodSpec {
    PodSpec {
        containers: vec![Container {
            name: names::CONTAINER.to_owned(),
            volume_mounts: Some(vec![mount(VOLUME, MODEL_DIRECTORY, true)]),
            ..Container::default()
        }],
        volumes: Some(vec![Volume {
            name: VOLUME.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name.to_owned(),
                read_only: Some(true),
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn served(pod: &PodSeen) -> Option<&ModelState> {
    match &pod.state {
        Signal::Known { value, .. } => value.model.as_ref(),
        Signal::Unknown(_) => None,
    }
}

fn condition(status: Option<bool>, reason: Reason, message: String) -> Condition {
    Condition {
        kind: ConditionType::ModelReady,
        status,
        reason,
        message,
    }
}

/// Served is served, whatever the claim says meanwhile.
fn published(world: &World, current: &[&PodSeen], model: Option<&ModelState>) -> Option<Condition> {
    // Another server reports nothing of its model: it answers, or it does not.
    let engine = world.settings.inference.engine.as_ref();
    let message = match engine {
        Some(engine) => current
            .iter()
            .any(|pod| pod.ready)
            .then(|| format!("the model is served by {}", engine.image)),
        None => model.map(|model| format!("{} is served as {}", model.name, model.format)),
    };
    message.map(|message| condition(Some(true), Reason::Published, message))
}

/// Why nobody serves it: a claim that is not there explains everything after it.
fn missing(world: &World, facts: &Facts, current: &[&PodSeen]) -> Condition {
    if let Some(message) = too_small(facts) {
        return condition(Some(false), Reason::DoesNotFit, message);
    }
    let ModelSource::PersistentVolumeClaim { claim_name, .. } = &world.settings.inference.model;
    match world.observed.claim.known() {
        Some(None) => {
            let message = format!(
                "inference.model.source.persistentVolumeClaim.claimName: there is no claim \
                 {claim_name:?} in namespace {}; create it, or name another",
                world.cluster.namespace
            );
            return condition(Some(false), Reason::StoreUnbound, message);
        }
        // A claim that waits for its first consumer is Pending until there is a pod; then it is the pods that tell.
        Some(Some(claim)) if claim.phase != "Bound" && !current.is_empty() => {
            let message = format!("claim {claim_name:?} is {}, not Bound", claim.phase);
            return condition(Some(false), Reason::StoreUnbound, message);
        }
        _ => {}
    }
    if let Some((reason, message)) = current.iter().find_map(|pod| refusal(world, pod)) {
        return condition(Some(false), reason, message);
    }
    let engine = world.settings.inference.engine.as_ref();
    let message = engine.map_or_else(
        || "no instance has read the model yet".to_owned(),
        |engine| format!("no instance of {} answers yet", engine.image),
    );
    condition(None, Reason::Pending, message)
}

/// An instance that has less memory than any server takes cannot even begin, and so says nothing.
fn too_small(facts: &Facts) -> Option<String> {
    let memory = facts.instance_memory.as_ref()?;
    (memory.units()? < LEAST_MEMORY).then(|| {
        format!(
            "an instance may have {memory} of memory, and needs {}Mi before it reads any model: raise \
             inference.nodeCapacity.memory or inference.resources.limits.memory, or lower \
             inference.instancesPerNode",
            LEAST_MEMORY >> 20
        )
    })
}

/// Why an instance cannot serve the model, by its own words; one that was ended for want of memory has none.
fn refusal(world: &World, pod: &PodSeen) -> Option<(Reason, String)> {
    if let Some(Trouble::OutOfMemory(limit)) = &pod.trouble {
        return Some((Reason::DoesNotFit, out_of_memory(pod, limit.as_deref())));
    }
    match last_words(pod)? {
        (Some(reason), message) if ConditionType::ModelReady.reasons().contains(&reason) => {
            let ModelSource::PersistentVolumeClaim { claim_name, path } =
                &world.settings.inference.model;
            Some((
                reason,
                format!(
                    "inference.model.source.persistentVolumeClaim.path: {path:?} in claim {claim_name:?}: {message}"
                ),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::status::find;
    use crate::world::ClaimSeen;

    fn told(world: &World) -> (Option<bool>, Reason) {
        match propose(world, &Facts::of(world)).verdict {
            Some(Verdict::Decided(condition) | Verdict::Current { condition, .. }) => {
                (condition.status, condition.reason)
            }
            other => panic!("{other:?}"),
        }
    }

    fn silent(mut world: World, last_words: Option<&str>) -> World {
        for pod in &mut world.observed.pods {
            pod.ready = false;
            pod.state = Signal::Unknown(Reason::Pending);
            pod.last_words = last_words.map(str::to_owned);
        }
        world
    }

    fn claimed(mut world: World, phase: Option<&str>) -> World {
        let claim = phase.map(|phase| ClaimSeen {
            phase: phase.to_owned(),
            access_modes: Vec::new(),
            created: None,
        });
        world.observed.claim = Signal::Known {
            value: claim,
            at: world.now,
        };
        world
    }

    #[test]
    fn pods_of_before_say_nothing_of_a_claim_that_is_asked_for_now() {
        let before = world().settled();
        let mut edited = world_with(|yaml| yaml.replace("claimName: models", "claimName: nope"));
        edited.observed = before.observed.clone();
        edited.memory = before.memory.clone();
        let model = |world: &World| {
            let status = world.status();
            let condition = find(&status, ConditionType::ModelReady).unwrap();
            (condition.status.clone(), condition.reason.clone())
        };
        let said = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
        assert_eq!(model(&before), said("True", "Published"));
        assert_eq!(
            model(&claimed(edited.clone(), None)),
            said("False", "StoreUnbound")
        );
        assert_eq!(
            model(&claimed(edited, Some("Bound"))),
            said("Unknown", "Pending")
        );
    }

    #[test]
    fn what_became_of_the_model_is_told() {
        let running = || world().passed().rolled_out(2);
        let unsupported = r#"{"reason":"UnsupportedFormat","message":"no GGUF"}"#;
        let foreign = r#"{"reason":"QuotaExceeded","message":"not the model's"}"#;
        // One at a time: worlds are large.
        let tells = |world: &World, status, reason| assert_eq!(told(world), (status, reason));
        let (lost, bound) = (Some("Lost"), Some("Bound"));
        tells(&running(), Some(true), Reason::Published);
        tells(&claimed(running(), None), Some(true), Reason::Published);
        for phase in [None, lost] {
            let world = claimed(silent(running(), None), phase);
            tells(&world, Some(false), Reason::StoreUnbound);
        }
        let waiting = claimed(world(), Some("Pending"));
        tells(&waiting, None, Reason::Pending);
        let refused = claimed(silent(running(), Some(unsupported)), bound);
        tells(&refused, Some(false), Reason::UnsupportedFormat);
        for words in [foreign, "a line of a log"] {
            let world = silent(running(), Some(words));
            tells(&world, None, Reason::Pending);
        }
    }

    #[test]
    fn an_instance_that_no_server_fits_into_is_told_before_any_pod_is_there() {
        let with = |capacity: &str| {
            world_with(|yaml| yaml.replace("{ cpu: 8, memory: 32Gi }", capacity)).passed()
        };
        let small = with("{ cpu: 1m, memory: 1 }");
        let condition = find(&small.status(), ConditionType::Stalled)
            .unwrap()
            .clone();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("True", "DoesNotFit")
        );
        for word in ["1Mi", "16Mi", "nodeCapacity.memory", "instancesPerNode"] {
            assert!(condition.message.contains(word), "{}", condition.message);
        }
        assert_eq!(
            told(&with("{ cpu: 1, memory: 72Mi }")),
            (None, Reason::Pending)
        );
    }

    #[test]
    fn the_model_s_volume_can_only_be_read() {
        let pod = fragment("models");
        let volume = &pod.volumes.unwrap()[0];
        assert_eq!(
            volume.persistent_volume_claim.as_ref().unwrap().read_only,
            Some(true)
        );
        assert_eq!(
            pod.containers[0].volume_mounts.as_ref().unwrap()[0].read_only,
            Some(true)
        );
    }
}
