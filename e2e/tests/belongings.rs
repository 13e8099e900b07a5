//! What is somebody else's is not touched, what is ours goes with its resource, and one resource that cannot be read
//! stops no other. All of it needs the API server, and no node.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod obstacles;
mod operators;

use anyhow::{Context, Result};
use chatbot_e2e::command;
use chatbot_e2e::resource::{NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use operators::seen::{events, made, wait_made, wait_observed};
use operators::{Operator, Operators, SOON};
use serde_json::{Value, json};

/// A Service and a Deployment of somebody else, with the names of ours.
const FOREIGN: &str = "
apiVersion: v1
kind: Service
metadata: { name: chat-adapters, labels: { app: other } }
spec: { selector: { app: other }, ports: [{ port: 8080 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: chat-workers, labels: { app: other } }
spec:
  replicas: 3
  selector: { matchLabels: { app: other } }
  template:
    metadata: { labels: { app: other } }
    spec: { containers: [{ name: other, image: other }] }
";

fn what_belongs_to_somebody_else_is_named_and_not_touched(operators: &Operators) {
    let space = operators.plane.namespace("foreign").unwrap();
    space.apply(FOREIGN).unwrap();
    let resource = Resource::apply_unclaimed(space, &json!({})).unwrap();
    let foreign = resource.child("service", "chat-adapters").unwrap();
    let taken = ["Stalled", "True", "ObjectNotOwned"];
    resource
        .wait_told(taken, &["Service chat-adapters", "rename"])
        .unwrap();
    wait_until("an event that tells it", SOON, || {
        let events = events(&resource)?;
        Ok(events
            .iter()
            .any(|event| event["reason"] == "ObjectNotOwned"))
    })
    .unwrap();
    wait_made(&resource);
    assert_eq!(resource.child("service", "chat-adapters").unwrap(), foreign);
    // It would scale what is not ours.
    let autoscaler = ["get", "hpa", "chat-workers", "--ignore-not-found"];
    assert_eq!(resource.space.kubectl(&autoscaler).unwrap(), "");
    for theirs in ["service/chat-adapters", "deployment/chat-workers"] {
        resource.space.kubectl(&["delete", theirs]).unwrap();
    }
    wait_until("that it is told no more", SOON, || {
        let stalled = resource.condition("Stalled")?;
        Ok(stalled.is_some_and(|stalled| stalled.reason != "ObjectNotOwned"))
    })
    .unwrap();
    for (kind, name) in [("service", "chat-adapters"), ("hpa", "chat-workers")] {
        let ours = resource.child(kind, name).unwrap();
        assert_eq!(ours["metadata"]["ownerReferences"][0]["name"], NAME);
    }
}

/// Deployments of somebody else that look as ours do, and a Service by which one would be asked.
fn lookalikes() -> Value {
    let labels =
        json!({ "app.kubernetes.io/managed-by": "chatbot-operator", "chatbot.dev/cluster": NAME });
    let deployment = |component: &str, replicas: u32| {
        let theirs = json!({ "app": component });
        let pod = json!({ "containers": [{ "name": "other", "image": "other" }] });
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": format!("{NAME}-{component}"), "labels": labels },
            "spec": {
                "replicas": replicas, "selector": { "matchLabels": theirs },
                "template": { "metadata": { "labels": theirs }, "spec": pod },
            },
        })
    };
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "chat-inference" },
        "spec": { "selector": { "app": "other" }, "ports": [{ "port": 8000 }] },
    });
    let items = [deployment("store", 2), deployment("broker", 0), service];
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn what_looks_like_ours_is_neither_scaled_nor_talked_to(operators: &Operators) {
    let space = operators.plane.namespace("lookalikes").unwrap();
    space.apply(&lookalikes().to_string()).unwrap();
    let exposed = json!({ "spec": { "exposure": { "host": "chat.example.com", "ingress": { "className": "any" } } } });
    let resource = Resource::apply_unclaimed(space, &exposed).unwrap();
    let taken = ["Stalled", "True", "ObjectNotOwned"];
    let theirs = [
        "Deployment chat-broker",
        "Deployment chat-store",
        "Service chat-inference",
    ];
    resource.wait_told(taken, &theirs).unwrap();
    let look = |what: &str| {
        let look = ["get", what, "--ignore-not-found", "--output=name"];
        resource.space.kubectl(&look)
    };
    wait_until("what nobody hinders", SOON, || {
        Ok(!look("ingress/chat-adapters")?.is_empty()
            && !look("deployment/chat-inference")?.is_empty())
    })
    .unwrap();
    // What replaces nothing goes, whatever else could not be made.
    let generation = resource
        .edit(&json!({ "spec": { "exposure": null } }))
        .unwrap();
    wait_until("the Ingress gone", SOON, || {
        Ok(look("ingress/chat-adapters")?.is_empty())
    })
    .unwrap();
    wait_observed(&resource, generation);
    assert_eq!(
        look("deployment/chat-workers").unwrap(),
        "",
        "they would send every conversation to it"
    );
    let halted = json!({ "spec": { "runStrategy": "Halted" } });
    let generation = resource.edit(&halted).unwrap();
    wait_observed(&resource, generation);
    resource
        .wait_told(["AdaptersReady", "False", "Halted"], &[])
        .unwrap();
    for (name, replicas) in [("chat-store", 2), ("chat-broker", 0)] {
        let theirs = resource.child("deployment", name).unwrap();
        assert_eq!(theirs["spec"]["replicas"], replicas, "{name}");
        assert_eq!(theirs["metadata"]["generation"], 1, "{name}");
    }
}

