//! What goes wrong, and when. Pure: the same seed gives the same schedule.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// Gateways and workers of the service.
pub const GATEWAYS: usize = 2;
/// The same of workers.
pub const WORKERS: usize = 3;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A gateway is killed, and another started in its place at the end.
    KillGateway(usize),
    /// The same of a worker.
    KillWorker(usize),
    /// A gateway is told to end, and another started in its place at once: a rollout.
    ReplaceGateway(usize),
    /// The same of a worker.
    ReplaceWorker(usize),
    /// A gateway stands still for longer than its group believes in it, and goes on.
    FreezeGateway(usize),
    /// The same of a worker.
    FreezeWorker(usize),
    /// A worker stands still for long enough to be forgotten by everybody, and comes back.
    PauseWorker(usize),
    /// One more worker comes, and goes.
    MoreWorkers,
    /// The broker is stopped in order, and started again.
    StopBroker,
    /// The broker stands still, and goes on.
    FreezeBroker,
    /// The store forgets everything.
    FlushStore,
    /// The store dies, and is started again with nothing in it.
    KillStore,
    /// The store stands still, and goes on.
    FreezeStore,
    /// The platform says that it is busy.
    Busy,
}

/// What a fault harms: nothing is harmed twice at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Gateway(usize),
    Worker(usize),
    OneMore,
    Broker,
    Store,
    Platform,
}

/// A fault in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins, from the first delivery.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

impl Planned {
    /// When it ends.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

impl Fault {
    /// One of each kind, its victim drawn.
    fn all(rng: &mut Rng) -> Vec<Self> {
        let (gateway, worker) = (
            |rng: &mut Rng| rng.usize(0..GATEWAYS),
            |rng: &mut Rng| rng.usize(0..WORKERS),
        );
        vec![
            Self::KillGateway(gateway(rng)),
            Self::KillWorker(worker(rng)),
            Self::ReplaceGateway(gateway(rng)),
            Self::ReplaceWorker(worker(rng)),
            Self::FreezeGateway(gateway(rng)),
            Self::FreezeWorker(worker(rng)),
            Self::PauseWorker(worker(rng)),
            Self::MoreWorkers,
            Self::StopBroker,
            Self::FreezeBroker,
            Self::FlushStore,
            Self::KillStore,
            Self::FreezeStore,
            Self::Busy,
        ]
    }

    /// Whether both harm the same.
    #[must_use]
    pub fn harms_as(self, other: Self) -> bool {
        self.target() == other.target()
    }

    fn target(self) -> Target {
        match self {
            Self::KillGateway(one) | Self::ReplaceGateway(one) | Self::FreezeGateway(one) => {
                Target::Gateway(one)
            }
            Self::KillWorker(one)
            | Self::ReplaceWorker(one)
            | Self::FreezeWorker(one)
            | Self::PauseWorker(one) => Target::Worker(one),
            Self::MoreWorkers => Target::OneMore,
            Self::StopBroker | Self::FreezeBroker => Target::Broker,
            Self::FlushStore | Self::KillStore | Self::FreezeStore => Target::Store,
            Self::Busy => Target::Platform,
        }
    }

    /// How long it lasts, milliseconds. A group believes in a silent member for 6 s.
    fn lasts(self, rng: &mut Rng) -> Duration {
        let between = match self {
            Self::KillGateway(_) | Self::KillWorker(_) | Self::KillStore => 500..4_000,
            Self::FreezeGateway(_) | Self::FreezeWorker(_) => 7_000..12_000,
            Self::PauseWorker(_) => 15_000..25_000,
            Self::MoreWorkers => 4_000..10_000,
            Self::StopBroker => 500..8_000,
            Self::FreezeBroker => 1_000..14_000,
            Self::FreezeStore => 1_000..6_000,
            Self::Busy => 300..1_500,
            Self::ReplaceGateway(_) | Self::ReplaceWorker(_) | Self::FlushStore => {
                return Duration::ZERO;
            }
        };
        Duration::from_millis(rng.u64(between))
    }

    /// A word or two, as it is counted under.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::KillGateway(_) => "gateway killed",
            Self::KillWorker(_) => "worker killed",
            Self::ReplaceGateway(_) => "gateway replaced",
            Self::ReplaceWorker(_) => "worker replaced",
            Self::FreezeGateway(_) => "gateway frozen",
            Self::FreezeWorker(_) => "worker frozen",
            Self::PauseWorker(_) => "worker paused",
            Self::MoreWorkers => "one more worker",
            Self::StopBroker => "broker stopped",
            Self::FreezeBroker => "broker frozen",
            Self::FlushStore => "store flushed",
            Self::KillStore => "store killed",
            Self::FreezeStore => "store frozen",
            Self::Busy => "platform busy",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self.target() {
            Target::Gateway(one) | Target::Worker(one) => write!(f, " ({one})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:7.1} s  {}", self.fault)?;
        if self.lasts.is_zero() {
            return Ok(());
        }
        write!(f, " for {lasts:.1} s")
    }
}

/// Every kind of fault so many times within a span, in the order in which they begin.
#[must_use]
pub fn plan(seed: u64, span: Duration, rounds: u32) -> Vec<Planned> {
    let mut rng = Rng::with_seed(seed);
    let mut faults = Vec::new();
    for _ in 0..rounds {
        let mut round = Fault::all(&mut rng);
        rng.shuffle(&mut round);
        faults.extend(round);
    }
    let slot = span / u32::try_from(faults.len().max(1)).unwrap_or(u32::MAX);
    let mut planned: Vec<Planned> = Vec::new();
    for (number, fault) in (0_u32..).zip(faults) {
        let drawn = slot * number + slot.mul_f64(rng.f64());
        let same = planned.iter().filter(|other| other.fault.harms_as(fault));
        let free = same.map(|other| other.end() + PAUSE).max();
        planned.push(Planned {
            at: free.map_or(drawn, |free| free.max(drawn)),
            lasts: fault.lasts(&mut rng),
            fault,
        });
    }
    planned.sort_by_key(|one| one.at);
    planned
}

/// Between two faults of the same victim.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_as_often_as_asked_and_nothing_is_harmed_twice_at_once() {
        for seed in 0..50 {
            let planned = plan(seed, Duration::from_mins(2), 2);
            assert_eq!(planned, plan(seed, Duration::from_mins(2), 2));
            assert_eq!(planned.len(), 28);
            for (place, one) in planned.iter().enumerate() {
                let of_kind = planned
                    .iter()
                    .filter(|other| other.fault.kind() == one.fault.kind());
                assert_eq!(of_kind.count(), 2);
                let again = planned[place + 1..]
                    .iter()
                    .find(|other| other.fault.harms_as(one.fault));
                assert!(
                    again.is_none_or(|again| again.at >= one.end()),
                    "{planned:?}"
                );
            }
        }
    }

    #[test]
    fn gateways_and_workers_are_frozen_for_longer_than_a_session() {
        for planned in plan(7, Duration::from_mins(10), 5) {
            if let Fault::FreezeGateway(_) | Fault::FreezeWorker(_) | Fault::PauseWorker(_) =
                planned.fault
            {
                assert!(planned.lasts > Duration::from_secs(6), "{planned}");
            }
        }
    }
}
