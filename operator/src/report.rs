//! Tells what was found and done: the status when it has changed, and an event when a condition has.

use std::sync::Arc;

use chatbot_crds::{ChatBotCluster, ChatBotClusterStatus, ConditionType};
use chatbot_plan::names::FIELD_MANAGER;
use chatbot_plan::status::find;
use chatbot_plan::world::Identity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Error, in_full};
use crate::events::News;
use crate::gate::Shut;
use crate::observe::Sight;
use crate::refusal::Refusal;
use crate::watch::Guarded;

/// Conditions whose change is worth an event; the others follow from them.
const TOLD: [ConditionType; 6] = [
    ConditionType::Ready,
    ConditionType::Available,
    ConditionType::Accepted,
    ConditionType::Stalled,
    ConditionType::ChannelsReady,
    ConditionType::ModelReady,
];

/// Conditions that are told although nothing was said before.
const NEEDS_A_PERSON: [ConditionType; 2] = [ConditionType::Accepted, ConditionType::Stalled];

/// A resource as it was looked at: it is reported on that, and on no other version of it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Which.
    pub cluster: &'a Identity,
    /// The status as it was last written.
    pub status: &'a ChatBotClusterStatus,
    /// The version.
    pub version: Option<&'a str>,
    /// Whether no event is published: nobody may, where a namespace is being deleted.
    pub quiet: bool,
}

impl<'a> From<&'a Sight> for Subject<'a> {
    fn from(sight: &'a Sight) -> Self {
        Self {
            cluster: &sight.cluster,
            status: &sight.observed.status,
            version: sight.version.as_deref(),
            quiet: false,
        }
    }
}

/// Writes the status if it says something new.
pub async fn report(
    subject: Subject<'_>,
    status: &ChatBotClusterStatus,
    context: &Context,
) -> Result<(), Error> {
    let (cluster, previous) = (subject.cluster, subject.status);
    if own(previous) == *status {
        return Ok(());
    }
    let Some(written) = write(subject, status, context).await? else {
        return Ok(()); // it is gone: there is nobody to tell
    };
    context.metrics.wrote("Status");
    context.desk(&cluster.uid, |desk| desk.reported = Some(Arc::new(written)));
    if subject.quiet {
        return Ok(());
    }
    for kind in TOLD {
        if let Some(news) = change(find(previous, kind), find(status, kind)) {
            publish(cluster, news, context).await;
        }
    }
    Ok(())
}

/// Writes the status over the one that was looked at, and over no other.
async fn write(
    subject: Subject<'_>,
    status: &ChatBotClusterStatus,
    context: &Context,
) -> Result<Option<Guarded>, Error> {
    let cluster = subject.cluster;
    let mut version = subject.version.map(str::to_owned);
    let api = Api::<Guarded>::namespaced(context.client.clone(), &cluster.namespace);
    let object = || format!("ChatBotCluster {}", cluster.name);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    for _ in 0..2 {
        let metadata =
            json!({ "name": cluster.name, "uid": cluster.uid, "resourceVersion": version });
        let body = json!({
            "apiVersion": ChatBotCluster::api_version(&()),
            "kind": ChatBotCluster::kind(&()),
            "metadata": metadata,
            "status": status,
        });
        let patch = Patch::Apply(&body);
        let source = match api.patch_status(&cluster.name, &params, &patch).await {
            Ok(written) => return Ok(Some(written)),
            Err(source) => source,
        };
        if let Some(source) = Shut::cause_of(&source) {
            let object = object();
            return Err(Error::Shut { object, source });
        }
        match &source {
            kube::Error::Api(refusal) if refusal.code == 404 => return Ok(None),
            kube::Error::Api(refusal) if refusal.code == 409 => {}
            _ => return Err(Error::Report { source }),
        }
        // Somebody who often touches the rest of it must not keep the status from being told.
        match newer_version(subject, context).await? {
            Newer::Touched(newer) => version = Some(newer),
            Newer::Changed => break,
            Newer::Gone => return Ok(None),
        }
    }
    Err(Error::Outdated { object: object() })
}

/// What a resource is that is not of the version that was looked at.
enum Newer {
    /// Spec and status are as they were looked at.
    Touched(String),
    /// They are not.
    Changed,
    /// It is no more; another one may have its name.
    Gone,
}

async fn newer_version(subject: Subject<'_>, context: &Context) -> Result<Newer, Error> {
    let cluster = subject.cluster;
    let found = whole(cluster, context).await?;
    let Some(found) = found.filter(|found| found.uid().as_ref() == Some(&cluster.uid)) else {
        return Ok(Newer::Gone);
    };
    let same = found.metadata.generation == Some(cluster.generation)
        && own(&status_of(&found)) == own(subject.status);
    Ok(match found.resource_version() {
        Some(version) if same => Newer::Touched(version),
        _ => Newer::Changed,
    })
}

/// A resource as the API server has it, whether or not it can be read as one.
pub(crate) async fn whole(
    cluster: &Identity,
    context: &Context,
) -> Result<Option<DynamicObject>, Error> {
    let described = ApiResource::erase::<ChatBotCluster>(&());
    let (client, namespace) = (context.client.clone(), &cluster.namespace);
    Api::<DynamicObject>::namespaced_with(client, namespace, &described)
        .get_opt(&cluster.name)
        .await
        .map_err(|source| Error::Observe {
            what: format!("ChatBotCluster {}", cluster.name),
            source,
        })
}

