//! The way back: for every on-demand node that stands in, a placeholder asks for a spot node. It waits for as long as
//! there is none, which costs nothing and moves nobody. Once a node has come and has the model in memory, as many
//! instances move to it as it takes, whole on-demand nodes first: only an empty one can be let go.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::foresight::Spot;
use crate::nodes::{free, is_spot, is_warm};
use crate::proposal::{Component, Proposal};
use crate::recollection::Returning;
use crate::signals::{fresh, jobs};
use crate::world::{NodeSeen, PodSeen, World};

use super::{detach, surge};

/// Nothing returns for so long after spot capacity was taken: what takes one node often takes others.
const CALM: SignedDuration = SignedDuration::from_mins(2);
/// Instances return together at most so often.
const RETURN_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// How long what the market says is believed.
const MARKET_IS_OLD: SignedDuration = SignedDuration::from_mins(5);

/// Instances on on-demand nodes.
pub(super) struct StandIns<'a> {
    /// By node, fewest first.
    pods: Vec<Vec<&'a PodSeen>>,
    /// How many of them are more than the base.
    more: usize,
}

impl<'a> StandIns<'a> {
    pub(super) fn of(world: &'a World, nodes: &'a [NodeSeen]) -> Self {
        let mut by_node: BTreeMap<&str, Vec<&PodSeen>> = BTreeMap::new();
        for pod in world.observed.pods_of(Component::Inference) {
            let node = nodes
                .iter()
                .find(|node| Some(&node.name) == pod.node.as_ref());
            if let Some(node) = node.filter(|node| !is_spot(world, node) && !pod.leaving) {
                by_node.entry(node.name.as_str()).or_default().push(pod);
            }
        }
        let mut pods: Vec<Vec<&PodSeen>> = by_node.into_values().collect();
        for of_one in &mut pods {
            of_one.sort_by_key(|pod| pod.name.as_str());
        }
        pods.sort_by_key(|of_one| (of_one.len(), of_one.first().map(|pod| pod.name.as_str())));
        let all: usize = pods.iter().map(Vec::len).sum();
        Self {
            more: all.saturating_sub(world.base() as usize),
            pods,
        }
    }

    /// Spot nodes that would take what is more than the base.
    pub(super) fn nodes(&self, world: &World) -> u32 {
        let each = world.settings.inference.instances_per_node.max(1) as usize;
        u32::try_from(self.more.div_ceil(each)).unwrap_or(u32::MAX)
    }

    /// Lets go of instances for which there is room on warm spot nodes, at most as many as may be on their way at once.
    pub(super) fn come_back(
        &self,
        world: &World,
        nodes: &[NodeSeen],
        (spot, desired): (&Spot, usize),
        proposal: &mut Proposal,
    ) -> Option<Returning> {
        let since = |at: Timestamp| world.now.duration_since(at);
        let (market, _) = fresh(&world.observed.signals.market, world.now, MARKET_IS_OLD)?;
        let calm = market.last_taken.is_none_or(|at| since(at) >= CALM);
        let before = world.memory.foresight.returning.as_ref();
        let last = before.and_then(|before| before.last);
        let lately =
            last.is_some_and(|at| since(at) < RETURN_EVERY && since(at) >= SignedDuration::ZERO);
        let starting = world
            .observed
            .pods_of(Component::Inference)
            .any(|pod| !pod.ready);
        if !calm || lately || starting {
            return None;
        }
        let surge = surge(spot, desired);
        let mut left = room(world, nodes, desired).min(surge).min(self.more);
        let mut going = Vec::new();
        for of_one in &self.pods {
            // A part of a node goes only where no whole one ever could.
            if of_one.len() > left && (of_one.len() <= surge || !going.is_empty()) {
                break;
            }
            going.extend(of_one.iter().copied().take(left));
            left = left.saturating_sub(of_one.len());
        }
        if going.is_empty() {
            return None;
        }
        proposal.decisions.extend(going.into_iter().map(detach));
        Some(Returning {
            last: Some(world.now),
        })
    }
}

/// Instances that warm spot nodes would take now: where training has nothing, and less what is wanted and not made yet.
/// None where it is not known what training has.
fn room(world: &World, nodes: &[NodeSeen], desired: usize) -> usize {
    let Some(jobs) = jobs(world) else { return 0 };
    let takes = |node: &&NodeSeen| is_spot(world, node) && is_warm(node);
    let room = free(world, nodes.iter().filter(takes), jobs);
    let instances = world.observed.pods_of(Component::Inference);
    let counting = instances.filter(|pod| !pod.leaving).count();
    room.saturating_sub(desired.saturating_sub(counting))
}
