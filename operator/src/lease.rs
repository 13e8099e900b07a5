//! Which of several operators leads: whoever holds the Lease. The others keep their caches warm and wait.
//!
//! There is one Lease for the whole cluster, wherever operators are installed: each of them serves every resource, and
//! two that led would undo each other's work.
//!
//! Nobody's wall clock is compared with another's. A standby counts by its own clock for how long it has seen the same
//! version of the Lease; the leader counts by its own from before it asked for the renewal, and stops a third of the
//! duration earlier than a standby may begin.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use chatbot_plan::names::{ABSENT, FIELD_MANAGER, LEASE};

use crate::error::in_full;
use crate::standing::Standing;
use crate::term::{Moment, Term};

/// For how long a Lease that nobody renews is respected.
const DURATION: Duration = Duration::from_secs(15);
/// For how long its holder counts on a renewal.
const TERM: Duration = Duration::from_secs(10);
/// How often it is renewed, or looked at.
const RETRY: Duration = Duration::from_secs(2);
/// The longest time for one attempt: two fit into a term.
const PATIENCE: Duration = Duration::from_secs(4);

/// One operator of several.
pub struct Candidate {
    api: Api<Lease>,
    /// Its name in the Lease; no other process ever has the same.
    identity: String,
    term: Term,
    known: Known,
    /// Why the Lease was not had at the last attempt, when it was not for another's holding it.
    trouble: Option<String>,
}

/// What a candidate knows of the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// The version last seen; none while the Lease does not exist.
    version: Option<String>,
    holder: Option<String>,
    /// For how long its holder wants it to be respected.
    duration: Duration,
    /// How often it went from one holder to another.
    transitions: i32,
    acquired: Option<MicroTime>,
    /// When this version was first seen.
    since: Moment,
}

impl Candidate {
    /// A candidate for the Lease of a namespace, who makes this term last while it holds it.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String, term: Term) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            term,
            known: Known::default(),
            trouble: None,
        }
    }

    /// Takes the Lease when it is free, renews it while it is held, and gives it back at the end.
    ///
    /// Tells which of its terms it is in, if any: whatever was refused in a gap between two is to be tried again. Tells
    /// who leads instead, too.
    pub async fn run(mut self, standing: watch::Sender<Standing>, end: CancellationToken) {
        // Nothing that was seen before can be counted on.
        let (mut certain, mut terms) = (false, 0);
        while !end.is_cancelled() {
            let began = Moment::now();
            let mut trouble = None;
            match tokio::time::timeout(PATIENCE, self.attempt(certain)).await {
                Ok(Ok(true)) => {
                    certain = true;
                    terms += u32::from(self.term.extend(began.after(TERM)));
                }
                Ok(Ok(false)) => {
                    certain = false;
                    self.term.end();
                }
                // What was written, if anything, is not known: the term runs out by itself.
                Ok(Err(error)) => {
                    certain = false;
                    trouble = Some(words(&error));
                    tracing::warn!(error = %in_full(&error), "failed to renew the lease");
                }
                Err(_) => {
                    certain = false;
                    trouble = Some("no answer".to_owned());
                    tracing::warn!("failed to renew the lease: no answer");
                }
            }
            self.trouble = trouble;
            self.announce(&standing, terms);
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = end.cancelled() => {}
            }
        }
        self.release().await;
    }

    fn announce(&self, told: &watch::Sender<Standing>, terms: u32) {
        let standing = Standing {
            term: self.term.lasts().then_some(terms),
            holder: self.known.holder.clone(),
            trouble: self.trouble.clone(),
        };
        let mut before = Standing::default();
        told.send_if_modified(|told| {
            before = std::mem::replace(told, standing.clone());
            before != standing
        });
        let holder = standing.holder.as_deref().unwrap_or("nobody");
        match standing.term {
            Some(term) if before.term != standing.term => {
                tracing::info!(identity = self.identity, term, "leading");
            }
            None if before.term.is_some() => tracing::warn!(holder, "not leading any more"),
            None if before.holder != standing.holder => {
                if let Some(namespace) = standing.elsewhere(&self.identity) {
                    tracing::warn!(
                        holder,
                        namespace,
                        "standing by: another installation leads, and serves every resource of this cluster; uninstall one of the two"
                    );
                } else {
                    tracing::info!(holder, "standing by");
                }
            }
            _ => tracing::trace!(holder, "the lease was looked at"),
        }
    }

    /// Whether the Lease is held afterwards. Who is certain of its version need not look first.
    async fn attempt(&mut self, certain: bool) -> kube::Result<bool> {
        if certain && self.claim().await? {
            return Ok(true);
        }
        let found = self.api.get_opt(LEASE).await?;
        self.known.see(found.as_ref(), Moment::now());
        if !self.known.is_free_for(&self.identity, Moment::now()) {
            return Ok(false);
        }
        self.claim().await
    }

    /// Writes this candidate into the version that is known; not when there is a newer one.
    async fn claim(&mut self) -> kube::Result<bool> {
        let claim = self.known.claim(&self.identity, Timestamp::now());
        self.write(claim).await
    }

    async fn write(&mut self, spec: LeaseSpec) -> kube::Result<bool> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.to_owned()),
                resource_version: Some(self.known.version.as_deref().unwrap_or(ABSENT).to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match self.api.patch(LEASE, &params, &Patch::Apply(&lease)).await {
            Ok(written) => {
                self.known.see(Some(&written), Moment::now());
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the Lease back, so that the next need not wait until it runs out.
    async fn release(mut self) {
        self.term.end();
        if self.known.holder.as_deref() != Some(&self.identity) {
            return;
        }
        let released = LeaseSpec {
            lease_transitions: Some(self.known.transitions),
            ..LeaseSpec::default()
        };
        match tokio::time::timeout(PATIENCE, self.write(released)).await {
            Ok(Ok(true)) => tracing::info!("gave the lease back"),
            Ok(Ok(false)) => tracing::info!("the lease was taken before it was given back"),
            Ok(Err(error)) => {
                tracing::warn!(error = %in_full(&error), "failed to give the lease back");
            }
            Err(_) => tracing::warn!("failed to give the lease back: no answer"),
        }
    }
}

impl Known {
    /// Takes in what was found. The time counts from the first sight of a version.
    fn see(&mut self, found: Option<&Lease>, now: Moment) {
        let version = found.and_then(ResourceExt::resource_version);
        if version.is_some() && version == self.version {
            return;
        }
        let spec = found.and_then(|lease| lease.spec.clone());
        let spec = spec.unwrap_or_default();
        let seconds = spec.lease_duration_seconds.unwrap_or_default();
        *self = Self {
            version,
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            transitions: spec.lease_transitions.unwrap_or_default(),
            acquired: spec.acquire_time,
            since: now,
        };
    }

    /// Whether a candidate may write itself into it.
    fn is_free_for(&self, identity: &str, now: Moment) -> bool {
        match self.holder.as_deref() {
            None => true,
            Some(holder) if holder == identity => true,
            Some(_) => now.since(self.since) > self.duration,
        }
    }

    /// What a candidate writes into it.
    fn claim(&self, identity: &str, now: Timestamp) -> LeaseSpec {
        let renews = self.holder.as_deref() == Some(identity);
        let transition = i32::from(!renews && self.version.is_some());
        let now = MicroTime(now);
        LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(
                self.acquired
                    .clone()
                    .filter(|_| renews)
                    .unwrap_or_else(|| now.clone()),
            ),
            renew_time: Some(now),
            lease_transitions: Some(self.transitions.saturating_add(transition)),
            ..LeaseSpec::default()
        }
    }
}

/// An error in the API server's words, where it is one of its answers.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => in_full(error),
    }
}

