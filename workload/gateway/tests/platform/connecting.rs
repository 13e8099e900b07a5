//! Channels whose messages come over a connection that the gateway opens.

use std::time::Duration;

use axum::extract::ws::Message;
use chatbot_crds::config::ChannelConfig;
use chatbot_gateway::Limits;
use chatbot_queue::Topic;
use prost::Message as _;
use serde_json::{Value, json};

use crate::answerer::Answerer;
use crate::hub::Hub;
use crate::live::{
    Door, Line, Live, envelope, event, feishu, feishu_channel, slack, slack_channel,
};
use crate::site::{Site, eventually, limits};

pub fn site() -> Site {
    let site = Site::new();
    for key in ["botToken", "appToken", "appSecret"] {
        site.secret("bot", key, "token");
    }
    site
}

pub async fn is(hub: &Hub, ready: Option<bool>, reason: &str) -> String {
    let state = hub
        .reports(|state| {
            let channel = &state.channels[0];
            channel.ready == ready && channel.reason == reason
        })
        .await;
    state.channels[0].message.clone()
}

pub async fn connected(hub: &Hub) {
    is(hub, Some(true), "Connected").await;
}

/// A hub whose connection Slack has said hello on.
async fn greeted(site: &Site, channels: Vec<ChannelConfig>, platform: &Live) -> (Hub, Line) {
    let hub = site.hub(channels).await;
    let line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    connected(&hub).await;
    (hub, line)
}

#[tokio::test]
async fn an_envelope_of_slack_is_acknowledged_when_the_log_has_it_and_answered() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let platform = slack().await;
    let (_hub, mut line) = greeted(&site, slack_channel(&platform), &platform).await;
    assert_eq!(line.path, "/link?ticket=t");
    line.says(&envelope(1, "hello"));
    assert_eq!(line.hears().await, json!({ "envelope_id": "e-1" }));
    assert_eq!(site.enqueued().await, 1);
    let replies = platform.replies(1).await;
    assert_eq!(replies[0]["text"], "answer to hello");
    assert_eq!(replies[0]["channel"], "D1");
    // The same event in another envelope is acknowledged, and answered once.
    let mut copy = envelope(1, "hello");
    copy["envelope_id"] = "e-2".into();
    line.says(&copy);
    assert_eq!(line.hears().await, json!({ "envelope_id": "e-2" }));
    line.says(&json!({ "type": "interactive", "envelope_id": "e-3", "payload": {} }));
    assert_eq!(line.hears().await, json!({ "envelope_id": "e-3" }));
    site.marked(1).await;
    assert_eq!(platform.replies(1).await.len(), 1);
}

#[tokio::test]
async fn nothing_is_acknowledged_while_the_log_takes_nothing() {
    let log = chatbot_queue::memory::MemoryLog::with_limits(
        3,
        chatbot_queue::memory::Limits {
            kept_bytes: 0,
            full_bytes: 0,
        },
    );
    let site = Site::on(log);
    site.secret("bot", "botToken", "token");
    site.secret("bot", "appToken", "token");
    let platform = slack().await;
    let (_hub, mut line) = greeted(&site, slack_channel(&platform), &platform).await;
    line.says(&envelope(1, "hello"));
    let told = tokio::time::timeout(Duration::from_millis(500), line.hears()).await;
    assert!(told.is_err(), "acknowledged and not stored: {told:?}");
}

#[tokio::test]
async fn an_event_of_feishu_is_acknowledged_by_its_own_frame_and_answered() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let platform = feishu().await;
    let hub = site.hub(feishu_channel(&platform)).await;
    let mut line = platform.line().await;
    connected(&hub).await;
    let mut first = event(1, "hello");
    let second = first.payload.split_off(40);
    let part = |seq: &str, payload: Vec<u8>| {
        let mut part = first.clone();
        part.payload = payload;
        for header in &mut part.headers {
            match header.key.as_str() {
                "sum" => "2".clone_into(&mut header.value),
                "seq" => seq.clone_into(&mut header.value),
                _ => {}
            }
        }
        part
    };
    for part in [part("1", second), part("0", first.payload.clone())] {
        line.sends(Message::binary(part.encode_to_vec()));
    }
    let told = line.envelope().await;
    assert_eq!(told.header("message_id"), Some("f-1"));
    let payload: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(payload["code"], 200);
    assert_eq!(site.enqueued().await, 1);
    let replies = platform.replies(1).await;
    let content: Value = serde_json::from_str(replies[0]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["text"], "answer to hello");
}