/// The name of a configuration follows from its content: somebody may have it before we do.
fn a_configuration_of_somebody_else_s_is_not_mounted(operators: &Operators) {
    let resource = made(operators, "mounted", &json!({}));
    let workers = || resource.child("deployment", "chat-workers").unwrap();
    let mounted = |deployment: &Value| {
        let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array();
        let mut names = volumes.into_iter().flatten().filter_map(|volume| {
            let name = volume["configMap"]["name"].as_str()?;
            name.starts_with("chat-workers-").then(|| name.to_owned())
        });
        names.next().unwrap()
    };
    let before = mounted(&workers());
    let terse = json!({ "spec": { "conversation": { "systemPrompt": "You are terse." } } });
    resource.edit(&terse).unwrap();
    wait_until("the edit", SOON, || Ok(mounted(&workers()) != before)).unwrap();
    let name = mounted(&workers());
    let back =
        json!({ "spec": { "conversation": { "systemPrompt": "You are a friendly assistant." } } });
    resource.edit(&back).unwrap();
    wait_until("the edit taken back", SOON, || {
        Ok(mounted(&workers()) == before)
    })
    .unwrap();
    resource
        .space
        .kubectl(&["delete", "configmap", &name])
        .unwrap();
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name },
        "data": { "config.yaml": "theirs" },
    });
    resource.space.apply(&theirs.to_string()).unwrap();
    resource.edit(&terse).unwrap();
    let taken = format!("ConfigMap {name}");
    resource
        .wait_told(["Stalled", "True", "ObjectNotOwned"], &[&taken])
        .unwrap();
    assert_eq!(mounted(&workers()), before, "what runs goes on as it was");
    resource
        .space
        .kubectl(&["delete", "configmap", &name])
        .unwrap();
    wait_until("the edit, when the name is free", SOON, || {
        Ok(mounted(&workers()) == name)
    })
    .unwrap();
}

