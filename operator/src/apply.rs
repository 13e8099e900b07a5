//! Does what the plan says, and nothing that the plan does not say.
//!
//! An object is touched only when it is ours, and only as the version that was looked at: a write on an outdated view
//! is refused by the API server, and means that the pass begins anew. What somebody insists on changing is repaired ever
//! more seldom.

mod foreign;
mod mend;
mod repair;
mod scale;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbot_plan::kinds::{self, KINDS, Kind};
use chatbot_plan::names::{ABSENT, FIELD_MANAGER, HASH_ANNOTATION};
use chatbot_plan::proposal::{Plan, Surplus};
use chatbot_plan::render::Rendered;
use chatbot_plan::status::Outcome;
use chatbot_plan::world::ObjectKey;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Error, in_full};
use crate::gate::Shut;
use crate::project::{fingerprint_of, is_ours, is_owned, shrink};
use crate::refusal::Refusal;
use crate::watch::api_resource;

/// What came of applying a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// What a person must know.
    pub outcome: Outcome,
    /// How many writes there were.
    pub writes: u32,
    /// What failed first, and will be tried again.
    pub error: Option<Error>,
    /// When the next repair is due of what somebody insists on changing.
    pub repair_in: Option<Duration>,
}

/// One plan on its way to the cluster.
struct Applier<'a> {
    plan: &'a Plan,
    children: &'a BTreeMap<ObjectKey, Arc<DynamicObject>>,
    context: &'a Context,
    applied: Applied,
    /// Objects of somebody else with the names of ours.
    foreign: BTreeSet<ObjectKey>,
    /// The kinds of what could not be made.
    not_made: BTreeSet<&'static str>,
    /// What could not be written.
    unwritten: BTreeSet<ObjectKey>,
}

/// Applies a plan. Objects come first, then what is no longer needed goes, then things are done; what follows from
/// something that failed is left for the next pass.
pub async fn apply(
    plan: &Plan,
    children: &BTreeMap<ObjectKey, Arc<DynamicObject>>,
    context: &Context,
) -> Applied {
    let mut applier = Applier {
        plan,
        children,
        context,
        applied: Applied::default(),
        foreign: BTreeSet::new(),
        not_made: BTreeSet::new(),
        unwritten: BTreeSet::new(),
    };
    applier.run().await;
    let contested = context.desk(&plan.cluster.uid, |desk| desk.contests.told(Instant::now()));
    applier.applied.outcome.contended.extend(contested);
    applier.applied
}

