//! The World that a fleet is to the planner. Left out: caches that lag behind, agents that fall silent, errors other than
//! overload, and everything that makes a rollout; everything is seen at once and as it is.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_crds::Settings;
use chatbot_crds::config::State;
use chatbot_plan::foresight::Foresight;
use chatbot_plan::memory::Memory;
use chatbot_plan::names;
use chatbot_plan::nodes::{self, NodeUse};
use chatbot_plan::proposal::Component;
use chatbot_plan::signals::{JobSeen, Priced};
use chatbot_plan::world::{
    DeploymentSeen, Identity, NodeSeen, Observed, PodSeen, Release, Signal, Taint, World,
};
use jiff::{SignedDuration, Timestamp};

use crate::fleet::{Fleet, Pod, count};
use crate::jobs::WRITES;

/// CPU and memory of a node: 8 CPU and 32 GB.
const NODE: (u64, u64) = (8000, 32 << 30);
/// What one slot of it is to a quota: a quarter of 90 % of it.
pub const SLOT: (u64, u64) = (1800, ((32 << 30) / 100 * 90 / 4) >> 20 << 20);
/// The label that says what a node costs to be taken back.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// What every node is.
const STANDARD: &str = "standard";
/// What an hour of an on-demand and of a spot node costs, in thousandths.
pub const PRICE: (u64, u64) = (1000, 330);

