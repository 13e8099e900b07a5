//! What each node is for, decided in one place, so that no capability undoes another's decision.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Candidates, leaving};
use crate::names;
use crate::proposal::Component;
use crate::signals::{fresh, jobs};
use crate::world::{NodeSeen, World};

/// The longest time a list of nodes is believed: they are watched, and a watch that says nothing for so long is cut.
const NODES_ARE_OLD: SignedDuration = SignedDuration::from_mins(5);

/// Labels that say that a node can be taken back, and their values, as the platforms set them.
const SPOT_LABELS: [(&str, &str); 4] = [
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
];

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeUse {
    /// Instances; it stays.
    OnDemand,
    /// Instances; it can be taken back.
    Spot,
    /// It waits, or is to wait once training has left it.
    Standby {
        /// Whether it is known that nothing is on it, and its agent has proven that the model is in its memory.
        warm: bool,
    },
    /// Training, until production needs it.
    Lent {
        /// Whether its agent has proven that the model is in its memory.
        warm: bool,
    },
    /// It is about to be taken.
    Leaving {
        /// When.
        deadline: Timestamp,
    },
}

/// What every node is for that is of use here, by name: instances may run on it, or something of ours does. Nothing is
/// known where the nodes are not, or are no longer.
#[must_use]
pub fn uses(world: &World) -> Option<BTreeMap<String, NodeUse>> {
    let (nodes, _) = fresh(&world.observed.nodes, world.now, NODES_ARE_OLD)?;
    let busy: BTreeSet<&str> = world
        .observed
        .pods_of(Component::Inference)
        .filter_map(|pod| pod.node.as_deref())
        .collect();
    let training = training(world);
    let has_training = |name: &str| {
        let training = training.as_ref();
        training.is_some_and(|training| training.contains_key(name))
    };
    // Where training has nothing, then what is the cheapest to empty, warm ones, spot nodes where they are asked for, and
    // by name: the choice is the same at every look, and a node that is being emptied stays chosen.
    let wants_spot = world.foresight.spot.is_some();
    let mut idle: Vec<&NodeSeen> = nodes
        .iter()
        .filter(|node| admits(world, node) && leaving(world, node).is_none())
        .filter(|node| !busy.contains(node.name.as_str()))
        .collect();
    idle.sort_by_key(|node| {
        let name = node.name.as_str();
        let emptied = training.as_ref().and_then(|training| training.get(name));
        let other_kind = wants_spot && !is_spot(world, node);
        (emptied.copied(), !is_warm(node), other_kind, name)
    });
    let standby: BTreeSet<&str> = idle
        .iter()
        .take(standby(world, 0) as usize)
        .map(|node| node.name.as_str())
        .collect();
    let of = |node: &NodeSeen| {
        let (name, warm) = (node.name.as_str(), is_warm(node));
        if let Some(deadline) = leaving(world, node) {
            NodeUse::Leaving { deadline }
        } else if standby.contains(name) {
            // Before lending: what is asked to wait is of use only when nothing is on it.
            NodeUse::Standby {
                warm: warm && training.is_some() && !has_training(name),
            }
        } else if has_training(name) && !busy.contains(name) {
            NodeUse::Lent { warm }
        } else if is_spot(world, node) {
            NodeUse::Spot
        } else {
            NodeUse::OnDemand
        }
    };
    let is_ours = |node: &&NodeSeen| {
        let name = node.name.as_str();
        admits(world, node)
            || busy.contains(name)
            || has_training(name)
            || leaving(world, node).is_some()
    };
    Some(
        nodes
            .iter()
            .filter(is_ours)
            .map(|node| (node.name.clone(), of(node)))
            .collect(),
    )
}

/// What it would take to empty a node that training has: less comes first. A job that was asked to leave is on its way,
/// and else what is lost is what was done since the last checkpoint, on each CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Emptied {
    is_not_asked: bool,
    lost: i128,
}

/// The nodes on which training runs, if that is known: a running job that does not say where it is may be on any.
fn training(world: &World) -> Option<BTreeMap<&str, Emptied>> {
    let mut nodes = BTreeMap::new();
    for job in jobs(world)?.iter().filter(|job| job.running) {
        if job.nodes.is_empty() {
            return None;
        }
        let since = world.now.duration_since(job.checkpoint).as_secs().max(0);
        for node in &job.nodes {
            let emptied = nodes.entry(node.as_str()).or_insert(Emptied {
                is_not_asked: true,
                lost: 0,
            });
            emptied.is_not_asked &= job.asked.is_none();
            emptied.lost += i128::from(since) * i128::from(job.cpu_milli);
        }
    }
    Some(nodes)
}

/// Nodes that are to wait beside those that have instances, or would have them if there were so many: as many as are
/// asked for, and with these no more than the most instances need. Spot nodes are taken away, and there more is of use.
#[must_use]
pub fn standby(world: &World, instances: u32) -> u32 {
    let asked = world.foresight.standby_nodes;
    if world.foresight.spot.is_some() {
        return asked;
    }
    let inference = &world.settings.inference;
    let nodes = |instances: u32| instances.div_ceil(inference.instances_per_node.max(1));
    let pods = world.observed.pods_of(Component::Inference);
    let busy: BTreeSet<&str> = pods.filter_map(|pod| pod.node.as_deref()).collect();
    let busy = u32::try_from(busy.len()).unwrap_or(u32::MAX);
    let busy = busy.max(nodes(instances));
    asked.min(nodes(inference.max_replicas).saturating_sub(busy))
}

/// Whether instances may be placed on a node: it is open, has the labels that are asked for, and no other taints than
/// may be.
#[must_use]
pub fn admits(world: &World, node: &NodeSeen) -> bool {
    let inference = &world.settings.inference;
    let candidates = Candidates {
        selector: &inference.node_selector,
        tolerations: &inference.tolerations,
    };
    candidates.admits(node)
}

/// Whether a node can be taken back.
#[must_use]
pub fn is_spot(world: &World, node: &NodeSeen) -> bool {
    let has = |key: &str, value: &str| node.labels.get(key).is_some_and(|is| is == value);
    let own = world.foresight.spot.as_ref();
    let own = own.and_then(|spot| spot.node_selector.as_ref());
    match own.filter(|selector| !selector.is_empty()) {
        Some(selector) => selector.iter().all(|(key, value)| has(key, value)),
        None => SPOT_LABELS.iter().any(|(key, value)| has(key, value)),
    }
}

/// Whether the node's agent has proven that the model is in its memory.
#[must_use]
pub fn is_warm(node: &NodeSeen) -> bool {
    node.annotations
        .get(names::WARM_ANNOTATION)
        .is_some_and(|warm| warm == "true")
}

#[cfg(test)]
mod tests;