impl Applier<'_> {
    async fn run(&mut self) {
        for object in &self.plan.objects {
            let is_memory = object.is_memory(&self.plan.cluster);
            if let Err(error) = self.object(object).await {
                // A server that asks for patience is asked for nothing more.
                let stop = is_memory || error.is_end_of_pass() || error.asked_for().is_some();
                self.fail(error);
                if stop {
                    return;
                }
            }
            // What follows from the memory is not done without it.
            if is_memory && self.applied.outcome.is_refused() {
                return;
            }
        }
        if self.applied.error.is_none() {
            for surplus in &self.plan.prune {
                // What could not be made may be what takes its place. What somebody insists on is there.
                let mut not_made = self.not_made.iter();
                if not_made.any(|kind| kinds::replaces(kind, surplus.key.kind)) {
                    continue;
                }
                if let Err(error) = self.prune(surplus).await {
                    self.fail(error);
                    return;
                }
            }
        }
        // An action names the version that was looked at: after a write there is a newer one to look at first.
        if self.applied.writes > 0 {
            return;
        }
        for action in &self.plan.actions {
            if let Err(error) = self.act(action).await {
                self.fail(error);
                return;
            }
        }
    }

    async fn object(&mut self, object: &Rendered) -> Result<(), Error> {
        let Some(kind) = KINDS.iter().find(|kind| kind.kind == object.key.kind) else {
            return Ok(());
        };
        if self.is_led_astray(object) {
            return self.keep_off(object).await;
        }
        if self.lacks_configuration(object) {
            self.not_made.insert(object.key.kind);
            return Ok(());
        }
        let api = self.api(kind);
        let Some(seen) = self.children.get(&object.key) else {
            return self.first_sight(&api, object).await;
        };
        if !is_ours(seen.as_ref(), &self.plan.cluster) {
            return self.leave(&object.key, &seen.metadata);
        }
        if self.is_as_planned(object, seen) {
            return Ok(());
        }
        self.repair(&api, object, Some(&seen.metadata)).await
    }

    /// A name that was never seen: it may be nobody's, ours and unlabelled, or somebody else's.
    async fn first_sight(
        &mut self,
        api: &Api<DynamicObject>,
        object: &Rendered,
    ) -> Result<(), Error> {
        let found = match api.get_metadata_opt(&object.key.name).await {
            Ok(found) => found,
            Err(error) => return self.refused(&object.key, error),
        };
        match found {
            None => self.repair(api, object, None).await,
            Some(found) if is_ours(&found, &self.plan.cluster) => {
                if self
                    .as_written(&object.key, &found)
                    .is_some_and(|written| self.is_as_planned(object, &written))
                {
                    return Ok(());
                }
                self.repair(api, object, Some(&found.metadata)).await
            }
            Some(found) => self.leave(&object.key, &found.metadata),
        }
    }

    /// What our last write left, when that is still what is there: the caches have not shown it yet.
    fn as_written(&self, key: &ObjectKey, found: &impl ResourceExt) -> Option<Arc<DynamicObject>> {
        let written = self.context.desk(&self.plan.cluster.uid, |desk| {
            desk.written.get(key).cloned()
        })?;
        let is_same =
            written.uid() == found.uid() && written.resource_version() == found.resource_version();
        is_same.then_some(written)
    }

    /// It is owned, carries the plan's hash, and nobody has changed since what we wrote.
    fn is_as_planned(&self, object: &Rendered, seen: &DynamicObject) -> bool {
        let known = self.context.desk(&self.plan.cluster.uid, |desk| {
            desk.left
                .get(&object.key)
                .map(|left| left.fingerprint.clone())
        });
        let kept = |field: &str, present: &BTreeMap<String, String>| {
            object
                .manifest
                .pointer(&format!("/metadata/{field}"))
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .all(|(key, value)| present.get(key).map(String::as_str) == value.as_str())
        };
        is_owned(seen, &self.plan.cluster.uid)
            && seen.metadata.deletion_timestamp.is_none()
            && seen.annotations().get(HASH_ANNOTATION) == Some(&object.hash)
            && known.as_deref() == Some(fingerprint_of(seen))
            && kept("labels", seen.labels())
            && kept("annotations", seen.annotations())
    }

    async fn write(
        &mut self,
        api: &Api<DynamicObject>,
        object: &Rendered,
        seen: Option<&ObjectMeta>,
    ) -> Result<(), Error> {
        if let Some(leaving) = seen.filter(|seen| seen.deletion_timestamp.is_some()) {
            self.let_go(&object.key, leaving);
            return Ok(());
        }
        let mut body = object.manifest.clone();
        let mut params = PatchParams::apply(FIELD_MANAGER);
        // Nothing is there, as far as was seen: made meanwhile by whomever, it is to be looked at first.
        body["metadata"]["resourceVersion"] = json!(ABSENT);
        if let Some(seen) = seen {
            body["metadata"]["uid"] = json!(seen.uid);
            body["metadata"]["resourceVersion"] = json!(seen.resource_version);
            // It is ours: what somebody else has set in it meanwhile is drift.
            params = params.force();
        }
        let name = &object.key.name;
        let result = match api.patch(name, &params, &Patch::Apply(&body)).await {
            Err(kube::Error::Api(refused)) if seen.is_some() && mend::is_invalid(&refused) => {
                mend::mend(api, name, &body, refused).await
            }
            result => result,
        };
        match result {
            Ok(mut written) => {
                shrink(object.key.kind, &mut written);
                let before = seen.and_then(|seen| seen.resource_version.clone());
                if before != written.resource_version() {
                    tracing::info!(
                        namespace = self.plan.cluster.namespace,
                        cluster = self.plan.cluster.name,
                        object = named(&object.key),
                        "applied"
                    );
                    self.applied.writes += 1;
                    self.context.metrics.wrote(object.key.kind);
                }
                self.context.desk(&self.plan.cluster.uid, |desk| {
                    desk.note(&object.key, written);
                });
                Ok(())
            }
            Err(error) => self.refused(&object.key, error),
        }
    }

    /// What a person must change is told; what another pass may mend is an error.
    fn refused(&mut self, key: &ObjectKey, error: kube::Error) -> Result<(), Error> {
        if let Some(source) = Shut::cause_of(&error) {
            let object = named(key);
            return Err(Error::Shut { object, source });
        }
        let refusal = match &error {
            kube::Error::Api(status) => Refusal::of(status),
            _ => None,
        };
        self.not_made.insert(key.kind);
        self.unwritten.insert(key.clone());
        let object = named(key);
        let told = |words: String| format!("{object}: {words}");
        let outcome = &mut self.applied.outcome;
        match refusal {
            Some(Refusal::Changed) => return Err(Error::Outdated { object }),
            Some(Refusal::Leaving) => return Err(Error::Leaving { object }),
            Some(Refusal::Quota(words)) => outcome.over_quota.push(told(words)),
            Some(Refusal::Denied(words)) => outcome.denied.push(told(words)),
            Some(Refusal::Forbidden(words)) => outcome.forbidden.push(told(words)),
            Some(Refusal::Invalid(words)) => outcome.invalid.push(told(words)),
            Some(Refusal::Unasked(words)) => outcome.unasked.push(told(words)),
            None => {
                return Err(Error::Apply {
                    object,
                    source: error,
                });
            }
        }
        Ok(())
    }

    async fn prune(&mut self, surplus: &Surplus) -> Result<(), Error> {
        let Some(kind) = KINDS.iter().find(|kind| kind.kind == surplus.key.kind) else {
            return Ok(());
        };
        let api = self.api(kind);
        let seen = match self.children.get(&surplus.key) {
            Some(seen) => Some(seen.metadata.clone()),
            // Somebody has hidden it from the caches.
            None => match api.get_metadata_opt(&surplus.key.name).await {
                Ok(found) => found.map(|found| found.metadata),
                Err(error) => return self.refused(&surplus.key, error),
            },
        };
        if let Some(leaving) = seen
            .as_ref()
            .filter(|seen| seen.deletion_timestamp.is_some())
        {
            // Deleting it once more changes nothing, and would be a write at every pass.
            self.tell_holder(&surplus.key, leaving);
            return Ok(());
        }
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(surplus.uid.clone()),
            resource_version: seen.and_then(|seen| seen.resource_version),
        });
        match api.delete(&surplus.key.name, &params).await {
            Ok(_) => {
                tracing::info!(
                    namespace = self.plan.cluster.namespace,
                    cluster = self.plan.cluster.name,
                    object = named(&surplus.key),
                    "deleted"
                );
                self.applied.writes += 1;
                self.context.metrics.wrote(surplus.key.kind);
                // Made again one day, it is nobody's doing.
                self.context.desk(&self.plan.cluster.uid, |desk| {
                    desk.left.remove(&surplus.key);
                });
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => self.refused(&surplus.key, error),
        }
    }

    fn api(&self, kind: &Kind) -> Api<DynamicObject> {
        Api::namespaced_with(
            self.context.client.clone(),
            &self.plan.cluster.namespace,
            &api_resource(kind),
        )
    }

    fn fail(&mut self, error: Error) {
        if !error.is_end_of_pass() {
            self.applied.outcome.failed.push(in_full(&error));
        }
        self.applied.error.get_or_insert(error);
    }
}

fn named(key: &ObjectKey) -> String {
    format!("{} {}", key.kind, key.name)
}
