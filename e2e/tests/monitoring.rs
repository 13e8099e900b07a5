//! Prometheus has what is documented: after one conversation, every metric of every part and of the nodes.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use chatbot_e2e::command;
use chatbot_e2e::conversation::Conversation;
use chatbot_e2e::forward::Forward;
use chatbot_e2e::install::OPERATOR_NAMESPACE;
use chatbot_e2e::monitoring::{self, NAMESPACE};
use chatbot_e2e::places::Places;
use chatbot_e2e::resource::{CHANNEL, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use serde_json::{Value, json};

/// Families with labels of which one conversation makes a member.
const OF_A_CONVERSATION: [&str; 6] = [
    "chatbot_worker_lag",
    "chatbot_worker_phase_seconds",
    "chatbot_worker_cache_misses",
    "chatbot_inference_requests",
    "chatbot_operator_passes",
    "chatbot_operator_writes",
];

/// What `ARCHITECTURE.md` documents, without what only a fault or another channel makes.
fn documented() -> BTreeSet<String> {
    let places = Places::find().unwrap();
    let document = fs::read_to_string(places.repository.join("operator/ARCHITECTURE.md")).unwrap();
    let words = document
        .split('`')
        .filter(|word| word.starts_with("chatbot_"));
    words
        .filter(|word| {
            let name = word.split('{').next().unwrap_or_default();
            !word.contains('{') || OF_A_CONVERSATION.contains(&name)
        })
        .filter_map(|word| word.split('{').next())
        .map(str::to_owned)
        .collect()
}

/// Asks Prometheus' HTTP API.
fn ask(prometheus: &Forward, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--get",
        "--max-time",
        "10",
    ]);
    for (name, value) in parameters {
        curl.arg("--data-urlencode").arg(format!("{name}={value}"));
    }
    curl.arg(format!("http://{}/api/v1/{path}", prometheus.address()));
    let answer: Value = serde_json::from_str(&command::output(&mut curl)?)?;
    Ok(answer["data"].clone())
}

