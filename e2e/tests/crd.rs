//! What a real API server makes of the resource: what it refuses and with which words, what it fills in, and who may
//! write it. What is refused in a file is asked of `chatbot-crds` with the same table.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::ops::Deref;

use chatbot_e2e::command;
use chatbot_e2e::plane::Plane;
use chatbot_e2e::scenario::{self, Namespace};
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../crds/tests/refused.yaml");
const DEFINITION: &str = include_str!("../../crds/chatbotclusters.yaml");

/// A namespace of a control plane of its own, which knows the resource. No node is needed for what is refused.
struct Here {
    space: Namespace,
    _plane: Plane,
}

impl Deref for Here {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.space
    }
}

fn here(name: &str) -> Here {
    let plane = Plane::start().unwrap();
    plane.apply(DEFINITION).unwrap();
    let mut established = plane.kubectl();
    established.args(["wait", "--for=condition=Established", "--timeout=60s"]);
    established.arg("customresourcedefinition/chatbotclusters.chatbot.dev");
    command::output(&mut established).unwrap();
    Here {
        space: plane.namespace(name).unwrap(),
        _plane: plane,
    }
}

fn table() -> Value {
    serde_yaml::from_str(TABLE).unwrap()
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, change) in fields {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], change);
        }
    }
}

/// What the server would store, or what it says.
fn create(space: &Namespace, resource: &Value, options: &[&str]) -> anyhow::Result<Value> {
    let mut kubectl = space.cluster.kubectl();
    kubectl.args([
        "--namespace",
        &space.name,
        "create",
        "--filename",
        "-",
        "--output",
        "json",
    ]);
    kubectl.args(options);
    let stored = command::output_of_input(&mut kubectl, &resource.to_string())?;
    Ok(serde_json::from_str(&stored)?)
}

/// What the server would store in the place of what it has, or what it says. What it has is gone then.
fn replaced(space: &Namespace, resource: &Value) -> anyhow::Result<Value> {
    let run = |arguments: &[&str]| {
        let mut kubectl = space.cluster.kubectl();
        kubectl.args(["--namespace", &space.name]).args(arguments);
        command::output_of_input(&mut kubectl, &resource.to_string())
    };
    let outcome = run(&[
        "replace",
        "--dry-run=server",
        "--filename",
        "-",
        "--output",
        "json",
    ]);
    run(&["delete", "--filename", "-"])?;
    Ok(serde_json::from_str(&outcome?)?)
}

