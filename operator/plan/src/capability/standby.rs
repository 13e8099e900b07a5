//! Nodes that wait with the model in memory, held by placeholders that instances push away and training does not: what
//! is asked to wait is not lent.
//!
//! Where spot capacity is used, `spot` asks for all of them as spot nodes. What is held here besides is half of them,
//! rounded up, of whatever kind there is, as long as so many spot nodes do not wait yet: an on-demand node that waits
//! costs as much as several spot nodes, and is needed only where there are none.

use std::collections::BTreeMap;

use crate::decision::{Decision, Finding};
use crate::facts::Facts;
use crate::nodes::{NodeUse, is_spot, standby};
use crate::proposal::Proposal;
use crate::signals::jobs;
use crate::world::World;

const NAME: &str = "standby";

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    if world.foresight.standby_nodes == 0 {
        return Proposal::default();
    }
    let wanted = standby(world, 0);
    let finding = |reason, message| Finding {
        by: NAME,
        reason,
        message,
    };
    let Some(uses) = &facts.uses else {
        // The placeholders stay as they are: without a list of nodes nothing is known of them.
        let message = "the nodes are not known, or were last seen too long ago".to_owned();
        return Proposal {
            findings: vec![finding("AgentSilent", message)],
            ..Proposal::default()
        };
    };
    if jobs(world).is_none() {
        // Nor are they changed while nobody knows which nodes training has.
        let message = "which nodes training has is not known".to_owned();
        return Proposal {
            findings: vec![finding("MetricsUnavailable", message)],
            ..Proposal::default()
        };
    }
    let count = |of: fn(&NodeUse) -> bool| uses.values().filter(|node| of(node)).count();
    let waiting = count(|node| matches!(node, NodeUse::Standby { .. }));
    let warm = count(|node| matches!(node, NodeUse::Standby { warm: true }));
    let told = format!("{warm} of {wanted} nodes wait with the model in memory");
    let found = if waiting == 0 && wanted > 0 {
        finding("NoNodes", told)
    } else if warm < wanted as usize {
        finding("Warming", told)
    } else {
        finding("AllWarm", told)
    };
    let any = if world.foresight.spot.is_some() {
        wanted.div_ceil(2).saturating_sub(warm_spot(world, uses))
    } else {
        wanted
    };
    Proposal {
        decisions: vec![Decision::Placeholders { nodes: any }],
        findings: vec![found],
        ..Proposal::default()
    }
}

/// Spot nodes that wait with the model in memory.
fn warm_spot(world: &World, uses: &BTreeMap<String, NodeUse>) -> u32 {
    let nodes = world.observed.nodes.known().into_iter().flatten();
    let waits = |name: &String| matches!(uses.get(name), Some(NodeUse::Standby { warm: true }));
    let count = nodes
        .filter(|node| waits(&node.name) && is_spot(world, node))
        .count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::example::{node, world};
    use crate::foresight::Spot;
    use crate::names;
    use crate::world::Signal;

    fn with(wanted: u32, warm: &[bool]) -> World {
        let mut world = world();
        world.settings.inference.max_replicas = 40;
        world.foresight.standby_nodes = wanted;
        let nodes = warm.iter().enumerate().map(|(index, warm)| {
            let mut node = node(&format!("n{index}"), 8000, 32 << 30);
            node.annotations
                .insert(names::WARM_ANNOTATION.to_owned(), warm.to_string());
            node
        });
        world.observed.nodes = Signal::Known {
            value: nodes.collect(),
            at: world.now,
        };
        world
    }

    fn told(world: &World) -> (Vec<Decision>, Option<&'static str>) {
        let proposal = propose(world, &Facts::of(world));
        let reason = proposal.findings.first().map(|finding| finding.reason);
        (proposal.decisions, reason)
    }

    #[test]
    fn nodes_wait_as_asked_and_count_as_warm_only_when_proven() {
        for (wanted, warm, nodes, reason) in [
            (0, &[true, true][..], None, None),
            (2, &[true, true, false], Some(2), Some("AllWarm")),
            (2, &[true, false], Some(2), Some("Warming")),
            (2, &[], Some(2), Some("NoNodes")),
        ] {
            let decisions: Vec<Decision> = nodes
                .map(|nodes| Decision::Placeholders { nodes })
                .into_iter()
                .collect();
            assert_eq!(told(&with(wanted, warm)), (decisions, reason));
        }
    }

    #[test]
    fn no_more_wait_than_the_most_instances_need() {
        let mut world = with(4, &[true; 10]);
        world.settings.inference.max_replicas = 20;
        let template = world.clone().passed().instance();
        for node in ["n0", "n1", "n2"] {
            let mut pod = template.clone();
            pod.node = Some(node.to_owned());
            world.observed.pods.push(pod);
        }
        let two = vec![Decision::Placeholders { nodes: 2 }];
        assert_eq!(told(&world), (two, Some("AllWarm")));
    }

    #[test]
    fn with_spot_capacity_half_may_be_of_any_kind_until_spot_nodes_wait() {
        for (wanted, spot_nodes, nodes) in [(1, 0, 1), (2, 0, 1), (3, 0, 2), (3, 1, 1), (3, 2, 0)] {
            let mut world = with(wanted, &[true, true, false]);
            world.foresight.spot = Some(Spot::default());
            let Signal::Known { value, .. } = &mut world.observed.nodes else {
                panic!("the nodes are known")
            };
            for node in value.iter_mut().take(spot_nodes) {
                node.labels
                    .insert("karpenter.sh/capacity-type".to_owned(), "spot".to_owned());
            }
            assert_eq!(
                told(&world).0,
                [Decision::Placeholders { nodes }],
                "{wanted} wanted, {spot_nodes} wait"
            );
        }
    }

    #[test]
    fn nodes_that_were_last_seen_long_ago_decide_nothing() {
        let mut world = with(1, &[true]);
        world.now = world
            .now
            .saturating_add(SignedDuration::from_mins(6))
            .unwrap();
        assert_eq!(told(&world), (Vec::new(), Some("AgentSilent")));
    }
}
