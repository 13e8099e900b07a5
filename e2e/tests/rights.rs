//! The operator has no right that it does not use, and no pod here asks for more than the strictest standard gives.
#![allow(clippy::unwrap_used, clippy::panic)] // A step of a scenario fails as the scenario does.

mod proxy;

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use chatbot_e2e::audit::{self, Mark, Used};
use chatbot_e2e::command;
use chatbot_e2e::definition::definition;
use chatbot_e2e::places::Places;
use chatbot_e2e::resource::{COMPONENTS, NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use k8s_openapi::jiff::Timestamp;
use proxy::rules::{Fault, Verb, first};
use proxy::subject::{Installed, SOON, settled};
use serde_json::{Value, json};

/// Longer than a test takes.
const NEVER: u64 = 3600;

/// The kinds that the operator owns, with what makes an object of each.
fn surplus() -> Vec<Value> {
    let pod = json!({ "containers": [{ "name": "a", "image": "localhost/a" }] });
    let labels = json!({ "surplus": "yes" });
    let of = |api: &str, kind: &str, spec: Value| json!({ "apiVersion": api, "kind": kind, "spec": spec });
    vec![
        json!({ "apiVersion": "v1", "kind": "ConfigMap" }),
        of("v1", "Service", json!({ "ports": [{ "port": 80 }] })),
        of(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            json!({ "podSelector": { "matchLabels": labels } }),
        ),
        of(
            "policy/v1",
            "PodDisruptionBudget",
            json!({ "selector": { "matchLabels": labels } }),
        ),
        of(
            "apps/v1",
            "Deployment",
            json!({ "replicas": 0, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": pod } }),
        ),
        of(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({ "maxReplicas": 1,
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "surplus" } }),
        ),
        of(
            "networking.k8s.io/v1",
            "Ingress",
            json!({ "defaultBackend": { "service": { "name": "a", "port": { "number": 80 } } } }),
        ),
        of("gateway.networking.k8s.io/v1", "HTTPRoute", json!({})),
        of("monitoring.coreos.com/v1", "PodMonitor", json!({})),
    ]
}

/// Objects as an older release may have left them: ours by label and owner, and planned no more.
fn leave_surplus(resource: &Resource) {
    let owner = resource.object().unwrap();
    for mut object in surplus() {
        object["metadata"] = json!({
            "name": "surplus",
            "labels": {
                "app.kubernetes.io/managed-by": "chatbot-operator", "chatbot.dev/cluster": NAME,
            },
            "ownerReferences": [{
                "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": NAME,
                "uid": owner["metadata"]["uid"], "controller": true,
            }],
        });
        resource.space.apply(&object.to_string()).unwrap();
    }
}

/// There are no kubelets: every pod says that it is ready. A ConfigMap is left over only once a rollout is complete.
fn make_ready(resource: &Resource) -> Result<()> {
    let now = Timestamp::now().to_string();
    let status = json!({ "status": {
        "phase": "Running",
        "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": now }],
    } })
    .to_string();
    for part in COMPONENTS {
        for pod in resource.pods(part)? {
            if pod.ready_since.is_some() || pod.leaving {
                continue;
            }
            let patch = ["patch", "pod", &pod.name, "--subresource=status"];
            let how = ["--type=merge", "--patch", &status];
            resource.space.kubectl(&[&patch[..], &how[..]].concat())?;
        }
    }
    Ok(())
}

/// Everything that the operator ever does, seen from the API server's side of it. A namespace goes with its resource:
/// what is tried in one that goes is refused.
fn live(installed: &Installed) -> [Resource; 2] {
    // Somebody else was faster: then the operator reads what there is now.
    let conflict = first(1, Verb::Write, "", Fault::Answer(409)).of("chatbotclusters/status");
    installed.proxy.set(vec![conflict]);
    let resource = installed.resource("rights").unwrap();
    settled(&resource).unwrap();
    let space = &resource.space;
    leave_surplus(&resource);
    wait_until("what is left over gone", SOON, || {
        make_ready(&resource)?;
        let mut left = Vec::new();
        for object in surplus() {
            let kind = object["kind"].as_str().unwrap();
            left.push(space.kubectl(&["get", kind, "surplus", "--ignore-not-found"])?);
        }
        ensure!(left.concat().is_empty(), "{left:?}");
        Ok(true)
    })
    .unwrap();

    let by_nodes = by_nodes(installed);
    let by_ingress = json!({ "host": "chat.example.com", "ingress": {} });
    let by_route =
        json!({ "ingress": null, "httpRoute": { "parentRefs": [{ "name": "gateway" }] } });
    for (exposure, kind) in [(by_ingress, "ingress"), (by_route, "httproute")] {
        let edit = json!({ "spec": { "exposure": exposure } });
        resource.edit(&edit).unwrap();
        wait_until(kind, SOON, || {
            let found = space.kubectl(&["get", kind, "--output=name"])?;
            Ok(!found.is_empty())
        })
        .unwrap();
    }
    // Told twice, it is one event and a series.
    for _ in 0..2 {
        let taken = json!({ "metadata": {
            "ownerReferences": null, "labels": { "app.kubernetes.io/managed-by": "somebody" },
        } })
        .to_string();
        let patch = ["patch", "service", "chat-adapters", "--type=merge"];
        space
            .kubectl(&[&patch[..], &["--patch", &taken]].concat())
            .unwrap();
        stalled(&resource, "True");
        space
            .kubectl(&["delete", "service", "chat-adapters"])
            .unwrap();
        stalled(&resource, "False");
    }
    [resource, by_nodes]
}

