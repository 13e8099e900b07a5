//! The condition of a component, told by its pods: how many work, and what keeps the others from it.

use chatbot_crds::config::Termination;
use chatbot_crds::{ConditionType, Reason};
use jiff::SignedDuration;

use crate::examined;
use crate::names;
use crate::proposal::{Component, Condition, Hindrance};
use crate::render::Rendered;
use crate::rollout::{Rollout, revision_of};
use crate::run;
use crate::status::with_remedy;
use crate::world::{PodSeen, Trouble, World};

/// After so long an eviction no longer explains why a pod is missing.
const LONG_AGO: SignedDuration = SignedDuration::from_mins(10);

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The condition.
    pub kind: ConditionType,
    /// Whose pods.
    pub component: Component,
    /// The fewest that must be ready.
    pub minimum: u32,
    /// What keeps them from it, when that is known without them.
    pub hindrance: Option<&'a Hindrance>,
    /// What is wrong with them even when they work.
    pub impairment: Option<&'a Hindrance>,
}

/// A component's pods that carry the current plan. While nothing is written, what runs is all there is.
pub fn current<'a>(
    component: Component,
    world: &'a World,
    objects: &'a [Rendered],
) -> impl Iterator<Item = &'a PodSeen> {
    let revision = revision_of(objects, component);
    let pods = world.observed.pods_of(component);
    pods.filter(move |pod| {
        run::is_left_alone(world) || revision.is_some_and(|revision| pod.revision == revision)
    })
}

/// Judges a component's pods. Only those count that are made from the planned template.
#[must_use]
pub fn judge(
    judged: Judged<'_>,
    world: &World,
    objects: &[Rendered],
    rollout: &Rollout,
) -> Condition {
    let condition = |status, reason, message| Condition {
        kind: judged.kind,
        status,
        reason,
        message,
    };
    if revision_of(objects, judged.component).is_none() {
        // Nodes that were seen, and none is one: somebody has to add one, or ask for others.
        let (status, reason) = match world.observed.nodes.known() {
            Some(_) => (Some(false), Reason::Unschedulable),
            None => (None, Reason::Pending),
        };
        return condition(
            status,
            reason,
            "the capacity of the candidate nodes is not known: no ready node matches \
             inference.nodeSelector and inference.tolerations; add one, or set inference.nodeCapacity"
                .to_owned(),
        );
    }
    let name = names::workload(&world.cluster, judged.component);
    let Some(deployment) = world.observed.deployments.get(&name) else {
        return condition(
            None,
            Reason::Pending,
            format!("Deployment {name} is not there yet"),
        );
    };
    let pods: Vec<&PodSeen> = current(judged.component, world, objects).collect();
    let ready = pods.iter().filter(|pod| pod.ready).count();
    let enough = u32::try_from(ready).unwrap_or(u32::MAX) >= judged.minimum;
    let moving = rollout.moving.contains(&judged.component) && !run::is_left_alone(world);
    if enough && !moving {
        if let Some(impairment) = judged.impairment {
            return condition(Some(false), impairment.reason, impairment.message.clone());
        }
        return condition(
            Some(true),
            Reason::MinimumReplicasAvailable,
            format!("at least {} ready", counted(judged.minimum)),
        );
    }
    if moving && deployment.paused {
        let namespace = &world.cluster.namespace;
        let message = format!(
            "Deployment {name} was paused by somebody (spec.paused), so that no pod of the new revision is made: \
             kubectl rollout resume deployment/{name} --namespace {namespace}"
        );
        return condition(Some(false), Reason::DeploymentPaused, message);
    }
    if !enough {
        if let Some(failure) = &deployment.failure {
            let reason = if failure.contains("exceeded quota") {
                Reason::QuotaExceeded
            } else if failure.contains("is forbidden") {
                Reason::PodsForbidden
            } else if failure.contains("is invalid") {
                Reason::ObjectInvalid
            } else {
                Reason::InsufficientReplicas
            };
            let message = format!("failed to create pods: {failure}");
            return condition(Some(false), reason, with_remedy(&[message], reason));
        }
        if let Some(message) = examined::refusal(judged.component, world, &pods) {
            return condition(Some(false), Reason::EngineRefused, message);
        }
        if let Some((pod, trouble)) = worst(&pods) {
            let (reason, message) = explain(judged.kind, pod, trouble);
            return condition(Some(false), reason, message);
        }
        if let Some(message) = evicted(judged.component, world, objects) {
            let message = format!("a pod was evicted: {message}");
            let message = with_remedy(&[message], Reason::Evicted);
            return condition(Some(false), Reason::Evicted, message);
        }
        if let Some(hindrance) = judged.hindrance.or(judged.impairment) {
            return condition(Some(false), hindrance.reason, hindrance.message.clone());
        }
    }
    if rollout.waiting.contains(&judged.component) {
        let message = "replaced once the workers of the new revision are ready: see WorkersReady";
        return condition(Some(false), Reason::RollingOut, message.to_owned());
    }
    if moving {
        let message = format!(
            "{ready} of at least {} of the new revision ready",
            counted(judged.minimum)
        );
        return condition(Some(false), Reason::RollingOut, message);
    }
    let message = format!("{ready} of at least {} ready", counted(judged.minimum));
    condition(Some(false), Reason::InsufficientReplicas, message)
}

