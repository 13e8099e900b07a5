//! Instances leave a node before it is taken, and come back to spot capacity when there is some (`returning`).
//!
//! At a notice a pod is let go: its Deployment makes another at once, while the old one goes on serving. It is deleted
//! when the other is ready, or when the deadline comes near. So the surge is exactly the doomed pods.

mod returning;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::decision::{Decision, Finding};
use crate::facts::Facts;
use crate::foresight::Spot;
use crate::names;
use crate::nodes::{NodeUse, UNTIMED, free, is_spot, leaving, odd};
use crate::proposal::{Component, Proposal};
use crate::recollection::{Move, Note};
use crate::world::{NodeSeen, PodSeen, World};
use returning::StandIns;

const NAME: &str = "spot";
/// The time that a pod gets to finish what it is answering, before its node is taken.
const DRAIN: SignedDuration = SignedDuration::from_secs(5);
/// Once a deadline is so far past, the node was not taken: what is on it waits for its replacement like any other.
const OVERDUE: SignedDuration = SignedDuration::from_secs(60);

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let Some(spot) = &world.foresight.spot else {
        return Proposal::default();
    };
    let mut proposal = Proposal::default();
    proposal.findings.extend(no_label(spot));
    proposal.findings.extend(too_many(world, spot));
    let desired = world.wanted().map(|wanted| wanted as usize);
    let (Some(nodes), Some(uses), Some(desired)) =
        (world.observed.nodes.known(), &facts.uses, desired)
    else {
        // What was begun is remembered; nothing new is begun on nodes that nobody has seen lately, or for instances
        // of which nobody knows how many are wanted.
        let moves = world.memory.foresight.moves.clone();
        proposal
            .notes
            .extend(moves.into_iter().map(|(node, step)| Note::Move(node, step)));
        proposal.findings.push(found(
            "AgentSilent",
            if facts.uses.is_none() {
                "the nodes are not known, or were last seen too long ago"
            } else {
                "how many instances are wanted is not known: their Deployment is not seen"
            },
        ));
        return proposal;
    };
    let doomed = doomed(uses);
    mark(world, nodes, &mut proposal);
    let moving = leave(
        world,
        (spot, desired),
        &doomed,
        missing(world, nodes),
        &mut proposal,
    );
    let stand_ins = StandIns::of(world, nodes);
    proposal.decisions.push(Decision::SpotPlaceholders {
        nodes: stand_ins.nodes(world) + world.foresight.standby_nodes,
    });
    let presses = |deadline: &Timestamp| presses(world.now, *deadline);
    let quiet = !doomed.values().any(presses) && moving == 0;
    let returned = quiet
        .then(|| stand_ins.come_back(world, nodes, (spot, desired), &mut proposal))
        .flatten()
        .or_else(|| world.memory.foresight.returning.clone());
    proposal.notes.extend(returned.map(Note::Returning));
    proposal.findings.push(judge(world, nodes, &doomed, moving));
    let odd = nodes.iter().filter_map(|node| odd(world, node));
    proposal
        .findings
        .extend(odd.map(|what| found("NoticeUnclear", what)));
    if hurries(world, &doomed) {
        proposal.wake_at = world.now.saturating_add(SignedDuration::from_secs(1)).ok();
    }
    proposal
}

fn found(reason: &'static str, message: impl Into<String>) -> Finding {
    Finding {
        by: NAME,
        reason,
        message: message.into(),
    }
}

/// A selector without a label names every node, those that are never taken back as well.
fn no_label(spot: &Spot) -> Option<Finding> {
    let selector = spot.node_selector.as_ref()?;
    selector.is_empty().then(|| {
        found(
            "InvalidSpec",
            "spot.nodeSelector: it is empty, which would name every node; give the labels that only spot nodes have, or \
             leave it out for the well-known ones, which are used until then",
        )
    })
}

