//! What every process of the data plane tells about itself: logs, health, metrics, state, and why it ended.
//!
//! It never decides anything and never touches a message. One process has one [`Telemetry`]; each of its parts
//! (gateway, worker, inference) takes a [`Health`] of its own, registers its metrics and fills in its share of the
//! state that `/state` reports.

pub mod admin;
mod health;
pub mod log;
pub mod shutdown;
pub mod termination;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chatbot_crds::config::State;
use prometheus_client::registry::Registry;

pub use health::Health;

type Report = Box<dyn Fn(&mut State) + Send + Sync>;

/// What one process tells about itself. Cheap to clone; clones share everything.
#[derive(Clone, Default)]
pub struct Telemetry {
    health: health::Parts,
    registry: Arc<Mutex<Registry>>,
    reports: Arc<Mutex<Vec<Report>>>,
}

impl Telemetry {
    /// Nothing registered yet; not ready, because nothing has said that it is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The health of one part, not ready until it says so.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Health {
        self.health.add(name)
    }

    /// Why the process is not ready; absent when every part is.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        self.health.unready()
    }

    /// Registers metrics; names are to begin with `chatbot_<part>_`, which a sub-registry with a prefix does.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut locked(&self.registry))
    }

    /// Adds a part's share of the state: it is called for every look at `/state`, so it must be quick. Counters are
    /// to be added to, since several parts may live in one process.
    pub fn report(&self, report: impl Fn(&mut State) + Send + Sync + 'static) {
        locked(&self.reports).push(Box::new(report));
    }

    /// The state as it would be reported now.
    #[must_use]
    pub fn state(&self) -> State {
        let mut state = State::default();
        for report in locked(&self.reports).iter() {
            report(&mut state);
        }
        state
    }

    /// Compares the metrics that begin so with those that a document names. A family without a member is not exposed.
    pub fn is_documented(&self, prefix: &str, document: &str) -> Result<(), String> {
        let text = self.metrics().map_err(|error| error.to_string())?;
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let exposed: BTreeSet<&str> = types
            .filter_map(|line| line.split(' ').next())
            .filter(|name| name.starts_with(prefix))
            .collect();
        let documented: BTreeSet<&str> = document
            .split('`')
            .filter_map(|word| word.split('{').next())
            .filter(|word| word.starts_with(prefix))
            .collect();
        if exposed == documented {
            return Ok(());
        }
        let only = |one: &BTreeSet<&str>, other: &BTreeSet<&str>| {
            let only: Vec<_> = one.difference(other).copied().collect();
            only.join(", ")
        };
        Err(format!(
            "not documented: {}; documented alone: {}",
            only(&exposed, &documented),
            only(&documented, &exposed)
        ))
    }

    /// Metrics in the `OpenMetrics` text format. Some are set by whoever reports the state.
    pub fn metrics(&self) -> Result<String, std::fmt::Error> {
        let _reported = self.state();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &locked(&self.registry))?;
        Ok(text)
    }
}

/// A lock that another thread's panic does not take away: everything behind these locks is valid at any moment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn every_part_adds_its_share_of_the_state() {
        let telemetry = Telemetry::new();
        telemetry.report(|state| state.counters.requests += 2);
        telemetry.report(|state| state.counters.requests += 3);
        assert_eq!(telemetry.state().counters.requests, 5);
    }

    #[test]
    fn metrics_are_open_metrics() {
        let telemetry = Telemetry::new();
        let requests = Counter::<u64>::default();
        telemetry.register(|registry| {
            registry.sub_registry_with_prefix("chatbot_test").register(
                "requests",
                "Requests taken",
                requests.clone(),
            );
        });
        requests.inc();
        let text = telemetry.metrics().unwrap();
        assert!(text.contains("chatbot_test_requests_total 1"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