fn counted(pods: u32) -> String {
    if pods == 1 {
        "1 pod".to_owned()
    } else {
        format!("{pods} pods")
    }
}

/// The trouble that says most, in a fixed order, so that the condition does not change with the order of pods.
fn worst<'a>(pods: &[&'a PodSeen]) -> Option<(&'a PodSeen, &'a Trouble)> {
    pods.iter()
        .filter_map(|pod| pod.trouble.as_ref().map(|trouble| (*pod, trouble)))
        .min_by(|(one, trouble), (other, another)| {
            trouble.cmp(another).then_with(|| one.name.cmp(&other.name))
        })
}

/// Why a pod of the current plan was thrown out last, if that is not long ago.
fn evicted<'a>(component: Component, world: &'a World, objects: &[Rendered]) -> Option<&'a str> {
    let revision = revision_of(objects, component)?;
    let evicted = world.observed.evicted.iter().filter(|pod| {
        pod.component == component
            && pod.revision == revision
            && world.now.duration_since(pod.at) < LONG_AGO
    });
    let last = evicted.max_by_key(|pod| (pod.at, &pod.message))?;
    Some(&last.message)
}

fn explain(kind: ConditionType, pod: &PodSeen, trouble: &Trouble) -> (Reason, String) {
    match trouble {
        Trouble::ImagePull(message) => (Reason::ImagePullFailed, image_pull(pod, message)),
        Trouble::Unschedulable(message) => remedied(Reason::Unschedulable, pod, message),
        Trouble::Reference(message) => remedied(Reason::ReferenceMissing, pod, message),
        Trouble::OutOfMemory(limit) => (Reason::CrashLooping, out_of_memory(pod, limit.as_deref())),
        Trouble::Crash(reason) => match last_words(pod) {
            Some((Some(reason), message))
                if kind.reasons().contains(&Reason::ModelNotReady)
                    && ConditionType::ModelReady.reasons().contains(&reason) =>
            {
                (Reason::ModelNotReady, message)
            }
            Some((_, message)) => (Reason::CrashLooping, format!("pod {}: {message}", pod.name)),
            None => (
                Reason::CrashLooping,
                format!("pod {} stops again and again: {reason}", pod.name),
            ),
        },
    }
}

fn remedied(reason: Reason, pod: &PodSeen, message: &str) -> (Reason, String) {
    let message = format!("pod {}: {message}", pod.name);
    (reason, with_remedy(&[message], reason))
}

