//! Rights that the operator lacks: from its beginning, or taken from it later. Each is named, and it is over by itself.
#![allow(clippy::unwrap_used, clippy::panic)] // A step of a scenario fails as the scenario does.

mod proxy;

use chatbot_e2e::command;
use chatbot_e2e::resource::Resource;
use chatbot_e2e::scenario::wait_until;
use proxy::subject::{Installed, SOON, settled, wait_for};
use serde_json::{Value, json};

/// Longer than a test takes.
const NEVER: u64 = 3600;
const NOT_STALLED: [&str; 3] = ["Stalled", "False", "NotStalled"];

/// Gives the operator these rights.
fn set_rights(installed: &Installed, rules: &Value) {
    let patch = json!({ "rules": rules }).to_string();
    let mut kubectl = installed.plane.kubectl();
    kubectl.args(["patch", "clusterrole", "chatbot-operator"]);
    kubectl.args(["--type=merge", "--patch", &patch]);
    command::output(&mut kubectl).unwrap();
}

/// The operator's rights, and those that are left without these resources.
fn rights(installed: &Installed, taken: &[&str]) -> [Value; 2] {
    let mut kubectl = installed.plane.kubectl();
    kubectl.args(["get", "clusterrole", "chatbot-operator", "--output=json"]);
    let role = command::output(&mut kubectl).unwrap();
    let role: Value = serde_json::from_str(&role).unwrap();
    let granted = role["rules"].clone();
    let mut less = granted.clone();
    let rules = less.as_array_mut().unwrap();
    for rule in rules.iter_mut() {
        if let Some(resources) = rule["resources"].as_array_mut() {
            resources.retain(|resource| !taken.contains(&resource.as_str().unwrap()));
        }
    }
    rules.retain(|rule| rule["resources"] != json!([]));
    [granted, less]
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn an_operator_that_begins_without_a_right_names_it_and_begins_when_it_has_it() {
    let installed = Installed::new(1).unwrap();
    let [granted, less] = rights(&installed, &["poddisruptionbudgets"]);
    set_rights(&installed, &less);
    let mut operator = installed.operator(NEVER).unwrap();
    let space = installed.plane.namespace("never-a-right").unwrap();
    let resource = Resource::apply_unclaimed(space, &json!({})).unwrap();
    let words = ["cannot list", "poddisruptionbudgets", "ClusterRole"];
    resource
        .wait_told(["Stalled", "True", "Forbidden"], &words)
        .unwrap();
    let ready = ["Ready", "False", "Stalled"];
    resource
        .wait_told(ready, &["poddisruptionbudgets"])
        .unwrap();
    assert!(resource.child("service", "chat-adapters").is_err());
    set_rights(&installed, &granted);
    // Only the model's claim is missing then.
    let unbound = ["Stalled", "True", "StoreUnbound"];
    resource.wait_told(unbound, &["models"]).unwrap();
    resource.child("service", "chat-adapters").unwrap();
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_right_that_was_taken_away_is_named_and_missed_only_where_it_is_needed() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("no-right").unwrap();
    let expected = settled(&resource).unwrap();
    let taken = ["poddisruptionbudgets", "persistentvolumeclaims"];
    let [granted, less] = rights(&installed, &taken);
    set_rights(&installed, &less);
    let words = [
        "cannot get",
        "persistentvolumeclaims",
        "no-right",
        "ClusterRole",
    ];
    resource
        .wait_told(["Stalled", "True", "Forbidden"], &words)
        .unwrap();
    // Everything else goes on.
    let space = &resource.space;
    space
        .kubectl(&["delete", "service", "chat-adapters"])
        .unwrap();
    wait_until("the Service there again", SOON, || {
        resource.child("service", "chat-adapters").map(|_| true)
    })
    .unwrap();
    space
        .kubectl(&["delete", "poddisruptionbudget", "--all"])
        .unwrap();
    // The watch was begun when the right was there; it tells of the loss, and is not begun again.
    resource
        .wait_told(["Stalled", "True", "Forbidden"], &["poddisruptionbudgets"])
        .unwrap();
    set_rights(&installed, &granted);
    resource.wait_told(NOT_STALLED, &[]).unwrap();
    wait_for("with all rights", &resource, &expected, SOON);
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_right_that_comes_back_is_noticed_though_nothing_else_changes() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("right-again").unwrap();
    settled(&resource).unwrap();
    let [granted, less] = rights(&installed, &["ingresses", "configmaps"]);
    set_rights(&installed, &less);
    resource
        .wait_told(
            ["Stalled", "True", "Forbidden"],
            &["ingresses", "configmaps"],
        )
        .unwrap();
    set_rights(&installed, &granted);
    resource.wait_told(NOT_STALLED, &[]).unwrap();
    operator.check().unwrap();
}
