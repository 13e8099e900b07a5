//! How far a plan is rolled out: told by what the cluster has, never by what was sent.

use std::collections::BTreeSet;

use crate::memory::Completed;
use crate::names;
use crate::proposal::Component;
use crate::render::Rendered;
use crate::world::{DeploymentSeen, Observed, PodSeen, Signal};

/// How far a plan is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// What is being rolled out: the hash of every pod template.
    pub revision: String,
    /// Objects that do not carry the plan's hash yet.
    pub unapplied: Vec<String>,
    /// Components whose old pods are still there, or whose new ones are not.
    pub moving: Vec<Component>,
    /// Components of which a pod of before is still there, if only on its way out: a Deployment does not count it.
    pub draining: Vec<Component>,
    /// Deployments whose controller has given up waiting.
    pub overdue: Vec<String>,
    /// Components whose Deployment stays as it is for now.
    pub waiting: Vec<Component>,
    /// Components whose pods of before stay beside the new ones for now.
    pub keeping: Vec<Component>,
}

/// The templates of a plan, by component.
#[must_use]
pub fn revision_of(objects: &[Rendered], component: Component) -> Option<&str> {
    objects
        .iter()
        .find(|object| object.component == Some(component) && object.revision.is_some())
        .and_then(|object| object.revision.as_deref())
}

impl Rollout {
    /// Compares a plan's objects with what is there, and with the rollout that was last seen complete.
    #[must_use]
    pub fn of(objects: &[Rendered], observed: &Observed, last: Option<&Completed>) -> Self {
        let revisions: String = objects
            .iter()
            .filter(|object| object.component.is_some())
            .filter_map(|object| object.revision.as_deref())
            .collect();
        let revision = names::hash(&revisions);
        // Scaling raises a Deployment's generation as an edit does, and no template changes.
        let was_complete = last.is_some_and(|last| last.revision == revision);
        let mut rollout = Self {
            revision,
            unapplied: Vec::new(),
            moving: Vec::new(),
            draining: Vec::new(),
            overdue: Vec::new(),
            waiting: Vec::new(),
            keeping: Vec::new(),
        };
        for object in objects {
            let applied = carries_plan(object, observed);
            if !applied {
                rollout
                    .unapplied
                    .push(format!("{} {}", object.key.kind, object.key.name));
            }
            let (Some(planned), Some(component)) = (&object.revision, object.component) else {
                continue;
            };
            let mut pods = observed.pods.iter();
            if pods.any(|pod| pod.component == component && pod.revision != *planned) {
                rollout.draining.push(component);
            }
            let seen = observed.deployments.get(&object.key.name);
            if !applied || !seen.is_some_and(|seen| is_complete(seen, was_complete)) {
                rollout.moving.push(component);
            }
            if seen.is_some_and(|deployment| deployment.progress == "ProgressDeadlineExceeded") {
                rollout.overdue.push(object.key.name.clone());
            }
        }
        rollout.waiting = rollout.waits(objects, observed);
        rollout
    }

    /// What has one pod that cannot be replaced without loss is replaced last: when a quota, a policy or an image that
    /// is not there keeps new pods out, the others have shown it before, and it goes on. One that nobody can use does not
    /// wait: the others would wait for it.
    fn waits(&self, objects: &[Rendered], observed: &Observed) -> Vec<Component> {
        let is_last = |component: &Component| is_single(*component);
        if self.moving.iter().all(is_last) {
            return Vec::new();
        }
        objects
            .iter()
            .filter(|object| object.revision.is_some() && !carries_plan(object, observed))
            .filter_map(|object| object.component)
            .filter(|component| {
                is_single(*component) && has_something_to_lose(observed, *component)
            })
            .collect()
    }

    /// Instances are replaced by smaller ones after the workers: a worker that begins says whether its prompt fits.
    pub fn wait_for_workers(&mut self, objects: &[Rendered], observed: &Observed) {
        let mut instances = objects
            .iter()
            .filter(|object| object.component == Some(Component::Inference));
        let is_to_change =
            instances.any(|object| object.revision.is_some() && !carries_plan(object, observed));
        if is_to_change && self.moving.contains(&Component::Workers) {
            self.waiting.push(Component::Inference);
        }
    }

    /// Adapters and workers that are to meet elsewhere: neither may leave before the other can follow. Workers of before
    /// stay as long as adapters of before do, and adapters are replaced once a worker is where they go.
    pub fn move_together(&mut self, objects: &[Rendered], observed: &Observed) {
        let adapters = Component::Adapters;
        if self.moving.contains(&adapters) || self.draining.contains(&adapters) {
            self.keeping.push(Component::Workers);
        }
        let mut of_adapters = objects
            .iter()
            .filter(|object| object.component == Some(adapters) && object.revision.is_some());
        let is_to_change = of_adapters.any(|object| !carries_plan(object, observed));
        let planned = revision_of(objects, Component::Workers);
        let mut workers = observed.pods_of(Component::Workers);
        let is_followed = workers.any(|pod| pod.ready && Some(pod.revision.as_str()) == planned);
        let has_something_to_lose = observed.pods_of(adapters).any(|pod| pod.ready);
        if is_to_change && !is_followed && has_something_to_lose {
            self.waiting.push(adapters);
        }
    }

