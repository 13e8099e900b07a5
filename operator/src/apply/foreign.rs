//! Names that cannot be had: somebody else has taken them, or holds what is to go.

use chatbot_plan::proposal::Surplus;
use chatbot_plan::render::Rendered;
use chatbot_plan::world::ObjectKey;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::{Applier, named};
use crate::error::Error;
use crate::project::{is_of_predecessor, is_ours};

/// Finalizers with which the API server deletes an object before or after what it owns.
const OF_THE_SERVER: [&str; 2] = ["foregroundDeletion", "orphan"];

impl Applier<'_> {
    /// An object of somebody else is named and not touched. One of a resource that had this name before goes by itself.
    pub(super) fn leave(&mut self, key: &ObjectKey, seen: &ObjectMeta) -> Result<(), Error> {
        self.foreign.insert(key.clone());
        self.not_made.insert(key.kind);
        if is_of_predecessor(seen, &self.plan.cluster) {
            self.tell_holder(key, seen);
            let object = named(key);
            return Err(Error::Predecessor { object });
        }
        self.applied.outcome.not_owned.push(named(key));
        Ok(())
    }

    /// An object that is being deleted is made anew when it is gone. Somebody's finalizer may hold it for ever; the API
    /// server's own end by themselves.
    pub(super) fn let_go(&mut self, key: &ObjectKey, leaving: &ObjectMeta) {
        self.not_made.insert(key.kind);
        self.tell_holder(key, leaving);
    }

    /// Tells who holds an object that is being deleted.
    pub(super) fn tell_holder(&mut self, key: &ObjectKey, leaving: &ObjectMeta) {
        if leaving.deletion_timestamp.is_none() {
            return;
        }
        let mut holders = leaving.finalizers.iter().flatten();
        if let Some(holder) = holders.find(|name| !OF_THE_SERVER.contains(&name.as_str())) {
            let told = format!(
                "{} is being deleted, and held by the finalizer {holder:?}",
                named(key)
            );
            self.applied.outcome.contended.push(told);
        }
    }

    /// Whether an object acts on, or sends to, one of somebody else: that goes by names alone.
    pub(super) fn is_led_astray(&self, object: &Rendered) -> bool {
        let mut needed = object.relies_on(&self.plan.cluster).into_iter();
        needed.any(|key| self.foreign.contains(&key))
    }

    /// Whether the pods of a Deployment would mount a configuration of ours that is not there and could not be written: they
    /// would not start, and what runs would have ended for them.
    pub(super) fn lacks_configuration(&self, object: &Rendered) -> bool {
        let is_lacking = |key: &ObjectKey| {
            key.kind == "ConfigMap"
                && self.unwritten.contains(key)
                && !self.children.contains_key(key)
        };
        let mut needed = object.relies_on(&self.plan.cluster).into_iter();
        object.revision.is_some() && needed.any(|key| is_lacking(&key))
    }

    /// What would reach an object of somebody else is not made, and goes if it is there. What runs goes on as it was.
    pub(super) async fn keep_off(&mut self, object: &Rendered) -> Result<(), Error> {
        self.not_made.insert(object.key.kind);
        let seen = self.children.get(&object.key);
        let ours = seen.filter(|seen| is_ours(seen.as_ref(), &self.plan.cluster));
        match ours.and_then(|ours| ours.uid()) {
            Some(uid) if object.revision.is_none() => {
                let key = object.key.clone();
                self.prune(&Surplus { key, uid }).await
            }
            _ => Ok(()),
        }
    }
}
