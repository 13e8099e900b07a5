//! Tells what was found and done: the status when it has changed, and an event when a condition has.

use std::sync::Arc;

use chatbot_crds::{ChatBotCluster, ChatBotClusterStatus, ConditionType};
use chatbot_plan::names::FIELD_MANAGER;
use chatbot_plan::status::find;
use chatbot_plan::world::Identity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource};
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
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

/// Writes the status if it says something new.
pub async fn report(
    cluster: &Identity,
    previous: &ChatBotClusterStatus,
    status: &ChatBotClusterStatus,
    context: &Context,
) -> Result<(), Error> {
    if own(previous) == *status {
        return Ok(());
    }
    let api = Api::<Guarded>::namespaced(context.client.clone(), &cluster.namespace);
    let body = json!({
        "apiVersion": ChatBotCluster::api_version(&()),
        "kind": ChatBotCluster::kind(&()),
        // Of this identity alone: a resource of the same name made meanwhile is another one.
        "metadata": { "name": cluster.name, "uid": cluster.uid },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api
        .patch_status(&cluster.name, &params, &Patch::Apply(&body))
        .await
    {
        Ok(written) => {
            context.metrics.wrote("Status");
            context.desk(&cluster.uid, |desk| desk.reported = Some(Arc::new(written)));
        }
        // It is gone, or another one has its name: there is nobody to tell.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
        Err(source) => return Err(Error::Report { source }),
    }
    for kind in TOLD {
        if let Some(event) = change(find(previous, kind), find(status, kind)) {
            publish(cluster, &event, context).await;
        }
    }
    Ok(())
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

/// The event of a condition that was known before and has changed.
fn change(before: Option<&Condition>, after: Option<&Condition>) -> Option<Event> {
    let (before, after) = (before?, after?);
    let kind = ConditionType::ALL
        .iter()
        .find(|kind| kind.as_str() == after.type_)?;
    let unchanged = before.status == after.status && before.reason == after.reason;
    if unchanged || after.status == "Unknown" {
        return None;
    }
    let good = (after.status == "True") != kind.is_abnormal_true();
    // That nothing is wrong, before anything was, is no news.
    if good && before.status == "Unknown" && *kind != ConditionType::Ready {
        return None;
    }
    Some(Event {
        type_: if good || after.reason == "RollingOut" {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: after.reason.clone(),
        note: Some(format!(
            "{}={}: {}",
            after.type_, after.status, after.message
        )),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

async fn publish(cluster: &Identity, event: &Event, context: &Context) {
    let reference = k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some(ChatBotCluster::api_version(&()).into_owned()),
        kind: Some(ChatBotCluster::kind(&()).into_owned()),
        name: Some(cluster.name.clone()),
        namespace: Some(cluster.namespace.clone()),
        uid: Some(cluster.uid.clone()),
        ..k8s_openapi::api::core::v1::ObjectReference::default()
    };
    if let Err(error) = context.events.publish(event, &reference).await {
        // The status says the same.
        tracing::warn!(error = %crate::error::in_full(&error), "failed to publish an event");
    }
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
            (event.type_, event.reason.as_str()),
            (EventType::Warning, "NotAvailable")
        );
        let stalled = |status, reason| condition("Stalled", status, reason);
        let event = change(
            Some(&stalled("False", "NotStalled")),
            Some(&stalled("True", "Forbidden")),
        )
        .unwrap();
        assert_eq!(event.type_, EventType::Warning);
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
