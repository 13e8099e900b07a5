//! What `runStrategy` makes of a plan. `Paused`: nothing is written but the status. `Halted`: every pod is brought to
//! an end, and what is needed to go on stays.

use chatbot_crds::spec::RunStrategy;
use chatbot_crds::{ConditionType, Reason};

use crate::names;
use crate::proposal::{Action, Component, Condition};
use crate::render::Rendered;
use crate::world::{PodSeen, World};

/// Whether nothing may be written but the status.
#[must_use]
pub fn is_paused(world: &World) -> bool {
    world.settings.run == RunStrategy::Paused
}

/// Whether things are left as they are: while it is paused, or on its way out.
#[must_use]
pub fn is_left_alone(world: &World) -> bool {
    is_paused(world) || world.observed.leaving.is_some()
}

/// Whether nothing is to run.
#[must_use]
pub fn is_halted(world: &World) -> bool {
    world.settings.run == RunStrategy::Halted
}

/// Whether an object is made in this world. A Deployment begins with one pod: while nothing is to run, none is made.
#[must_use]
pub fn is_wanted(world: &World, object: &Rendered) -> bool {
    !is_halted(world)
        || object.revision.is_none()
        || world.observed.children.contains_key(&object.key)
}

/// Everything to 0, in the order of a message's way: whoever works for pods before it stays until those have ended, so
/// that what they have begun is answered. A pod that takes long to end holds the later ones up, never the user's
/// answer.
///
/// The autoscaler stays as it is: at 0 it does nothing, and above 0 it goes on.
#[must_use]
pub fn halt(world: &World) -> Vec<Action> {
    let mut actions = Vec::new();
    for component in Component::ALL {
        let deployment = names::workload(&world.cluster, component);
        if let Some(seen) = world.observed.deployments.get(&deployment)
            && seen.desired > 0
        {
            actions.push(Action::Scale {
                deployment,
                resource_version: seen.resource_version.clone(),
                replicas: 0,
            });
        }
        if pods(world, component).next().is_some() {
            break;
        }
    }
    actions
}

/// The components of which something is there or may still come.
#[must_use]
pub fn running(world: &World) -> Vec<Component> {
    let wanted = |component| {
        let deployment = names::workload(&world.cluster, component);
        let seen = world.observed.deployments.get(&deployment);
        seen.is_some_and(|seen| seen.desired > 0 || !seen.current)
    };
    Component::ALL
        .into_iter()
        .filter(|component| wanted(*component) || pods(world, *component).next().is_some())
        .collect()
}

/// What ends at present, and what waits for it.
#[must_use]
pub fn halting(running: &[Component]) -> String {
    match running {
        [] => "nothing runs".to_owned(),
        [last] => format!("{} ending", last.as_str()),
        [first, later @ ..] => {
            let later: Vec<_> = later.iter().map(|component| component.as_str()).collect();
            format!("{} ending, then {}", first.as_str(), later.join(", "))
        }
    }
}

/// A part's condition when nothing is to run: whatever depends on pods is as it is because of that, and nobody can tell
/// whether the model could be served.
#[must_use]
pub fn at_halt(condition: Condition) -> Condition {
    let (status, reason, message) = match condition.kind {
        ConditionType::ModelReady => (
            None,
            Reason::Pending,
            "no instance runs that could read the model: runStrategy is Halted",
        ),
        ConditionType::AdaptersReady
        | ConditionType::ChannelsReady
        | ConditionType::WorkersReady
        | ConditionType::MessagingReady
        | ConditionType::StateReady
        | ConditionType::InferenceReady
        | ConditionType::ScalingActive
        | ConditionType::Available => (
            Some(false),
            Reason::Halted,
            "runStrategy is Halted; Always runs it again",
        ),
        _ => return condition,
    };
    Condition {
        status,
        reason,
        message: message.to_owned(),
        ..condition
    }
}