    /// Whether an object is not to be applied yet.
    #[must_use]
    pub fn holds_back(&self, object: &Rendered) -> bool {
        let waits = |component| self.waiting.contains(&component);
        object.revision.is_some() && object.component.is_some_and(waits)
    }

    /// Whether everything is applied and no old pod is left that counts.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unapplied.is_empty() && self.moving.is_empty()
    }

    /// Whether pods of before may serve.
    #[must_use]
    pub fn has_pods_of_before(&self) -> bool {
        !self.moving.is_empty() || !self.draining.is_empty()
    }

    /// Whether it is complete, and the last pod of before is gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_complete() && self.draining.is_empty()
    }
}

/// Whether a component is one pod, which must end before the next one begins.
const fn is_single(component: Component) -> bool {
    matches!(component, Component::Broker | Component::Store)
}

/// Whether a broker or a store may hold what somebody needs. One that is not ready for a moment does.
fn has_something_to_lose(observed: &Observed, component: Component) -> bool {
    let mut pods = observed.pods_of(component);
    pods.any(|pod| pod.trouble.is_none()) && !is_useless(observed, component)
}

/// Whether a broker or a store cannot be used by anybody, although it is ready, as far as the pods tell.
fn is_useless(observed: &Observed, component: Component) -> bool {
    let told = |pod: &PodSeen| {
        let state = pod.state.known()?;
        let told = match component {
            Component::Broker => state.broker.as_ref(),
            _ => state.store.as_ref(),
        };
        told?.usable
    };
    let told: BTreeSet<bool> = observed
        .pods
        .iter()
        .filter(|pod| !pod.ending)
        .filter_map(told)
        .collect();
    let mut pods = observed.pods_of(component);
    told == BTreeSet::from([false]) && pods.any(|pod| pod.ready)
}

/// Whether the cluster has an object as planned.
#[must_use]
pub fn carries_plan(object: &Rendered, observed: &Observed) -> bool {
    observed
        .children
        .get(&object.key)
        .is_some_and(|child| child.owned && child.hash.as_deref() == Some(&object.hash))
}

/// The controller says so once, and means it until the template changes: pods lost later are another matter, and so is
/// whoever pauses and resumes a Deployment of which nothing is to be rolled out. Of what is to be, a paused one updates none.
fn is_complete(deployment: &DeploymentSeen, was_complete: bool) -> bool {
    let done = [
        "NewReplicaSetAvailable",
        "DeploymentPaused",
        "DeploymentResumed",
    ];
    (deployment.current || was_complete)
        && deployment.updated == deployment.replicas
        && deployment.updated > 0
        && done.contains(&deployment.progress.as_str())
}

/// The last synthetic conversation of the pods of a component, whatever plan they are from.
pub fn last_probe<'a>(pods: impl Iterator<Item = &'a PodSeen>) -> Option<(&'a PodSeen, i64)> {
    pods.filter_map(|pod| match &pod.state {
        Signal::Known { value, .. } => value.probe.as_ref().map(|probe| (pod, probe.at)),
        Signal::Unknown(_) => None,
    })
    .max_by_key(|(pod, at)| (*at, pod.uid.clone()))
}

/// The adapters pod whose conversation was the last, or which may hold one.
#[must_use]
pub fn prober(observed: &Observed) -> Option<&PodSeen> {
    let adapters = || observed.pods_of(Component::Adapters);
    let last = last_probe(adapters()).map(|(pod, _)| pod);
    last.or_else(|| adapters().find(|pod| pod.ready))
}

/// What is to be remembered of a rollout: the first time that it is seen complete, the conversation last heard.
#[must_use]
pub fn remember(
    rollout: &Rollout,
    remembered: Option<&Completed>,
    prober: Option<&PodSeen>,
) -> Option<Completed> {
    if !rollout.is_complete() {
        return remembered.cloned();
    }
    if let Some(completed) = remembered
        && completed.revision == rollout.revision
    {
        return Some(completed.clone());
    }
    // Without a running prober the moment cannot be told by its clock: it is looked for again.
    let prober = prober?;
    Some(Completed {
        revision: rollout.revision.clone(),
        pod_uid: prober.uid.clone(),
        probe_at: last_probe(std::iter::once(prober)).map_or(0, |(_, at)| at),
    })
}

#[cfg(test)]
mod tests;