/// A resource that says nothing of the nodes, so that they are looked up.
fn by_nodes(installed: &Installed) -> Resource {
    let since = Instant::now();
    let space = installed.plane.namespace("by-nodes").unwrap();
    let edit = json!({ "spec": { "inference": { "nodeCapacity": null } } });
    let resource = Resource::apply(space, &edit).unwrap();
    wait_until("the nodes listed", SOON, || {
        let records = installed.proxy.records("", since);
        Ok(records
            .iter()
            .any(|record| record.asked.resource == "nodes"))
    })
    .unwrap();
    resource
}

fn stalled(resource: &Resource, status: &str) {
    wait_until(&format!("Stalled={status}"), SOON, || {
        let condition = resource.condition("Stalled")?;
        Ok(condition.is_some_and(|condition| condition.status == status))
    })
    .unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn every_right_of_the_operator_is_one_that_it_uses() {
    let accounts = audit::folder(&Places::find().unwrap());
    let mark = Mark::now(&accounts);
    let installed = Installed::new(1).unwrap();
    for (group, kind) in [
        ("gateway.networking.k8s.io", "HTTPRoute"),
        ("monitoring.coreos.com", "PodMonitor"),
    ] {
        installed.plane.apply(&definition(group, kind)).unwrap();
    }
    let mut operator = installed.operator(NEVER).unwrap();
    let _resources = live(&installed);
    operator.check().unwrap();
    let granted = audit::granted(&installed.plane).unwrap();
    assert!(granted.len() > 20, "{granted:?}");
    // The account of a request is written after its answer.
    wait_until("every right used", SOON, || {
        let used = Used::since(&accounts, &mark)?;
        assert!(
            used.denied.is_empty(),
            "asked for in vain: {:?}",
            used.denied
        );
        audit::compare(&granted, &used).map(|()| true)
    })
    .unwrap();
}

/// What `restricted` does not ask for and this project does.
fn check_pod(name: &str, spec: &Value, uses_the_api: bool) {
    assert_eq!(
        spec["automountServiceAccountToken"] == json!(false),
        !uses_the_api,
        "{name}: a token where none is needed, or none where one is"
    );
    assert_eq!(spec["enableServiceLinks"], false, "{name}");
    let containers = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten());
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(
            security["readOnlyRootFilesystem"], true,
            "{name}: {container}"
        );
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(
            security["capabilities"],
            json!({ "drop": ["ALL"] }),
            "{name}"
        );
        let requests = &container["resources"]["requests"];
        assert!(!requests["memory"].is_null(), "{name}: {container}");
    }
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn every_pod_is_restricted_reads_its_root_only_and_has_no_token_it_does_not_need() {
    let installed = Installed::new(1).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let resource = installed.resource("pods").unwrap();
    let state = settled(&resource).unwrap();
    let deployments = state["children"].as_array().unwrap().iter();
    let deployments = deployments.filter(|child| child["kind"] == "Deployment");
    for deployment in deployments.clone() {
        let name = deployment["metadata"]["name"].as_str().unwrap();
        check_pod(name, &deployment["spec"]["template"]["spec"], false);
    }
    assert_eq!(deployments.count(), COMPONENTS.len());
    // The namespace enforces it: what is not restricted is not made.
    wait_until("pods of every part admitted", SOON, || {
        Ok(COMPONENTS
            .iter()
            .all(|part| resource.pods(part).is_ok_and(|pods| !pods.is_empty())))
    })
    .unwrap();

    let templates = fs::read_to_string(rendered(&installed)).unwrap();
    for document in serde_yaml::Deserializer::from_str(&templates) {
        let object = <Value as serde::Deserialize>::deserialize(document).unwrap();
        let (spec, metadata) = match object["kind"].as_str() {
            Some("Deployment") => (
                &object["spec"]["template"]["spec"],
                &object["spec"]["template"]["metadata"]["labels"],
            ),
            Some("Pod") => (&object["spec"], &object["metadata"]["labels"]),
            _ => continue,
        };
        let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
        check_pod(&name, spec, true);
        let mut spec = spec.clone();
        // The chart's own account and class are not on this control plane.
        for field in ["serviceAccountName", "priorityClassName"] {
            spec[field].take();
        }
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": { "name": "of-the-chart", "labels": metadata } });
        let mut create = resource.space.cluster.kubectl();
        create.args([
            "--namespace",
            &resource.space.name,
            "create",
            "--dry-run=server",
        ]);
        create.args(["--filename", "-"]);
        let admitted = command::output_of_input(&mut create, &pod.to_string());
        assert!(admitted.is_ok(), "{name}: {admitted:?}");
    }
    operator.check().unwrap();
}

/// The chart, rendered to a file.
fn rendered(installed: &Installed) -> std::path::PathBuf {
    let places = &installed.plane.places;
    let mut helm = Command::new(places.programs().join("helm"));
    helm.args([
        "template",
        "chatbot-operator",
        "--namespace",
        "chatbot-system",
    ])
    .arg(places.repository.join("charts/chatbot-operator"))
    .args(["--kube-version", "1.35"])
    .args(["--set", "image.operator.repository=localhost/operator"])
    .args(["--set", "image.chatbot.repository=localhost/chatbot"]);
    let file = places.state.join("chart.yaml");
    fs::write(&file, command::output(&mut helm).unwrap()).unwrap();
    file
}