/// The base is no way around the ceiling.
fn too_many(world: &World, spot: &Spot) -> Option<Finding> {
    let (asked, base) = (spot.on_demand_replicas, world.base());
    let ceiling = world.settings.inference.max_replicas;
    (asked > base).then(|| {
        found(
            "InvalidSpec",
            format!(
                "spot.onDemandReplicas: {asked} must be less than inference.autoscaling.maxReplicas ({ceiling}), since an \
                 autoscaler has at least one; lower it or raise the ceiling; {base} is used until then"
            ),
        )
    })
}

fn doomed(uses: &BTreeMap<String, NodeUse>) -> BTreeMap<&str, Timestamp> {
    uses.iter()
        .filter_map(|(node, used)| match used {
            NodeUse::Leaving { deadline } => Some((node.as_str(), *deadline)),
            _ => None,
        })
        .collect()
}

/// Nodes with a notice take no more pods; those whose notice was taken back do again. Only what was marked here is
/// unmarked here.
fn mark(world: &World, nodes: &[NodeSeen], proposal: &mut Proposal) {
    for node in nodes {
        let marked = node
            .taints
            .iter()
            .any(|taint| taint.key == names::RECLAIM_TAINT);
        let (name, uid) = (node.name.clone(), node.uid.clone());
        if let Some(deadline) = leaving(world, node) {
            proposal.notes.push(Note::Move(
                name.clone(),
                Move {
                    uid: uid.clone(),
                    deadline,
                },
            ));
            if !marked {
                proposal.decisions.push(Decision::Taint {
                    node: name,
                    uid,
                    deadline,
                });
            }
        } else if marked {
            let ours = world.memory.foresight.moves.get(&name);
            if ours.is_some_and(|step| step.uid == uid) {
                // Remembered until the mark is seen to be gone.
                proposal
                    .notes
                    .extend(ours.cloned().map(|step| Note::Move(name.clone(), step)));
                proposal
                    .decisions
                    .push(Decision::Untaint { node: name, uid });
            }
        }
    }
}

/// Instances that wait although every node is full; training's slots are room, since it gives them back.
fn missing(world: &World, nodes: &[NodeSeen]) -> usize {
    let instances = || world.observed.pods_of(Component::Inference);
    let waiting = instances().filter(|pod| pod.node.is_none()).count();
    waiting.saturating_sub(free(world, nodes.iter(), &[]))
}

/// Lets go of the doomed pods, soonest deadline first, and deletes those that are replaced or whose time is over. Those
/// that left of their own accord count again where their replacements are `missing` a place: what leaves holds the very
/// place that is waited for. Returns how many are on their way.
fn leave(
    world: &World,
    (spot, desired): (&Spot, usize),
    doomed: &BTreeMap<&str, Timestamp>,
    missing: usize,
    proposal: &mut Proposal,
) -> usize {
    let deadline = |pod: &PodSeen| {
        pod.node
            .as_deref()
            .and_then(|node| doomed.get(node).copied())
    };
    let instances = || world.observed.pods_of(Component::Inference);
    let ready = instances().filter(|pod| pod.ready && !pod.leaving).count();
    let mut leaving: Vec<&PodSeen> = instances().filter(|pod| pod.leaving).collect();
    // The ones that have longest to live stay longest; those whose notice was taken back longest of all.
    leaving.sort_by_key(|pod| (deadline(pod).unwrap_or(Timestamp::MAX), pod.name.as_str()));
    let needed = desired.saturating_sub(ready);
    let replaced = leaving.len().saturating_sub(needed);
    let staying: Vec<&str> = leaving
        .iter()
        .skip(replaced)
        .rev()
        .filter(|pod| deadline(pod).is_none())
        .take(missing)
        .map(|pod| pod.name.as_str())
        .collect();
    let mut gone = 0;
    for (index, pod) in leaving.iter().enumerate() {
        let due = deadline(pod).is_some_and(|deadline| is_due(world.now, deadline));
        if staying.contains(&pod.name.as_str()) {
            gone += 1;
            proposal.decisions.push(attach(pod));
        } else if index < replaced || due {
            gone += 1;
            proposal.decisions.push(Decision::Delete {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                grace: deadline(pod).map_or(DRAIN * 6, |deadline| {
                    deadline.duration_since(world.now).clamp(DRAIN, DRAIN * 6)
                }),
            });
        }
    }
    let surge = surge(spot, desired);
    let begun = leaving.len() - gone;
    let mut waiting: Vec<&PodSeen> = instances()
        .filter(|pod| !pod.leaving && deadline(pod).is_some())
        .collect();
    waiting.sort_by_key(|pod| (deadline(pod), pod.name.as_str()));
    let next = waiting.iter().take(surge.saturating_sub(begun));
    proposal.decisions.extend(next.map(|pod| detach(pod)));
    begun + waiting.len()
}

