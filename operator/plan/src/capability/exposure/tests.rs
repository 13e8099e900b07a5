use super::*;
use crate::example::world_with;
use crate::http_route::{ParentStatus, RouteCondition, RouteSeen};
use crate::plan;
use crate::status::find;
use chatbot_crds::ConditionType;
use chatbot_crds::config::TlsState;
use serde_json::{Value, json};

const L4: &str = "{ host: chat.example.com, tls: { secretRef: { name: chat-tls } } }";
const INGRESS: &str = "{ host: chat.example.com, tls: { secretRef: { name: chat-tls } }, ingress: { className: nginx, annotations: { a/b: c } } }";
const ROUTE: &str =
    "{ host: chat.example.com, httpRoute: { parentRefs: [{ name: public, namespace: edge }] } }";

fn exposed(exposure: &str) -> World {
    world_with(|yaml| format!("{yaml}\n  exposure: {exposure}\n"))
}

fn object(world: &World, kind: &str, name: &str) -> Option<Value> {
    let objects = plan(world).objects;
    objects
        .into_iter()
        .find(|object| object.key.kind == kind && object.key.name == name)
        .map(|object| object.manifest)
}

fn tls_volume(world: &World) -> Value {
    let pod = &object(world, "Deployment", "support-adapters").unwrap()["spec"]["template"];
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let found = volumes.iter().find(|volume| volume["name"] == "tls");
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array();
    let mounted = mounts
        .unwrap()
        .iter()
        .any(|mount| mount["mountPath"] == "/tls");
    assert_eq!(mounted, found.is_some());
    found.map_or(Value::Null, |volume| volume["secret"].clone())
}

