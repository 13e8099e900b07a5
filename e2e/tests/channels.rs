//! Channels beside the web chat: one that lacks its Secret says so while the others answer, and a message that came by a
//! signed request is answered by one.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

#[path = "signed/mod.rs"]
mod signed;

use anyhow::{Context, Result, ensure};
use chatbot_e2e::conversation::Conversation;
use chatbot_e2e::resource::{CHANNEL, Resource};
use chatbot_e2e::scenario::{self, Namespace, PATIENCE, wait_until};
use serde_json::{Value, json};

const KEY: &str = "a signing key of at least 24 bytes";
const PROGRAM: &str = "program";
/// Where the receiver keeps what it was sent.
const REPLIES: &str = "/tmp/replies";

/// A program that takes replies: one file for each id, so that a copy is one reply.
fn receive_replies(space: &Namespace) {
    let image = scenario::image(&space.cluster, "toolbox").unwrap().name;
    let script = format!(
        "mkdir -p /tmp/www/cgi-bin {REPLIES} && cd /tmp/www/cgi-bin && \
         printf '#!/bin/sh\\ncat > {REPLIES}/$HTTP_WEBHOOK_ID\\nprintf \"Status: 200 OK\\\\r\\\\n\\\\r\\\\n\"\\n' > reply && \
         chmod +x reply && exec httpd -f -p 8080 -h /tmp/www"
    );
    let restricted = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 65532,
        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
    });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "receiver", "labels": { "app": "receiver" } },
        "spec": { "containers": [{
            "name": "receiver", "image": image, "securityContext": restricted,
            "command": ["sh", "-c", script],
            "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
        }] },
    });
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "receiver" },
        "spec": { "selector": { "app": "receiver" }, "ports": [{ "port": 8080 }] } });
    space.apply(&format!("{pod}\n---\n{service}")).unwrap();
    let ready = [
        "wait",
        "pod/receiver",
        "--for=condition=Ready",
        "--timeout=60s",
    ];
    space.kubectl(&ready).unwrap();
}

/// What the program was sent, each once.
fn replies(space: &Namespace) -> Result<Vec<Value>> {
    let all = format!("cat {REPLIES}/* 2>/dev/null || true");
    let text = space.exec("receiver", &["sh", "-c", &all])?;
    let replies = serde_json::Deserializer::from_str(&text).into_iter();
    replies.map(|reply| reply.context("no JSON")).collect()
}

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
    receive_replies(&space);
    let url = format!("http://receiver.{}.svc:8080/cgi-bin/reply", space.name);
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
        let replies = replies(&resource.space)?;
        ensure!(!replies.is_empty());
        Ok(true)
    })
    .unwrap();
    let [reply] = &replies(&resource.space).unwrap()[..] else {
        unreachable!("one question has one answer");
    };
    assert_eq!(
        (&reply["replyTo"], &reply["user"]),
        (&json!("q-1"), &json!("u-1"))
    );
    assert!(reply["fallback"] == false && reply["text"] != "", "{reply}");
}
