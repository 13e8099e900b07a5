//! What is measured: demand, starts, errors, jobs, prices. Each is known since when, or unknown; a signal that is older
//! than its kind allows is as good as unknown.

use std::collections::BTreeMap;

use chatbot_crds::Reason;
use jiff::{SignedDuration, Timestamp};

use crate::world::{Signal, World};

/// How long a list of jobs is believed.
const JOBS_ARE_OLD: SignedDuration = SignedDuration::from_mins(5);

/// The training jobs; none where nobody asks for training and none was seen. Not known where training is asked for, or
/// jobs were seen, and they are no longer: they may be on any node.
#[must_use]
pub fn jobs(world: &World) -> Option<&[JobSeen]> {
    let seen = &world.observed.signals.jobs;
    if let Some((jobs, _)) = fresh(seen, world.now, JOBS_ARE_OLD) {
        return Some(jobs);
    }
    let were_seen = seen.known().is_some_and(|jobs| !jobs.is_empty());
    (world.foresight.training.is_none() && !were_seen).then_some(&[])
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Signals {
    /// Requests over the newest whole step; `at` is the end of that step.
    pub demand: Signal<Demand>,
    /// How long instances take to start.
    pub starts: Signal<Starts>,
    /// Requests and failures over the last minutes.
    pub errors: Signal<Errors>,
    /// What spot capacity does.
    pub market: Signal<Market>,
    /// The training jobs.
    pub jobs: Signal<Vec<JobSeen>>,
    /// Prices an hour by instance type and capacity type, in thousandths of the currency.
    pub prices: Signal<BTreeMap<Priced, u64>>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            demand: Signal::Unknown(Reason::Pending),
            starts: Signal::Unknown(Reason::Pending),
            errors: Signal::Unknown(Reason::Pending),
            market: Signal::Unknown(Reason::Pending),
            jobs: Signal::Unknown(Reason::Pending),
            prices: Signal::Unknown(Reason::Pending),
        }
    }
}

/// Requests over one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Requests that arrived, a second; not those that were answered, which capacity would bound.
    pub per_second: f64,
    /// Instances that were ready, on average over the step.
    pub replicas: f64,
    /// Their mean CPU use, as a part of what they request.
    pub utilisation: f64,
}

/// How long instances take to start, from created to ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Starts {
    /// On a node that has nothing of the model in memory.
    pub cold: SignedDuration,
    /// On one that has all of it.
    pub warm: SignedDuration,
}

/// Requests and failures over the last minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    /// Requests.
    pub requests: u64,
    /// Of these, refused or timed out because every instance was busy.
    pub overloaded: u64,
    /// Of these, failed because something that the product depends on did: broker, store, platform.
    pub dependency: u64,
    /// Of these, failed otherwise, by the revision of the instance that failed.
    pub by_revision: BTreeMap<String, RevisionErrors>,
}

/// What the instances of one revision did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevisionErrors {
    /// Requests that they took.
    pub requests: u64,
    /// Of these, failed by themselves.
    pub failed: u64,
}

/// What spot capacity does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Market {
    /// When a spot node was last taken back. That one was refused says nothing: a placeholder waits for it.
    pub last_taken: Option<Timestamp>,
}

/// A training job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSeen {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether it was asked to write a checkpoint, and when.
    pub asked: Option<Timestamp>,
    /// When it last wrote one, or began.
    pub checkpoint: Timestamp,
    /// How long it takes to write one.
    pub grace: SignedDuration,
    /// What it requests: CPU in thousandths.
    pub cpu_milli: u64,
    /// What it requests: bytes.
    pub memory_bytes: u64,
    /// The nodes that it is on.
    pub nodes: Vec<String>,
}

/// What has a price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priced {
    /// The provider's name of the machine.
    pub instance_type: String,
    /// Whether it can be taken back.
    pub spot: bool,
}

/// The value, when it is known and no older than `age`. One from the future, by more than a second of clocks apart, is
/// no better than an old one.
pub fn fresh<T>(
    signal: &Signal<T>,
    now: Timestamp,
    age: SignedDuration,
) -> Option<(&T, Timestamp)> {
    match signal {
        Signal::Known { value, at } => {
            let old = now.duration_since(*at);
            (old <= age && old >= SignedDuration::from_secs(-1)).then_some((value, *at))
        }
        Signal::Unknown(_) => None,
    }
}
