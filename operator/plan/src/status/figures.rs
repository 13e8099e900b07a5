//! The figures that are shown: pods counted, bounds, and the columns of `kubectl get`.

use chatbot_crds::ChatBotClusterStatus;
use chatbot_crds::status::{Bound, InferenceStatus, Readiness, Summary, WorkloadStatus};

use crate::names;
use crate::proposal::{Component, Plan};
use crate::run;
use crate::world::World;

/// Every Deployment.
pub(super) fn workloads(world: &World) -> Vec<WorkloadStatus> {
    Component::ALL
        .into_iter()
        .filter_map(|component| {
            let name = names::workload(&world.cluster, component);
            let seen = world.observed.deployments.get(&name)?;
            let (replicas, ready_replicas) = counted(world, component);
            Some(WorkloadStatus {
                name: component.as_str().to_owned(),
                replicas,
                ready_replicas,
                updated_replicas: count(seen.updated).min(replicas),
            })
        })
        .collect()
}

/// The pods that run the model.
pub(super) fn inference(world: &World, plan: &Plan) -> InferenceStatus {
    let (replicas, ready_replicas) = counted(world, Component::Inference);
    let selector = names::service_selector(&world.cluster, Component::Inference)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>();
    InferenceStatus {
        replicas,
        ready_replicas,
        selector: Some(selector.join(",")),
        node_capacity: world
            .observed
            .status
            .inference
            .as_ref()
            .and_then(|inference| inference.node_capacity.clone()),
        bounds: plan
            .settled
            .get(&Component::Inference)
            .into_iter()
            .flat_map(|settled| &settled.votes)
            .map(|vote| Bound {
                source: vote.by.to_owned(),
                min_replicas: vote.floor.map(count),
                max_replicas: vote.ceiling.map(count),
                reason: vote.because.clone(),
            })
            .collect(),
    }
}

/// Pods that count for their Deployment, and how many of them are ready. They are counted here, not by the Deployment's
/// own status: that follows its pods a moment later, and would contradict the conditions.
fn counted(world: &World, component: Component) -> (i32, i32) {
    let pods = || {
        let pods = world.observed.pods_of(component);
        pods.filter(|pod| !pod.leaving)
    };
    let number = |pods: usize| i32::try_from(pods).unwrap_or(i32::MAX);
    let ready = pods().filter(|pod| pod.ready).count();
    (number(pods().count()), number(ready))
}

/// Figures for the columns.
pub(super) fn summary(world: &World, plan: &Plan, status: &ChatBotClusterStatus) -> Summary {
    let settled = plan.settled.get(&Component::Inference);
    let deployment = names::workload(&world.cluster, Component::Inference);
    let seen = world.observed.deployments.get(&deployment);
    let wanted = match (seen, settled) {
        (Some(seen), _) => seen.desired,
        (None, Some(settled)) if !run::is_halted(world) => settled.floor,
        _ => 0,
    };
    let floor = settled.and_then(|settled| {
        let vote = settled.floor_vote()?;
        Some(format!("{} {}", settled.floor, vote.by))
    });
    let working = status
        .channels
        .iter()
        .filter(|channel| channel.ready == Readiness::True)
        .count();
    Summary {
        replicas: status
            .inference
            .as_ref()
            .map(|inference| format!("{}/{wanted}", inference.ready_replicas)),
        channels: Some(format!("{working}/{}", status.channels.len())),
        model: status.model.as_ref().map(|model| model.format.clone()),
        floor,
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
