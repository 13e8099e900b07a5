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
mod tests {
    use chatbot_crds::{ConditionType, Reason};

    use super::*;
    use crate::example::{world, world_with};
    use crate::plan;
    use crate::status::find;
    use crate::world::{Trouble, World};

    /// Has a pod tell of broker and store.
    fn tell(pod: &mut PodSeen, usable: bool) {
        if let Signal::Known { value, .. } = &mut pod.state {
            let states = [&mut value.broker, &mut value.store];
            for state in states.into_iter().flatten() {
                state.usable = Some(usable);
            }
        }
    }

    #[test]
    fn instances_give_way_to_smaller_ones_when_the_workers_have_shown_that_their_prompt_fits() {
        let sized = |tokens: u32| world_with(|yaml| format!("{yaml}    contextTokens: {tokens}\n"));
        let before = sized(4096).settled();
        let edited = |tokens: u32| {
            let mut edited = sized(tokens);
            edited.observed = before.observed.clone();
            edited.memory = before.memory.clone();
            edited
        };
        let replaced = |world: &World| {
            let mut objects = plan(world).objects.into_iter();
            objects.any(|object| {
                object.key.kind == "Deployment" && object.key.name == "support-inference"
            })
        };
        assert!(replaced(&edited(8192)), "what fitted fits");
        let smaller = edited(2048);
        assert!(!replaced(&smaller));
        let told = find(&smaller.status(), ConditionType::InferenceReady).cloned();
        assert!(told.unwrap().message.contains("see WorkersReady"));
        let mut shown = smaller.passed();
        let planned = plan(&shown).objects;
        let workers = shown.observed.pods.iter_mut();
        for pod in workers.filter(|pod| pod.component == Component::Workers) {
            revision_of(&planned, Component::Workers)
                .unwrap()
                .clone_into(&mut pod.revision);
        }
        assert!(replaced(&shown), "the workers have begun");
    }

    /// What is asked for, over what was there before.
    fn edited(before: &World, edit: &str) -> World {
        let mut edited = world_with(|yaml| yaml + edit);
        edited.observed = before.observed.clone();
        edited.memory = before.memory.clone();
        edited
    }

    /// The first worker of the planned revision is ready beside those of before, or an adapter is.
    fn with_one_of(component: Component, world: &World) -> World {
        let mut world = world.clone();
        let planned = plan(&world).objects;
        let mut pods = world.observed.pods.iter_mut();
        let pod = pods.find(|pod| pod.component == component).unwrap();
        revision_of(&planned, component)
            .unwrap()
            .clone_into(&mut pod.revision);
        world
    }

    /// The Deployment of a component as a plan writes it; none when it stays as it is.
    fn deployment(world: &World, component: Component) -> Option<serde_json::Value> {
        let objects = plan(world).objects.into_iter();
        let mut objects = objects.filter(|object| object.key.kind == "Deployment");
        let found = objects.find(|object| object.component == Some(component));
        found.map(|object| object.manifest)
    }

    /// Whether the adapters' Deployment is written, and whether workers of before stay.
    fn staged(world: &World) -> (bool, bool) {
        let workers = deployment(world, Component::Workers).unwrap();
        let keeps = workers["spec"]["minReadySeconds"].as_i64().unwrap_or(0) > 0;
        (deployment(world, Component::Adapters).is_some(), keeps)
    }

    const BROKER: &str =
        "\n  messaging: { kafka: { bootstrapServers: ['b:9092'], replicationFactor: 1 } }\n";

