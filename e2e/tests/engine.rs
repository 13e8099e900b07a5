//! Another inference server than the built-in one, given by image and arguments.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use anyhow::{Context, ensure};
use chatbot_e2e::conversation::Conversation;
use chatbot_e2e::engine;
use chatbot_e2e::resource::{CHANNEL, Condition, NAME, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use serde_json::{Value, json};

const GREETING: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: engine }
data: { greeting: Ahoy }
";
const TOKEN: &str = "
apiVersion: v1
kind: Secret
metadata: { name: engine }
stringData: { token: not a word }
";

/// What a server of somebody else's needs, in its own words, and the name by which it knows the model.
fn foreign(image: &str, name: &str) -> Value {
    json!({ "spec": { "inference": {
        "engine": {
            "image": image,
            "args": [
                "-listen=:8080",
                "-model=$(MODEL_PATH)",
                format!("-served-model-name={name}"),
                "-max-model-len=$(CONTEXT_TOKENS)",
            ],
            "env": [
                { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "engine", "key": "token" } } },
                { "name": "GREETING", "valueFrom": { "configMapKeyRef": { "name": "engine", "key": "greeting" } } },
            ],
            "port": 8080,
        },
        "rollout": { "maxSurge": 1, "maxUnavailable": "50%" },
    } } })
}

fn told(resource: &Resource, kind: &str, accept: impl Fn(&Condition) -> bool) {
    wait_until(kind, PATIENCE, || {
        let condition = resource.condition(kind)?.context("it is not told yet")?;
        ensure!(accept(&condition), "{condition:?}");
        Ok(true)
    })
    .unwrap();
}

/// A server that knows the model by another name lists its models and refuses every question: those of before go on.
fn under_another_name(resource: &Resource, image: &str, conversation: &mut Conversation) {
    let before = resource.pods("inference").unwrap();
    let mut edit = foreign(image, "somebody-else");
    edit["spec"]["inference"]["rollout"] = json!({ "maxSurge": 1, "maxUnavailable": 0 });
    resource.edit(&edit).unwrap();
    let refusal = format!("there is no model \"{NAME}\"");
    let words = [
        image,
        &refusal,
        "go on",
        "inference.engine.args",
        "MODEL_NAME",
    ];
    let refused = ["InferenceReady", "False", "EngineRefused"];
    resource.wait_told(refused, &words).unwrap();
    told(resource, "ModelReady", |model| model.reason == "Pending");
    let answering = ["Available", "True", "Answering"];
    resource.wait_told(answering, &[]).unwrap();
    let id = conversation.ask("Are you still there?").unwrap();
    let reply = conversation.answer(&id, PATIENCE).unwrap();
    assert!(reply.answer.starts_with("Ahoy"), "{reply:?}");

    resource.edit(&foreign(image, "$(MODEL_NAME)")).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    let after = resource.pods("inference").unwrap();
    for pod in before.iter().filter(|pod| !pod.leaving) {
        let stayed = after
            .iter()
            .any(|left| left.uid == pod.uid && !left.leaving);
        assert!(
            stayed,
            "{} was replaced by one that answers nobody",
            pod.name
        );
    }
}

/// Only with `cargo e2e test --all`.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn a_server_that_is_not_ours_answers_in_the_place_of_the_built_in_one() {
        let space = scenario::namespace("e2e-engine").unwrap();
        let image = engine::image(&space.cluster.places).unwrap();
        space.cluster.import(std::slice::from_ref(&image)).unwrap();
        space.apply(GREETING).unwrap();
        let resource = Resource::apply(space, &foreign(&image.name, "$(MODEL_NAME)")).unwrap();

        // Its Secret is named and is not there.
        told(&resource, "InferenceReady", |condition| {
            condition.reason == "ReferenceMissing"
                && condition.message.contains("secret \"engine\"")
        });
        told(&resource, "Stalled", |condition| condition.status == "True");
        resource.space.apply(TOKEN).unwrap();
        resource.wait_ready(2 * PATIENCE).unwrap();
        told(&resource, "Stalled", |condition| {
            condition.status == "False"
        });

        let entrance = resource.open().unwrap();
        let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
        let id = conversation.ask("Is anybody there?").unwrap();
        let reply = conversation.answer(&id, PATIENCE).unwrap();
        for part in [
            format!("Ahoy: {NAME} of "),
            " bytes with 2048 tokens heard: Is anybody there?".to_owned(),
        ] {
            assert!(reply.answer.contains(&part), "{reply:?}");
        }
        let model = resource.condition("ModelReady").unwrap().unwrap();
        assert!(model.message.contains(&image.name), "{model:?}");
        let status = resource.object().unwrap()["status"].clone();
        assert_eq!(
            status["model"],
            Value::Null,
            "nothing is known of its model"
        );

        under_another_name(&resource, &image.name, &mut conversation);

        // The built-in server takes its place again, and talks in its own way.
        let back = json!({ "spec": { "inference": { "engine": null } } });
        resource.edit(&back).unwrap();
        told(&resource, "ModelReady", |model| {
            model.status == "True" && model.message.contains("Q8_0")
        });
        resource.wait_ready(2 * PATIENCE).unwrap();
        // Somebody new asks: with the talk of before in its context, a small model goes on in its manner.
        let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
        let id = conversation.ask("And now?").unwrap();
        let reply = conversation.answer(&id, PATIENCE).unwrap();
        assert!(!reply.answer.starts_with("Ahoy"), "{reply:?}");
    }
}