/// Every pod, those on their way out included.
fn pods(world: &World, component: Component) -> impl Iterator<Item = &PodSeen> {
    let pods = world.observed.pods.iter();
    pods.filter(move |pod| pod.component == component)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::plan;
    use crate::status::find;

    /// A settled world whose resource is edited to this strategy.
    pub fn turned(strategy: &str) -> World {
        let before = world().settled();
        let mut turned = world_with(|yaml| {
            let yaml = yaml.replace("generation: 1", "generation: 2");
            format!("{yaml}  runStrategy: {strategy}\n")
        });
        turned.observed = before.observed;
        turned.memory = before.memory;
        turned
    }

    /// The Deployments as the actions leave them, and the pods of those at 0 gone.
    fn after(mut world: World, ended: &[Component]) -> World {
        for Action::Scale {
            deployment,
            replicas,
            ..
        } in plan(&world).actions
        {
            let seen = world.observed.deployments.get_mut(&deployment).unwrap();
            (seen.desired, seen.replicas, seen.updated, seen.ready) =
                (replicas, replicas, replicas, replicas);
        }
        world
            .observed
            .pods
            .retain(|pod| !ended.contains(&pod.component));
        world.passed()
    }

    fn scaled(world: &World) -> Vec<(String, u32)> {
        let actions = plan(world).actions.into_iter();
        actions
            .map(
                |Action::Scale {
                     deployment,
                     replicas,
                     ..
                 }| (deployment, replicas),
            )
            .collect()
    }

    fn told(world: &World, kind: ConditionType) -> (String, String) {
        let status = world.status();
        let condition = find(&status, kind).unwrap();
        (condition.status.clone(), condition.reason.clone())
    }

    fn said(status: &str, reason: &str) -> (String, String) {
        (status.to_owned(), reason.to_owned())
    }

    #[test]
    fn whoever_takes_messages_ends_first_and_the_model_goes_on_until_they_have() {
        let halting = turned("Halted");
        assert_eq!(scaled(&halting), [("support-adapters".to_owned(), 0)]);
        let mut draining = after(halting, &[]);
        for pod in &mut draining.observed.pods {
            pod.ending = pod.component == Component::Adapters;
        }
        assert_eq!(scaled(&draining), [], "a pod that ends still works");
        assert_eq!(
            told(&draining, ConditionType::Reconciling),
            said("True", "Halting")
        );
        for kind in [ConditionType::Ready, ConditionType::Available] {
            assert_eq!(told(&draining, kind), said("False", "Halted"), "{kind}");
        }
        let mut halted = draining;
        for (ended, next) in Component::ALL.into_iter().zip([
            "support-workers",
            "support-inference",
            "support-broker",
            "support-store",
        ]) {
            halted = after(halted, &[ended]);
            assert_eq!(scaled(&halted), [(next.to_owned(), 0)]);
        }
        let halted = after(halted, &Component::ALL);
        assert_eq!(scaled(&halted), []);
        assert_eq!(
            told(&halted, ConditionType::Reconciling),
            said("False", "Settled")
        );
        assert_eq!(told(&halted, ConditionType::Ready), said("False", "Halted"));
        assert_eq!(
            told(&halted, ConditionType::Stalled),
            said("False", "NotStalled")
        );
        assert_eq!(plan(&halted).prune, [], "what is needed to go on stays");
        assert_eq!(halted.status(), halted.observed.status);
    }

    #[test]
    fn a_halted_resource_comes_back_and_is_ready_when_a_conversation_has_gone_through() {
        let mut halted = turned("Halted");
        for _ in Component::ALL {
            halted = after(halted, &Component::ALL);
        }
        let mut back = turned("Always");
        (back.observed, back.memory) = (halted.observed, halted.memory);
        assert_eq!(
            scaled(&back),
            [
                ("adapters", 2),
                ("broker", 1),
                ("inference", 2),
                ("store", 1),
                ("workers", 2)
            ]
            .map(|(component, replicas)| (format!("support-{component}"), replicas))
        );
        assert_eq!(
            told(&back, ConditionType::Reconciling),
            said("True", "RollingOut")
        );
        let back = back.passed().rolled_out(2).later(60).probed(300).passed();
        assert_eq!(
            told(&back, ConditionType::Ready),
            said("False", "RollingOut")
        );
        let back = back.later(5).probed(305).passed();
        assert_eq!(told(&back, ConditionType::Ready), said("True", "AllReady"));
    }

    #[test]
    fn what_is_halted_from_the_beginning_never_makes_a_pod() {
        let halted = world_with(|yaml| format!("{yaml}  runStrategy: Halted\n"));
        let kinds: Vec<_> = plan(&halted)
            .objects
            .iter()
            .map(|object| object.key.kind)
            .collect();
        assert!(kinds.contains(&"Service"), "{kinds:?}");
        assert!(!kinds.contains(&"Deployment"), "{kinds:?}");
        let halted = halted.passed();
        assert_eq!(scaled(&halted), []);
        assert_eq!(
            told(&halted, ConditionType::Reconciling),
            said("False", "Settled")
        );
        assert_eq!(
            told(&halted, ConditionType::ModelReady),
            said("Unknown", "Pending")
        );
    }

    #[test]
    fn what_is_paused_is_neither_changed_nor_repaired() {
        let mut paused = turned("Paused");
        assert_eq!(
            told(&paused, ConditionType::Ready),
            said("True", "AllReady")
        );
        assert_eq!(
            told(&paused, ConditionType::Reconciling),
            said("False", "Paused")
        );
        // Somebody deletes a child, and edits the spec.
        paused
            .observed
            .children
            .retain(|key, _| key.kind != "Service");
        paused.settings.conversation.history_turns = 3;
        let seen = paused.observed.deployments.get_mut("support-inference");
        seen.unwrap().desired = 0;
        let written = plan(&paused);
        assert!(written.objects.is_empty() && written.prune.is_empty());
        assert_eq!(written.actions, []);
        assert_eq!(written.memory, paused.memory);
        assert_eq!(told(&paused, ConditionType::Ready), said("False", "Paused"));
        let status = paused.status();
        let reconciling = find(&status, ConditionType::Reconciling).unwrap();
        assert_eq!(reconciling.reason, "Paused");
        assert!(
            reconciling.message.contains("6 objects"),
            "{}",
            reconciling.message
        );
        assert_eq!(
            told(&paused, ConditionType::AdaptersReady),
            said("True", "MinimumReplicasAvailable"),
            "what runs is told as it is"
        );
    }
}
