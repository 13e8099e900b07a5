//! The operator dies before and after each of its writes, and another takes over: the end is always the same.
//!
//! For each shape of the resource an operator first does everything undisturbed. Then, for every n, one is stopped before
//! its n-th write, and one after it: the write is done, and the operator does not learn of it. A new one goes on from what
//! is there. Namespaces stand side by side, so the points of a shape run in parallel.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

#[path = "in_process/mod.rs"]
mod in_process;

use anyhow::{Context, Result, ensure};
use chatbot_operator::gate::Budget;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use in_process::{End, Ground, Picture, plane};

const NAME: &str = "chat";
/// Crash points under way at the same time.
const AT_ONCE: usize = 8;

/// What the operator is asked to do: a resource from nothing, or a change of one that is settled.
struct Shape {
    name: &'static str,
    before: Option<Value>,
    asked: Value,
    /// How many objects there are in the end of kinds that come and go.
    left: [(&'static str, usize); 3],
}

/// The memory, and one configuration of each component that has one: those of before an edit are gone.
const CONFIGURATIONS: (&str, usize) = ("ConfigMap", 5);

fn new(name: &'static str, asked: Value) -> Shape {
    Shape {
        name,
        before: None,
        asked,
        left: [CONFIGURATIONS, ("NetworkPolicy", 5), ("Ingress", 0)],
    }
}

fn changed(name: &'static str, change: &Value) -> Shape {
    Shape {
        name,
        before: Some(everything()),
        asked: merged(everything(), change),
        left: [CONFIGURATIONS, ("NetworkPolicy", 5), ("Ingress", 1)],
    }
}

/// Everything is made, and everything that can go goes.
fn shapes() -> Vec<Shape> {
    vec![
        new("minimal", minimal()),
        Shape {
            // The broker's configuration went with it.
            left: [("ConfigMap", 4), ("NetworkPolicy", 0), ("Ingress", 0)],
            ..changed(
                "parts-removed",
                &json!({ "spec": {
                    "exposure": null,
                    "networkPolicy": { "mode": "None" },
                    "podMetadata": null,
                    "adapters": { "service": { "annotations": null } },
                    "messaging": { "kafka": { "bootstrapServers": ["kafka.example.com:9092"] } },
                    "state": { "redis": { "addresses": ["redis.example.com:6379"] } },
                } }),
            )
        },
    ]
}

/// Those whose writes are some of the others'.
fn further_shapes() -> Vec<Shape> {
    vec![
        Shape {
            before: None,
            ..changed("everything", &json!({}))
        },
        changed(
            "inference-edited",
            &json!({ "spec": { "inference": { "contextTokens": 1024, "autoscaling": { "minReplicas": 2 } } } }),
        ),
        changed(
            "workers-edited",
            &json!({ "spec": { "conversation": { "systemPrompt": "You are brief." } } }),
        ),
    ]
}

/// With as few instances as there can be: a crash point costs as many pods.
fn minimal() -> Value {
    resource(&json!({
        "channels": [{ "name": "web", "webChat": {} }],
        "inference": {
            "model": { "source": { "persistentVolumeClaim": { "claimName": "models", "path": "model.gguf" } } },
            "autoscaling": { "minReplicas": 1, "maxReplicas": 2 },
        },
    }))
}

/// With every part that brings an object, or a part of one.
fn everything() -> Value {
    let change = json!({ "spec": {
        "podMetadata": { "labels": { "team": "chat" }, "annotations": { "example.com/note": "a" } },
        "conversation": { "systemPrompt": "You are friendly.", "historyTurns": 2 },
        "adapters": {
            "resources": { "requests": { "cpu": "100m" }, "limits": { "memory": "256Mi" } },
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "tolerations": [{ "key": "chat", "operator": "Exists", "effect": "NoSchedule" }],
            "service": { "type": "NodePort", "annotations": { "example.com/note": "b" } },
        },
        "exposure": {
            "host": "chat.example.com",
            "tls": { "secretRef": { "name": "certificate" } },
            "ingress": { "className": "nginx", "annotations": { "example.com/note": "c" } },
        },
        "networkPolicy": { "mode": "Managed" },
        "inference": {
            "contextTokens": 2048,
            "nodeCapacity": { "cpu": 4, "memory": "16Gi" },
            "resources": { "limits": { "memory": "2Gi" } },
            "autoscaling": { "behavior": { "scaleDown": { "stabilizationWindowSeconds": 60 } } },
            "rollout": { "maxSurge": 1, "maxUnavailable": 0 },
        },
    } });
    merged(minimal(), &change)
}

fn resource(spec: &Value) -> Value {
    json!({
        "apiVersion": "chatbot.dev/v1alpha1",
        "kind": "ChatBotCluster",
        "metadata": { "name": NAME },
        "spec": spec,
    })
}

/// A JSON merge patch (RFC 7386).
fn merged(mut target: Value, patch: &Value) -> Value {
    let Some(fields) = patch.as_object() else {
        return patch.clone();
    };
    for (name, change) in fields {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            let field = target[name].take();
            let field = if field.is_object() { field } else { json!({}) };
            target[name] = merged(field, change);
        }
    }
    target
}

/// Does what a shape asks with an operator of this budget, and then, where it was stopped, with a new one. Gives what
/// came of it, how the first one ended and how many writes it made.
async fn run(
    ground: &Ground,
    shape: &Shape,
    namespace: &str,
    budget: Budget,
) -> Result<(Picture, End, u32)> {
    ground.namespace(namespace).await?;
    if let Some(before) = &shape.before {
        ground.apply(namespace, before).await?;
        ground
            .operator(Budget::Unlimited)
            .work(namespace, NAME)
            .await?;
    }
    ground.apply(namespace, &shape.asked).await?;
    let first = ground.operator(budget);
    let end = first.work(namespace, NAME).await?;
    let made = first.made();
    drop(first);
    if end == End::Stopped {
        let second = ground.operator(Budget::Unlimited);
        second.work(namespace, NAME).await?;
    }
    Ok((Picture::take(&ground.client, namespace).await?, end, made))
}

/// Every crash point of a shape; gives how many there were.
async fn crash_everywhere(ground: &Ground, shape: &Shape) -> Result<usize> {
    let name = shape.name;
    let undisturbed = format!("{name}-whole");
    let (whole, end, writes) = run(ground, shape, &undisturbed, Budget::Unlimited).await?;
    ensure!(end == End::Settled && writes > 0);
    for (kind, count) in shape.left {
        let there = whole.count(kind);
        ensure!(
            there == count,
            "{name}: {there} of {kind}, not {count}\n{whole}"
        );
    }
    let points = (1..=writes).flat_map(|number| {
        let before = Budget::Writes(number - 1);
        let after = Budget::UnheardAfter(number);
        [("before", before, number), ("after", after, number)]
    });
    let stopped = futures::stream::iter(points)
        .map(|(side, budget, number)| {
            let (whole, namespace) = (&whole, format!("{name}-{side}-{number}"));
            async move {
                let (picture, end, _) = run(ground, shape, &namespace, budget)
                    .await
                    .context(namespace.clone())?;
                ensure!(
                    picture == *whole,
                    "{namespace} ({end:?}) differs: + is what the crash left\n{}",
                    picture.differences(whole)
                );
                Ok(usize::from(end == End::Stopped))
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(0, async |all, one| Ok(all + one))
        .await?;
    println!("{name}: {writes} writes, {stopped} crash points");
    Ok(stopped)
}

fn crash_in_all(shapes: &[Shape]) {
    let plane = plane();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let points = runtime.block_on(async {
        let ground = Ground::begin(&plane).await;
        let mut points = 0;
        for shape in shapes {
            points += crash_everywhere(&ground, shape).await.unwrap();
        }
        points
    });
    println!("{points} crash points");
    assert!(points > 100, "{points}");
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn whenever_the_operator_dies_the_next_one_reaches_the_same_state() {
    crash_in_all(&shapes());
}

/// Only with `cargo e2e test --all`.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the programs of Kubernetes: cargo e2e test --all"]
    fn whenever_the_operator_dies_during_an_edit_the_next_one_finishes_it() {
        crash_in_all(&further_shapes());
    }
}
