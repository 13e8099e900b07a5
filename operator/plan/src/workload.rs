//! The condition of a component, told by its pods: how many work, and what keeps the others from it.

use chatbot_crds::config::Termination;
use chatbot_crds::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp, civil};

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
            let (reason, message) = not_made(judged.component, failure);
            return condition(Some(false), reason, message);
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
    if rollout.keeping.contains(&judged.component) && enough {
        let message =
            "those of before stay until the adapters meet the new ones: see AdaptersReady";
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

/// Why no pods are made, in the ReplicaSet controller's words, and what to do.
fn not_made(component: Component, failure: &str) -> (Reason, String) {
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
    let message = if failure.contains("must specify") {
        // A quota counts what no pod may leave open then.
        format!("{message}: {}", unstated(component))
    } else {
        with_remedy(&[message], reason)
    };
    (reason, message)
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
        // No node helps where the claim with the model is missing.
        Trouble::Unschedulable(message)
            if message
                .to_ascii_lowercase()
                .contains("persistentvolumeclaim")
                && kind.reasons().contains(&Reason::ModelNotReady) =>
        {
            remedied(Reason::ModelNotReady, pod, message)
        }
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
            None => {
                let message = format!("stops again and again: {reason}");
                remedied(Reason::CrashLooping, pod, &message)
            }
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

/// What to do about a quota on what a pod does not state.
const fn unstated(component: Component) -> &'static str {
    match component {
        Component::Adapters => "set it in adapters.resources",
        Component::Workers => "set it in workers.resources",
        Component::Inference => "set it in inference.resources",
        Component::Broker | Component::Store => {
            "add a LimitRange with a default for it to the namespace"
        }
    }
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
        // The last lines of its log, then: the last one says most, and hardly what to do.
        Err(_) => text.lines().last().map(|line| {
            let reason = Reason::CrashLooping;
            (None, with_remedy(&[timeless(line).to_owned()], reason))
        }),
    }
}

/// A line of a log without the time at its beginning: a pod that ends in the same way again says the same.
fn timeless(line: &str) -> &str {
    let is_date = |word: &str| word.parse::<civil::Date>().is_ok();
    let is_time = |word: &str| word.parse::<civil::Time>().is_ok();
    let is_both =
        |word: &str| word.parse::<Timestamp>().is_ok() || word.parse::<civil::DateTime>().is_ok();
    let bare = |word: &str| {
        let word = word.trim_matches(|sign: char| !sign.is_ascii_alphanumeric());
        word.replace('/', "-").replace(',', ".")
    };
    let first_word = |line: &str| -> Option<(String, usize)> {
        let word = line.split_whitespace().next()?;
        let end = line.find(word)? + word.len();
        Some((bare(word), end))
    };
    let Some((first, end)) = first_word(line) else {
        return line;
    };
    let rest = &line[end..];
    let rest = match first_word(rest) {
        Some((second, end)) if is_date(&first) && is_time(&second) => &rest[end..],
        _ if is_both(&first) || is_time(&first) => rest,
        _ => return line,
    };
    let rest = rest.trim_start();
    if rest.is_empty() { line } else { rest }
}

#[cfg(test)]
mod tests;