#[tokio::test]
async fn a_connection_that_slack_will_close_is_replaced_first() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let platform = slack().await;
    let (hub, mut line) = greeted(&site, slack_channel(&platform), &platform).await;
    line.says(&json!({ "type": "disconnect", "reason": "warning" }));
    let mut next = platform.line().await;
    assert_eq!(platform.open(), 2);
    // Until the next one is up the first one brings messages, and afterwards, too.
    line.says(&envelope(1, "one"));
    line.hears().await;
    next.says(&json!({ "type": "hello" }));
    next.says(&envelope(2, "two"));
    next.hears().await;
    line.says(&envelope(3, "three"));
    line.hears().await;
    drop(line);
    eventually("one connection", async || platform.open() == 1).await;
    connected(&hub).await;
    next.says(&envelope(4, "four"));
    next.hears().await;
    assert_eq!(platform.replies(4).await.len(), 4);
    assert!(platform.is_left_alone().await);
}

#[tokio::test]
async fn a_connection_that_is_cut_at_any_stage_is_opened_again_and_nothing_is_lost() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    let platform = slack().await;
    platform.door(Door::Refused(500, &[]));
    let hub = site.hub(slack_channel(&platform)).await;
    is(&hub, Some(false), "Disconnected").await;
    platform.door(Door::Open);
    // Before hello.
    drop(platform.line().await);
    // After it.
    let line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    connected(&hub).await;
    drop(line);
    is(&hub, Some(false), "Disconnected").await;
    // With a message under way, which is not acknowledged as far as the platform knows.
    let line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    line.says(&envelope(1, "one"));
    answerer.meets(1).await;
    drop(line);
    let mut line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    line.says(&envelope(1, "one"));
    assert_eq!(line.hears().await["envelope_id"], "e-1");
    // Closed in order.
    line.closes(1_001);
    let mut line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    line.says(&envelope(2, "two"));
    line.hears().await;
    let replies = platform.replies(2).await;
    let texts: Vec<_> = replies.iter().map(|reply| &reply["text"]).collect();
    assert_eq!(texts, ["answer to one", "answer to two"]);
}

#[tokio::test]
async fn of_two_gateways_one_connects_and_the_other_takes_over_when_it_is_given_up() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    let platform = slack().await;
    let (first, line) = greeted(&site, slack_channel(&platform), &platform).await;
    let second = site.hub(slack_channel(&platform)).await;
    let mut members = Vec::new();
    eventually("two members", async || {
        members = site.memory.members("connection-bot", Topic::Cursor);
        members.len() == 2
    })
    .await;
    let place = crate::polling::place(&site, 2);
    let (holder, other, line) = if place == 0 {
        (first, second, line)
    } else {
        line.ends().await;
        let line = platform.line().await;
        line.says(&json!({ "type": "hello" }));
        (second, first, line)
    };
    connected(&holder).await;
    is(&other, None, "Pending").await;
    assert!(platform.is_left_alone().await);
    assert_eq!(platform.open(), 1);
    // The holder is given up with a message that it may have taken, and nobody has acknowledged.
    line.says(&envelope(1, "one"));
    site.memory
        .freeze("connection-bot", Topic::Cursor, members[place]);
    let mut next = platform.line().await;
    next.says(&json!({ "type": "hello" }));
    connected(&other).await;
    line.ends().await;
    next.says(&envelope(1, "one"));
    assert_eq!(next.hears().await["envelope_id"], "e-1");
    site.memory
        .thaw("connection-bot", Topic::Cursor, members[place]);
    answerer.meets(1).await;
    assert_eq!(platform.replies(1).await.len(), 1);
    // It is a member again, and the other one lets go in order.
    next.ends().await;
    let mut line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    connected(&holder).await;
    is(&other, None, "Pending").await;
    line.says(&envelope(2, "two"));
    line.hears().await;
    assert_eq!(platform.replies(2).await.len(), 2);
    holder.stop().await;
    let line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    connected(&other).await;
}