fn what_is_held_while_it_goes_is_named_and_holds_nothing_else_up(operators: &Operators) {
    let resource = made(operators, "held", &json!({}));
    let held = ["poddisruptionbudget", "chat-workers"];
    let patch = |finalizers: Value| {
        let patch = json!({ "metadata": { "finalizers": finalizers } }).to_string();
        let how = ["--type=merge", "--patch", &patch];
        resource
            .space
            .kubectl(&[&["patch"], &held[..], &how].concat())
            .unwrap();
    };
    patch(json!(["example.com/hold"]));
    resource
        .space
        .kubectl(&[&["delete"], &held[..], &["--wait=false"]].concat())
        .unwrap();
    let before = resource.child("deployment", "chat-workers").unwrap();
    let terse = json!({ "spec": { "conversation": { "systemPrompt": "You are terse." } } });
    resource.edit(&terse).unwrap();
    let words = ["PodDisruptionBudget chat-workers", "example.com/hold"];
    resource
        .wait_told(["Stalled", "True", "Contended"], &words)
        .unwrap();
    wait_until("the edit", SOON, || {
        let workers = resource.child("deployment", "chat-workers")?;
        Ok(workers["metadata"]["generation"] != before["metadata"]["generation"])
    })
    .unwrap();
    patch(Value::Null);
    wait_until("the budget anew", SOON, || {
        let budget = resource.child(held[0], held[1]);
        Ok(budget.is_ok_and(|budget| budget["metadata"]["deletionTimestamp"].is_null()))
    })
    .unwrap();
}

/// Everything in a namespace that is not in every namespace.
fn left(resource: &Resource) -> Result<Vec<String>> {
    const KINDS: &str = "chatbotclusters,configmaps,secrets,services,networkpolicies,ingresses,poddisruptionbudgets,\
                         deployments,replicasets,horizontalpodautoscalers,pods,endpointslices,persistentvolumeclaims";
    let names = resource.space.kubectl(&["get", KINDS, "--output=name"])?;
    let names = names.lines().map(str::to_owned);
    Ok(names
        .filter(|name| name != "configmap/kube-root-ca.crt")
        .collect())
}

fn only_the_user_s_own_is_left(resource: &Resource, what: &str) {
    let own = ["configmap/own".to_owned()];
    let mut last = Vec::new();
    let outcome = wait_until(what, SOON, || {
        last = left(resource)?;
        Ok(last == own)
    });
    assert!(outcome.is_ok(), "{what}: {last:?}");
}

fn a_deleted_resource_leaves_nothing_but_what_is_the_user_s(operators: &Operators) {
    let resource = made(operators, "deleted", &json!({}));
    let own = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "own" } });
    resource.space.apply(&own.to_string()).unwrap();
    let manifest = json!({
        "apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatBotCluster", "metadata": { "name": NAME },
        "spec": resource.object().unwrap()["spec"],
    });
    let delete = || {
        let name = format!("chatbotcluster/{NAME}");
        resource
            .space
            .kubectl(&["delete", &name, "--timeout=60s"])
            .unwrap();
    };
    delete();
    only_the_user_s_own_is_left(&resource, "everything gone");
    // In the middle of being made, at another place each time.
    for times in 0..5 {
        resource.space.apply(&manifest.to_string()).unwrap();
        wait_until("the first objects", SOON, || {
            Ok(left(&resource)?.len() > 2 * times)
        })
        .unwrap();
        delete();
    }
    only_the_user_s_own_is_left(&resource, "everything gone of those that were being made");
}

/// A namespace that ends takes what is in it, while the operator would make it again.
fn a_namespace_that_is_deleted_goes(operators: &Operators, operator: &Operator) {
    let resource = made(operators, "going", &json!({}));
    let name = resource.space.name.clone();
    let mut kubectl = operators.plane.kubectl();
    kubectl.args(["delete", "namespace", &name, "--timeout=90s"]);
    command::output(&mut kubectl).unwrap();
    assert!(operator.leads().unwrap());
}

