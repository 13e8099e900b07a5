//! Writes on a view that is outdated are refused, whatever they write; and what is told twice is told once, unless its words
//! differ.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

#[path = "in_process/mod.rs"]
mod in_process;

use std::sync::Arc;

use chatbot_operator::apply::apply;
use chatbot_operator::error::Error;
use chatbot_operator::events::News;
use chatbot_operator::gate::Budget;
use chatbot_operator::observe::observe;
use chatbot_operator::report::report;
use chatbot_operator::watch::{Guarded, api_resource};
use chatbot_plan::kinds::KINDS;
use chatbot_plan::names::{ABSENT, FIELD_MANAGER};
use chatbot_plan::status::{Outcome, compose};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use in_process::{End, Ground, Picture, plane};

const NAME: &str = "chat";

fn resource(prompt: &str) -> Value {
    let source =
        json!({ "persistentVolumeClaim": { "claimName": "models", "path": "model.gguf" } });
    json!({
        "apiVersion": "chatbot.dev/v1alpha1",
        "kind": "ChatBotCluster",
        "metadata": { "name": NAME },
        "spec": {
            "channels": [{ "name": "web", "webChat": {} }],
            "conversation": { "systemPrompt": prompt },
            "inference": {
                "model": { "source": source },
                "nodeCapacity": { "cpu": 4, "memory": "16Gi" },
                "autoscaling": { "minReplicas": 1, "maxReplicas": 2 },
            },
        },
    })
}

/// A resource of this prompt with everything made, by an operator that is gone.
async fn settled(ground: &Ground, namespace: &str, prompt: &str) {
    ground.apply(namespace, &resource(prompt)).await.unwrap();
    let operator = ground.operator(Budget::Unlimited);
    let end = operator.work(namespace, NAME).await.unwrap();
    assert_eq!(end, End::Settled);
}

/// An operator that looked and planned before another one has worked on: nothing of its plan is written.
async fn a_plan_that_was_overtaken_is_not_carried_out(ground: &Ground) {
    let space = "overtaken";
    ground.namespace(space).await.unwrap();
    settled(ground, space, "You are friendly.").await;
    let edited = resource("You are brief.");
    ground.apply(space, &edited).await.unwrap();
    let slow = ground.operator(Budget::Unlimited);
    let resources = Api::<Guarded>::namespaced(ground.client.clone(), space);
    let seen = Arc::new(resources.get(NAME).await.unwrap());
    let sight = observe(&seen, &slow.context).await.unwrap();
    let world = sight.world(&slow.context).unwrap();
    let plan = chatbot_plan::plan(&world);

    settled(ground, space, "You are a sailor.").await;
    let before = Picture::take(&ground.client, space).await.unwrap();
    let applied = apply(&plan, &sight.children, &slow.context).await;
    assert!(
        matches!(applied.error, Some(Error::Outdated { .. })),
        "{applied:?}"
    );
    assert_eq!(applied.outcome, Outcome::default());
    let status = compose(&world, &plan, &applied.outcome);
    let told = report((&sight).into(), &status, &slow.context).await;
    assert!(matches!(told, Err(Error::Outdated { .. })), "{told:?}");
    let after = Picture::take(&ground.client, space).await.unwrap();
    assert_eq!(after.differences(&before), "");
}

/// A generation that is older than one that was looked at comes from a list that lags, or from a backup.
async fn an_older_generation_is_believed_when_the_server_has_no_newer_one(ground: &Ground) {
    let space = "restored";
    ground.namespace(space).await.unwrap();
    ground
        .apply(space, &resource("You are friendly."))
        .await
        .unwrap();
    let resources = Api::<Guarded>::namespaced(ground.client.clone(), space);
    let older = resources.get(NAME).await.unwrap();
    let operator = ground.operator(Budget::Unlimited);
    let uid = older.uid().unwrap();
    operator.context.desk(&uid, |desk| desk.generation = 9);
    observe(&older, &operator.context).await.unwrap();

    ground
        .apply(space, &resource("You are brief."))
        .await
        .unwrap();
    operator.context.desk(&uid, |desk| desk.generation = 2);
    let lags = observe(&older, &operator.context).await;
    assert!(matches!(lags, Err(Error::Outdated { .. })));
}

/// The version that stands for absence creates an object of each kind, and is refused where there is one.
async fn what_is_there_is_not_created_again(ground: &Ground) {
    let space = "absent";
    ground.namespace(space).await.unwrap();
    settled(ground, space, "You are friendly.").await;
    let mut kinds = 0;
    for kind in KINDS {
        let client = ground.client.clone();
        let api = Api::<DynamicObject>::namespaced_with(client, space, &api_resource(kind));
        let Ok(children) = api.list(&ListParams::default()).await else {
            assert!(kind.provider.is_some(), "{} cannot be listed", kind.kind);
            continue;
        };
        let owned = |child: &&DynamicObject| !child.owner_references().is_empty();
        let Some(child) = children.iter().find(owned) else {
            continue; // this resource needs none
        };
        let mut body = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind,
            "metadata": { "name": "another", "resourceVersion": ABSENT },
        });
        for (field, value) in child.data.as_object().unwrap() {
            if field != "status" {
                body[field] = value.clone();
            }
        }
        if let Some(spec) = body.pointer_mut("/spec").and_then(Value::as_object_mut) {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&body);
        api.patch("another", &params, &patch).await.unwrap();
        let again = api.patch("another", &params, &patch).await.unwrap_err();
        let refused = matches!(&again, kube::Error::Api(status) if status.code == 409);
        assert!(refused, "{}: {again}", kind.kind);
        kinds += 1;
    }
    assert!(kinds >= 5, "{kinds}");
}

/// The same words are one event with a count; other words are another one.
async fn each_event_says_what_it_was_told_with(ground: &Ground) {
    let space = "told";
    ground.namespace(space).await.unwrap();
    ground
        .apply(space, &resource("You are friendly."))
        .await
        .unwrap();
    let operator = ground.operator(Budget::Unlimited);
    let regarding = ObjectReference {
        name: Some(NAME.to_owned()),
        namespace: Some(space.to_owned()),
        uid: Some("1".to_owned()),
        ..ObjectReference::default()
    };
    for note in ["no claim", "no file", "no claim", "no claim"] {
        let news = News {
            warning: true,
            reason: "Stalled".to_owned(),
            note: note.to_owned(),
        };
        let context = &operator.context;
        context
            .events
            .tell(&context.client, &regarding, news)
            .await
            .unwrap();
    }
    let events = Api::<Event>::namespaced(ground.client.clone(), space);
    let events = events.list(&ListParams::default()).await.unwrap();
    let mut told: Vec<_> = events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("Stalled"))
        .map(|event| {
            (
                event.note.as_deref(),
                event.series.as_ref().map(|series| series.count),
            )
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(Some("no claim"), Some(3)), (Some("no file"), None)]);
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn what_is_outdated_is_not_written_and_what_is_told_is_true() {
    let plane = plane();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ground = Ground::begin(&plane).await;
        Box::pin(a_plan_that_was_overtaken_is_not_carried_out(&ground)).await;
        Box::pin(an_older_generation_is_believed_when_the_server_has_no_newer_one(&ground)).await;
        Box::pin(what_is_there_is_not_created_again(&ground)).await;
        Box::pin(each_event_says_what_it_was_told_with(&ground)).await;
    });
}
