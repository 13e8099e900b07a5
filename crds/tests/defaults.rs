//! The schema's defaults and the types' are the same ones.
#![allow(clippy::unwrap_used)] // A schema that cannot be read fails the test.

use chatbot_crds::{ChatBotCluster, parse, schema};
use serde_json::{Value, json};

/// Fills in the defaults that a schema states, as an API server does.
fn default(schema: &Value, value: &mut Value) {
    let Some(fields) = value.as_object_mut() else {
        if let Some(items) = value.as_array_mut() {
            for item in items {
                default(&schema["items"], item);
            }
        }
        return;
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = property.get("default") {
            fields.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(value) = fields.get_mut(name) {
            default(property, value);
        }
    }
}

fn spec_schema() -> Value {
    let definition = serde_json::to_value(schema::definition()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

#[test]
fn a_file_gets_the_defaults_of_the_api_server() {
    let source =
        json!({ "persistentVolumeClaim": { "claimName": "models", "path": "model.gguf" } });
    for spec in [
        json!({ "channels": [{ "name": "web", "webChat": {} }], "inference": { "model": { "source": source } } }),
        json!({
            "channels": [{ "name": "web", "webChat": {} }],
            "conversation": { "historyTurns": 3 },
            "adapters": { "service": { "type": "NodePort" } },
            "inference": {
                "model": { "source": source },
                "autoscaling": { "minReplicas": 1, "behavior": { "scaleUp": {} } },
                "nodeCapacity": { "cpu": "2", "memory": "4Gi" },
            },
        }),
    ] {
        let file = json!({
            "apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatBotCluster", "metadata": { "name": "support" }, "spec": spec,
        });
        let cluster: ChatBotCluster = parse(&file.to_string()).unwrap();
        let mut served = spec.clone();
        default(&spec_schema(), &mut served);
        assert_eq!(serde_json::to_value(&cluster.spec).unwrap(), served);
        assert!(
            serde_json::to_string(&served)
                .unwrap()
                .contains("targetCPUUtilizationPercentage")
        );
    }
}

/// A resource as another release may have left it.
fn stored(status: &Value) -> ChatBotCluster {
    serde_json::from_value(json!({
        "apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatBotCluster", "metadata": { "name": "support" },
        "spec": {
            "channels": [{ "name": "web", "webChat": {} }],
            "inference": { "model": { "source": {
                "persistentVolumeClaim": { "claimName": "models", "path": "model.gguf" },
            } } },
        },
        "status": status,
    }))
    .unwrap()
}

#[test]
fn a_status_of_another_release_never_keeps_a_spec_from_being_read() {
    let definition = serde_json::to_value(schema::definition()).unwrap();
    let fields = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        ["properties"];
    for field in fields.as_object().unwrap().keys() {
        for other in [
            json!(3.5),
            json!("text"),
            json!([3.5]),
            json!({ "conditions": 1 }),
        ] {
            let cluster = stored(&json!({ "observedGeneration": 7, field: other }));
            assert_eq!(cluster.spec.channels[0].name, "web");
            let seen = cluster.status.unwrap().observed_generation;
            assert!(field == "observedGeneration" || seen == Some(7), "{field}");
        }
    }
    let transport =
        json!({ "channels": [{ "name": "web", "transport": "Pigeon" }], "url": "http://a" });
    let status = stored(&transport).status.unwrap();
    assert_eq!(
        (status.channels.len(), status.url.as_deref()),
        (0, Some("http://a"))
    );
}

#[test]
fn a_status_that_nobody_wrote_says_that_nobody_has_looked() {
    let definition = serde_json::to_value(schema::definition()).unwrap();
    let status =
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    let status: chatbot_crds::ChatBotClusterStatus =
        serde_json::from_value(status["default"].clone()).unwrap();
    let told: Vec<(&str, &str, &str)> = status
        .conditions
        .iter()
        .map(|condition| {
            (
                condition.type_.as_str(),
                condition.status.as_str(),
                condition.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("Ready", "Unknown", "Pending"),
            ("Reconciling", "True", "Pending")
        ]
    );
}
