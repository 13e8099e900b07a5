//! A resource that is paused is left as it is; one that is halted runs nothing and comes back.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use chatbot_e2e::conversation::Conversation;
use chatbot_e2e::resource::{CHANNEL, Pod, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use serde_json::json;

/// Longer than the operator lets pass between two looks at a resource that is at rest.
const REST: Duration = Duration::from_secs(17);

fn talks(resource: &Resource) {
    let entrance = resource.open().unwrap();
    let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
    let id = conversation.ask("Say a word.").unwrap();
    let reply = conversation.answer(&id, PATIENCE).unwrap();
    assert!(!reply.fallback && !reply.answer.is_empty(), "{reply:?}");
}

fn run(resource: &Resource, strategy: &str) {
    let edit = json!({ "spec": { "runStrategy": strategy } });
    resource.edit(&edit).unwrap();
}

/// Nothing is written while it is paused, whatever happens; all of it is done when it runs again.
fn paused_it_is_neither_changed_nor_repaired(resource: &Resource) {
    run(resource, "Paused");
    resource
        .wait_told(["Reconciling", "False", "Paused"], &[])
        .unwrap();
    resource
        .wait_told(["Ready", "True", "AllReady"], &[])
        .unwrap();
    let space = &resource.space;
    space
        .kubectl(&["delete", "poddisruptionbudget", "chat-inference"])
        .unwrap();
    let worker = resource.worker().unwrap().uid;
    let edit = json!({ "spec": { "conversation": { "systemPrompt": "You are a sailor." } } });
    resource.edit(&edit).unwrap();
    resource
        .wait_told(["Ready", "False", "Paused"], &[])
        .unwrap();
    thread::sleep(REST);
    assert_eq!(resource.worker().unwrap().uid, worker);
    assert!(
        resource
            .child("poddisruptionbudget", "chat-inference")
            .is_err()
    );
    talks(resource);

    run(resource, "Always");
    wait_until("the edit is rolled out", 2 * PATIENCE, || {
        Ok(resource.worker()?.uid != worker)
    })
    .unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    resource
        .child("poddisruptionbudget", "chat-inference")
        .unwrap();
}

/// The pods end, whoever takes messages first; Services, claim and autoscaler stay; and all of it comes back.
fn halted_nothing_runs_and_it_comes_back(resource: &Resource) {
    run(resource, "Halted");
    resource
        .wait_told(["Reconciling", "True", "Halting"], &[])
        .unwrap();
    resource
        .wait_told(["Available", "False", "Halted"], &[])
        .unwrap();
    wait_until("no pod is left", 2 * PATIENCE, || {
        let mut before: Vec<Pod> = Vec::new();
        for component in ["adapters", "workers", "inference", "broker", "store"] {
            let pods = resource.pods(component)?;
            ensure!(
                before.is_empty() || pods.iter().any(|pod| !pod.leaving),
                "{component} went before who needs it: {before:?}, {pods:?}"
            );
            before.extend(pods);
        }
        Ok(before.is_empty())
    })
    .unwrap();
    resource
        .wait_told(["Reconciling", "False", "Settled"], &[])
        .unwrap();
    resource
        .wait_told(["Ready", "False", "Halted"], &[])
        .unwrap();
    // The autoscaler does nothing from 0.
    thread::sleep(REST);
    assert_eq!(resource.pods("inference").unwrap().len(), 0);
    for (kind, name) in [
        ("service", "chat-adapters"),
        ("service", "chat-inference"),
        ("persistentvolumeclaim", "models"),
        ("horizontalpodautoscaler", "chat-inference"),
    ] {
        resource.child(kind, name).unwrap();
    }

    run(resource, "Always");
    resource
        .wait_told(["Reconciling", "True", "RollingOut"], &[])
        .unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    assert!(resource.pods("inference").unwrap().len() >= 2);
    talks(resource);
}

/// Only with `cargo e2e test --all`.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn a_resource_is_paused_goes_on_is_halted_and_comes_back() {
        let space = scenario::namespace("e2e-run").unwrap();
        let resource = Resource::apply(space, &json!({})).unwrap();
        resource.wait_ready(2 * PATIENCE).unwrap();
        paused_it_is_neither_changed_nor_repaired(&resource);
        halted_nothing_runs_and_it_comes_back(&resource);
    }
}
