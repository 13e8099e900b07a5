//! Nodes that wait with the model in memory, held by placeholders that anything may push away.

use crate::decision::{Decision, Finding};
use crate::facts::Facts;
use crate::nodes::NodeUse;
use crate::proposal::Proposal;
use crate::world::World;

const NAME: &str = "standby";

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let wanted = world.foresight.standby_nodes;
    if wanted == 0 {
        return Proposal::default();
    }
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
    let count = |of: fn(&NodeUse) -> bool| uses.values().filter(|node| of(node)).count();
    let waiting = count(|node| matches!(node, NodeUse::Standby { .. } | NodeUse::Lent { .. }));
    let warm = count(|node| {
        matches!(
            node,
            NodeUse::Standby { warm: true } | NodeUse::Lent { warm: true }
        )
    });
    let lent = count(|node| matches!(node, NodeUse::Lent { .. }));
    let told = format!("{warm} of {wanted} nodes wait with the model in memory");
    let found = if waiting == 0 {
        finding("NoNodes", told)
    } else if warm < wanted as usize {
        finding("Warming", told)
    } else {
        finding("AllWarm", told)
    };
    // A node that training has is held by training: a placeholder beside it would be paid for twice.
    let lent = u32::try_from(lent).unwrap_or(u32::MAX);
    Proposal {
        decisions: vec![Decision::Placeholders {
            nodes: wanted.saturating_sub(lent),
        }],
        findings: vec![found],
        ..Proposal::default()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::example::{node, world};
    use crate::names;
    use crate::world::Signal;

    fn with(wanted: u32, warm: &[bool]) -> World {
        let mut world = world();
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
    fn nodes_that_were_last_seen_long_ago_decide_nothing() {
        let mut world = with(1, &[true]);
        world.now = world
            .now
            .saturating_add(SignedDuration::from_mins(6))
            .unwrap();
        assert_eq!(told(&world), (Vec::new(), Some("AgentSilent")));
    }
}
