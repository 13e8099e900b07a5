//! What somebody has undone is written again: at once, unless he insists.

use std::time::Instant;

use chatbot_plan::render::Rendered;
use chatbot_plan::world::ObjectKey;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::DynamicObject;

use super::Applier;
use crate::contest;
use crate::error::Error;

impl Applier<'_> {
    /// Writes an object that is not as planned; when it was as planned before, not more often than is of use.
    pub(super) async fn repair(
        &mut self,
        api: &Api<DynamicObject>,
        object: &Rendered,
        seen: Option<&ObjectMeta>,
    ) -> Result<(), Error> {
        let is_undone = self.is_undone(&object.key, &object.hash);
        if is_undone && self.waits(api, &object.key).await {
            return Ok(());
        }
        let writes = self.applied.writes;
        self.write(api, object, seen).await?;
        if is_undone && self.applied.writes > writes {
            self.repaired(&object.key);
        }
        Ok(())
    }

    /// Whether our last write was of the same plan: then somebody has undone it since.
    pub(super) fn is_undone(&self, key: &ObjectKey, hash: &str) -> bool {
        self.context.desk(&self.plan.cluster.uid, |desk| {
            desk.left.get(key).is_some_and(|left| left.hash == hash)
        })
    }

    /// Whether an object that was undone is left as it is for now. Of one that somebody insists on, it is looked up who.
    pub(super) async fn waits(&mut self, api: &Api<DynamicObject>, key: &ObjectKey) -> bool {
        let uid = &self.plan.cluster.uid;
        let (wait, asks) = self.context.desk(uid, |desk| {
            let wait = desk.contests.undone(key, Instant::now());
            let is_news = wait.is_zero() || !desk.contests.is_named(key);
            (wait, is_news && desk.contests.is_contested(key))
        });
        if asks && let Some(rival) = rival(api, &key.name).await {
            self.context
                .desk(uid, |desk| desk.contests.name_rival(key, rival));
        }
        if wait.is_zero() {
            return false;
        }
        let soonest = self.applied.repair_in.map_or(wait, |other| other.min(wait));
        self.applied.repair_in = Some(soonest);
        true
    }

    pub(super) fn repaired(&self, key: &ObjectKey) {
        self.context.desk(&self.plan.cluster.uid, |desk| {
            desk.contests.repaired(key, Instant::now());
        });
    }
}

/// Who has changed an object last. When that cannot be told, what was told before stays.
async fn rival(api: &Api<DynamicObject>, name: &str) -> Option<String> {
    match api.get_metadata_opt(name).await.ok()? {
        Some(found) => Some(contest::rival(
            &found.metadata.managed_fields.unwrap_or_default(),
        )),
        None => Some("somebody who deletes it (the API server's audit log tells who)".to_owned()),
    }
}