/// The status of a resource of which nothing else need be readable.
pub(crate) fn status_of(resource: &DynamicObject) -> ChatBotClusterStatus {
    resource
        .data
        .get("status")
        .filter(|status| !matches!(status, Value::Null))
        .and_then(|status| serde_json::from_value(status.clone()).ok())
        .unwrap_or_default()
}

/// What is ours of a status: conditions that others have put there are theirs to keep.
fn own(status: &ChatBotClusterStatus) -> ChatBotClusterStatus {
    let mut own = status.clone();
    own.conditions = ConditionType::ALL
        .iter()
        .filter_map(|kind| find(status, *kind).cloned())
        .collect();
    own
}

/// What is worth telling of a condition that has changed, or that says at first sight that a person is needed.
fn change(before: Option<&Condition>, after: Option<&Condition>) -> Option<News> {
    let after = after?;
    let kind = ConditionType::ALL
        .iter()
        .find(|kind| kind.as_str() == after.type_)?;
    let good = (after.status == "True") != kind.is_abnormal_true();
    let unchanged = match before {
        Some(before) => before.status == after.status && before.reason == after.reason,
        None => good || !NEEDS_A_PERSON.contains(kind),
    };
    if unchanged || after.status == "Unknown" {
        return None;
    }
    // That nothing is wrong, before anything was, is no news.
    let unknown = before.is_some_and(|before| before.status == "Unknown");
    if good && unknown && *kind != ConditionType::Ready {
        return None;
    }
    Some(News {
        warning: !good && !mends_itself(*kind, &after.reason),
        reason: after.reason.clone(),
        note: format!("{}={}: {}", after.type_, after.status, after.message),
    })
}

/// What time alone may mend, as far as this condition says: where it needs a person, `Stalled` tells.
fn mends_itself(kind: ConditionType, reason: &str) -> bool {
    ["RollingOut", "Terminating"].contains(&reason)
        || (kind == ConditionType::ModelReady && reason == "StoreUnbound")
}

async fn publish(cluster: &Identity, news: News, context: &Context) {
    let (namespace, name, note) = (&cluster.namespace, &cluster.name, &news.note);
    if news.warning {
        tracing::warn!(namespace, cluster = name, reason = news.reason, "{note}");
    } else {
        tracing::info!(namespace, cluster = name, reason = news.reason, "{note}");
    }
    let reference = k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some(ChatBotCluster::api_version(&()).into_owned()),
        kind: Some(ChatBotCluster::kind(&()).into_owned()),
        name: Some(cluster.name.clone()),
        namespace: Some(cluster.namespace.clone()),
        uid: Some(cluster.uid.clone()),
        ..k8s_openapi::api::core::v1::ObjectReference::default()
    };
    if let Err(error) = context.events.tell(&context.client, &reference, news).await {
        // The status says the same; where a namespace is being deleted, nobody reads either.
        if is_leaving(&error) {
            tracing::debug!(error = %in_full(&error), "failed to publish an event");
        } else {
            tracing::warn!(error = %in_full(&error), "failed to publish an event");
        }
    }
}

fn is_leaving(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if Refusal::of(status) == Some(Refusal::Leaving))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn condition(kind: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "m".to_owned(),
            observed_generation: Some(1),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn an_event_is_published_only_when_a_condition_changes() {
        let ready = condition("Ready", "True", "AllReady");
        assert!(change(Some(&ready), Some(&ready)).is_none());
        assert!(change(None, Some(&ready)).is_none());
        let lost = condition("Ready", "False", "NotAvailable");
        let event = change(Some(&ready), Some(&lost)).unwrap();
        assert_eq!(
            (event.warning, event.reason.as_str()),
            (true, "NotAvailable")
        );
        let stalled = |status, reason| condition("Stalled", status, reason);
        let event = change(
            Some(&stalled("False", "NotStalled")),
            Some(&stalled("True", "Forbidden")),
        )
        .unwrap();
        assert!(event.warning);
        assert!(change(None, Some(&stalled("False", "NotStalled"))).is_none());
        assert!(change(None, Some(&stalled("True", "Forbidden"))).is_some());
    }

    #[test]
    fn what_time_may_mend_is_no_warning_until_a_person_is_needed() {
        for (kind, before, after, reason, warning) in [
            ("Ready", "True", "False", "RollingOut", false),
            ("ModelReady", "Unknown", "False", "StoreUnbound", false),
            ("ModelReady", "Unknown", "False", "SourceNotFound", true),
            ("Stalled", "False", "True", "StoreUnbound", true),
        ] {
            let before = condition(kind, before, "Pending");
            let event = change(Some(&before), Some(&condition(kind, after, reason))).unwrap();
            assert_eq!(event.warning, warning, "{kind} {reason}");
        }
    }

    #[test]
    fn conditions_of_others_are_not_compared() {
        let status = |extra: bool| ChatBotClusterStatus {
            conditions: [condition("Ready", "True", "AllReady")]
                .into_iter()
                .chain(extra.then(|| condition("Example", "True", "Foreign")))
                .collect(),
            ..ChatBotClusterStatus::default()
        };
        assert_eq!(own(&status(true)), status(false));
    }
}
