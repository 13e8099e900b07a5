//! `runStrategy` and what else of the spec needs no node to be seen: what is written, and what is told.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod operators;

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use chatbot_e2e::resource::{COMPONENTS, NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use operators::seen::{made, versions};
use operators::{Operators, SOON};
use serde_json::{Value, json};

/// Longer than the operator lets pass between two looks at a resource that is at rest.
const REST: Duration = Duration::from_secs(17);

fn run(resource: &Resource, strategy: &str) {
    let edit = json!({ "spec": { "runStrategy": strategy } });
    resource.edit(&edit).unwrap();
}

fn deployment(resource: &Resource, component: &str) -> anyhow::Result<Value> {
    resource.child("deployment", &format!("{NAME}-{component}"))
}

/// So many replicas of the inference, and of each other part.
fn wait_replicas(resource: &Resource, others: u64, inference: u64) {
    wait_until(&format!("{others} and {inference} replicas"), SOON, || {
        for component in COMPONENTS {
            let wanted = match component {
                "inference" => inference,
                _ => others,
            };
            let spec = &deployment(resource, component)?["spec"];
            ensure!(spec["replicas"] == wanted, "{component}: {spec}");
        }
        Ok(true)
    })
    .unwrap();
}

fn paused_nothing_is_written_but_the_status(resource: &Resource) {
    run(resource, "Paused");
    resource
        .wait_told(["Reconciling", "False", "Paused"], &[])
        .unwrap();
    let budget = format!("{NAME}-inference");
    resource
        .space
        .kubectl(&["delete", "poddisruptionbudget", &budget])
        .unwrap();
    let edit = json!({ "spec": {
        "priorityClassName": "system-cluster-critical",
        "inference": { "rollout": { "maxSurge": 1, "maxUnavailable": "10%" } },
    } });
    resource.edit(&edit).unwrap();
    resource
        .wait_told(["Reconciling", "False", "Paused"], &["to be applied"])
        .unwrap();
    // What its own controllers write of a child is nobody's doing.
    let mut before = versions(resource).unwrap();
    before.retain(|name, _| !name.starts_with("Deployment") && !name.starts_with("Horizontal"));
    thread::sleep(REST);
    let after = versions(resource).unwrap();
    for (name, version) in before {
        assert_eq!(after.get(&name), Some(&version), "{name}");
    }
    assert!(resource.child("poddisruptionbudget", &budget).is_err());

    run(resource, "Always");
    wait_until("the edit and the repair", SOON, || {
        resource.child("poddisruptionbudget", &budget)?;
        let spec = deployment(resource, "inference")?["spec"].clone();
        let rolling = json!({ "maxSurge": 1, "maxUnavailable": "10%" });
        ensure!(spec["strategy"]["rollingUpdate"] == rolling, "{spec}");
        let class = &spec["template"]["spec"]["priorityClassName"];
        ensure!(class == "system-cluster-critical", "{class}");
        Ok(true)
    })
    .unwrap();
}

fn halted_everything_goes_to_0_and_comes_back(resource: &Resource) {
    let kept: Vec<String> = versions(resource).unwrap().into_keys().collect();
    run(resource, "Halted");
    wait_replicas(resource, 0, 0);
    resource
        .wait_told(["Reconciling", "False", "Settled"], &[])
        .unwrap();
    for kind in ["Ready", "Available"] {
        resource.wait_told([kind, "False", "Halted"], &[]).unwrap();
    }
    // Nobody raises anything from 0.
    thread::sleep(REST);
    wait_replicas(resource, 0, 0);
    let names: Vec<String> = versions(resource).unwrap().into_keys().collect();
    assert_eq!(names, kept);
    run(resource, "Always");
    wait_replicas(resource, 1, 2);
}

fn halted_from_the_beginning_no_pod_is_made(operators: &Operators) {
    let space = operators.plane.namespace("halted").unwrap();
    let halted = json!({ "spec": { "runStrategy": "Halted" } });
    let resource = Resource::apply_unclaimed(space, &halted).unwrap();
    resource
        .wait_told(["Reconciling", "False", "Settled"], &[])
        .unwrap();
    resource
        .wait_told(["Ready", "False", "Halted"], &[])
        .unwrap();
    resource
        .child("service", &format!("{NAME}-adapters"))
        .unwrap();
    assert!(deployment(&resource, "adapters").is_err());
    run(&resource, "Always");
    wait_replicas(&resource, 1, 2);
}

/// Pods of another server are let in where Pod Security is `restricted`.
fn a_server_that_is_not_ours_is_let_in(resource: &Resource) {
    let key = json!({ "secretKeyRef": { "name": "engine", "key": "token" } });
    let edit = json!({ "spec": { "inference": { "engine": {
        "image": "localhost/somebody/server:1",
        "args": ["--model=$(MODEL_PATH)"],
        "env": [{ "name": "TOKEN", "valueFrom": key }],
        "port": 9000,
    } } } });
    resource.edit(&edit).unwrap();
    wait_until("a pod of the other server", SOON, || {
        let selector = "--selector=chatbot.dev/component=inference";
        let images = "jsonpath={.items[*].spec.containers[*].image}";
        let images = resource
            .space
            .kubectl(&["get", "pods", selector, "--output", images])?;
        Ok(images.contains("localhost/somebody/server:1"))
    })
    .unwrap();
    let back = json!({ "spec": { "inference": { "engine": null } } });
    resource.edit(&back).unwrap();
}

/// The API server says that it makes no pod of a class that is not there.
fn a_class_that_is_not_there_is_named(resource: &Resource) {
    let edit = json!({ "spec": { "priorityClassName": "nobody-made-it" } });
    resource.edit(&edit).unwrap();
    resource
        .wait_told(
            ["InferenceReady", "False", "PodsForbidden"],
            &["nobody-made-it"],
        )
        .unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_resource_is_paused_goes_on_is_halted_and_comes_back_as_it_is_told() {
    let operators = Operators::install(&["keeper"]).unwrap();
    let mut operator = operators.start("keeper").unwrap();
    let resource = made(&operators, "paused", &json!({}));
    paused_nothing_is_written_but_the_status(&resource);
    halted_everything_goes_to_0_and_comes_back(&resource);
    halted_from_the_beginning_no_pod_is_made(&operators);
    a_server_that_is_not_ours_is_let_in(&resource);
    a_class_that_is_not_there_is_named(&resource);
    operator.check().unwrap();
}