/// Why a world cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is no resource.
    #[error("failed to read the resource: {0}")]
    Malformed(#[from] serde_yaml::Error),
    /// It is no file of a resource, or has fields that the schema does not know.
    #[error(transparent)]
    Unknown(#[from] chatbot_crds::ParseError),
    /// It is a resource that cannot be acted on.
    #[error("the resource is refused: {0}")]
    Refused(#[from] chatbot_crds::Faults),
    /// The Kubernetes time is out of range.
    #[error("failed to read a time: {0}")]
    Time(#[from] jiff::Error),
}

/// The resource of the replays, with its bounds.
#[must_use]
pub fn resource(min: u32, max: u32) -> String {
    format!(
        "apiVersion: chatbot.dev/v1alpha1
kind: ChatBotCluster
metadata: {{ name: replay, namespace: replay, uid: u-1, generation: 1 }}
spec:
  channels: [{{ name: web, webChat: {{}} }}]
  inference:
    model: {{ source: {{ persistentVolumeClaim: {{ claimName: models, path: m.gguf }} }} }}
    nodeCapacity: {{ cpu: 8, memory: 32Gi }}
    autoscaling: {{ minReplicas: {min}, maxReplicas: {max} }}
"
    )
}

/// A world in which nothing is there yet.
pub fn world(resource: &str, foresight: Foresight) -> Result<World, Unusable> {
    let settings = Settings::of(&serde_yaml::from_str(resource)?)?;
    Ok(World {
        now: Timestamp::UNIX_EPOCH,
        cluster: Identity {
            namespace: settings.namespace.clone(),
            name: settings.name.clone(),
            uid: settings.uid.clone(),
            generation: settings.generation,
        },
        release: Release {
            image: "chatbot".to_owned(),
            ..Release::default()
        },
        settings,
        foresight,
        observed: Observed::nothing(),
        memory: Memory::default(),
    })
}

/// The fewest and the most instances of a resource in a file, which is checked as an API server would.
pub fn bounds(resource: &str) -> Result<(u32, u32), Unusable> {
    let settings = Settings::of(&chatbot_crds::parse(resource)?)?;
    Ok((
        settings.inference.min_replicas,
        settings.inference.max_replicas,
    ))
}

/// Shows a fleet to a world, at a time.
pub fn show(world: &mut World, fleet: &Fleet, now: i64, desired: u32) -> Result<(), Unusable> {
    world.now = Timestamp::from_second(now)?;
    world.observed.pods = fleet.pods.iter().map(|pod| pod_seen(pod, now)).collect();
    let nodes = fleet.nodes.iter().map(|(id, node)| {
        let mut seen = NodeSeen {
            name: format!("n{id}"),
            uid: format!("n{id}"),
            labels: BTreeMap::from([(INSTANCE_TYPE.to_owned(), STANDARD.to_owned())]),
            annotations: BTreeMap::from([(
                names::WARM_ANNOTATION.to_owned(),
                (node.warm_at <= now).to_string(),
            )]),
            taints: Vec::new(),
            open: true,
            cpu_milli: NODE.0,
            memory_bytes: NODE.1,
        };
        if node.zone.is_some() {
            seen.labels
                .insert("karpenter.sh/capacity-type".to_owned(), "spot".to_owned());
        }
        if let Some(deadline) = node.deadline.and_then(|at| Timestamp::from_second(at).ok()) {
            seen.annotations
                .insert(names::RECLAIM_ANNOTATION.to_owned(), deadline.to_string());
        }
        if node.tainted {
            seen.taints.push(Taint {
                key: names::RECLAIM_TAINT.to_owned(),
                value: String::new(),
                effect: "NoSchedule".to_owned(),
            });
        }
        seen
    });
    world.observed.nodes = Signal::Known {
        value: nodes.collect(),
        at: world.now,
    };
    let ready = fleet
        .pods
        .iter()
        .filter(|pod| !pod.leaving && pod.ready_at <= now);
    let deployment = DeploymentSeen {
        resource_version: "1".to_owned(),
        current: true,
        desired,
        replicas: count(fleet.pods.len()),
        updated: count(fleet.pods.len()),
        ready: count(ready.count()),
        paused: false,
        progress: "NewReplicaSetAvailable".to_owned(),
        failure: None,
    };
    let name = names::workload(&world.cluster, Component::Inference);
    world.observed.deployments.insert(name, deployment);
    Ok(())
}

/// The nodes that the planner has wait.
#[must_use]
pub fn waiting(world: &World) -> BTreeSet<u32> {
    let uses = nodes::uses(world).into_iter().flatten();
    let waiting = uses.filter(|(_, used)| matches!(used, NodeUse::Standby { .. }));
    waiting.filter_map(|(name, _)| number(&name)).collect()
}

/// What an hour of each kind of node costs.
#[must_use]
pub fn prices() -> BTreeMap<Priced, u64> {
    let price = |spot, milli| {
        let kind = Priced {
            instance_type: STANDARD.to_owned(),
            spot,
        };
        (kind, milli)
    };
    BTreeMap::from([price(false, PRICE.0), price(true, PRICE.1)])
}

/// The jobs of a fleet, as the planner sees them.
pub fn jobs(fleet: &Fleet) -> Result<Vec<JobSeen>, Unusable> {
    let on = fleet.nodes.iter();
    let all = on.flat_map(|(node, it)| it.jobs.iter().map(move |job| (node, job)));
    all.map(|(node, job)| {
        Ok(JobSeen {
            name: format!("j{}", job.id),
            uid: format!("j{}", job.id),
            running: true,
            asked: job.asked.map(Timestamp::from_second).transpose()?,
            checkpoint: Timestamp::from_second(job.checkpoint)?,
            grace: SignedDuration::from_secs(WRITES),
            cpu_milli: SLOT.0,
            memory_bytes: SLOT.1,
            nodes: vec![format!("n{node}")],
        })
    })
    .collect()
}

fn pod_seen(pod: &Pod, now: i64) -> PodSeen {
    PodSeen {
        name: format!("p{}", pod.id),
        uid: format!("p{}", pod.id),
        resource_version: "1".to_owned(),
        leaving: pod.leaving,
        component: Component::Inference,
        revision: String::new(),
        config_maps: Vec::new(),
        ready: pod.ready_at <= now,
        ending: false,
        node: pod.node.map(|node| format!("n{node}")),
        ip: None,
        trouble: None,
        last_words: None,
        state: Signal::Known {
            value: State::default(),
            at: Timestamp::UNIX_EPOCH,
        },
    }
}

/// The number in a name of [`show`].
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    name.get(1..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_bound_is_refused_and_not_replaced_by_its_default() {
        let file = "apiVersion: chatbot.dev/v1alpha1
kind: ChatBotCluster
metadata: { name: support }
spec:
  channels: [{ name: web, webChat: {} }]
  inference:
    model: { source: { persistentVolumeClaim: { claimName: models, path: m.gguf } } }
    autoscaling: { minReplicas: 3, maxReplicas: 20 }
";
        assert_eq!(bounds(file).unwrap(), (3, 20));
        let refused = bounds(&file.replace("maxReplicas", "maxReplica")).unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.contains("maxReplica: unknown field; known here:"),
            "{refused}"
        );
    }
}