/// What to do about an image, by who names it.
fn image_pull(pod: &PodSeen, message: &str) -> String {
    let named = match pod.component {
        Component::Adapters | Component::Workers => "spec.image",
        Component::Inference => "spec.image or inference.engine.image",
        Component::Broker => "the chart's development.broker.image",
        Component::Store => "the chart's development.store.image",
    };
    format!(
        "pod {}: {message}: correct {named}, or name a Secret in imagePullSecrets",
        pod.name
    )
}

/// What to do about a container that needs more memory than it may have.
#[must_use]
pub fn out_of_memory(pod: &PodSeen, limit: Option<&str>) -> String {
    let bound = limit.map_or_else(
        || "there is on its node".to_owned(),
        |limit| format!("its limit of {limit}"),
    );
    let remedy = match pod.component {
        Component::Adapters => "raise adapters.resources.limits.memory",
        Component::Workers => "raise workers.resources.limits.memory",
        Component::Broker => "it is for development: name a Kafka in messaging.kafka",
        Component::Store => "it is for development: name a Redis in state.redis",
        Component::Inference => {
            "lower inference.contextTokens, inference.maxConcurrentRequests or \
             inference.instancesPerNode, raise inference.nodeCapacity.memory or \
             inference.resources.limits.memory, or take a smaller model"
        }
    };
    format!(
        "pod {} needs more memory than {bound} and was ended (OOMKilled): {remedy}",
        pod.name
    )
}

