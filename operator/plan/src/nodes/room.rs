//! Room on nodes, in slots: so many as a node has instances.

use super::{admits, leaving};
use crate::proposal::Component;
use crate::signals::JobSeen;
use crate::world::{NodeSeen, World};

/// Instances that are on a node.
fn instances_on(world: &World, node: &NodeSeen) -> usize {
    let pods = world.observed.pods_of(Component::Inference);
    pods.filter(|pod| pod.node.as_ref() == Some(&node.name))
        .count()
}

/// Slots of the nodes that neither instances nor running jobs have.
#[must_use]
pub fn free<'a>(
    world: &World,
    nodes: impl Iterator<Item = &'a NodeSeen>,
    jobs: &[JobSeen],
) -> usize {
    let each = world.settings.inference.instances_per_node as usize;
    let stays = |node: &&NodeSeen| admits(world, node) && leaving(world, node).is_none();
    let taken = |node| instances_on(world, node) + lent(world, node, jobs);
    nodes
        .filter(stays)
        .map(|node| each.saturating_sub(taken(node)))
        .sum()
}

/// Slots of a node that running jobs have. A job on several nodes has an equal part of each.
fn lent(world: &World, node: &NodeSeen, jobs: &[JobSeen]) -> usize {
    let each = u64::from(world.settings.inference.instances_per_node.max(1));
    let slot = (node.cpu_milli / each).max(1);
    let slots: u64 = jobs
        .iter()
        .filter(|job| job.running && job.nodes.contains(&node.name))
        .map(|job| {
            job.cpu_milli
                .div_ceil(job.nodes.len() as u64)
                .div_ceil(slot)
        })
        .sum();
    usize::try_from(slots).unwrap_or(usize::MAX)
}