fn detach(pod: &PodSeen) -> Decision {
    Decision::Detach {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        resource_version: pod.resource_version.clone(),
    }
}

fn attach(pod: &PodSeen) -> Decision {
    Decision::Attach {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        resource_version: pod.resource_version.clone(),
    }
}

fn is_due(now: Timestamp, deadline: Timestamp) -> bool {
    deadline.duration_since(now) <= DRAIN && !is_overdue(now, deadline)
}

fn is_overdue(now: Timestamp, deadline: Timestamp) -> bool {
    deadline.duration_since(now) < -OVERDUE
}

fn presses(now: Timestamp, deadline: Timestamp) -> bool {
    deadline != UNTIMED && !is_overdue(now, deadline)
}

/// Whether an instance has to be gone by a deadline, or leaves of its own accord. What is overdue waits for its
/// replacement, and a node without instances for its end: both are seen when they come.
fn hurries(world: &World, doomed: &BTreeMap<&str, Timestamp>) -> bool {
    let mut instances = world.observed.pods_of(Component::Inference);
    instances.any(|pod| {
        let deadline = pod.node.as_deref().and_then(|node| doomed.get(node));
        deadline.map_or(pod.leaving, |deadline| presses(world.now, *deadline))
    })
}

/// Replacements that may be on their way at once: at least one, or nothing would ever move.
fn surge(spot: &Spot, desired: usize) -> usize {
    let percent = spot.max_surge_percent as usize;
    (desired * percent).div_ceil(100).max(1)
}

fn judge(
    world: &World,
    nodes: &[NodeSeen],
    doomed: &BTreeMap<&str, Timestamp>,
    moving: usize,
) -> Finding {
    let ready = world
        .observed
        .pods_of(Component::Inference)
        .filter(|pod| pod.ready)
        .count();
    let floor = world.settings.inference.min_replicas as usize;
    let there = nodes.iter().filter(|node| is_spot(world, node)).count();
    let overdue = |deadline: &Timestamp| is_overdue(world.now, *deadline);
    if ready < floor {
        found(
            "FloorAtRisk",
            format!("{ready} of at least {floor} instances are ready"),
        )
    } else if moving == 0 && !doomed.is_empty() && doomed.values().all(overdue) {
        let nodes: Vec<&str> = doomed.keys().copied().collect();
        found(
            "NoticeOverdue",
            format!(
                "{} should have been taken, and is still there; when it stays, remove its annotation {}",
                nodes.join(", "),
                names::RECLAIM_ANNOTATION
            ),
        )
    } else if !doomed.is_empty() || moving > 0 {
        let nodes: Vec<&str> = doomed.keys().copied().collect();
        found(
            "Migrating",
            format!("{moving} instances leave {}", nodes.join(", ")),
        )
    } else if there == 0 && world.base() as usize >= ready {
        found("NoSpotNodes", "there is no spot node")
    } else if there == 0 {
        found(
            "FellBack",
            "there is no spot node: on-demand nodes stand in",
        )
    } else {
        found("Placed", format!("{there} spot nodes"))
    }
}

#[cfg(test)]
mod tests;
