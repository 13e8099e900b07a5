//! The conditions that speak of the whole.

use chatbot_crds::config::{Hop, ProbeState};
use chatbot_crds::{ConditionType, Reason};
use jiff::Timestamp;

use super::{Outcome, find};
use crate::proposal::{Component, Condition, Plan};
use crate::rollout::last_probe;
use crate::run;
use crate::world::{Observed, Signal, World};

/// Seconds without a new synthetic conversation after which the last one says nothing any more.
const PROBE_OVERDUE_SECONDS: i64 = 90;

/// Why `Ready` is not, in the order in which it is told: what explains the others comes first.
const PARTS: [(ConditionType, Reason); 8] = [
    (ConditionType::Available, Reason::NotAvailable),
    (ConditionType::AdaptersReady, Reason::AdaptersNotReady),
    (ConditionType::ChannelsReady, Reason::ChannelsNotReady),
    (ConditionType::WorkersReady, Reason::WorkersNotReady),
    (ConditionType::MessagingReady, Reason::MessagingNotReady),
    (ConditionType::StateReady, Reason::StateNotReady),
    (ConditionType::ModelReady, Reason::ModelNotReady),
    (ConditionType::InferenceReady, Reason::InferenceNotReady),
];

/// What may hold a rollout up, causes before effects.
pub(super) const CAUSES: [ConditionType; 8] = [
    ConditionType::MessagingReady,
    ConditionType::StateReady,
    ConditionType::ModelReady,
    ConditionType::InferenceReady,
    ConditionType::WorkersReady,
    ConditionType::AdaptersReady,
    ConditionType::ChannelsReady,
    ConditionType::Available,
];

/// Whether users are answered now, by whatever generation. Who is not to run takes no messages from then on.
pub(super) fn available_in(world: &World) -> Condition {
    let available = available(&world.observed, world.now);
    if run::is_halted(world) {
        run::at_halt(available)
    } else {
        available
    }
}

/// Whether users are answered now, by whatever generation.
pub(super) fn available(observed: &Observed, now: Timestamp) -> Condition {
    let condition = |status, reason, message: String| Condition {
        kind: ConditionType::Available,
        status,
        reason,
        message,
    };
    // Users reach the pods that are ready: what one finds that is only starting says nothing of them.
    let mut heard = heard(observed, true);
    if heard.is_empty() {
        heard = self::heard(observed, false);
    }
    if heard.is_empty() {
        return unheard(observed, condition);
    }
    heard.retain(|(_, at)| now.as_second() - at.as_second() <= PROBE_OVERDUE_SECONDS);
    if heard.is_empty() {
        let message =
            format!("no synthetic conversation was seen for {PROBE_OVERDUE_SECONDS} seconds");
        return condition(None, Reason::ProbeOverdue, message);
    }
    // Pods that disagree are told in the same words at every look, whoever has spoken last.
    let mut failures = heard.iter().filter_map(|(probe, _)| {
        let reason = failed(probe.failed_hop?);
        Some((reason, probe.message.clone()))
    });
    match failures.next() {
        Some((reason, message)) => condition(Some(false), reason, message),
        None => condition(
            Some(true),
            Reason::Answering,
            "the last synthetic conversation was answered".to_owned(),
        ),
    }
}

/// The last synthetic conversation of each adapters pod, ready or not, in the order of their names, and when it was heard
/// of.
fn heard(observed: &Observed, ready: bool) -> Vec<(&ProbeState, Timestamp)> {
    let pods = observed.pods_of(Component::Adapters);
    let mut pods: Vec<_> = pods.filter(|pod| pod.ready == ready).collect();
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    let told = pods.into_iter().filter_map(|pod| match &pod.state {
        Signal::Known { value, at } => value.probe.as_ref().map(|probe| (probe, *at)),
        Signal::Unknown(_) => None,
    });
    told.collect()
}

