//! The way in from outside: what the API server makes of Service, Ingress, `HTTPRoute` and `NetworkPolicy`, and, on the
//! cluster, TLS that the pods serve themselves.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod operators;

use anyhow::ensure;
use chatbot_e2e::command;
use chatbot_e2e::resource::{COMPONENTS, Resource};
use chatbot_e2e::scenario::wait_until;
use operators::seen::{children_of, made, versions, wait_made};
use operators::{Operators, SOON};
use serde_json::{Value, json};

const ADAPTERS: &str = "chat-adapters";
const HOST: &str = "chat.example.com";

fn service(resource: &Resource) -> Value {
    resource.child("service", ADAPTERS).unwrap()
}

/// Edits the Service that is asked for, and waits until it has this type.
fn make(resource: &Resource, wanted: &Value, type_: &str) -> Value {
    let edit = json!({ "spec": { "adapters": { "service": wanted } } });
    resource.edit(&edit).unwrap();
    wait_until(&format!("a Service of type {type_}"), SOON, || {
        let service = resource.child("service", ADAPTERS)?;
        ensure!(service["spec"]["type"] == type_, "{service}");
        Ok(true)
    })
    .unwrap();
    service(resource)
}

/// From one type to another and back, with annotations of the resource's and of a cloud's controller.
fn a_service_changes_its_type_and_keeps_what_others_have_put_there(resource: &Resource) {
    let space = &resource.space;
    let foreign = ["annotate", "service", ADAPTERS, "cloud.example.com/id=lb-1"];
    space.kubectl(&foreign).unwrap();

    let asked =
        json!({ "type": "LoadBalancer", "annotations": { "example.com/scheme": "internal" } });
    let balanced = make(resource, &asked, "LoadBalancer");
    assert_eq!(balanced["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(balanced["spec"]["sessionAffinity"], "ClientIP");
    let annotations = &balanced["metadata"]["annotations"];
    assert_eq!(annotations["example.com/scheme"], "internal");
    assert_eq!(annotations["cloud.example.com/id"], "lb-1");

    // What the server and a cloud's controller fill in is not taken away again.
    let address = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.7" }] } } });
    let (patch, status) = (address.to_string(), "--subresource=status");
    space
        .kubectl(&[
            "patch",
            "service",
            ADAPTERS,
            status,
            "--type=merge",
            "--patch",
            &patch,
        ])
        .unwrap();
    wait_made(resource);
    let before = service(resource);
    resource
        .edit(&json!({ "spec": { "inference": { "nodeCapacity": { "cpu": "1000m" } } } }))
        .unwrap();
    wait_made(resource);
    assert_eq!(service(resource), before);

    let asked = json!({ "type": "NodePort", "annotations": null, "sessionAffinity": "None" });
    let open = make(resource, &asked, "NodePort");
    assert_eq!(open["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(open["spec"]["sessionAffinity"], "None");
    assert_eq!(
        open["spec"]["ports"][0]["nodePort"],
        balanced["spec"]["ports"][0]["nodePort"]
    );
    let annotations = &open["metadata"]["annotations"];
    assert_eq!(annotations["example.com/scheme"], Value::Null);
    assert_eq!(annotations["cloud.example.com/id"], "lb-1");

    let asked = json!({ "type": "ClusterIP", "sessionAffinity": "ClientIP" });
    let inside = make(resource, &asked, "ClusterIP");
    assert_eq!(inside["spec"]["externalTrafficPolicy"], Value::Null);
    assert_eq!(inside["spec"]["sessionAffinity"], "ClientIP");
    assert_eq!(
        inside["metadata"]["annotations"]["cloud.example.com/id"],
        "lb-1"
    );
}

fn expose(resource: &Resource, exposure: &Value) {
    // As a whole: what is not named is not asked for any more.
    let patch = json!([{ "op": "add", "path": "/spec/exposure", "value": exposure }]).to_string();
    let arguments = ["patch", "cbc", "chat", "--type=json", "--patch", &patch];
    resource.space.kubectl(&arguments).unwrap();
}

/// Waits for the children of these kinds that bring people in from outside.
fn ways_in(resource: &Resource, kinds: &[&str]) {
    wait_until(&format!("{kinds:?}"), SOON, || {
        let mut found = Vec::new();
        for kind in ["ingress", "httproute"] {
            // Where the kind is not known there is none of it.
            let names = resource.space.kubectl(&["get", kind, "--output=name"]);
            found.extend(names.is_ok_and(|names| !names.is_empty()).then_some(kind));
        }
        ensure!(found == kinds, "{found:?}");
        Ok(true)
    })
    .unwrap();
}

fn an_ingress_comes_and_goes(resource: &Resource) {
    let tls = json!({ "secretRef": { "name": "chat-tls" } });
    let ingress = json!({ "className": "public", "annotations": { "example.com/timeout": "1h" } });
    expose(
        resource,
        &json!({ "host": HOST, "tls": tls, "ingress": ingress }),
    );
    ways_in(resource, &["ingress"]);
    let made = resource.child("ingress", ADAPTERS).unwrap();
    assert_eq!(made["spec"]["ingressClassName"], "public");
    assert_eq!(
        made["spec"]["tls"],
        json!([{ "hosts": [HOST], "secretName": "chat-tls" }])
    );
    assert_eq!(made["metadata"]["annotations"]["example.com/timeout"], "1h");
    assert_eq!(
        resource.object().unwrap()["status"]["url"],
        format!("https://{HOST}")
    );

    expose(resource, &json!({ "host": HOST, "tls": tls }));
    // Nothing was rolled out yet that would show what is there.
    wait_until("the port of TLS beside the other one", SOON, || {
        let ports = resource.child("service", ADAPTERS)?["spec"]["ports"].clone();
        ensure!(ports.as_array().map(Vec::len) == Some(2), "{ports}");
        Ok(ports[0]["port"] == 80 && ports[1]["port"] == 443)
    })
    .unwrap();
    // No pod serves the certificate: what led here before is still needed.
    ways_in(resource, &["ingress"]);
    let adapters = resource.child("deployment", ADAPTERS).unwrap();
    let volumes = adapters["spec"]["template"]["spec"]["volumes"]
        .as_array()
        .unwrap();
    let secret = volumes
        .iter()
        .find(|volume| volume["name"] == "tls")
        .unwrap();
    assert_eq!(secret["secret"]["optional"], true);
}

fn gateway_api(operators: &Operators, verb: &str) {
    let manifests = operators.plane.places.cluster_source().join("manifests");
    let mut kubectl = operators.plane.kubectl();
    kubectl
        .args([verb, "--filename"])
        .arg(manifests.join("gateway-api.yaml"));
    command::output(&mut kubectl).unwrap();
}

/// What a Gateway's controller would say of the route.
fn judge(resource: &Resource, status: &str, reason: &str) {
    let route = resource.child("httproute", ADAPTERS).unwrap();
    let condition = json!({
        "type": "Accepted", "status": status, "reason": reason, "message": "in words",
        "observedGeneration": route["metadata"]["generation"],
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let parent = &route["spec"]["parentRefs"][0];
    let said = json!({ "status": { "parents": [
        { "parentRef": parent, "controllerName": "example.com/gateway", "conditions": [condition] },
    ] } });
    let (said, status) = (said.to_string(), "--subresource=status");
    let arguments = [
        "patch",
        "httproute",
        ADAPTERS,
        status,
        "--type=merge",
        "--patch",
        &said,
    ];
    resource.space.kubectl(&arguments).unwrap();
}

/// The Gateway API may be missing, may come, and may go again.
fn a_route_waits_for_the_gateway_api(operators: &Operators, resource: &Resource) {
    let missing = ["AdaptersReady", "False", "RouteNotAccepted"];
    let install = ["exposure.httpRoute", "install the Gateway API"];
    let route = json!({ "parentRefs": [{ "name": "public", "namespace": "edge" }] });
    expose(resource, &json!({ "host": HOST, "ingress": {} }));
    ways_in(resource, &["ingress"]);
    expose(resource, &json!({ "host": HOST, "httpRoute": route }));
    resource.wait_told(missing, &install).unwrap();
    // What led here before stays until a Gateway takes what follows it.
    ways_in(resource, &["ingress"]);

    gateway_api(operators, "apply");
    ways_in(resource, &["ingress", "httproute"]);
    resource
        .wait_told(missing, &["Gateway public in namespace edge", "nobody"])
        .unwrap();
    judge(resource, "False", "NotAllowedByListeners");
    resource
        .wait_told(missing, &["NotAllowedByListeners: in words"])
        .unwrap();
    ways_in(resource, &["ingress", "httproute"]);
    judge(resource, "True", "Accepted");
    ways_in(resource, &["httproute"]);
    wait_until("the route is no fault any more", SOON, || {
        let condition = resource.condition("AdaptersReady")?;
        Ok(condition.is_some_and(|condition| condition.reason != "RouteNotAccepted"))
    })
    .unwrap();

    // What is hers to change is set right, and no more than that is written.
    let patch = json!({ "spec": { "hostnames": ["other.example.com"] } }).to_string();
    let arguments = [
        "patch",
        "httproute",
        ADAPTERS,
        "--type=merge",
        "--patch",
        &patch,
    ];
    resource.space.kubectl(&arguments).unwrap();
    wait_until("the host set right", SOON, || {
        Ok(resource.child("httproute", ADAPTERS)?["spec"]["hostnames"] == json!([HOST]))
    })
    .unwrap();

    gateway_api(operators, "delete");
    resource.wait_told(missing, &install).unwrap();
    gateway_api(operators, "apply");
    ways_in(resource, &["httproute"]);
    expose(resource, &json!({ "host": HOST }));
    ways_in(resource, &[]);
    gateway_api(operators, "delete");
}

fn policies_are_kept_unless_nobody_wants_them(resource: &Resource) {
    let policies = |wanted: &[&str]| {
        wait_until(&format!("policies {wanted:?}"), SOON, || {
            let children = children_of(resource)?;
            let found: Vec<_> = children
                .keys()
                .filter_map(|name| name.strip_prefix("NetworkPolicy "))
                .collect();
            ensure!(found == wanted, "{found:?}");
            Ok(true)
        })
        .unwrap();
    };
    let mut every = COMPONENTS.map(|component| format!("chat-{component}"));
    every.sort();
    let every = every.each_ref().map(String::as_str);
    policies(&every);
    let inference = resource.child("networkpolicy", "chat-inference").unwrap();
    assert_eq!(
        inference["spec"]["policyTypes"],
        json!(["Ingress", "Egress"])
    );
    assert_eq!(inference["spec"]["egress"], Value::Null);
    let mode = |mode: &str| {
        let edit = json!({ "spec": { "networkPolicy": { "mode": mode } } });
        resource.edit(&edit).unwrap();
    };
    mode("None");
    policies(&[]);
    mode("Managed");
    policies(&every);
}

/// What was written is what the server has: a look more writes nothing.
fn nothing_is_written_twice(resource: &Resource) {
    wait_made(resource);
    let before = versions(resource).unwrap();
    for cpu in ["1", "1000m"] {
        let edit = json!({ "spec": { "inference": { "nodeCapacity": { "cpu": cpu } } } });
        let generation = resource.edit(&edit).unwrap();
        operators::seen::wait_observed(resource, generation);
    }
    assert_eq!(versions(resource).unwrap(), before);
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn the_way_in_is_as_it_is_asked_for_on_a_real_api_server() {
    let operators = Operators::install(&["one"]).unwrap();
    let operator = operators.start("one").unwrap();
    let resource = made(&operators, "exposure", &json!({}));
    policies_are_kept_unless_nobody_wants_them(&resource);
    a_service_changes_its_type_and_keeps_what_others_have_put_there(&resource);
    an_ingress_comes_and_goes(&resource);
    nothing_is_written_twice(&resource);
    a_route_waits_for_the_gateway_api(&operators, &resource);
    nothing_is_written_twice(&resource);
    drop(operator);
}