/// What a pod's container wrote before it ended: a reason when it spoke our language, and a message.
#[must_use]
pub fn last_words(pod: &PodSeen) -> Option<(Option<Reason>, String)> {
    let text = pod.last_words.as_deref()?.trim();
    if text.is_empty() {
        return None;
    }
    match serde_json::from_str::<Termination>(text) {
        Ok(termination) => Some((termination.reason.parse().ok(), termination.message)),
        // The last lines of its log, then: the last one says most.
        Err(_) => text.lines().last().map(|line| (None, line.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::status::find;
    use crate::world::{EvictedPod, Signal};

    #[test]
    fn pods_that_nodes_throw_out_are_told_while_they_are_missed() {
        let mut world = world().passed().rolled_out(2);
        let instances = world.observed.pods.iter();
        let mut instances = instances.filter(|pod| pod.component == Component::Inference);
        let mut evicted = EvictedPod {
            component: Component::Inference,
            revision: instances.next().unwrap().revision.clone(),
            message: "The node was low on resource: memory".to_owned(),
            at: world.now,
        };
        world.observed.evicted.push(evicted.clone());
        let reason = |world: &World| told(world, ConditionType::InferenceReady).0;
        assert_eq!(reason(&world), "MinimumReplicasAvailable");
        world
            .observed
            .pods
            .retain(|pod| pod.component != Component::Inference);
        assert_eq!(reason(&world), "Evicted");
        let (_, message) = told(&world, ConditionType::InferenceReady);
        assert!(message.contains("low on resource: memory") && message.contains("raise the limit"));
        evicted.at = world.now - SignedDuration::from_mins(11);
        world.observed.evicted = vec![evicted.clone()];
        assert_eq!(reason(&world), "InsufficientReplicas", "long ago");
        evicted.at = world.now;
        evicted.revision = "before".to_owned();
        world.observed.evicted = vec![evicted];
        assert_eq!(reason(&world), "InsufficientReplicas", "of another plan");
    }

    /// A world whose instances are in this trouble.
    fn troubled(trouble: &Trouble, last_words: Option<&str>) -> World {
        let mut world = world().passed().rolled_out(2);
        let instances = world.observed.pods.iter_mut();
        for pod in instances.filter(|pod| pod.component == Component::Inference) {
            pod.ready = false;
            pod.state = Signal::Unknown(Reason::Pending);
            pod.trouble = Some(trouble.clone());
            pod.last_words = last_words.map(str::to_owned);
        }
        world
    }

    fn told(world: &World, kind: ConditionType) -> (String, String) {
        let status = world.status();
        let condition = find(&status, kind).unwrap();
        (condition.reason.clone(), condition.message.clone())
    }

    #[test]
    fn a_model_that_needs_more_memory_than_an_instance_has_is_told_with_what_decides_on_it() {
        let trouble = Trouble::OutOfMemory(Some("460Mi".to_owned()));
        let mut world = troubled(&trouble, Some("the last line of its log"));
        for (kind, reason) in [
            (ConditionType::ModelReady, "DoesNotFit"),
            (ConditionType::InferenceReady, "CrashLooping"),
            (ConditionType::Ready, "Stalled"),
            (ConditionType::Stalled, "DoesNotFit"),
        ] {
            let (said, message) = told(&world, kind);
            assert_eq!(said, reason, "{kind}");
            for word in [
                "460Mi",
                "inference.nodeCapacity",
                "inference.instancesPerNode",
                "inference.contextTokens",
                "inference.maxConcurrentRequests",
            ] {
                assert!(message.contains(word), "{kind}: {message}");
            }
        }
        // The model fits when one instance serves it: the other one's end is its own affair.
        let serving = world.instance();
        let instances = world.observed.pods.iter_mut();
        for pod in instances.filter(|pod| pod.name == serving.name) {
            *pod = serving.clone();
        }
        assert_eq!(told(&world, ConditionType::ModelReady).0, "Published");
        assert_eq!(
            told(&world, ConditionType::InferenceReady).0,
            "CrashLooping"
        );
    }

    #[test]
    fn a_deployment_that_somebody_paused_is_told_only_when_something_is_to_be_rolled_out() {
        let pause = |mut world: World| {
            for seen in world.observed.deployments.values_mut() {
                seen.paused = true;
                seen.progress = "DeploymentPaused".to_owned();
            }
            world
        };
        let still = pause(world().settled());
        let (reason, message) = told(&still, ConditionType::Ready);
        assert_eq!(reason, "AllReady", "{message}");
        let mut edited = world_with(|yaml| yaml.replace("cpu: 8", "cpu: 4"));
        edited.observed = still.observed.clone();
        edited.memory = still.memory.clone();
        let mut edited = edited.passed();
        let inference = edited.observed.deployments.get_mut("support-inference");
        inference.unwrap().updated = 0;
        for (kind, reason) in [
            (ConditionType::InferenceReady, "DeploymentPaused"),
            (ConditionType::Stalled, "DeploymentPaused"),
            (ConditionType::Ready, "Stalled"),
            (ConditionType::AdaptersReady, "MinimumReplicasAvailable"),
        ] {
            let (said, message) = told(&edited, kind);
            assert_eq!(said, reason, "{kind}: {message}");
            let names = message.contains("kubectl rollout resume deployment/support-inference");
            assert_eq!(names, kind != ConditionType::AdaptersReady, "{message}");
        }
    }

    #[test]
    fn what_keeps_pods_from_starting_is_told_with_what_to_do() {
        for (trouble, words) in [
            (
                Trouble::ImagePull("image \"x:1\" cannot be pulled".to_owned()),
                "x:1\" cannot be pulled: correct spec.image or inference.engine.image",
            ),
            (
                Trouble::Unschedulable("0/3 nodes".to_owned()),
                "0/3 nodes: free or add nodes",
            ),
            (
                Trouble::Reference("secret \"s\" not found".to_owned()),
                "not found: make the Secret",
            ),
        ] {
            let (_, message) = told(&troubled(&trouble, None), ConditionType::InferenceReady);
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_pod_that_stops_again_and_again_is_told_in_its_own_words() {
        let trouble = Trouble::Crash("exit code 1".to_owned());
        let taken = r#"{"reason":"Other","message":"the port is taken"}"#;
        for (last_words, word) in [
            (Some(taken), "the port is taken"),
            (Some("first line\nits last line\n"), "its last line"),
            (None, "exit code 1"),
        ] {
            let (reason, message) = told(
                &troubled(&trouble, last_words),
                ConditionType::InferenceReady,
            );
            assert_eq!(reason, "CrashLooping");
            assert!(message.ends_with(word), "{message}");
        }
    }
}