fn unheard(
    observed: &Observed,
    condition: impl Fn(Option<bool>, Reason, String) -> Condition,
) -> Condition {
    let before = find(&observed.status, ConditionType::Available)
        .is_some_and(|available| available.reason != Reason::Pending.as_str());
    let ready = observed.pods_of(Component::Adapters).any(|pod| pod.ready);
    if before && !ready {
        let message = "no adapters pod is ready".to_owned();
        condition(Some(false), Reason::AdapterHopFailed, message)
    } else if before {
        let message = "the adapters pod has not reported a synthetic conversation yet".to_owned();
        condition(None, Reason::ProbeOverdue, message)
    } else {
        let message = "there was no synthetic conversation yet".to_owned();
        condition(None, Reason::Pending, message)
    }
}

fn failed(hop: Hop) -> Reason {
    match hop {
        Hop::Adapter => Reason::AdapterHopFailed,
        Hop::Queue => Reason::QueueHopFailed,
        Hop::Worker => Reason::WorkerHopFailed,
        Hop::Inference => Reason::InferenceHopFailed,
        Hop::Reply => Reason::ReplyHopFailed,
    }
}

/// What is still to come until the spec is as it is asked for: every object applied, every old pod gone, and a
/// synthetic conversation held after that.
pub(super) fn under_way(world: &World, plan: &Plan, outcome: &Outcome) -> Option<(Reason, String)> {
    let rollout = &plan.rollout;
    if !rollout.unapplied.is_empty() && !is_repair(world, plan, outcome) {
        let failed = outcome
            .failed
            .first()
            .map(|failed| format!(": {failed}"))
            .unwrap_or_default();
        let objects = match &rollout.unapplied[..] {
            few @ ([_] | [_, _]) => few.join(", "),
            many => format!("{} objects", many.len()),
        };
        Some((
            Reason::RollingOut,
            format!("{objects} to be applied{failed}"),
        ))
    } else if run::is_halted(world) {
        let running = &rollout.moving[..];
        (!running.is_empty()).then(|| (Reason::Halting, run::halting(running)))
    } else if !rollout.moving.is_empty() {
        let parts = Component::ALL.iter();
        let moving: Vec<_> = parts
            .filter(|component| rollout.moving.contains(component))
            .map(|component| component.as_str())
            .collect();
        Some((
            Reason::RollingOut,
            format!("{} rolling out", moving.join(", ")),
        ))
    } else if plan.memory.hops.len() > 1 {
        // What they are let through by is then taken back, which is part of it.
        let message = "waiting for the last pods of before to end";
        Some((Reason::RollingOut, message.to_owned()))
    } else if is_unproven(world, plan) {
        let message = "waiting for a synthetic conversation through the new revision";
        Some((Reason::RollingOut, message.to_owned()))
    } else {
        None
    }
}

/// Whether a change of the spec is under way.
pub(super) fn reconciling(
    world: &World,
    stalled: &Condition,
    under_way: Option<&(Reason, String)>,
) -> Condition {
    let (status, reason, message) = match under_way {
        _ if world.observed.leaving.is_some() => {
            let message = words_of_leaving(&world.observed);
            (true, Reason::Terminating, message)
        }
        _ if run::is_paused(world) => (
            false,
            Reason::Paused,
            under_way.map_or("runStrategy is Paused".to_owned(), |(_, what)| {
                format!("runStrategy is Paused; {what}")
            }),
        ),
        // Both are so, and `Stalled` is told first: whoever waits for an end hears that it needs a person.
        Some((reason, message)) if stalled.status == Some(true) => (
            true,
            *reason,
            format!("{message}; a person is needed, as the condition Stalled says"),
        ),
        Some((reason, message)) => (true, *reason, message.clone()),
        None => (
            false,
            Reason::Settled,
            "no change of the spec is under way".to_owned(),
        ),
    };
    Condition {
        kind: ConditionType::Reconciling,
        status: Some(status),
        reason,
        message,
    }
}

