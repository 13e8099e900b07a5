//! An edit rolls out while people talk, and `Ready` tells the truth about it.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use chatbot_e2e::conversation::{Conversation, Stop};
use chatbot_e2e::resource::{CHANNEL, Pod, Resource};
use chatbot_e2e::scenario::{self, PATIENCE};
use chatbot_plan::names::FIELD_MANAGER;
use serde_json::{Value, json};

const QUESTION: &str = "Tell a story about a lighthouse keeper";

/// Runs an edit while two people talk all the time: every question is answered, by the model, once. Gives how often
/// their pages connected.
fn while_people_talk(resource: &Resource, edit: impl FnOnce()) -> Vec<u32> {
    let entrance = resource.open().unwrap();
    let stop = AtomicBool::new(false);
    let talk = || {
        let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
        let pause = Duration::from_millis(200);
        conversation
            .keep_asking(QUESTION, pause, 2 * PATIENCE, &stop)
            .unwrap();
        conversation
    };
    let (conversations, span) = thread::scope(|scope| {
        let talking = [scope.spawn(talk), scope.spawn(talk)];
        let stopping = Stop(&stop);
        let start = Instant::now();
        edit();
        let span = start..Instant::now();
        drop(stopping);
        (talking.map(|thread| thread.join().unwrap()), span)
    });
    for conversation in &conversations {
        let replies = conversation.replies();
        let during = replies
            .values()
            .filter(|reply| reply.answered > span.start && reply.asked < span.end);
        assert!(during.count() > 0, "nobody asked anything during the edit");
        for reply in replies.values() {
            assert!(!reply.fallback, "the model did not answer: {reply:?}");
        }
        conversation.check_history().unwrap();
    }
    conversations
        .iter()
        .map(Conversation::connections)
        .collect()
}

/// Edits, waits as a user would right after it, and checks that the wait has not ended early: this generation is
/// observed, enough of its instances were ready before `Ready` said so, and nothing is left of the one before.
fn edit_and_wait(resource: &Resource, patch: &Value, replaced: bool) {
    let before = resource.pods("inference").unwrap();
    let generation = resource.edit(patch).unwrap();
    resource.wait_ready(3 * PATIENCE).unwrap();

    let pods = resource.pods("inference").unwrap();
    let object = resource.object().unwrap();
    let ready = resource.condition("Ready").unwrap().unwrap();
    assert_eq!(object["status"]["observedGeneration"], generation);
    assert_eq!(ready.observed_generation, Some(generation), "{ready:?}");
    let is_old = |pod: &Pod| before.iter().any(|old| old.template == pod.template);
    let minimum = object["spec"]["inference"]["autoscaling"]["minReplicas"]
        .as_u64()
        .unwrap();
    let in_time = pods
        .iter()
        .filter(|pod| !pod.leaving && is_old(pod) != replaced)
        .filter(|pod| {
            pod.ready_since
                .as_ref()
                .is_some_and(|since| !replaced || *since <= ready.since)
        });
    assert!(
        in_time.count() as u64 >= minimum,
        "{ready:?} came before its instances: {pods:?}"
    );
    let stays = |pod: &&Pod| !pod.leaving && is_old(pod);
    assert!(
        !replaced || pods.iter().find(stays).is_none(),
        "old instances are left: {pods:?}"
    );
    let written = written(resource, "chat-inference");
    assert!(
        written <= ready.since,
        "{ready:?} came before the operator's last write of the instances, {written}"
    );
}

/// When the operator last wrote a Deployment, in the API's notation: its autoscaler may write it at any time.
fn written(resource: &Resource, deployment: &str) -> String {
    let how = ["--show-managed-fields", "--output=json"];
    let object = resource
        .space
        .kubectl(&["get", "deployment", deployment, how[0], how[1]])
        .unwrap();
    let object: Value = serde_json::from_str(&object).unwrap();
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let ours = entries
        .iter()
        .filter(|entry| entry["manager"] == FIELD_MANAGER);
    ours.map(|entry| entry["time"].as_str().unwrap().to_owned())
        .max()
        .unwrap()
}