#[tokio::test]
async fn what_is_no_frame_and_what_is_too_large_end_a_connection_and_not_the_channel() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let platform = slack().await;
    let (hub, mut line) = greeted(&site, slack_channel(&platform), &platform).await;
    let large = "x".repeat(5 << 20);
    for message in [
        Message::text("no JSON"),
        Message::binary(vec![0, 159, 146, 150]),
        Message::text(large),
    ] {
        line.sends(message);
        line.ends().await;
        is(&hub, Some(false), "Disconnected").await;
        line = platform.line().await;
        line.says(&json!({ "type": "hello" }));
        connected(&hub).await;
    }
    line.says(&envelope(1, "hello"));
    line.hears().await;
    platform.replies(1).await;
}

#[tokio::test]
async fn a_platform_that_never_answers_is_told_and_tried_again() {
    let site = site();
    let platform = slack().await;
    platform.door(Door::Silent);
    let limits = Limits {
        send: Duration::from_millis(200),
        ..limits()
    };
    let hub = site.hub_with(slack_channel(&platform), limits).await;
    let told = is(&hub, Some(false), "Disconnected").await;
    assert!(told.contains("did not open a connection"), "{told}");
    platform.door(Door::Open);
    let line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    connected(&hub).await;
}

#[tokio::test]
async fn credentials_that_are_not_taken_are_told_and_others_are_used_at_once() {
    let site = site();
    let platform = slack().await;
    let wrong = json!({ "ok": false, "error": "invalid_auth" });
    platform.rule("apps.connections.open", wrong);
    let hub = site.hub(slack_channel(&platform)).await;
    let told = is(&hub, Some(false), "CredentialsRejected").await;
    assert!(told.contains("invalid_auth"), "{told}");
    let url = format!("ws://{}/link", platform.address);
    platform.rule("apps.connections.open", json!({ "ok": true, "url": url }));
    site.secret("bot", "appToken", "another");
    let line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    connected(&hub).await;
    // Socket Mode is switched off: nothing but a person mends that.
    line.says(&json!({ "type": "disconnect", "reason": "link_disabled" }));
    let told = is(&hub, Some(false), "CredentialsRejected").await;
    assert!(told.contains("Socket Mode is switched off"), "{told}");
}

#[tokio::test]
async fn a_channel_without_a_key_of_its_secret_opens_no_connection() {
    let site = Site::new();
    site.secret("bot", "botToken", "token");
    let platform = slack().await;
    let hub = site.hub(slack_channel(&platform)).await;
    let told = is(&hub, Some(false), "SecretKeyMissing").await;
    assert!(told.contains("`appToken`"), "{told}");
    assert!(platform.is_left_alone().await);
    site.secret("bot", "appToken", "token");
    let line = platform.line().await;
    line.says(&json!({ "type": "hello" }));
    connected(&hub).await;
}

#[tokio::test]
async fn an_app_of_feishu_that_may_not_connect_is_told_so() {
    let site = site();
    let platform = feishu().await;
    platform.door(Door::Refused(
        400,
        &[
            ("handshake-status", "403"),
            ("handshake-msg", "not enabled"),
        ],
    ));
    let hub = site.hub(feishu_channel(&platform)).await;
    let told = is(&hub, Some(false), "CredentialsRejected").await;
    assert!(told.contains("not enabled"), "{told}");
    platform.door(Door::Open);
    let _line = platform.line().await;
    connected(&hub).await;
}