/// A name that no other process ever has: this machine's, which in a pod is the pod's, and a random part.
#[must_use]
pub fn instance() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!("{host}_{}", uuid::Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str, holder: Option<&str>) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: Some(15),
                lease_transitions: Some(3),
                ..LeaseSpec::default()
            }),
        }
    }

    fn second(second: u64) -> Moment {
        Moment::default().after(Duration::from_secs(second))
    }

    #[test]
    fn a_lease_is_free_when_it_is_absent_given_back_or_one_s_own() {
        let mut known = Known::default();
        known.see(None, second(1));
        assert!(known.is_free_for("a", second(1)));
        known.see(Some(&lease("5", None)), second(2));
        assert!(known.is_free_for("a", second(2)));
        known.see(Some(&lease("6", Some("a"))), second(3));
        assert!(known.is_free_for("a", second(3)));
        assert!(!known.is_free_for("b", second(3)));
    }

    #[test]
    fn another_s_lease_is_free_when_it_was_not_renewed_for_its_duration() {
        let mut known = Known::default();
        known.see(Some(&lease("5", Some("b"))), second(100));
        known.see(Some(&lease("5", Some("b"))), second(110));
        assert!(!known.is_free_for("a", second(115)));
        assert!(known.is_free_for("a", second(116)));
        known.see(Some(&lease("6", Some("b"))), second(116));
        assert!(!known.is_free_for("a", second(131)));
    }

    #[test]
    fn a_change_of_holder_is_counted_and_a_renewal_is_not() {
        let now = Timestamp::UNIX_EPOCH;
        let mut known = Known::default();
        assert_eq!(known.claim("a", now).lease_transitions, Some(0));
        known.see(Some(&lease("5", Some("b"))), second(1));
        assert_eq!(known.claim("b", now).lease_transitions, Some(3));
        assert_eq!(known.claim("a", now).lease_transitions, Some(4));
    }

    #[test]
    fn a_holder_stops_before_another_may_begin() {
        assert!(TERM + PATIENCE < DURATION);
        assert!(2 * PATIENCE <= TERM);
    }

    #[test]
    fn two_processes_of_one_machine_differ() {
        assert_ne!(instance(), instance());
    }
}
