//! One person on three channels, while workers and adapters are replaced: one conversation, whichever channel a question
//! comes by and whichever pods answer it.
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
const PROGRAMS: [&str; 2] = ["phone", "mail"];

/// Asks by a signed request, as often as needed while pods are replaced, and gives the reply.
fn say(resource: &Resource, program: &str, number: usize, text: &str) -> String {
    let id = format!("{program}-{number}");
    let body = json!({ "user": "kim", "text": text }).to_string();
    wait_until("the question taken", PATIENCE, || {
        let entrance = resource.open()?;
        let status = signed::post(entrance.address(), program, KEY, &id, &body)?;
        ensure!(status == 200, "{status}");
        Ok(true)
    })
    .unwrap();
    let mut answer = String::new();
    wait_until("the reply", 2 * PATIENCE, || {
        let replies = receiver::replies(&resource.space)?;
        let found = replies.iter().find(|reply| reply["replyTo"] == id.as_str());
        answer = found.map_or_else(String::new, |reply| {
            reply["text"].as_str().unwrap_or_default().to_owned()
        });
        Ok(found.is_some())
    })
    .unwrap();
    answer
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn one_person_talks_on_three_channels_while_workers_and_adapters_are_replaced() {
    let space = scenario::namespace("e2e-linked").unwrap();
    receiver::start(&space);
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "signing" },
        "stringData": { "signingKey": KEY } });
    space.apply(&secret.to_string()).unwrap();
    let url = receiver::url(&space);
    let webhook = |name: &str| json!({ "name": name, "webhook": { "replyURL": url, "secretRef": { "name": "signing" } } });
    let channels = json!([
        { "name": CHANNEL, "webChat": {} }, webhook(PROGRAMS[0]), webhook(PROGRAMS[1]),
    ]);
    let spec =
        json!({ "spec": { "channels": channels, "conversation": { "maxAnswerTokens": 16 } } });
    let resource = Resource::apply(space, &spec).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();

    let entrance = resource.open().unwrap();
    let mut page = Conversation::new(entrance.address(), CHANNEL).unwrap();
    let mut ask = |text: &str| {
        let id = page.ask(text).unwrap();
        page.answer(&id, 2 * PATIENCE).unwrap().answer
    };
    let mut asked = vec!["Say one.".to_owned()];
    ask(&asked[0]);
    for program in PROGRAMS {
        let told = ask("/link");
        let (_, code) = told.rsplit_once("/link ").unwrap();
        let linked = say(&resource, program, 0, &format!("/link {code}"));
        assert!(linked.starts_with("Linked"), "{linked}");
    }
    // Each edit replaces the pods of one part, or of both.
    let edits = [
        json!({ "spec": { "conversation": { "historyTurns": 12 } } }),
        json!({ "spec": { "adapters": { "resources": { "requests": { "cpu": "60m" } } } } }),
    ];
    for (round, edit) in edits.iter().enumerate() {
        resource.edit(edit).unwrap();
        for program in PROGRAMS {
            let question = format!("Say {round} by {program}.");
            say(&resource, program, round + 1, &question);
            asked.push(question);
        }
        resource.wait_ready(3 * PATIENCE).unwrap();
    }
    let last = "Say the last.".to_owned();
    let entrance = resource.open().unwrap();
    page.moves_to(entrance.address());
    let id = page.ask(&last).unwrap();
    page.answer(&id, 2 * PATIENCE).unwrap();
    asked.push(last);
    let turns = page.history().unwrap();
    let questions: Vec<_> = turns
        .iter()
        .filter_map(|turn| turn["question"].as_str())
        .collect();
    assert_eq!(questions, asked, "one conversation, in order");
}
