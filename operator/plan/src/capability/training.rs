//! Idle capacity lent to training, which can never take production's: what production has, what it may need until
//! training could be gone, what events will need, and what waits beside it is never lent.

mod windows;

use std::cmp::Reverse;

use jiff::SignedDuration;

use crate::decision::{Decision, Finding};
use crate::facts::{Facts, share};
use crate::foresight::Training;
use crate::nodes::{NodeUse, admits, free, leaving, standby};
use crate::outlook::{Blind, LONGEST_CHECKPOINT, comes};
use crate::proposal::{Component, Proposal};
use crate::signals::{JobSeen, jobs};
use crate::world::{NodeSeen, World};

const NAME: &str = "training";
/// What a checkpoint takes when no job has said so.
const CHECKPOINT: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let Some(training) = &world.foresight.training else {
        return Proposal::default();
    };
    let mut proposal = Proposal::default();
    let open = windows::open(world, training, &mut proposal);
    // What says that a window is not usable comes first: it is what a person can change.
    let rooms = open.and_then(|()| rooms(world, facts, training));
    let (room, kept) = match rooms {
        Ok(Rooms {
            expected: Ok(room), ..
        }) => {
            proposal.findings.push(found(
                "WindowOpen",
                format!(
                    "{} CPU and {} GiB are lent",
                    room.cpu_milli / 1000,
                    room.memory_bytes >> 30
                ),
            ));
            (room, room)
        }
        // No more is lent. What was lent is given back for what is seen to be wanted, not for want of a number.
        Ok(Rooms {
            seen,
            expected: Err(blind),
        }) => {
            proposal.findings.push(unknown(format!(
                "nothing more is lent: {blind}; jobs that run leave when instances want their room"
            )));
            (Room::default(), seen)
        }
        Err(finding) => {
            proposal.findings.push(finding);
            (Room::default(), Room::default())
        }
    };
    proposal.decisions.push(Decision::Quota {
        cpu_milli: room.cpu_milli,
        memory_bytes: room.memory_bytes,
    });
    give_back(world, facts, kept, &mut proposal);
    proposal
}

fn found(reason: &'static str, message: impl Into<String>) -> Finding {
    Finding {
        by: NAME,
        reason,
        message: message.into(),
    }
}

fn unknown(message: impl Into<String>) -> Finding {
    found("MetricsUnavailable", message)
}

/// What can be lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Room {
    cpu_milli: u64,
    memory_bytes: u64,
}

/// What nobody needs.
struct Rooms {
    /// By what is seen alone.
    seen: Room,
    /// By what is expected as well.
    expected: Result<Room, Blind>,
}

/// The nodes' capacity without what production may need until training could be gone: the lead of the forecast and the
/// time of a checkpoint.
fn rooms(world: &World, facts: &Facts, training: &Training) -> Result<Rooms, Finding> {
    let uses = facts.uses.as_ref().ok_or_else(|| {
        unknown("nothing is lent: the nodes are not known, or were last seen too long ago")
    })?;
    let capacity = facts
        .node_capacity
        .known()
        .ok_or_else(|| unknown("nothing is lent: what a node has is not known"))?;
    let per_node = world.settings.inference.instances_per_node;
    let share = share(capacity, per_node);
    let ahead = facts.outlook.lead + checkpoint(world);
    let reserved = reserved(world, ahead)
        .ok_or_else(|| unknown("nothing is lent: the instances' Deployment is not seen"))?;
    // A node that is about to go is nobody's, and one that takes no instances is no room for them.
    let nodes = world.observed.nodes.known().into_iter().flatten();
    let staying = nodes
        .filter(|node| admits(world, node))
        .filter_map(|node| uses.get(&node.name))
        .filter(|used| !matches!(used, NodeUse::Leaving { .. }))
        .count();
    let slots = u64::try_from(staying).unwrap_or(0) * u64::from(per_node);
    let without = |reserved: u32| {
        // Beside what production may need as many nodes wait as beside what it has.
        let waiting = standby(world, reserved);
        let kept = u64::from(reserved) + u64::from(waiting) * u64::from(per_node);
        let lendable = slots.saturating_sub(kept);
        Room {
            cpu_milli: training.cpu_milli.min(lendable * share.cpu_milli),
            memory_bytes: training.memory_bytes.min(lendable * share.memory_bytes),
        }
    };
    // Production never has more than its ceiling, whatever is forecast.
    let expected = facts.outlook.replicas(ahead);
    let expected = expected.map(|expected| expected.min(world.settings.inference.max_replicas));
    Ok(Rooms {
        seen: without(reserved),
        expected: expected.map(|expected| without(reserved.max(expected))),
    })
}

