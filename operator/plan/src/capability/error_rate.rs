//! What is done when too many requests fail: more instances for overload, the last good revision for a bad one, nothing
//! but waiting for a dependency that fails, and nothing at all when the cause is not known.

use jiff::SignedDuration;

use crate::decision::{Decision, Finding};
use crate::facts::Facts;
use crate::foresight::{ErrorRate, Mode};
use crate::proposal::{Component, Proposal, Vote};
use crate::recollection::{Note, Remedy};
use crate::signals::{Errors, RevisionErrors, fresh};
use crate::world::World;

const NAME: &str = "error_rate";
/// How long a count of errors is believed.
const ERRORS_ARE_OLD: SignedDuration = SignedDuration::from_mins(2);
/// The fewest requests from which something follows, of all and of the revision that is blamed.
const ENOUGH: u64 = 100;
/// The part of all failures, in percent, from which a cause explains them.
const EXPLAINS: u64 = 60;
/// How many times more often a bad revision fails than the others.
const WORSE: u128 = 3;
/// One step: so many percent of the instances more.
const STEP_PERCENT: u32 = 25;
/// All steps together: at most so many times as many as before the first.
const AT_MOST: u32 = 2;
/// Steps count together until none was taken for so long: what was added has ended, the autoscaler has let go of it, and
/// what is wanted is again what demand alone asks for.
const TOGETHER: SignedDuration = SignedDuration::from_hours(1);
/// The time between two steps: a cold start and what is needed to see its effect.
const COOL_DOWN: SignedDuration = SignedDuration::from_mins(5);
/// How long a step holds.
const HOLDS: SignedDuration = SignedDuration::from_mins(15);
/// How long it holds while nobody knows how errors go on.
const HOLDS_BLIND: SignedDuration = SignedDuration::from_hours(1);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Diagnosis {
    Blind(&'static str),
    Fine,
    Overload,
    Revision(String),
    Dependency,
    Unknown,
}

pub(super) fn propose(world: &World, _facts: &Facts) -> Proposal {
    let Some(asked) = world
        .foresight
        .error_rate
        .filter(|asked| asked.mode != Mode::Off)
    else {
        return Proposal::default();
    };
    let errors =
        fresh(&world.observed.signals.errors, world.now, ERRORS_ARE_OLD).map(|known| known.0);
    let diagnosis = diagnose(errors, asked);
    let mut proposal = Proposal {
        findings: vec![told(&diagnosis, errors)],
        ..Proposal::default()
    };
    let good = good(&diagnosis, errors).or_else(|| world.memory.foresight.good_revision.clone());
    if asked.mode == Mode::Active {
        act(world, &diagnosis, good.as_deref(), &mut proposal);
    }
    proposal.notes.extend(good.map(Note::GoodRevision));
    proposal
}

fn diagnose(errors: Option<&Errors>, asked: ErrorRate) -> Diagnosis {
    let Some(errors) = errors else {
        return Diagnosis::Blind("MetricsUnavailable");
    };
    if errors.requests < ENOUGH {
        return Diagnosis::Blind("TooFewRequests");
    }
    let own = errors.by_revision.values().map(|revision| revision.failed);
    let failed = own
        .fold(errors.overloaded, u64::saturating_add)
        .saturating_add(errors.dependency);
    let above = |failed: u64, requests: u64| {
        u128::from(failed) * 10_000
            > u128::from(requests) * u128::from(asked.threshold_basis_points)
    };
    if !above(failed, errors.requests) {
        return Diagnosis::Fine;
    }
    let explains = |part: u64| u128::from(part) * 100 >= u128::from(failed) * u128::from(EXPLAINS);
    if explains(errors.dependency) {
        return Diagnosis::Dependency;
    }
    if explains(errors.overloaded) {
        return Diagnosis::Overload;
    }
    let bad = errors.by_revision.iter().find(|(name, revision)| {
        let others = others(errors, name);
        // Compared crosswise, so that nothing is divided by zero; without others there is nobody to be worse than.
        let crosswise = |one: u64, other: u64| u128::from(one) * u128::from(other);
        let worse = crosswise(revision.failed, others.requests.max(1))
            >= crosswise(others.failed, revision.requests).saturating_mul(WORSE);
        revision.requests >= ENOUGH
            && explains(revision.failed)
            && worse
            && above(revision.failed, revision.requests)
    });
    bad.map_or(Diagnosis::Unknown, |(name, _)| {
        Diagnosis::Revision(name.clone())
    })
}

/// What all revisions but one did.
fn others(errors: &Errors, name: &str) -> RevisionErrors {
    let others = errors
        .by_revision
        .iter()
        .filter(|(other, _)| *other != name);
    others.fold(RevisionErrors::default(), |sum, (_, other)| {
        RevisionErrors {
            requests: sum.requests.saturating_add(other.requests),
            failed: sum.failed.saturating_add(other.failed),
        }
    })
}

/// A revision that serves alone, and well, is one to go back to.
fn good(diagnosis: &Diagnosis, errors: Option<&Errors>) -> Option<String> {
    let by_revision = &errors?.by_revision;
    let (name, revision) = by_revision.iter().next()?;
    let alone = by_revision.len() == 1 && revision.requests >= ENOUGH;
    (alone && *diagnosis == Diagnosis::Fine).then(|| name.clone())
}

fn act(world: &World, diagnosis: &Diagnosis, good: Option<&str>, proposal: &mut Proposal) {
    let before = world.memory.foresight.remedy.clone();
    // A step from the future is another clock's.
    let age = |remedy: &Remedy| world.now.duration_since(remedy.at);
    let before = before.filter(|remedy| !age(remedy).is_negative());
    let holds = if matches!(diagnosis, Diagnosis::Blind(_)) {
        HOLDS_BLIND
    } else {
        HOLDS
    };
    // A refusal stays; the step that it was noted with does not.
    let held = before.and_then(|remedy| {
        let floor = remedy.floor.filter(|_| age(&remedy) < holds);
        let stays = age(&remedy) < TOGETHER || remedy.refused_revision.is_some();
        stays.then_some(Remedy { floor, ..remedy })
    });
    let remedy = match diagnosis {
        Diagnosis::Overload => step(world, held),
        Diagnosis::Revision(bad) => {
            if let Some(good) = good.filter(|good| good != bad) {
                proposal.decisions.push(Decision::RollBack {
                    from: bad.clone(),
                    to: good.to_owned(),
                });
                Some(Remedy {
                    refused_revision: Some(bad.clone()),
                    ..held.unwrap_or_else(|| none(world))
                })
            } else {
                held
            }
        }
        Diagnosis::Dependency => {
            proposal.decisions.push(Decision::OpenCircuit);
            held
        }
        Diagnosis::Blind(_) | Diagnosis::Fine | Diagnosis::Unknown => held,
    };
    let Some(remedy) = remedy else { return };
    if let Some(floor) = remedy.floor {
        proposal.votes.push(Vote {
            component: Component::Inference,
            floor: Some(floor),
            ceiling: None,
            by: "ErrorRate",
            because: "requests are refused because every instance is busy".to_owned(),
        });
    }
    proposal.notes.push(Note::Remedy(remedy));
}

/// A step more, when the last one had its time; all together bounded by what there was before the first. Of instances
/// whose number is not known there cannot be more: then what was asked for holds.
fn step(world: &World, held: Option<Remedy>) -> Option<Remedy> {
    let Some(current) = world.wanted() else {
        return held;
    };
    if let Some(held) = held.as_ref().filter(|held| held.floor.is_some())
        && world.now.duration_since(held.at) < COOL_DOWN
    {
        return Some(held.clone());
    }
    let counts = |held: &&Remedy| held.from > 0 && world.now.duration_since(held.at) < TOGETHER;
    let from = held
        .as_ref()
        .filter(counts)
        .map_or(current, |held| held.from);
    let more = u64::from(current) * u64::from(STEP_PERCENT);
    let more = u32::try_from(more.div_ceil(100)).unwrap_or(u32::MAX).max(1);
    let most = from.max(1).saturating_mul(AT_MOST);
    Some(Remedy {
        at: world.now,
        floor: Some(current.saturating_add(more).min(most)),
        from,
        refused_revision: held.and_then(|held| held.refused_revision),
    })
}

fn none(world: &World) -> Remedy {
    Remedy {
        at: world.now,
        floor: None,
        // No step was taken.
        from: 0,
        refused_revision: None,
    }
}

fn told(diagnosis: &Diagnosis, errors: Option<&Errors>) -> Finding {
    let (reason, what) = match diagnosis {
        Diagnosis::Blind("TooFewRequests") => {
            ("TooFewRequests", "too few requests to tell".to_owned())
        }
        Diagnosis::Blind(reason) => (
            *reason,
            "requests and errors are not known, or were last counted too long ago".to_owned(),
        ),
        Diagnosis::Fine => ("BelowThreshold", "few requests fail".to_owned()),
        Diagnosis::Overload => (
            "Overload",
            "requests are refused because every instance is busy".to_owned(),
        ),
        Diagnosis::Revision(name) => {
            let alone = errors.is_some_and(|errors| others(errors, name).requests == 0);
            let beside = if alone {
                "no other one serves"
            } else {
                "others hardly do"
            };
            (
                "BadRevision",
                format!("instances of revision {name} fail, {beside}"),
            )
        }
        Diagnosis::Dependency => (
            "DependencyFailing",
            "what the product depends on fails: more instances would not help".to_owned(),
        ),
        Diagnosis::Unknown => (
            "CauseUnknown",
            "no single cause explains the failures: nothing is changed".to_owned(),
        ),
    };
    Finding {
        by: NAME,
        reason,
        message: match errors {
            Some(errors) => format!("{what} ({} requests)", errors.requests),
            None => what,
        },
    }
}

#[cfg(test)]
mod tests;
