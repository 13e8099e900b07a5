//! What passes share: the client, the caches, and what was written so lately that the caches may not show it yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::contest::Contests;
use crate::error::Error;
use crate::events::Events;
use crate::gate::Gate;
use crate::project::fingerprint_of;
use crate::prometheus::Prometheuses;
use crate::serve::Metrics;
use crate::state::Reports;
use crate::watch::{Caches, Guarded};
use chatbot_plan::names::HASH_ANNOTATION;
use chatbot_plan::world::{ObjectKey, Release};
use kube::Client;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::reflector::Store;

/// What passes share.
pub struct Context {
    /// The API server; every write by way of the gate.
    pub client: Client,
    /// Whether anything may be written.
    pub gate: Gate,
    /// What the operator keeps in memory of the cluster.
    pub caches: Caches,
    /// What the pods report.
    pub reports: Reports,
    /// What the Prometheuses that are named answer.
    pub prometheuses: Prometheuses,
    /// The operator's release.
    pub release: Release,
    /// The events told lately.
    pub events: Events,
    /// What is counted.
    pub metrics: Metrics,
    /// How many passes may be under way at once.
    pub concurrency: u16,
    /// By the resource's identity.
    desks: Mutex<HashMap<String, Desk>>,
}

/// What is remembered of one resource while the process lives. Nothing depends on it: without it, every child is
/// applied once more, which changes nothing.
#[derive(Default)]
pub struct Desk {
    /// Children as our last write left them, until the caches show them.
    pub written: BTreeMap<ObjectKey, Arc<DynamicObject>>,
    /// What our last write left of a child: anything else is drift.
    pub left: BTreeMap<ObjectKey, Left>,
    /// Children that somebody insists on changing.
    pub contests: Contests,
    /// The version of a Deployment that was last scaled: that one is no more.
    pub scaled: BTreeMap<String, String>,
    /// The resource as our last report left it, until the caches show it.
    pub reported: Option<Arc<Guarded>>,
    /// Passes that failed in a row.
    pub failures: u32,
    /// When the next try is due after a failure.
    pub retry_at: Option<Instant>,
    /// Passes in a row of which the API server refused something.
    pub refusals: u32,
    /// Until when the API server has asked to be left alone.
    pub hold: Option<Instant>,
    /// The generation that was looked at last: an older one comes from a server that lags, or from a backup.
    pub generation: i64,
}

/// What a write has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Of which plan.
    pub hash: String,
    /// As it was then.
    pub fingerprint: String,
    /// The caches have shown it since.
    pub shown: bool,
}

impl Context {
    /// Nothing written yet; one pass at once.
    #[must_use]
    pub fn new(
        client: Client,
        gate: Gate,
        caches: Caches,
        reports: Reports,
        release: Release,
        events: Events,
        metrics: Metrics,
    ) -> Self {
        Self {
            client: gate.guard(client),
            gate,
            caches,
            prometheuses: Prometheuses::new(reports.http()),
            reports,
            release,
            events,
            metrics,
            concurrency: 1,
            desks: Mutex::default(),
        }
    }

    /// With so many passes at once.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: u16) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How many resources have been looked at.
    pub fn resources(&self) -> usize {
        self.desks().len()
    }

    /// What is remembered of a resource.
    pub fn desk<T>(&self, uid: &str, look: impl FnOnce(&mut Desk) -> T) -> T {
        look(self.desks().entry(uid.to_owned()).or_default())
    }

    /// Forgets everything: while another operator led, anything may have been written.
    pub fn clear_all(&self) {
        self.desks().clear();
    }

    /// Forgets what is gone. Nobody tells of the end of a resource or a pod: without this, whatever there once was
    /// would be remembered for ever.
    pub fn forget_gone(&self, resources: &Store<Guarded>) {
        let known = resources.state();
        let known: HashSet<String> = known.iter().filter_map(|resource| resource.uid()).collect();
        self.desks().retain(|uid, _| known.contains(uid));
        let pods = self.caches.pod_uids();
        self.reports.forget(|uid| !pods.contains(uid));
        self.prometheuses.forget();
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<String, Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Notes what a write has left.
    pub fn note(&mut self, key: &ObjectKey, object: DynamicObject) {
        let hash = object.annotations().get(HASH_ANNOTATION);
        let left = Left {
            hash: hash.cloned().unwrap_or_default(),
            fingerprint: fingerprint_of(&object).to_owned(),
            shown: false,
        };
        self.left.insert(key.clone(), left);
        self.written.insert(key.clone(), Arc::new(object));
    }

    /// The children that the caches have shown and show no longer: deleted, or without the label by which they are found.
    pub fn hidden(&mut self, shown: &BTreeMap<ObjectKey, Arc<DynamicObject>>) -> Vec<ObjectKey> {
        let mut hidden = Vec::new();
        for (key, left) in &mut self.left {
            if shown.contains_key(key) {
                left.shown = true;
            } else if left.shown {
                hidden.push(key.clone());
            }
        }
        hidden
    }

    /// A child that was shown is no more: it need not be looked for.
    pub fn is_gone(&mut self, key: &ObjectKey) {
        if let Some(left) = self.left.get_mut(key) {
            left.shown = false;
        }
    }

    /// Counts a failure, and tells how long it is to the next try. Events begin passes before that is due: however many
    /// of these fail, they make nobody wait longer.
    pub fn fail(&mut self, error: &Error) -> Duration {
        let now = Instant::now();
        if self.retry_at.is_none_or(|due| due <= now) {
            self.failures = self.failures.saturating_add(1);
        }
        let wait = error.retry_after(self.failures);
        self.retry_at = Some(now + wait);
        wait
    }

    /// What failed before counts no more.
    pub fn succeed(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    /// How long the API server is still to be left alone.
    #[must_use]
    pub fn rest(&self) -> Option<Duration> {
        let rest = self.hold?.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(rest)
    }

    /// The newer one of what the cache has and what we wrote.
    pub fn newest(&mut self, key: &ObjectKey, cached: Arc<DynamicObject>) -> Arc<DynamicObject> {
        match self.written.get(key) {
            Some(written) if is_newer(written.as_ref(), cached.as_ref()) => written.clone(),
            Some(_) => {
                self.written.remove(key);
                cached
            }
            None => cached,
        }
    }
}

/// Whether one is a later version of the other, both of the same identity. Versions are numbers that can be compared
/// since Kubernetes 1.35; what is no number is not newer.
pub fn is_newer(one: &impl ResourceExt, other: &impl ResourceExt) -> bool {
    let version = |object: Option<String>| object.and_then(|version| version.parse::<u64>().ok());
    one.uid() == other.uid() && version(one.resource_version()) > version(other.resource_version())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_events_that_come_to_nothing_counts_as_one_failure() {
        let mut desk = Desk::default();
        let waits: Vec<_> = (0..8).map(|_| desk.fail(&Error::Ending)).collect();
        assert_eq!(waits, [waits[0]; 8]);
        // The next try, when it is due, is another one.
        desk.retry_at = Some(Instant::now());
        assert_eq!(desk.fail(&Error::Ending), waits[0] * 2);
        desk.succeed();
        assert_eq!(desk.fail(&Error::Ending), waits[0]);
    }
}