fn keys(secret: &Value) -> Vec<&str> {
    let items = secret["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect()
}

#[test]
fn a_route_stays_until_the_ingress_that_follows_it_has_an_address() {
    let mut world = exposed(INGRESS).settled();
    let key = ObjectKey {
        kind: http_route::KIND,
        name: "support-adapters".to_owned(),
    };
    let child = crate::world::Child {
        uid: "r".to_owned(),
        owned: true,
        hash: None,
        created: None,
    };
    world.observed.children.insert(key.clone(), child);
    assert_eq!(plan(&world).prune, []);
    world.observed.served_ingresses.insert(key.name.clone());
    let pruned: Vec<_> = plan(&world).prune.into_iter().map(|one| one.key).collect();
    assert_eq!(pruned, [key]);
}

fn ports(world: &World) -> Value {
    let service = object(world, "Service", "support-adapters").unwrap();
    let port = &service["spec"]["ports"][0];
    json!([port["name"], port["port"], port["targetPort"]])
}

/// What is said of the adapters when they are rolled out and see this of the certificate.
fn told(world: World, state: Option<&TlsState>, ready: bool) -> (String, String, String) {
    let mut world = world.passed().rolled_out(2);
    for pod in &mut world.observed.pods {
        if pod.component == Component::Adapters {
            pod.ready = ready;
            if let Signal::Known { value, .. } = &mut pod.state {
                value.tls = state.cloned();
            }
        }
    }
    let status = world.status();
    let condition = find(&status, ConditionType::AdaptersReady).unwrap();
    (
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    )
}

#[test]
fn without_an_ingress_the_pods_serve_the_certificate_and_nothing_else() {
    let world = exposed(L4);
    let secret = tls_volume(&world);
    assert_eq!(secret["secretName"], "chat-tls");
    assert_eq!(secret["optional"], true);
    assert_eq!(keys(&secret), ["tls.crt", "tls.key"]);
    assert_eq!(ports(&world), json!(["https", 443, "http"]));
    assert_eq!(
        world.status().url.as_deref(),
        Some("https://chat.example.com")
    );
    assert_eq!(object(&world, "Ingress", "support-adapters"), None);
}

#[test]
fn an_ingress_serves_the_certificate_and_the_pods_never_see_its_key() {
    let world = exposed(INGRESS);
    assert_eq!(keys(&tls_volume(&world)), ["tls.crt"]);
    assert_eq!(ports(&world), json!(["http", 80, "http"]));
    let ingress = object(&world, "Ingress", "support-adapters").unwrap();
    assert_eq!(ingress["metadata"]["annotations"]["a/b"], "c");
    let spec = &ingress["spec"];
    assert_eq!(spec["ingressClassName"], "nginx");
    assert_eq!(
        spec["tls"],
        json!([{ "hosts": ["chat.example.com"], "secretName": "chat-tls" }])
    );
    let backend = json!({ "service": { "name": "support-adapters", "port": { "number": 80 } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
    assert_eq!(
        spec["rules"],
        json!([{ "host": "chat.example.com", "http": { "paths": [path] } }])
    );
}

#[test]
fn a_host_alone_is_an_address_and_changes_no_object() {
    let world = exposed("{ host: chat.example.com }");
    assert_eq!(tls_volume(&world), Value::Null);
    assert_eq!(ports(&world), json!(["http", 80, "http"]));
    assert_eq!(
        world.status().url.as_deref(),
        Some("http://chat.example.com")
    );
}

#[test]
fn pages_under_the_host_may_open_the_chat() {
    let config = |world: &World| {
        let objects = plan(world).objects;
        let found = objects.into_iter().find(|object| {
            object.key.kind == "ConfigMap" && object.component == Some(Component::Adapters)
        });
        found.unwrap().manifest["data"]["config.yaml"].to_string()
    };
    assert!(!config(&world_with(|yaml| yaml)).contains("example.com"));
    let config = config(&exposed(L4));
    assert!(config.contains("https://chat.example.com"), "{config}");
    assert!(!config.contains("http://chat.example.com"), "{config}");
}

#[test]
fn a_certificate_that_is_not_there_is_told_whether_or_not_the_pods_work() {
    let state = |usable, reason: &str| TlsState {
        usable,
        reason: reason.to_owned(),
        message: "there is no Secret \"chat-tls\"".to_owned(),
    };
    let missing = state(false, "TLSSecretMissing");
    for (exposure, ready) in [(L4, false), (L4, true), (INGRESS, true)] {
        let (status, reason, message) = told(exposed(exposure), Some(&missing), ready);
        assert_eq!(
            (status.as_str(), reason.as_str()),
            ("False", "TLSSecretMissing")
        );
        assert!(
            message.starts_with("exposure.tls.secretRef.name: "),
            "{message}"
        );
    }
    let odd = state(false, "OfAnotherRelease");
    assert_eq!(told(exposed(L4), Some(&odd), true).1, "TLSSecretInvalid");
    for state in [None, Some(&state(true, ""))] {
        assert_eq!(told(exposed(L4), state, true).1, "MinimumReplicasAvailable");
    }
}

#[test]
fn a_route_is_planned_and_told_as_its_gateway_sees_it() {
    let mut world = exposed(ROUTE);
    let route = object(&world, "HTTPRoute", "support-adapters").unwrap();
    assert_eq!(
        route["spec"],
        json!({
            "parentRefs": [{ "name": "public", "namespace": "edge" }],
            "hostnames": ["chat.example.com"],
            "rules": [{ "backendRefs": [{ "name": "support-adapters", "port": 80 }] }],
        })
    );
    assert_eq!(
        world.status().url.as_deref(),
        Some("https://chat.example.com")
    );
    let condition = |status: &str| RouteCondition {
        kind: "Accepted".to_owned(),
        status: status.to_owned(),
        reason: "NotAllowedByListeners".to_owned(),
        message: "in words".to_owned(),
        observed_generation: Some(1),
    };
    for (conditions, reason, word) in [
        (
            vec![],
            "RouteNotAccepted",
            "Gateway public in namespace edge: nobody",
        ),
        (
            vec![condition("False")],
            "RouteNotAccepted",
            "NotAllowedByListeners",
        ),
        (vec![condition("True")], "MinimumReplicasAvailable", ""),
    ] {
        let seen = RouteSeen {
            generation: 1,
            parents: vec![ParentStatus {
                parent_ref: ParentRef {
                    name: "public".to_owned(),
                    namespace: Some("edge".to_owned()),
                    section_name: None,
                },
                conditions,
            }],
        };
        let routes = &mut world.observed.routes;
        routes.insert("support-adapters".to_owned(), seen);
        let (_, said, message) = told(world.clone(), None, true);
        assert_eq!(said, reason);
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn where_there_is_no_gateway_api_the_route_waits_and_what_to_install_is_told() {
    let mut world = exposed(ROUTE);
    world.observed.absent_kinds.insert("HTTPRoute");
    assert_eq!(object(&world, "HTTPRoute", "support-adapters"), None);
    let (_, reason, message) = told(world, None, true);
    assert_eq!(reason, "RouteNotAccepted");
    assert!(message.contains("install the Gateway API"), "{message}");
}

#[test]
fn an_ingress_stays_until_the_route_that_follows_it_is_taken() {
    let mut world = exposed(INGRESS).passed();
    let route = exposed(ROUTE);
    world.settings = route.settings;
    let is_pruned = |world: &World| {
        let prune = plan(world).prune;
        prune.iter().any(|surplus| surplus.key.kind == "Ingress")
    };
    assert!(!is_pruned(&world), "the route is not there yet");
    let taken = |status: &str| RouteSeen {
        generation: 1,
        parents: vec![ParentStatus {
            parent_ref: ParentRef {
                name: "public".to_owned(),
                namespace: Some("edge".to_owned()),
                section_name: None,
            },
            conditions: vec![RouteCondition {
                kind: "Accepted".to_owned(),
                status: status.to_owned(),
                reason: "InWords".to_owned(),
                message: String::new(),
                observed_generation: Some(1),
            }],
        }],
    };
    for (status, pruned) in [("False", false), ("True", true)] {
        let routes = &mut world.observed.routes;
        routes.insert("support-adapters".to_owned(), taken(status));
        assert_eq!(is_pruned(&world), pruned, "{status}");
    }
    world.observed.absent_kinds.insert("HTTPRoute");
    assert!(!is_pruned(&world), "there is no such kind any more");
    world.settings.exposure = None;
    assert!(is_pruned(&world), "it is not asked for");
}

#[test]
fn what_led_here_goes_when_the_pods_serve_the_certificate_themselves() {
    let before = exposed(INGRESS).settled();
    let mut edited = exposed(L4);
    edited.observed = before.observed;
    edited.memory = before.memory;
    let goes = |world: &World| {
        plan(world)
            .prune
            .iter()
            .any(|surplus| surplus.key.kind == "Ingress")
    };
    assert!(!goes(&edited), "its pods serve without it");
    let edited = edited.passed().rolled_out(2);
    assert!(goes(&edited) || goes(&edited.clone().passed()));
    let mut removed = world_with(|yaml| yaml);
    removed.observed = edited.observed;
    removed.memory = edited.memory;
    assert!(goes(&removed), "nobody asks for it");
}
