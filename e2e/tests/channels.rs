//! Channels beside the web chat: one that lacks its Secret says so while the others answer, and a message that came by a
//! signed request is answered by one.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

#[path = "receiver/mod.rs"]
mod receiver;
#[path = "signed/mod.rs"]
mod signed;

use anyhow::ensure;
use chatbot_e2e::conversation::Conversation;
use chatbot_e2e::resource::{CHANNEL, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use serde_json::json;

const KEY: &str = "a signing key of at least 24 bytes";
const PROGRAM: &str = "program";

fn asks_the_web_chat(resource: &Resource) {
    let entrance = resource.open().unwrap();
    let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
    let id = conversation.ask("Say a word.").unwrap();
    assert!(!conversation.answer(&id, PATIENCE).unwrap().fallback);
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn a_channel_waits_for_its_secret_and_then_answers_signed_requests_by_signed_requests() {
    let space = scenario::namespace("e2e-channels").unwrap();
    receiver::start(&space);
    let url = receiver::url(&space);
    let channels = json!([
        { "name": CHANNEL, "webChat": {} },
        { "name": PROGRAM, "webhook": { "replyURL": url, "secretRef": { "name": "signing" } } },
    ]);
    let resource = Resource::apply(space, &json!({ "spec": { "channels": channels } })).unwrap();
    resource
        .wait_told(
            ["ChannelsReady", "False", "SecretMissing"],
            &[PROGRAM, "signing"],
        )
        .unwrap();
    resource
        .wait_told(["Available", "True", "Answering"], &[])
        .unwrap();
    asks_the_web_chat(&resource);
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "signing" },
        "stringData": { "signingKey": KEY } });
    resource.space.apply(&secret.to_string()).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();

    let entrance = resource.open().unwrap();
    let body = json!({ "user": "u-1", "text": "What is a lighthouse?" }).to_string();
    let post = |key, id| signed::post(entrance.address(), PROGRAM, key, id, &body).unwrap();
    assert_eq!(post("another key of at least 24 bytes", "q-0"), 401);
    assert_eq!(post(KEY, "q-1"), 200);
    assert_eq!(post(KEY, "q-1"), 200, "a copy is taken as what it is");
    wait_until("the reply", PATIENCE, || {
        let replies = receiver::replies(&resource.space)?;
        ensure!(!replies.is_empty());
        Ok(true)
    })
    .unwrap();
    let [reply] = &receiver::replies(&resource.space).unwrap()[..] else {
        unreachable!("one question has one answer");
    };
    assert_eq!(
        (&reply["replyTo"], &reply["user"]),
        (&json!("q-1"), &json!("u-1"))
    );
    assert!(reply["fallback"] == false && reply["text"] != "", "{reply}");
}
