//! What the operator makes is kept as planned, what is somebody else's stays as it is, and nothing is written twice. All of
//! it needs the API server, and no node.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod operators;

use std::time::{Duration, Instant};

use anyhow::ensure;
use chatbot_e2e::command;
use chatbot_e2e::resource::{NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use operators::seen::{children_of, events, made, said, versions, wait_made, wait_observed};
use operators::{Operators, SOON};
use serde_json::{Value, json};

fn ten_looks_at_what_is_as_it_should_be_write_nothing(resource: &Resource) {
    let (versions_before, said_before) = (versions(resource).unwrap(), said(resource).unwrap());
    let events_before = events(resource).unwrap();
    // Another spelling is another generation, which the operator has to look at, and asks for nothing new.
    for look in 0..10 {
        let cpu = ["1000m", "1"][look % 2];
        let spelled = json!({ "spec": { "inference": { "nodeCapacity": { "cpu": cpu } } } });
        let generation = resource.edit(&spelled).unwrap();
        wait_observed(resource, generation);
    }
    assert_eq!(versions(resource).unwrap(), versions_before);
    assert_eq!(said(resource).unwrap(), said_before);
    assert_eq!(events(resource).unwrap(), events_before);
}

/// A tool that compares what it has with what is there, and applies it again and again, in either way of applying.
fn a_tool_that_applies_the_resource_every_second_changes_nothing(resource: &Resource) {
    let space = &resource.space;
    let manifest = json!({
        "apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatBotCluster", "metadata": { "name": NAME },
        "spec": resource.object().unwrap()["spec"],
    });
    let apply = |way: &[&str]| {
        let mut kubectl = space.cluster.kubectl();
        kubectl
            .args(["apply", "--namespace", &space.name, "--filename=-"])
            .args(way);
        command::output_of_input(&mut kubectl, &manifest.to_string()).unwrap();
    };
    for way in [
        &[][..],
        &["--server-side", "--force-conflicts", "--field-manager=tool"],
    ] {
        apply(way); // the first time it puts its mark on it
        wait_made(resource);
        let before = (versions(resource).unwrap(), resource.object().unwrap());
        let events_before = events(resource).unwrap();
        let mut last = Instant::now();
        for _ in 0..6 {
            apply(way);
            let rest = Duration::from_secs(1).saturating_sub(last.elapsed());
            std::thread::sleep(rest); // the tool's own rhythm
            last = Instant::now();
        }
        assert_eq!(
            (versions(resource).unwrap(), resource.object().unwrap()),
            before
        );
        assert_eq!(events(resource).unwrap(), events_before);
    }
}

/// One thing that somebody does to a child, as a JSON patch.
struct Meddling {
    kind: &'static str,
    name: &'static str,
    path: &'static str,
    value: Option<Value>,
}

fn meddlings() -> Vec<Meddling> {
    let with = |kind, name, path, value| Meddling {
        kind,
        name,
        path,
        value,
    };
    vec![
        // A Service's ports are joined by number when they are applied: the changed one would stand beside ours.
        with(
            "service",
            "chat-adapters",
            "/spec/ports/0/port",
            Some(json!(81)),
        ),
        with(
            "deployment",
            "chat-inference",
            "/spec/revisionHistoryLimit",
            Some(json!(9)),
        ),
        with(
            "deployment",
            "chat-adapters",
            "/metadata/labels/chatbot.dev~1component",
            Some(json!("x")),
        ),
        with(
            "service",
            "chat-inference",
            "/metadata/labels/app.kubernetes.io~1managed-by",
            None,
        ),
        with(
            "poddisruptionbudget",
            "chat-adapters",
            "/metadata/ownerReferences",
            None,
        ),
        with(
            "horizontalpodautoscaler",
            "chat-inference",
            "/spec/maxReplicas",
            Some(json!(99)),
        ),
        with(
            "configmap",
            "chat-memory",
            "/metadata/ownerReferences",
            None,
        ),
        with(
            "configmap",
            "chat-memory",
            "/metadata/annotations/chatbot.dev~1hash",
            None,
        ),
    ]
}

fn whatever_somebody_does_to_a_child_is_set_right(resource: &Resource) {
    let space = &resource.space;
    let patch = |meddling: &Meddling| {
        let change = match &meddling.value {
            Some(value) => json!([{ "op": "replace", "path": meddling.path, "value": value }]),
            None => json!([{ "op": "remove", "path": meddling.path }]),
        };
        let patch = change.to_string();
        let target = [
            meddling.kind,
            meddling.name,
            "--type=json",
            "--patch",
            &patch,
        ];
        space.kubectl(&[&["patch"], &target[..]].concat()).unwrap();
    };
    for meddling in meddlings() {
        let (kind, name) = (meddling.kind, meddling.name);
        let child = || resource.child(kind, name);
        let note = "example.com/note=theirs";
        for mark in ["label", "annotate"] {
            space
                .kubectl(&[mark, "--overwrite", kind, name, note])
                .unwrap();
        }
        let original = child().unwrap();
        patch(&meddling);
        wait_until(
            &format!("{kind} {name} {} set again", meddling.path),
            SOON,
            || {
                let child = child()?;
                let (is, was) = (
                    child.pointer(meddling.path),
                    original.pointer(meddling.path),
                );
                ensure!(is == was, "{child}");
                Ok(true)
            },
        )
        .unwrap();
        let child = child().unwrap();
        let metadata = &child["metadata"];
        assert_eq!(
            metadata["uid"], original["metadata"]["uid"],
            "{kind} {name} is another"
        );
        for marks in ["labels", "annotations"] {
            assert_eq!(
                metadata[marks]["example.com/note"], "theirs",
                "{kind} {name}"
            );
        }
        if kind == "service" {
            assert_eq!(child["spec"]["ports"].as_array().unwrap().len(), 1);
        }
    }
}

/// What somebody sets that cannot stand beside what is planned, and where.
fn contradictions() -> [(&'static str, &'static str, Value, &'static str); 4] {
    let rolling = json!({ "spec": { "strategy": { "type": "RollingUpdate" } } });
    let budget = json!({ "spec": { "minAvailable": 1, "maxUnavailable": null } });
    let profile = json!({ "type": "Localhost", "localhostProfile": "theirs.json" });
    let context = json!({ "securityContext": { "seccompProfile": profile } });
    let pod = json!({ "spec": { "template": { "spec": context } } });
    let profile = "/spec/template/spec/securityContext/seccompProfile";
    [
        (
            "deployment",
            "chat-store",
            rolling.clone(),
            "/spec/strategy",
        ),
        ("deployment", "chat-broker", rolling, "/spec/strategy"),
        ("poddisruptionbudget", "chat-workers", budget, "/spec"),
        ("deployment", "chat-workers", pod, profile),
    ]
}

fn what_contradicts_the_plan_goes(resource: &Resource) {
    for (kind, name, change, path) in contradictions() {
        let part = || -> anyhow::Result<Option<Value>> {
            Ok(resource.child(kind, name)?.pointer(path).cloned())
        };
        let planned = part().unwrap();
        let change = change.to_string();
        let patch = ["patch", kind, name, "--type=merge", "--patch", &change];
        resource.space.kubectl(&patch).unwrap();
        wait_until(&format!("{kind} {name} as planned"), SOON, || {
            let part = part()?;
            ensure!(part == planned, "{part:?}");
            Ok(true)
        })
        .unwrap();
    }
}

/// Without its label a child is hidden from whoever looks for labels.
fn what_is_hidden_and_no_longer_planned_goes(resource: &Resource) {
    let space = &resource.space;
    let host = json!({ "host": "chat.example.com", "ingress": { "className": "any" } });
    let generation = resource
        .edit(&json!({ "spec": { "exposure": host } }))
        .unwrap();
    wait_observed(resource, generation);
    wait_until("the Ingress", SOON, || {
        Ok(resource.child("ingress", "chat-adapters").is_ok())
    })
    .unwrap();
    let paused = json!({ "spec": { "runStrategy": "Paused" } });
    let generation = resource.edit(&paused).unwrap();
    wait_observed(resource, generation);
    let label = "app.kubernetes.io/managed-by-";
    space
        .kubectl(&["label", "ingress", "chat-adapters", label])
        .unwrap();
    let back = json!({ "spec": { "exposure": null, "runStrategy": "Always" } });
    resource.edit(&back).unwrap();
    let look = ["get", "ingress", "chat-adapters", "--ignore-not-found"];
    wait_until("the Ingress gone", SOON, || {
        Ok(space.kubectl(&look)?.is_empty())
    })
    .unwrap();
}

/// Fields that nobody plans are whoever's that has set them.
fn what_nobody_plans_is_left_as_it_is(resource: &Resource) {
    let space = &resource.space;
    let port = json!({ "name": "theirs", "port": 9999, "targetPort": 9999 });
    let theirs = json!({ "spec": { "externalIPs": ["192.0.2.7"], "ports": [port] } }).to_string();
    space
        .kubectl(&["patch", "service", "chat-adapters", "--patch", &theirs])
        .unwrap();
    let of_pods =
        json!({ "spec": { "template": { "metadata": { "labels": { "theirs": "yes" } } } } });
    let patch = of_pods.to_string();
    space
        .kubectl(&["patch", "deployment", "chat-adapters", "--patch", &patch])
        .unwrap();
    // A policy's rules are one list, and that is the operator's.
    let open = json!([{ "op": "add", "path": "/spec/egress/-", "value": {} }]).to_string();
    let policy = ["patch", "networkpolicy", "chat-adapters", "--type=json"];
    space
        .kubectl(&[&policy[..], &["--patch", &open]].concat())
        .unwrap();
    wait_until("the policy as planned", SOON, || {
        let policy = resource.child("networkpolicy", "chat-adapters")?;
        let rules = policy["spec"]["egress"].as_array().cloned();
        Ok(!rules.unwrap_or_default().contains(&json!({})))
    })
    .unwrap();
    space
        .kubectl(&[
            "delete",
            "poddisruptionbudget",
            "chat-adapters",
            "--wait=false",
        ])
        .unwrap();
    wait_until("the budget there again", SOON, || {
        let budget = resource.child("poddisruptionbudget", "chat-adapters")?;
        Ok(budget["metadata"]["deletionTimestamp"].is_null())
    })
    .unwrap();
    let service = resource.child("service", "chat-adapters").unwrap();
    assert_eq!(service["spec"]["externalIPs"], json!(["192.0.2.7"]));
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert_eq!(ports.len(), 2, "{ports:?}");
    let deployment = resource.child("deployment", "chat-adapters").unwrap();
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["theirs"], "yes");
}

fn every_child_that_is_deleted_comes_back(resource: &Resource) {
    let names: Vec<String> = children_of(resource).unwrap().into_keys().collect();
    for name in &names {
        let (kind, name) = name.split_once(' ').unwrap();
        let uid = |child: &Value| child["metadata"]["uid"].clone();
        let before = uid(&resource.child(kind, name).unwrap());
        resource
            .space
            .kubectl(&["delete", kind, name, "--wait=false"])
            .unwrap();
        let start = Instant::now();
        wait_until(&format!("{kind} {name} there again"), SOON, || {
            Ok(uid(&resource.child(kind, name)?) != before)
        })
        .unwrap();
        println!("{kind} {name} was there again after {:?}", start.elapsed());
    }
    wait_made(resource);
    let after: Vec<String> = children_of(resource).unwrap().into_keys().collect();
    assert_eq!(after, names);
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn what_is_made_is_kept_as_planned_and_nothing_else_is_written() {
    let operators = Operators::install(&["keeper"]).unwrap();
    let mut operator = operators.start("keeper").unwrap();
    let resource = made(&operators, "kept", &json!({}));
    ten_looks_at_what_is_as_it_should_be_write_nothing(&resource);
    a_tool_that_applies_the_resource_every_second_changes_nothing(&resource);
    whatever_somebody_does_to_a_child_is_set_right(&resource);
    what_contradicts_the_plan_goes(&resource);
    what_nobody_plans_is_left_as_it_is(&resource);
    every_child_that_is_deleted_comes_back(&resource);
    what_is_hidden_and_no_longer_planned_goes(&resource);
    operator.check().unwrap();
}