fn texts(values: &Value) -> BTreeSet<String> {
    let values = values.as_array().into_iter().flatten();
    values
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// The names of the metrics that the pods of a namespace have told.
fn names(prometheus: &Forward, namespace: &str) -> Result<BTreeSet<String>> {
    let of = format!("{{namespace=\"{namespace}\"}}");
    let found = ask(prometheus, "label/__name__/values", &[("match[]", &of)])?;
    Ok(texts(&found))
}

/// The targets of some namespaces, each with whether it answers.
fn targets(prometheus: &Forward, namespaces: &[&str]) -> Result<Vec<(String, bool)>> {
    let found = ask(prometheus, "targets", &[("state", "active")])?;
    let targets = found["activeTargets"].as_array().context("no targets")?;
    let of = |target: &Value| {
        let labels = &target["labels"];
        let namespace = labels["namespace"].as_str().unwrap_or_default();
        let name = format!("{namespace}/{}", labels["pod"].as_str().unwrap_or_default());
        namespaces
            .contains(&namespace)
            .then(|| (name, target["health"] == "up"))
    };
    Ok(targets.iter().filter_map(of).collect())
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn after_one_conversation_prometheus_has_every_documented_metric_and_every_target_is_up() {
    let space = scenario::namespace("e2e-monitoring").unwrap();
    let prometheus = scenario::forward(&space.cluster, NAMESPACE, "prometheus").unwrap();
    let url = format!("http://prometheus.{NAMESPACE}:9090");
    let watched = json!({ "spec": { "monitoring": { "prometheus": { "url": url } } } });
    let resource = Resource::apply(space, &watched).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    resource
        .wait_told(
            ["MonitoringReady", "True", "AnnotationsOnly"],
            &["prometheus.io/scrape"],
        )
        .unwrap();
    let entrance = resource.open().unwrap();
    let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
    let id = conversation.ask("What is a lighthouse?").unwrap();
    conversation.answer(&id, PATIENCE).unwrap();

    let own = &resource.space.name;
    let wanted = documented();
    assert!(wanted.len() > 30, "{wanted:?}");
    wait_until("every documented metric", PATIENCE, || {
        let mut found = names(&prometheus, own)?;
        found.extend(names(&prometheus, OPERATOR_NAMESPACE)?);
        let told = |name: &String| {
            let forms = ["", "_total", "_count"].map(|end| format!("{name}{end}"));
            forms.iter().any(|form| found.contains(form))
        };
        let missing: Vec<_> = wanted.iter().filter(|name| !told(name)).collect();
        ensure!(missing.is_empty(), "missing: {missing:?}");
        Ok(true)
    })
    .unwrap();
    let nodes = resource.space.cluster.nodes().len();
    let places = [own, OPERATOR_NAMESPACE, NAMESPACE, "monitoring-nodes"];
    wait_until("every target up", PATIENCE, || {
        let found = targets(&prometheus, &places)?;
        let down: Vec<_> = found.iter().filter(|(_, up)| !up).collect();
        ensure!(down.is_empty(), "down: {down:?}");
        let of = |namespace: &str| {
            let prefix = format!("{namespace}/");
            found
                .iter()
                .filter(|(name, _)| name.starts_with(&prefix))
                .count()
        };
        // Of the resource: adapters, workers and inference; beside it: Prometheus and Alertmanager.
        let counts = [
            of(own) >= 3,
            of(NAMESPACE) == 2,
            of("monitoring-nodes") == nodes,
        ];
        ensure!(counts == [true; 3], "{found:?}");
        let loads = ask(&prometheus, "query", &[("query", "count(node_load1)")])?;
        Ok(loads["result"][0]["value"][1] == nodes.to_string().as_str())
    })
    .unwrap();
    wait_until("an Alertmanager that Prometheus reaches", PATIENCE, || {
        let found = ask(&prometheus, "alertmanagers", &[])?;
        let active = found["activeAlertmanagers"].as_array();
        Ok(active.is_some_and(|active| !active.is_empty()))
    })
    .unwrap();
}

#[test]
#[ignore = "needs Debian's packages: cargo e2e test"]
fn the_configuration_is_one_that_prometheus_takes() {
    let places = Places::find().unwrap();
    let configuration = monitoring::source(&places).join("prometheus.yaml");
    let mut check = Command::new(monitoring::checker(&places).unwrap());
    command::output(check.args(["check", "config"]).arg(configuration)).unwrap();
}

#[test]
#[ignore = "needs jq: cargo e2e test"]
fn only_pods_that_say_so_are_targets() {
    let places = Places::find().unwrap();
    let pod = |name: &str, annotations: Value, ip: Option<&str>| {
        json!({
            "metadata": {
                "name": name, "namespace": "chat", "annotations": annotations,
                "labels": { "app.kubernetes.io/name": "chatbot", "chatbot.dev/component": "workers" },
            },
            "spec": { "nodeName": "node1" }, "status": { "podIP": ip },
        })
    };
    let scraped = json!({ "prometheus.io/scrape": "true", "prometheus.io/port": "9090" });
    let list = json!({ "items": [
        pod("asks", scraped.clone(), Some("10.0.0.1")),
        pod("has-no-address", scraped, None),
        pod("does-not-ask", json!({}), Some("10.0.0.2")),
        pod("says-nothing", Value::Null, Some("10.0.0.3")),
    ] });
    let script = monitoring::source(&places).join("targets.sh");
    let targets = command::output_of_input(&mut Command::new(script), &list.to_string());
    let targets: Value = serde_json::from_str(&targets.unwrap()).unwrap();
    let expected = json!([{
        "targets": ["10.0.0.1:9090"],
        "labels": {
            "job": "chatbot", "component": "workers", "namespace": "chat", "pod": "asks", "node": "node1",
        },
    }]);
    assert_eq!(targets, expected);
}