/// What is on its way out, and what becomes of it until then.
pub(super) fn words_of_leaving(observed: &Observed) -> String {
    let what = observed.leaving.as_ref().map(crate::world::Leaving::words);
    format!(
        "{}; nothing is made or repaired any more",
        what.unwrap_or_default()
    )
}

/// A conversation counts when it is another one than the one last heard at the end of the rollout: no pod tells of an
/// earlier one later, whatever its clock was set to.
/// Whether what is not as planned was so before, of this generation and with the same pods, and is being mended.
fn is_repair(world: &World, plan: &Plan, outcome: &Outcome) -> bool {
    let was_ready = find(&world.observed.status, ConditionType::Ready).is_some_and(|ready| {
        ready.status == "True" && ready.observed_generation == Some(world.cluster.generation)
    });
    let completed = plan.memory.completed.as_ref();
    was_ready
        && outcome.failed.is_empty()
        && completed.is_some_and(|completed| completed.revision == plan.rollout.revision)
}

fn is_unproven(world: &World, plan: &Plan) -> bool {
    let Some(completed) = &plan.memory.completed else {
        return true;
    };
    completed.revision != plan.rollout.revision
        || world
            .observed
            .pods_of(Component::Adapters)
            .filter(|pod| pod.uid == completed.pod_uid)
            .any(|pod| {
                let last = last_probe(std::iter::once(pod)).map_or(0, |(_, at)| at);
                last == completed.probe_at
            })
}

/// Whether this generation is rolled out and works: the first thing that is missing, in a fixed order.
pub(super) fn ready(
    world: &World,
    conditions: &[Condition],
    under_way: Option<&(Reason, String)>,
) -> Condition {
    let get = |kind| conditions.iter().find(|condition| condition.kind == kind);
    let blocked = |kind, reason| {
        get(kind)
            .filter(|condition| condition.status == Some(true))
            .map(|condition| (reason, condition.message.clone()))
    };
    let part = |(kind, reason): (ConditionType, Reason)| {
        get(kind)
            .filter(|condition| condition.status != Some(true))
            .map(|condition| (reason, condition.message.clone()))
    };
    let failing = |kind: &ConditionType| {
        get(*kind)
            .filter(|condition| condition.status == Some(false))
            .map(|condition| condition.message.clone())
    };
    let detail = || CAUSES.iter().find_map(failing);
    let halted = || {
        let message = match under_way {
            Some((_, what)) => format!("runStrategy is Halted: {what}"),
            None => "runStrategy is Halted: nothing runs".to_owned(),
        };
        (Reason::Halted, message)
    };
    let paused = || {
        let (_, what) = under_way.filter(|_| run::is_paused(world))?;
        let message = format!("runStrategy is Paused; {what}");
        Some((Reason::Paused, message))
    };
    let rolling_out = || {
        blocked(ConditionType::Reconciling, Reason::RollingOut)
            .filter(|_| !run::is_halted(world))
            // What holds a rollout up is of more use than that there is one.
            .map(|(reason, message)| {
                (
                    reason,
                    detail().map_or(message.clone(), |detail| format!("{message}: {detail}")),
                )
            })
    };
    let leaving = world.observed.leaving.as_ref();
    let missing = leaving
        .map(|_| (Reason::Terminating, words_of_leaving(&world.observed)))
        .or_else(|| blocked(ConditionType::Stalled, Reason::Stalled))
        .or_else(rolling_out)
        .or_else(|| run::is_halted(world).then(halted))
        .or_else(paused)
        .or_else(|| PARTS.into_iter().find_map(part));
    let (status, reason, message) = match missing {
        Some((reason, message)) => (false, reason, message),
        None => (true, Reason::AllReady, "this generation answers".to_owned()),
    };
    Condition {
        kind: ConditionType::Ready,
        status: Some(status),
        reason,
        message,
    }
}