fn ready_resource(namespace: &str, max_answer_tokens: u32) -> Resource {
    let space = scenario::namespace(namespace).unwrap();
    let tokens = json!({ "spec": { "conversation": { "maxAnswerTokens": max_answer_tokens } } });
    let resource = Resource::apply(space, &tokens).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    resource
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn an_edit_of_inference_rolls_out_and_no_question_stays_unanswered() {
    let resource = ready_resource("e2e-inference-edit", 128);
    let (gateway, worker) = (resource.gateway().unwrap(), resource.worker().unwrap());
    let connections = while_people_talk(&resource, || {
        let bounds = json!({ "spec": { "inference": { "autoscaling": { "minReplicas": 3 } } } });
        edit_and_wait(&resource, &bounds, false);
        let autoscaler = resource
            .child("horizontalpodautoscaler", "chat-inference")
            .unwrap();
        assert_eq!(autoscaler["spec"]["minReplicas"], 3);

        let size =
            json!({ "spec": { "inference": { "resources": { "requests": { "cpu": "150m" } } } } });
        edit_and_wait(&resource, &size, true);
        let child = resource.child("deployment", "chat-inference").unwrap();
        let container = &child["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["resources"]["requests"]["cpu"], "150m");
    });
    assert_eq!(connections, [1, 1], "the pages were to notice nothing");
    for (before, now) in [
        (gateway, resource.gateway().unwrap()),
        (worker, resource.worker().unwrap()),
    ] {
        assert_eq!(
            before.container, now.container,
            "it had no reason to restart"
        );
    }
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn an_edit_of_the_prompt_replaces_the_workers_and_no_page_notices() {
    let resource = ready_resource("e2e-workers-edit", 128);
    let before = (
        resource.worker().unwrap(),
        resource.gateway().unwrap(),
        resource.pods("inference").unwrap(),
    );
    let connections = while_people_talk(&resource, || {
        let prompt = "You are an old sailor.";
        let edit = json!({ "spec": { "conversation": { "systemPrompt": prompt } } });
        edit_and_wait(&resource, &edit, false);
        let (new, ready) = (
            resource.worker().unwrap(),
            resource.condition("Ready").unwrap().unwrap(),
        );
        assert_ne!(new.uid, before.0.uid);
        assert!(
            new.ready_since.unwrap() <= ready.since,
            "{ready:?} came before the worker"
        );
    });
    assert_eq!(connections, [1, 1], "the pages were to notice nothing");
    assert_eq!(before.1.container, resource.gateway().unwrap().container);
    let left = resource.pods("inference").unwrap();
    let stays = |pod: &Pod| {
        left.iter()
            .any(|one| one.uid == pod.uid && one.template == pod.template)
    };
    assert!(
        before.2.iter().any(stays),
        "the instances had no reason to be replaced"
    );
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn an_edit_of_the_channels_replaces_the_adapters_and_the_pages_move_over() {
    let resource = ready_resource("e2e-adapters-edit", 64);
    let old = resource.gateway().unwrap();
    let connections = while_people_talk(&resource, || {
        let origins = json!({ "allowedOrigins": ["https://example.com"] });
        let channels = json!([{ "name": CHANNEL, "webChat": origins }]);
        edit_and_wait(
            &resource,
            &json!({ "spec": { "channels": channels } }),
            false,
        );
        assert_ne!(resource.gateway().unwrap().uid, old.uid);
        resource.wait_gone("adapters", &old).unwrap();
    });
    assert!(
        connections.iter().all(|count| *count > 1),
        "the pages have to connect to the new adapters"
    );
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn an_edit_that_cannot_work_takes_nothing_away() {
    let resource = ready_resource("e2e-edit-wrong", 64);
    let cannot_work = |edit: &Value, told: [&str; 3], words: &[&str]| {
        resource.edit(edit).unwrap();
        resource.wait_told(told, words).unwrap();
        resource
            .wait_told(["Available", "True", "Answering"], &[])
            .unwrap();
    };
    while_people_talk(&resource, || {
        let image = json!({ "spec": { "image": "localhost/chatbot/chatbot:nowhere" } });
        let told = ["AdaptersReady", "False", "ImagePullFailed"];
        cannot_work(&image, told, &["nowhere"]);
        resource
            .wait_told(["WorkersReady", "False", "ImagePullFailed"], &["nowhere"])
            .unwrap();
        edit_and_wait(&resource, &json!({ "spec": { "image": null } }), false);

        let nowhere = json!({ "kafka": { "bootstrapServers": ["kafka.nowhere:9092"] } });
        let edit = json!({ "spec": { "messaging": nowhere } });
        let told = ["MessagingReady", "False", "BrokerUnreachable"];
        cannot_work(&edit, told, &["kafka.nowhere"]);
        edit_and_wait(&resource, &json!({ "spec": { "messaging": null } }), false);

        let nowhere = json!({ "redis": { "addresses": ["redis.nowhere:6379"] } });
        let edit = json!({ "spec": { "state": nowhere } });
        let told = ["StateReady", "False", "StoreUnreachable"];
        cannot_work(&edit, told, &["redis.nowhere"]);

        let prompt = "You are a sailor who tells of every sea. ".repeat(300);
        let conversation = json!({ "systemPrompt": prompt });
        let edit = json!({ "spec": { "state": null, "conversation": conversation } });
        let told = ["WorkersReady", "False", "SystemPromptRefused"];
        let words = ["conversation.systemPrompt", "raise inference.contextTokens"];
        cannot_work(&edit, told, &words);
        let conversation = json!({ "systemPrompt": "You are a sailor." });
        let edit = json!({ "spec": { "conversation": conversation } });
        edit_and_wait(&resource, &edit, false);
    });
}

/// Only with `cargo e2e test --all`.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn an_edit_that_both_the_workers_and_the_instances_read_rolls_both_out() {
        let resource = ready_resource("e2e-context-edit", 128);
        while_people_talk(&resource, || {
            let edit = json!({ "spec": { "inference": { "contextTokens": 1024 } } });
            edit_and_wait(&resource, &edit, true);
        });
    }

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn another_image_rolls_out_and_no_question_stays_unanswered() {
        let resource = ready_resource("e2e-image-edit", 128);
        let cluster = &resource.space.cluster;
        let image = scenario::image(cluster, "chatbot").unwrap().name;
        let again = format!("{}:again", image.rsplit_once(':').unwrap().0);
        for node in cluster.nodes() {
            let mut tag = node.inside(&cluster.places).unwrap();
            tag.args([
                "ctr",
                "--address=/run/containerd/containerd.sock",
                "--namespace=k8s.io",
            ]);
            tag.args(["images", "tag", "--force", &image, &again]);
            chatbot_e2e::command::output(&mut tag).unwrap();
        }
        while_people_talk(&resource, || {
            let edit = json!({ "spec": { "image": again } });
            edit_and_wait(&resource, &edit, true);
        });
        let child = resource.child("deployment", "chat-inference").unwrap();
        assert_eq!(
            child["spec"]["template"]["spec"]["containers"][0]["image"],
            again
        );
    }
}
