//! Replies to a platform without idempotency keys, by the form of Telegram.

use std::time::Duration;

use chatbot_queue::Topic;
use serde_json::json;

use crate::answerer::Answerer;
use crate::hub::Hub;
use crate::site::{Site, code, eventually, metric, post, running, telegram};
use crate::stand_in::{Act, Seen, StandIn, status};

const SECRET: &str = "webhook-secret";
const IN_DOUBT: &str = r#"chatbot_gateway_channel_sends_in_doubt_total{channel="bot"}"#;

fn took() -> Act {
    let body = json!({ "ok": true, "result": { "message_id": 9, "id": 77, "username": "bot" } });
    Act::Answer(200, &[], body.to_string())
}

fn site() -> Site {
    let site = Site::new();
    site.secret("bot", "botToken", "77:token");
    site.secret("bot", "webhookSecret", SECRET);
    site
}

async fn ask(hub: &Hub, number: i64, chat: i64, text: &str) -> u16 {
    let body = json!({
        "update_id": number,
        "message": {
            "message_id": number,
            "date": 1,
            "chat": { "id": chat, "type": "private" },
            "from": { "id": chat, "is_bot": false },
            "text": text,
        },
    })
    .to_string();
    let head = format!(
        "POST /channels/bot HTTP/1.1\r\nhost: x\r\nx-telegram-bot-api-secret-token: {SECRET}\r\n"
    );
    code(&post(hub.address, &head, body.as_bytes()).await)
}

fn replies(platform: &StandIn) -> Vec<Seen> {
    let mut seen = platform.seen();
    seen.retain(|seen| seen.path.ends_with("/sendMessage"));
    seen
}

#[tokio::test]
async fn a_bot_is_asked_who_it_is_and_says_that_it_writes_before_it_answers() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    answerer.answering.send_replace(false);
    let platform = StandIn::start(|_, _| took()).await;
    let hub = running(&site, vec![telegram("bot", platform.url(""))]).await;
    assert_eq!(platform.seen()[0].path, "/bot77:token/getMe");
    assert_eq!(ask(&hub, 1, 5, "hello").await, 200);
    let seen = platform.sees(2).await;
    assert_eq!(seen[1].path, "/bot77:token/sendChatAction");
    answerer.answering.send_replace(true);
    site.marked(1).await;
    assert_eq!(replies(&platform)[0].text(), "answer to hello");
}

#[tokio::test]
async fn a_send_of_unknown_effect_is_repeated_and_counted_as_in_doubt() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, seen| {
        if seen.path.ends_with("/sendMessage") {
            Act::Hang
        } else {
            took()
        }
    })
    .await;
    let hub = running(&site, vec![telegram("bot", platform.url(""))]).await;
    ask(&hub, 1, 5, "hello").await;
    eventually("a send in doubt", async || metric(&hub, IN_DOUBT) == 1).await;
    platform.rule(|_, _| took());
    site.marked(1).await;
    let doubts = metric(&hub, IN_DOUBT);
    assert_eq!(replies(&platform).len() as u64, doubts + 1);
}

#[tokio::test]
async fn an_address_where_nobody_listens_leaves_nothing_in_doubt() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, _| took()).await;
    let hub = running(&site, vec![telegram("bot", platform.url(""))]).await;
    platform.rule(|_, _| status(429));
    ask(&hub, 1, 5, "hello").await;
    hub.reports(|state| state.channels[0].reason == "PlatformUnavailable")
        .await;
    assert_eq!(metric(&hub, IN_DOUBT), 0);
    platform.rule(|_, _| took());
    site.marked(1).await;
}

#[tokio::test]
async fn a_gateway_whose_partition_was_given_to_another_sends_no_more() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, _| took()).await;
    let channels = vec![telegram("bot", platform.url(""))];
    let frozen = running(&site, channels.clone()).await;
    let members = site.memory.members("gateway-bot", Topic::Response);
    let _second = running(&site, channels).await;
    for chat in 0..6 {
        ask(&frozen, chat, chat, "hello").await;
    }
    site.marked(6).await;
    // The group gives the first one up, which does not know it.
    site.memory
        .freeze("gateway-bot", Topic::Response, members[0]);
    answerer.meets(6).await;
    for chat in 10..16 {
        ask(&frozen, chat, chat, "hello").await;
    }
    site.marked(12).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(replies(&platform).len(), 12);
    site.memory.thaw("gateway-bot", Topic::Response, members[0]);
    for chat in 20..26 {
        ask(&frozen, chat, chat, "hello").await;
    }
    site.marked(18).await;
    assert_eq!(replies(&platform).len(), 18);
}