    #[test]
    fn adapters_and_workers_go_to_another_broker_or_store_together() {
        let store = "\n  state: { redis: { addresses: ['s:6379'] } }\n";
        for elsewhere in [BROKER, store] {
            let edited = edited(&world().settled(), elsewhere).passed();
            assert_eq!(staged(&edited), (false, true), "no worker is there yet");
            let told = |world: &World, kind| find(&world.status(), kind).unwrap().clone();
            let adapters = told(&edited, ConditionType::AdaptersReady);
            assert!(
                adapters.message.contains("see WorkersReady"),
                "{adapters:?}"
            );
            let followed = with_one_of(Component::Workers, &edited).passed();
            assert_eq!(staged(&followed), (true, true), "one of before is left");
            let mut ready = followed.clone();
            let planned = plan(&ready).objects;
            let pods = ready.observed.pods.iter_mut();
            for pod in pods.filter(|pod| pod.component == Component::Workers) {
                let revision = revision_of(&planned, Component::Workers);
                revision.unwrap().clone_into(&mut pod.revision);
            }
            let workers = ready.observed.deployments.get_mut("support-workers");
            workers.unwrap().replicas += 1;
            let workers = told(&ready, ConditionType::WorkersReady);
            assert!(workers.message.contains("see AdaptersReady"), "{workers:?}");
            // Of the adapters one is still of before.
            let half = with_one_of(Component::Adapters, &followed);
            assert_eq!(staged(&half), (true, true));
            assert_eq!(staged(&followed.rolled_out(2)), (true, false));
        }
    }

    #[test]
    fn who_meets_where_they_met_waits_for_nobody() {
        let settled = world().settled();
        let labelled = "\n  podMetadata: { labels: { team: a } }\n";
        assert_eq!(staged(&edited(&settled, labelled).passed()), (true, false));
        assert_eq!(
            staged(&world_with(|yaml| yaml + BROKER)),
            (true, false),
            "a first start"
        );
        // What does not serve has nothing to lose.
        let mut broken = edited(&settled, BROKER).passed();
        for pod in &mut broken.observed.pods {
            pod.ready = pod.component != Component::Adapters;
        }
        assert_eq!(staged(&broken), (true, true));
        // An edit that is taken back before the adapters have gone changes nothing for them.
        let back = edited(&edited(&settled, BROKER).passed(), "");
        assert_eq!(staged(&back.passed()), (true, false));
    }

    #[test]
    fn what_nobody_remembers_may_meet_elsewhere() {
        let mut forgotten = edited(&world().settled(), BROKER).passed();
        forgotten.memory = crate::memory::Memory::default();
        assert_eq!(staged(&forgotten), (false, true));
        let followed = with_one_of(Component::Workers, &forgotten).passed();
        assert_eq!(staged(&followed), (true, true));
        assert_eq!(staged(&followed.rolled_out(2)), (true, false));
    }

    #[test]
    fn what_cannot_be_replaced_without_loss_is_replaced_last() {
        let before = world().settled();
        let mut edited =
            world_with(|yaml| format!("{yaml}\n  podMetadata: {{ labels: {{ team: a }} }}\n"));
        edited.observed = before.observed;
        edited.memory = before.memory;
        let replaced = |world: &World| {
            let single = ["support-broker", "support-store"];
            let objects = plan(world).objects.into_iter();
            let deployments = objects.filter(|object| object.key.kind == "Deployment");
            deployments
                .filter(|object| single.contains(&object.key.name.as_str()))
                .count()
        };
        assert_eq!(replaced(&edited), 0);
        let told = |world: &World| {
            let conditions = plan(world).conditions.into_iter();
            let mut told = conditions.filter(|told| told.kind == ConditionType::MessagingReady);
            told.next().unwrap().reason
        };
        assert_eq!(told(&edited), Reason::DevelopmentBroker, "it goes on");
        let mut rolled = edited.clone().passed();
        let plans = plan(&rolled);
        for pod in &mut rolled.observed.pods {
            if let Some(revision) = revision_of(&plans.objects, pod.component) {
                pod.revision = revision.to_owned();
            }
        }
        assert_eq!(replaced(&rolled), 2, "the others are rolled out");
        // What is not ready for a moment is not lost.
        let with = |change: fn(&mut PodSeen)| {
            let mut world = edited.clone();
            world.observed.pods.iter_mut().for_each(change);
            replaced(&world)
        };
        assert_eq!(with(|pod| pod.ready = false), 0);
        // What does not work has nothing to lose, and who waits for it would wait for ever.
        let crash =
            |pod: &mut PodSeen| pod.trouble = Some(Trouble::Crash("exit code 1".to_owned()));
        assert_eq!(with(crash), 2);
        assert_eq!(with(|pod| tell(pod, false)), 2);
        assert_eq!(
            with(|pod| tell(pod, pod.name.ends_with("-0"))),
            0,
            "one can use it"
        );
        edited.observed.pods.clear();
        assert_eq!(replaced(&edited), 2);
    }
}