/// Instances that production has, or may need by what is known beforehand: the most of all. Not known where their Deployment is not seen.
fn reserved(world: &World, ahead: SignedDuration) -> Option<u32> {
    // Pods that are being left stand beside their replacements.
    let there = world.observed.pods_of(Component::Inference).count();
    let events = world
        .foresight
        .prewarm
        .iter()
        .flat_map(|prewarm| &prewarm.events);
    let events = events
        .filter(|event| comes(world.now, event, ahead).unwrap_or(true))
        .map(|event| event.min_replicas);
    // What overload has asked for, while it holds.
    let remedy = world
        .memory
        .foresight
        .remedy
        .iter()
        .filter_map(|remedy| remedy.floor);
    let inference = &world.settings.inference;
    let most = [world.wanted()?, inference.min_replicas]
        .into_iter()
        .chain(events)
        .chain(remedy)
        .max()
        .unwrap_or(0);
    let most = most.min(inference.max_replicas);
    Some(most.max(u32::try_from(there).unwrap_or(u32::MAX)))
}

/// The longest time that a running job takes for a checkpoint. Where none is seen one may take the longest.
fn checkpoint(world: &World) -> SignedDuration {
    let Some(jobs) = jobs(world) else {
        return LONGEST_CHECKPOINT;
    };
    let longest = jobs
        .iter()
        .filter(|job| job.running)
        .map(|job| job.grace)
        .max();
    longest
        .unwrap_or(CHECKPOINT)
        .clamp(SignedDuration::ZERO, LONGEST_CHECKPOINT)
}

/// Stops what is on nodes that are to wait, and what is above the room, cheapest first, each after a checkpoint that it
/// was asked for. Where production lacks the room already, nothing is waited for.
fn give_back(world: &World, facts: &Facts, room: Room, proposal: &mut Proposal) {
    let Some(jobs) = jobs(world) else { return };
    let mut running: Vec<&JobSeen> = jobs.iter().filter(|job| job.running).collect();
    let used = |of: fn(&JobSeen) -> u64| running.iter().map(|job| of(job)).sum::<u64>();
    let mut cpu = used(|job| job.cpu_milli);
    let mut memory = used(|job| job.memory_bytes);
    let is_to_wait = |job: &JobSeen| {
        let of = |node| facts.uses.as_ref()?.get(node);
        let waits = |node| matches!(of(node), Some(NodeUse::Standby { .. }));
        job.nodes.iter().any(waits)
    };
    // What is lost is what was done since the last checkpoint, on each CPU; jobs that are being stopped stay chosen.
    running.sort_by_key(|job| {
        let lost = world
            .now
            .duration_since(job.checkpoint)
            .max(SignedDuration::ZERO);
        (
            !is_to_wait(job),
            job.asked.is_none(),
            lost,
            Reverse(job.cpu_milli),
            job.name.as_str(),
        )
    });
    let nodes = facts.uses.as_ref().and(world.observed.nodes.known());
    let nodes = nodes.map_or(&[][..], Vec::as_slice);
    let pressed = facts.uses.is_some() && is_pressed(world, nodes, jobs);
    for job in running {
        if cpu <= room.cpu_milli && memory <= room.memory_bytes && !is_to_wait(job) {
            break;
        }
        cpu -= job.cpu_milli;
        memory -= job.memory_bytes;
        let (name, uid) = (job.name.clone(), job.uid.clone());
        let done = job.asked.is_some_and(|asked| {
            job.checkpoint > asked
                || world.now.duration_since(asked) >= job.grace.min(LONGEST_CHECKPOINT)
        });
        if done || pressed && has_room_to_give(world, nodes, job) {
            proposal
                .decisions
                .push(Decision::Suspend { job: name, uid });
        } else {
            if job.asked.is_none() {
                proposal
                    .decisions
                    .push(Decision::Checkpoint { job: name, uid });
            }
            proposal.wake_at = world.now.saturating_add(SignedDuration::from_secs(5)).ok();
        }
    }
}

/// Whether instances wait for room that training has. One that has not been placed yet waits for nothing while there is
/// room beside the jobs.
fn is_pressed(world: &World, nodes: &[NodeSeen], jobs: &[JobSeen]) -> bool {
    let instances = world.observed.pods_of(Component::Inference);
    let waiting = instances.filter(|pod| pod.node.is_none()).count();
    waiting > free(world, nodes.iter(), jobs)
}

/// Whether an instance could take a job's place. Nobody knows it of a job that does not say where it is.
fn has_room_to_give(world: &World, nodes: &[NodeSeen], job: &JobSeen) -> bool {
    let mut takes = nodes
        .iter()
        .filter(|node| admits(world, node) && leaving(world, node).is_none());
    job.nodes.is_empty() || takes.any(|node| job.nodes.contains(&node.name))
}

#[cfg(test)]
mod tests;
