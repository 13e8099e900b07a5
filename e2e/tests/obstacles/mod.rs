//! What stands in the way of one object, and of nothing else.

use anyhow::ensure;
use chatbot_e2e::definition::definition;
use chatbot_e2e::resource::{NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use serde_json::{Value, json};

use super::operators::seen::{made, wait_made, wait_observed};
use super::operators::{Operators, SOON};

/// A `PodMonitor` of the name is somebody else's: everything is made all the same.
pub fn a_monitor_of_somebody_else_s_holds_nothing_up(operators: &Operators) {
    let defined = definition("monitoring.coreos.com", "PodMonitor");
    operators.plane.apply(&defined).unwrap();
    let space = operators.plane.namespace("monitored").unwrap();
    let theirs = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": { "name": NAME },
        "spec": { "selector": {}, "podMetricsEndpoints": [] },
    });
    wait_until("the kind known", SOON, || {
        Ok(space.apply(&theirs.to_string()).is_ok())
    })
    .unwrap();
    let resource = Resource::apply_unclaimed(space, &json!({})).unwrap();
    let taken = ["Stalled", "True", "ObjectNotOwned"];
    resource
        .wait_told(taken, &[&format!("PodMonitor {NAME}")])
        .unwrap();
    wait_made(&resource);
}

/// An Ingress that goes is held by a finalizer: all pods are brought to an end meanwhile.
pub fn what_is_held_while_it_goes_keeps_nothing_from_being_done(operators: &Operators) {
    let exposed = json!({ "spec": { "exposure": { "host": "chat.example.com", "ingress": {} } } });
    let resource = made(operators, "detained", &exposed);
    let finalizers = |finalizers: Value| {
        let patch = json!({ "metadata": { "finalizers": finalizers } }).to_string();
        let how = ["patch", "ingress", "chat-adapters", "--type=merge"];
        let arguments = [&how[..], &["--patch", patch.as_str()]].concat();
        resource.space.kubectl(&arguments).unwrap();
    };
    finalizers(json!(["example.com/hold"]));
    let halted = json!({ "spec": { "exposure": null, "runStrategy": "Halted" } });
    resource.edit(&halted).unwrap();
    let words = ["Ingress chat-adapters", "example.com/hold"];
    resource
        .wait_told(["Stalled", "True", "Contended"], &words)
        .unwrap();
    wait_until("the adapters at 0", SOON, || {
        Ok(resource.child("deployment", "chat-adapters")?["spec"]["replicas"] == 0)
    })
    .unwrap();
    finalizers(Value::Null);
    resource
        .wait_told(["Stalled", "False", "NotStalled"], &[])
        .unwrap();
}

/// No further ConfigMap is let in: what runs goes on with the configuration that it has.
pub fn what_lacks_its_configuration_is_not_rolled_out(operators: &Operators) {
    let resource = made(operators, "full", &json!({}));
    let workers = || resource.child("deployment", "chat-workers").unwrap();
    let before = workers()["metadata"]["generation"].clone();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "tight" },
        "spec": { "hard": { "count/configmaps": "1" } },
    });
    resource.space.apply(&quota.to_string()).unwrap();
    wait_until("the quota counted", SOON, || {
        let used = "--output=jsonpath={.status.used}";
        let used = resource
            .space
            .kubectl(&["get", "resourcequota", "tight", used])?;
        Ok(!used.is_empty())
    })
    .unwrap();
    let terse = json!({ "spec": { "conversation": { "systemPrompt": "You are terse." } } });
    let generation = resource.edit(&terse).unwrap();
    resource
        .wait_told(
            ["Stalled", "True", "QuotaExceeded"],
            &["ConfigMap chat-workers"],
        )
        .unwrap();
    wait_observed(&resource, generation);
    assert_eq!(workers()["metadata"]["generation"], before);
    resource
        .space
        .kubectl(&["delete", "resourcequota", "tight"])
        .unwrap();
    wait_until("the edit", SOON, || {
        Ok(workers()["metadata"]["generation"] != before)
    })
    .unwrap();
}

/// A resource is made anew while its children are those of the one before.
pub fn one_that_is_made_anew_waits_for_what_its_predecessor_has_left(operators: &Operators) {
    let resource = made(operators, "anew", &json!({}));
    let mut again = resource.object().unwrap();
    let before = again["metadata"]["uid"].clone();
    again["metadata"] = json!({ "name": NAME, "namespace": resource.space.name });
    again.as_object_mut().unwrap().remove("status");
    resource.space.kubectl(&["delete", "cbc", NAME]).unwrap();
    resource.space.apply(&again.to_string()).unwrap();
    let of = |object: &Value| object["metadata"]["ownerReferences"][0]["uid"].clone();
    wait_until("children of its own", SOON, || {
        if let Some(stalled) = resource.condition("Stalled")? {
            assert_ne!(stalled.reason, "ObjectNotOwned", "{}", stalled.message);
        }
        let uid = resource.object()?["metadata"]["uid"].clone();
        ensure!(uid != before, "it is the one before");
        Ok(of(&resource.child("deployment", "chat-workers")?) == uid)
    })
    .unwrap();
    wait_made(&resource);
}