/// The definition as an older release had it, by which a number was an image.
fn loosened(operators: &Operators) {
    let image = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/image";
    let patch = json!([{ "op": "replace", "path": image, "value": { "x-kubernetes-int-or-string": true } }]);
    let mut kubectl = operators.plane.kubectl();
    kubectl.args([
        "patch",
        "customresourcedefinition",
        "chatbotclusters.chatbot.dev",
    ]);
    kubectl.args(["--type=json", "--patch", &patch.to_string()]);
    command::output(&mut kubectl).unwrap();
}

fn one_that_cannot_be_read_is_told_and_stops_nobody(operators: &Operators, operator: &Operator) {
    let good = made(operators, "readable", &json!({}));
    loosened(operators);
    let space = operators.plane.namespace("unreadable").unwrap();
    let broken = json!({ "spec": { "image": 5 } });
    let mut resource = None;
    // The API server takes up a changed definition in its own time.
    let mut space = Some(space);
    wait_until("the older definition", SOON, || {
        let taken = space.take().context("no namespace")?;
        match Resource::apply_unclaimed(taken, &broken) {
            Ok(stored) => resource = Some(stored),
            Err(_) => space = Some(operators.plane.namespace("unreadable")?),
        }
        Ok(resource.is_some())
    })
    .unwrap();
    let resource = resource.unwrap();
    resource
        .wait_told(
            ["Accepted", "False", "InvalidSpec"],
            &[
                "cannot be read",
                "spec.image: invalid value 5: must be a string",
            ],
        )
        .unwrap();
    let version =
        |resource: &Resource| resource.object().unwrap()["metadata"]["resourceVersion"].clone();
    let before = version(&resource);
    wait_until("an event that tells it", SOON, || {
        let events = events(&resource)?;
        Ok(events.iter().any(|event| event["reason"] == "InvalidSpec"))
    })
    .unwrap();
    assert!(operator.log().unwrap().contains("cannot be read"));

    let edit = json!({ "spec": { "conversation": { "systemPrompt": "You are brief." } } });
    let generation = good.edit(&edit).unwrap();
    wait_observed(&good, generation);
    let restarted = good.child("poddisruptionbudget", "chat-adapters").unwrap();
    good.space
        .kubectl(&[
            "delete",
            "poddisruptionbudget",
            "chat-adapters",
            "--wait=false",
        ])
        .unwrap();
    wait_until("the good one's child there again", SOON, || {
        let child = good.child("poddisruptionbudget", "chat-adapters")?;
        Ok(child["metadata"]["uid"] != restarted["metadata"]["uid"])
    })
    .unwrap();
    assert_eq!(version(&resource), before, "what is said of it ticks");
    let mended = json!({ "spec": { "image": "localhost/chatbot:other" } });
    resource.edit(&mended).unwrap();
    resource
        .wait_told(["Accepted", "True", "Valid"], &[])
        .unwrap();
    wait_made(&resource);
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn what_is_another_s_stays_and_what_is_ours_goes_with_its_resource() {
    let operators = Operators::install(&["keeper"]).unwrap();
    let mut operator = operators.start("keeper").unwrap();
    what_belongs_to_somebody_else_is_named_and_not_touched(&operators);
    what_looks_like_ours_is_neither_scaled_nor_talked_to(&operators);
    a_configuration_of_somebody_else_s_is_not_mounted(&operators);
    what_is_held_while_it_goes_is_named_and_holds_nothing_else_up(&operators);
    obstacles::what_is_held_while_it_goes_keeps_nothing_from_being_done(&operators);
    obstacles::what_lacks_its_configuration_is_not_rolled_out(&operators);
    obstacles::one_that_is_made_anew_waits_for_what_its_predecessor_has_left(&operators);
    a_deleted_resource_leaves_nothing_but_what_is_the_user_s(&operators);
    a_namespace_that_is_deleted_goes(&operators, &operator);
    one_that_cannot_be_read_is_told_and_stops_nobody(&operators, &operator);
    obstacles::a_monitor_of_somebody_else_s_holds_nothing_up(&operators);
    operator.check().unwrap();
}
