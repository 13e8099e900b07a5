//! What people meet: each is told with its reason and what to do, nothing that works is undone for it, and it is over
//! by itself once its cause is gone.
#![allow(clippy::unwrap_used, clippy::panic)] // A step of a scenario fails as the scenario does.

mod admission;
mod proxy;

use std::time::{Duration, Instant};

use admission::{policy, webhook};
use anyhow::Context;
use chatbot_e2e::resource::{NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use proxy::rules::Verb;
use proxy::subject::{Installed, SOON, settled, state, wait_for};
use serde_json::{Value, json};

/// Longer than a test takes.
const NEVER: u64 = 3600;

fn no_longer_stalled(resource: &Resource) {
    resource
        .wait_told(["Stalled", "False", "NotStalled"], &[])
        .unwrap();
}

/// How often the operator was refused something in a namespace since then.
fn refusals(installed: &Installed, resource: &Resource, since: Instant) -> usize {
    let records = installed.proxy.records(&resource.space.name, since);
    let refused = |code: Option<u16>| code.is_some_and(|code| code >= 400 && code != 404);
    records
        .iter()
        .filter(|record| record.asked.verb == Verb::Write && refused(record.code))
        .count()
}

/// Edits what the adapters are configured with.
fn edit_adapters(resource: &Resource) {
    let edit = json!({ "spec": { "conversation": { "messagesPerUserPerMinute": 7 } } });
    resource.edit(&edit).unwrap();
}

fn delete(installed: &Installed, kind: &str, name: &str) {
    let mut kubectl = installed.plane.kubectl();
    kubectl.args(["delete", kind, name]);
    chatbot_e2e::command::output(&mut kubectl).unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn what_admission_refuses_is_told_and_what_runs_stays_until_it_is_let_in() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let [denied, unasked] = ["denied", "unasked"].map(|name| installed.resource(name).unwrap());
    let before = settled(&denied).unwrap();
    wait_for("the other one", &unasked, &before, SOON);
    installed.plane.apply(&policy("denied")).unwrap();
    installed.plane.apply(&webhook("unasked")).unwrap();
    // Both are in force some time after they are stored.
    let edit = json!({ "metadata": { "annotations": { "example.com/tried": "yes" } } }).to_string();
    let patch = [
        "patch",
        "deployment",
        "chat-adapters",
        "--dry-run=server",
        "--patch",
        &edit,
    ];
    for resource in [&denied, &unasked] {
        wait_until("a refusal", SOON, || {
            Ok(resource.space.kubectl(&patch).is_err())
        })
        .unwrap();
    }
    let deployment = |resource: &Resource| {
        let found = resource.child("deployment", "chat-adapters").unwrap();
        found["metadata"]["generation"].clone()
    };
    let generations = [&denied, &unasked].map(deployment);
    let since = Instant::now();
    for resource in [&denied, &unasked] {
        edit_adapters(resource);
    }
    let words = [
        "chat-adapters",
        "house-rules",
        "no chats on weekdays",
        "policy",
    ];
    denied
        .wait_told(["Stalled", "True", "AdmissionDenied"], &words)
        .unwrap();
    let words = ["chat-adapters", "nobody.example.com", "failurePolicy"];
    unasked
        .wait_told(["Stalled", "True", "WebhookUnavailable"], &words)
        .unwrap();
    wait_until("a while", SOON, || {
        Ok(since.elapsed() > Duration::from_secs(6))
    })
    .unwrap();
    for resource in [&denied, &unasked] {
        let refusals = refusals(&installed, resource, since);
        assert!((1..12).contains(&refusals), "{refusals} tries");
    }
    assert_eq!([&denied, &unasked].map(deployment), generations);

    delete(
        &installed,
        "validatingadmissionpolicybinding",
        "house-rules",
    );
    delete(&installed, "validatingwebhookconfiguration", "nobody");
    for resource in [&denied, &unasked] {
        no_longer_stalled(resource);
        assert_ne!(deployment(resource), generations[0]);
    }
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn an_exhausted_quota_is_named_and_what_it_kept_out_is_made_once_there_is_room() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let quota = |name: &str, of: &str, most: u32| {
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": name },
            "spec": { "hard": { of: most.to_string() } } })
        .to_string()
    };
    let [pods, objects] = ["few-pods", "few-objects"].map(|name| {
        let space = installed.plane.namespace(name).unwrap();
        let quota = match name {
            "few-pods" => quota("tight", "pods", 1),
            _ => quota("tight", "count/services", 0),
        };
        space.apply(&quota).unwrap();
        wait_until("the quota counted", SOON, || {
            let used = "--output=jsonpath={.status.used}";
            Ok(!space
                .kubectl(&["get", "resourcequota", "tight", used])?
                .is_empty())
        })
        .unwrap();
        Resource::apply(space, &json!({})).unwrap()
    });
    let words = ["exceeded quota: tight", "pods", "ResourceQuota"];
    pods.wait_told(["Stalled", "True", "QuotaExceeded"], &words)
        .unwrap();
    let part = pods.condition("InferenceReady").unwrap().unwrap();
    let other = pods.condition("AdaptersReady").unwrap().unwrap();
    assert!(
        [part, other]
            .iter()
            .any(|part| part.reason == "QuotaExceeded")
    );
    let words = [
        "Service chat-adapters",
        "exceeded quota: tight",
        "ResourceQuota",
    ];
    objects
        .wait_told(["Stalled", "True", "QuotaExceeded"], &words)
        .unwrap();
    for resource in [&pods, &objects] {
        resource
            .space
            .kubectl(&["delete", "resourcequota", "tight"])
            .unwrap();
    }
    for resource in [&objects, &pods] {
        no_longer_stalled(resource);
    }
    let after = settled(&objects).unwrap();
    wait_for("the one with few pods", &pods, &after, SOON);
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn an_object_that_the_api_server_calls_invalid_is_told_with_its_field_and_made_after_an_edit() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("invalid").unwrap();
    settled(&resource).unwrap();
    // Each is of the length that the schema allows. Together they are more than a pod may have.
    let annotations = |of: &str| -> Value {
        let long = "\u{1f600}".repeat(4096);
        let names = (0..6).map(|number| (format!("example.com/{of}-{number}"), json!(long)));
        json!({ "spec": { "podMetadata": { "annotations": names.collect::<serde_json::Map<_, _>>() } } })
    };
    for of in ["first", "second"] {
        resource.edit(&annotations(of)).unwrap();
    }
    no_longer_stalled(&resource);
    let deployment = || {
        let found = resource.child("deployment", "chat-inference").unwrap();
        found["metadata"]["generation"].clone()
    };
    wait_until("the second edit applied", SOON, || {
        let found = resource.child("deployment", "chat-inference")?;
        let annotations = &found["spec"]["template"]["metadata"]["annotations"];
        Ok(!annotations["example.com/second-5"].is_null())
    })
    .unwrap();
    let before = deployment();
    let since = Instant::now();
    resource.edit(&annotations("third")).unwrap();
    let words = [
        "Deployment chat-inference",
        "spec.template.annotations",
        "edit the field of the spec",
    ];
    resource
        .wait_told(["Stalled", "True", "ObjectInvalid"], &words)
        .unwrap();
    wait_until("a while", SOON, || {
        Ok(since.elapsed() > Duration::from_secs(6))
    })
    .unwrap();
    // Five Deployments, each sent in two ways.
    let refusals = refusals(&installed, &resource, since);
    assert!((1..100).contains(&refusals), "{refusals} tries");
    assert_eq!(deployment(), before, "what runs stays");
    let none = json!({ "spec": { "podMetadata": null } });
    resource.edit(&none).unwrap();
    no_longer_stalled(&resource);
    wait_until("the edit applied", SOON, || Ok(deployment() != before)).unwrap();
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_namespace_that_is_deleted_goes_quietly() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("leaving").unwrap();
    settled(&resource).unwrap();
    // Something of somebody else's holds the namespace back for a while.
    let held = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "held", "finalizers": ["example.com/hold"] } });
    resource.space.apply(&held.to_string()).unwrap();
    let since = Instant::now();
    let mut delete = installed.plane.kubectl();
    delete.args(["delete", "namespace", "leaving", "--wait=false"]);
    chatbot_e2e::command::output(&mut delete).unwrap();
    wait_until("the resource gone", SOON, || {
        Ok(resource
            .object()
            .is_err_and(|error| error.to_string().contains("not found")))
    })
    .unwrap();
    let gone = Instant::now();
    wait_until("a while", SOON, || {
        Ok(gone.elapsed() > Duration::from_secs(5))
    })
    .unwrap();
    let late = installed
        .proxy
        .records("leaving", gone + Duration::from_secs(1));
    assert!(late.is_empty(), "{late:?}");
    let refusals = refusals(&installed, &resource, since);
    assert!(refusals < 6, "{refusals} tries");
    let log = operator.log().unwrap();
    let failed = log.lines().filter(|line| line.contains("a pass failed"));
    assert_eq!(failed.count(), 0, "{log}");
    assert!(!log.contains("failed to publish an event"), "{log}");
    let none = json!({ "metadata": { "finalizers": null } }).to_string();
    let patch = [
        "patch",
        "configmap",
        "held",
        "--type=merge",
        "--patch",
        &none,
    ];
    resource.space.kubectl(&patch).unwrap();
    let mut wait = installed.plane.kubectl();
    wait.args(["wait", "--for=delete", "namespace/leaving", "--timeout=60s"]);
    chatbot_e2e::command::output(&mut wait).unwrap();
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_resource_that_somebody_s_finalizer_holds_back_is_told_as_it_is() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("held").unwrap();
    settled(&resource).unwrap();
    let finalizers = |list: Value| {
        let edit = json!({ "metadata": { "finalizers": list } });
        resource.edit(&edit).map(drop)
    };
    finalizers(json!(["example.com/hold"])).unwrap();
    let space = &resource.space;
    space
        .kubectl(&["delete", "chatbotcluster", NAME, "--wait=false"])
        .unwrap();
    let words = ["example.com/hold", "being deleted"];
    resource
        .wait_told(["Ready", "False", "Terminating"], &words)
        .unwrap();
    no_longer_stalled(&resource);
    // Nothing is made any more, and what has become of the parts is told all the same.
    space
        .kubectl(&["delete", "deployment", "chat-adapters", "--wait=false"])
        .unwrap();
    resource
        .wait_told(["AdaptersReady", "Unknown", "Pending"], &["chat-adapters"])
        .unwrap();
    assert!(resource.child("deployment", "chat-adapters").is_err());
    no_longer_stalled(&resource);
    let _ = finalizers(Value::Null); // it is gone before it can be read again
    wait_until("the resource gone", SOON, || {
        Ok(resource
            .object()
            .is_err_and(|error| error.to_string().contains("not found")))
    })
    .unwrap();
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_deployment_that_somebody_paused_is_named_when_a_rollout_waits_for_it() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("halted-rollout").unwrap();
    settled(&resource).unwrap();
    let rollout = |what: &str| {
        let rollout = ["rollout", what, "deployment/chat-adapters"];
        resource.space.kubectl(&rollout).unwrap();
    };
    rollout("pause");
    edit_adapters(&resource);
    let words = [
        "Deployment chat-adapters",
        "spec.paused",
        "kubectl rollout resume deployment/chat-adapters",
    ];
    resource
        .wait_told(["AdaptersReady", "False", "DeploymentPaused"], &words)
        .unwrap();
    resource
        .wait_told(["Stalled", "True", "DeploymentPaused"], &words)
        .unwrap();
    rollout("resume");
    no_longer_stalled(&resource);
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_spec_that_an_older_schema_let_in_is_refused_by_the_operator_until_it_is_edited() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let good = installed.resource("good").unwrap();
    settled(&good).unwrap();
    let places = &installed.plane.places;
    let definition = places.repository.join("crds/chatbotclusters.yaml");
    let definition = std::fs::read_to_string(definition).unwrap();
    let mut older: Value = serde_yaml::from_str(&definition).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    *older.pointer_mut(spec).unwrap() =
        json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    installed.plane.apply(&older.to_string()).unwrap();
    let upside_down = json!({ "spec": { "inference": {
        "autoscaling": { "minReplicas": 9, "maxReplicas": 4 },
    } } });
    let mut applied = None;
    wait_until("the older schema in force", SOON, || {
        let space = installed.plane.namespace("older")?;
        applied = Some(Resource::apply(space, &upside_down)?);
        Ok(true)
    })
    .unwrap();
    let resource = applied.unwrap();
    installed.plane.apply(&definition).unwrap();
    let words = ["maxReplicas", "minReplicas"];
    resource
        .wait_told(["Accepted", "False", "InvalidSpec"], &words)
        .unwrap();
    resource
        .wait_told(["Stalled", "True", "InvalidSpec"], &words)
        .unwrap();
    let children = state(&resource).unwrap()["children"].clone();
    assert_eq!(children, json!([]));
    let upright = json!({ "spec": { "inference": { "autoscaling": { "minReplicas": 2 } } } });
    resource.edit(&upright).unwrap();
    resource
        .wait_told(["Accepted", "True", "Valid"], &[])
        .unwrap();
    let expected = settled(&good).unwrap();
    wait_for("the edited one", &resource, &expected, SOON);
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_model_that_is_not_there_is_told_in_the_words_of_the_pod_that_missed_it() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("no-model").unwrap();
    settled(&resource).unwrap();
    let words =
        json!({ "reason": "SourceNotFound", "message": "no file nowhere.gguf" }).to_string();
    let pod = resource.pods("inference").unwrap().remove(0).name;
    let terminated = json!({ "exitCode": 1, "reason": "Error", "message": words });
    let status = |state: Value| {
        json!({ "status": { "phase": "Running", "containerStatuses": [{
            "name": "chatbot", "image": "localhost/chatbot:test", "imageID": "", "ready": false,
            "restartCount": 1, "state": state,
        }] } })
        .to_string()
    };
    let patch = |state: Value| {
        let status = status(state);
        let patch = [
            "patch",
            "pod",
            &pod,
            "--subresource=status",
            "--patch",
            &status,
        ];
        resource.space.kubectl(&patch).unwrap();
    };
    patch(json!({ "terminated": terminated }));
    let expected = ["ModelReady", "False", "SourceNotFound"];
    resource.wait_told(expected, &["nowhere.gguf"]).unwrap();
    resource
        .space
        .kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"])
        .unwrap();
    wait_until("no word of it", SOON, || {
        let condition = resource.condition("ModelReady")?.context("none")?;
        Ok(condition.reason != "SourceNotFound")
    })
    .unwrap();
    operator.check().unwrap();
}
