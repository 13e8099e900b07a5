//! What the operator says of a resource that cannot work, and that it leaves alone what works. What it mends is tried
//! without nodes, in `kept.rs`.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use chatbot_e2e::model;
use chatbot_e2e::resource::Resource;
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use serde_json::{Value, json};

/// What the operator makes, and what it would make again.
const KINDS: &str = "configmaps,services,poddisruptionbudgets,deployments,horizontalpodautoscalers";
const MANAGER: &str = "chatbot-operator";
/// Longer than the operator lets pass between two looks at a resource that is at rest.
const REST: Duration = Duration::from_secs(17);
/// A Service of somebody else, with the name of ours.
const FOREIGN: &str = "
apiVersion: v1
kind: Service
metadata: { name: chat-adapters, labels: { app: other } }
spec: { selector: { app: other }, ports: [{ port: 8080 }] }
";

/// Every child, and what changes when somebody writes to it. Others write the status, and the version with it.
fn children(resource: &Resource) -> BTreeMap<String, Value> {
    let list = resource
        .space
        .kubectl(&[
            "get",
            KINDS,
            "--selector=chatbot.dev/cluster=chat",
            "--show-managed-fields",
            "--output=json",
        ])
        .unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let metadata = &item["metadata"];
            let has_status = !item["status"].is_null() && item["kind"] != "Service";
            let ours: Vec<&Value> = metadata["managedFields"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|entry| entry["manager"] == MANAGER)
                .collect();
            let written = json!({
                "uid": metadata["uid"],
                "generation": metadata["generation"],
                "version": if has_status { &Value::Null } else { &metadata["resourceVersion"] },
                "ours": ours,
            });
            let name = format!("{} {}", item["kind"], metadata["name"]).replace('"', "");
            (name, written)
        })
        .collect()
}

/// What is said, whatever generation it is said of, without and with the autoscaler's word: whether it has figures to
/// go by is not the operator's doing.
fn status(object: &Value) -> (Value, Value) {
    let mut status = object["status"].clone();
    status["observedGeneration"].take();
    let conditions = status["conditions"].as_array_mut().unwrap();
    let mut scaling = Value::Null;
    for condition in conditions {
        condition["observedGeneration"].take();
        if condition["type"] == "ScalingActive" {
            scaling = condition.take();
        }
    }
    (status, scaling)
}

/// A prompt, a claim, a model's file and the memory for it that are not there, and a name that is taken: each is told
/// with its remedy, and none needs more than what it lacks.
fn what_is_missing_is_named_until_it_is_there() -> Resource {
    let space = scenario::namespace("e2e-operator").unwrap();
    space.apply(FOREIGN).unwrap();
    let missing = json!({ "spec": {
        "conversation": {
            "systemPrompt": null,
            "systemPromptFrom": { "configMapKeyRef": { "name": "persona", "key": "prompt" } },
        },
        "inference": {
            "model": { "source": { "persistentVolumeClaim": { "path": "nowhere.gguf" } } },
            "resources": { "limits": { "memory": "48Mi" } },
            "autoscaling": { "minReplicas": 1, "maxReplicas": 1 },
        },
    } });
    let resource = Resource::apply_unclaimed(space, &missing).unwrap();
    let space = &resource.space;
    let foreign = resource.child("service", "chat-adapters").unwrap();

    let no_prompt = ["WorkersReady", "False", "SystemPromptMissing"];
    resource
        .wait_told(no_prompt, &["configMapKeyRef.name", "persona", "create"])
        .unwrap();
    let prompt = |key: &str| {
        let text = "You are a friendly assistant.";
        let manifest = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "persona" },
            "data": { key: text },
        });
        space.apply(&manifest.to_string()).unwrap();
    };
    prompt("other");
    resource
        .wait_told(no_prompt, &["configMapKeyRef.key", "\"prompt\"", "add"])
        .unwrap();
    prompt("prompt");

    let no_claim = ["ModelReady", "False", "StoreUnbound"];
    resource
        .wait_told(no_claim, &["claimName", "models", "create"])
        .unwrap();
    space.claim_models().unwrap();
    let no_file = ["ModelReady", "False", "SourceNotFound"];
    resource.wait_told(no_file, &["nowhere.gguf"]).unwrap();
    let source = json!({ "persistentVolumeClaim": { "path": model::FILE } });
    let corrected = json!({ "spec": { "inference": { "model": { "source": source } } } });
    resource.edit(&corrected).unwrap();
    let no_room = ["ModelReady", "False", "DoesNotFit"];
    let remedy = ["48Mi", "nodeCapacity", "contextTokens", "resources.limits"];
    resource.wait_told(no_room, &remedy).unwrap();
    let roomy = json!({ "spec": { "inference": { "resources": null } } });
    resource.edit(&roomy).unwrap();
    resource
        .wait_told(["ModelReady", "True", "Published"], &[])
        .unwrap();
    resource
        .wait_told(["WorkersReady", "True", "MinimumReplicasAvailable"], &[])
        .unwrap();

    let taken = ["Stalled", "True", "ObjectNotOwned"];
    resource
        .wait_told(taken, &["Service chat-adapters", "rename"])
        .unwrap();
    let untouched = resource.child("service", "chat-adapters").unwrap();
    assert_eq!(untouched, foreign);
    space
        .kubectl(&["delete", "service", "chat-adapters"])
        .unwrap();
    resource.wait_ready(PATIENCE).unwrap();
    resource
}

/// Passes that find nothing to do write nothing, whatever has made the operator look.
fn at_rest_nothing_is_written(resource: &Resource) {
    wait_until("the configuration before the edit gone", PATIENCE, || {
        let configurations = children(resource)
            .into_keys()
            .filter(|name| name.starts_with("ConfigMap"));
        Ok(configurations.count() == 5)
    })
    .unwrap();
    let before = children(resource);
    let (said, _) = status(&resource.object().unwrap());
    let written = |child: &Value| child["ours"] != json!([]);
    assert!(before.values().all(written), "{before:?}");

    // Another spelling is another generation, which the operator has to look at, and asks for nothing new.
    for cpu in ["1000m", "1", "1000m"] {
        let spelled = json!({ "spec": { "inference": { "nodeCapacity": { "cpu": cpu } } } });
        let generation = resource.edit(&spelled).unwrap();
        wait_until("the new generation looked at", PATIENCE, || {
            Ok(resource.object()?["status"]["observedGeneration"] == generation)
        })
        .unwrap();
        assert_eq!(children(resource), before);
        assert_eq!(status(&resource.object().unwrap()).0, said);
    }

    let mut last = resource.object().unwrap();
    let (pods, start) = (resource.pods("inference").unwrap(), Instant::now());
    for (touch, pod) in pods.iter().cycle().take(3).enumerate() {
        let touched = format!("example.com/touched={touch}");
        let annotate = ["annotate", "--overwrite", "pod", &pod.name, &touched];
        resource.space.kubectl(&annotate).unwrap();
    }
    while start.elapsed() < REST {
        thread::sleep(Duration::from_secs(1));
        let now = resource.object().unwrap();
        let ((rest, scaling), (_, scaling_before)) = (status(&now), status(&last));
        assert_eq!(rest, said);
        assert!(
            now["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]
                || scaling != scaling_before,
            "it was written and says nothing new: {now}"
        );
        last = now;
    }
    assert_eq!(children(resource), before);
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn what_is_missing_is_named_and_at_rest_nothing_is_written() {
    let resource = what_is_missing_is_named_until_it_is_there();
    at_rest_nothing_is_written(&resource);
}