/// The shortest resource, with the fewest instances there can be.
fn smallest() -> Value {
    let mut resource = table()["base"].clone();
    merge(
        &mut resource,
        &json!({ "spec": { "inference": { "autoscaling": { "minReplicas": 1, "maxReplicas": 2 } } } }),
    );
    resource
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn every_sample_is_refused_with_its_message() {
    let space = here("e2e-crd-refused");
    let table = table();
    create(&space, &table["base"], &["--dry-run=server"]).unwrap();
    let samples = table["refused"].as_array().unwrap();
    assert!(samples.len() > 80);
    for sample in samples {
        let mut resource = table["base"].clone();
        merge(&mut resource, &sample["change"]);
        let outcome = if sample["old"].is_null() {
            create(&space, &resource, &["--dry-run=server"])
        } else {
            let mut old = table["base"].clone();
            merge(&mut old, &sample["old"]);
            create(&space, &old, &[]).unwrap();
            replaced(&space, &resource)
        };
        let said = match outcome {
            Ok(_) => panic!("accepted: {}", sample["change"]),
            Err(error) => format!("{error:#}"),
        };
        let message = sample
            .get("server")
            .unwrap_or(&sample["message"])
            .as_str()
            .unwrap();
        assert!(
            said.contains(message),
            "{}\nshould say: {message}\nsaid: {said}",
            sample["change"]
        );
    }
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn the_shortest_resource_gets_every_default_and_a_status_that_nobody_has_looked() {
    let space = here("e2e-crd-defaults");
    let stored = create(&space, &table()["base"], &["--dry-run=server"]).unwrap();
    let spec = &stored["spec"];
    assert_eq!(
        spec["inference"]["autoscaling"],
        json!({ "minReplicas": 5, "maxReplicas": 40, "targetCPUUtilizationPercentage": 70 }),
    );
    assert_eq!(spec["conversation"]["sessionTimeout"], "24h");
    assert_eq!(
        spec["adapters"]["service"],
        json!({ "type": "ClusterIP", "sessionAffinity": "ClientIP" })
    );
    assert_eq!(spec["runStrategy"], "Always");
    assert_eq!(
        spec["inference"]["rollout"],
        json!({ "maxSurge": "25%", "maxUnavailable": 0 })
    );
    let conditions = stored["status"]["conditions"].as_array().unwrap();
    let told: Vec<_> = conditions
        .iter()
        .map(|condition| (&condition["type"], &condition["status"]))
        .collect();
    assert_eq!(
        told,
        [
            (&json!("Ready"), &json!("Unknown")),
            (&json!("Reconciling"), &json!("True"))
        ]
    );
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_null_is_the_same_as_absence() {
    let space = here("e2e-crd-null");
    let without = create(&space, &table()["base"], &["--dry-run=server"]).unwrap();
    let mut resource = table()["base"].clone();
    for part in [
        "image",
        "imagePullPolicy",
        "imagePullSecrets",
        "podMetadata",
        "conversation",
        "runStrategy",
        "priorityClassName",
        "exposure",
        "networkPolicy",
    ] {
        resource["spec"][part] = Value::Null;
    }
    resource["spec"]["adapters"] =
        json!({ "resources": null, "service": { "type": null, "annotations": null } });
    resource["spec"]["inference"]["nodeCapacity"] = Value::Null;
    resource["spec"]["inference"]["autoscaling"] = json!({ "minReplicas": null, "behavior": null });
    resource["spec"]["inference"]["engine"] = Value::Null;
    resource["spec"]["inference"]["rollout"] = json!({ "maxSurge": null, "maxUnavailable": null });
    let with = create(&space, &resource, &["--dry-run=server"]).unwrap();
    assert_eq!(with["spec"], without["spec"]);
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_null_inside_another_server_is_the_same_as_absence() {
    let space = here("e2e-crd-engine");
    let with = |engine: Value| {
        let mut resource = table()["base"].clone();
        resource["spec"]["inference"]["engine"] = engine;
        create(&space, &resource, &["--dry-run=server"]).unwrap()["spec"].clone()
    };
    let stored = with(json!({ "image": "server", "env": [{ "name": "A" }] }));
    let nulls = json!({ "image": "server", "port": null, "args": null, "env": [
        { "name": "A", "value": null, "valueFrom": null },
    ] });
    assert_eq!(with(nulls), stored);
    assert_eq!(stored["inference"]["engine"]["port"], 8000);
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn scale_moves_the_fewest_instances_and_no_further_than_the_most() {
    let space = here("e2e-crd-scale");
    create(&space, &smallest(), &[]).unwrap();
    let scale = |replicas: &str| {
        space.kubectl(&["scale", "chatbotcluster", "support", "--replicas", replicas])
    };
    scale("2").unwrap();
    let path = "jsonpath={.spec.inference.autoscaling.minReplicas}";
    assert_eq!(
        space
            .kubectl(&["get", "cbc", "support", "--output", path])
            .unwrap(),
        "2"
    );
    let said = format!("{:#}", scale("50").unwrap_err());
    assert!(
        said.contains("`minReplicas` (50) must be less than or equal to `maxReplicas` (2)"),
        "{said}"
    );
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn two_managers_each_keep_their_own_channel() {
    let space = here("e2e-crd-managers");
    create(&space, &smallest(), &["--field-manager=first"]).unwrap();
    let apply = |channels: Value| {
        let second = json!({
            "apiVersion": "chatbot.dev/v1alpha1",
            "kind": "ChatBotCluster",
            "metadata": { "name": "support" },
            "spec": { "channels": channels },
        });
        let mut kubectl = space.cluster.kubectl();
        kubectl.args([
            "--namespace",
            &space.name,
            "apply",
            "--server-side",
            "--field-manager=second",
        ]);
        command::output_of_input(kubectl.args(["--filename", "-"]), &second.to_string()).unwrap();
        space
            .kubectl(&[
                "get",
                "cbc",
                "support",
                "--output",
                "jsonpath={.spec.channels[*].name}",
            ])
            .unwrap()
    };
    assert_eq!(
        apply(json!([{ "name": "shop", "webChat": {} }])),
        "web shop"
    );
    assert_eq!(
        apply(json!([{ "name": "help", "webChat": {} }])),
        "web help"
    );
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn editors_write_the_resource_and_viewers_read_it() {
    let space = scenario::namespace("e2e-crd-rights").unwrap();
    for (user, role) in [("editor", "edit"), ("viewer", "view")] {
        let arguments = [format!("--clusterrole={role}"), format!("--user={user}")];
        space
            .kubectl(&["create", "rolebinding", user, &arguments[0], &arguments[1]])
            .unwrap();
    }
    // `kubectl auth can-i` fails when the answer is no.
    let may = |user: &str, verb: &str, part: &str| {
        let subresource = format!("--subresource={part}");
        let question = [
            "auth",
            "can-i",
            verb,
            "chatbotclusters.chatbot.dev",
            "--as",
            user,
            &subresource,
        ];
        space.kubectl(&question).is_ok()
    };
    assert!(may("editor", "create", ""));
    assert!(may("editor", "patch", "scale"));
    assert!(!may("editor", "patch", "status"));
    assert!(may("viewer", "get", ""));
    assert!(may("viewer", "get", "scale"));
    assert!(!may("viewer", "create", ""));
    assert!(!may("viewer", "patch", "scale"));
}
