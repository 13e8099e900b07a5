//! Replies that a platform takes in another way than they were sent.

use chatbot_crds::config::{ChannelConfig, ChannelTransport, PlatformConfig};
use chatbot_queue::journal::Delivery;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::answerer::Answerer;
use crate::doubt::{IN_DOUBT, discord, put, took, with_token};
use crate::hub::Hub;
use crate::site::{Site, config, limits, metric, telegram};
use crate::stand_in::{Act, Seen, StandIn};

const GROUP: i64 = -5_551_234;
const SUPERGROUP: i64 = -1_001_234_567_890;

fn refuses(code: u16, says: &Value) -> Act {
    Act::Answer(code, &[], says.to_string())
}

/// Telegram after a group has become a supergroup.
fn moved(_: usize, seen: &Seen) -> Act {
    if seen.path.ends_with("/sendMessage") && seen.json()["chat_id"] == GROUP {
        let says = json!({ "ok": false, "parameters": { "migrate_to_chat_id": SUPERGROUP } });
        return refuses(400, &says);
    }
    took()
}

/// As `moved`, and what is sent to the supergroup is never answered.
fn moved_and_silent(number: usize, seen: &Seen) -> Act {
    if seen.path.ends_with("/sendMessage") && seen.json()["chat_id"] == SUPERGROUP {
        return Act::Hang;
    }
    moved(number, seen)
}

fn chats(platform: &StandIn) -> Vec<i64> {
    let mut seen = platform.seen();
    seen.retain(|seen| seen.path.ends_with("/sendMessage"));
    let chat = |seen: &Seen| seen.json()["chat_id"].as_i64().unwrap();
    seen.iter().map(chat).collect()
}

#[tokio::test]
async fn a_reply_follows_a_group_that_became_a_supergroup() {
    let site = with_token(Site::new());
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(moved).await;
    let hub = site.hub(vec![telegram("bot", platform.url(""))]).await;
    put(&site, &format!("{GROUP}/101"), "hello").await;
    site.marked(1).await;
    assert_eq!(chats(&platform), [GROUP, SUPERGROUP]);
    let accepted = Delivery::Accepted {
        platform_id: Some("9".to_owned()),
    };
    assert_eq!(site.marks().await, [accepted]);
    assert!(site.dead_letters().await.is_empty());
    assert_eq!(metric(&hub, IN_DOUBT), 0);
}

#[tokio::test]
async fn a_chat_that_moves_on_and_on_is_not_followed() {
    let site = with_token(Site::new());
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|number, seen| {
        if seen.path.ends_with("/sendMessage") {
            let says = json!({ "parameters": { "migrate_to_chat_id": number } });
            return refuses(400, &says);
        }
        took()
    })
    .await;
    let _hub = site.hub(vec![telegram("bot", platform.url(""))]).await;
    put(&site, &format!("{GROUP}/101"), "hello").await;
    site.marked(1).await;
    assert_eq!(chats(&platform).len(), 2);
    assert_eq!(site.dead_letters().await.len(), 1);
}

#[test]
fn a_gateway_killed_after_the_refusal_leaves_both_sends_to_the_next_one() {
    let outside = Runtime::new().unwrap();
    let doomed = Runtime::new().unwrap();
    let (site, platform, _answerer) = outside.block_on(async {
        let site = with_token(Site::new());
        let answerer = Answerer::start(&site.backing).await;
        (site, StandIn::start(moved_and_silent).await, answerer)
    });
    let channels = vec![telegram("bot", platform.url(""))];
    let mut patient = limits();
    patient.send = std::time::Duration::from_secs(3);
    let hub = Hub::with(config(channels.clone()), patient, &site.backing);
    let _first = doomed.block_on(hub);
    outside.block_on(async {
        put(&site, &format!("{GROUP}/101"), "hello").await;
        // Who the bot is, the group, the supergroup.
        platform.sees(3).await;
    });
    doomed.shutdown_background();
    outside.block_on(async {
        platform.rule(moved);
        let _second = site.hub(channels).await;
        site.marked(1).await;
        assert_eq!(chats(&platform), [GROUP, SUPERGROUP, GROUP, SUPERGROUP]);
        assert_eq!(site.marks().await.len(), 1);
    });
}

#[tokio::test]
async fn what_no_longer_goes_to_the_address_of_a_command_goes_to_the_channel() {
    let site = with_token(Site::new());
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, seen| match seen.path.as_str() {
        "/commands/1" => refuses(404, &json!({ "ok": false, "error": "expired_url" })),
        "/api/auth.test" => refuses(200, &json!({ "ok": true, "user_id": "U0BOT" })),
        _ => refuses(200, &json!({ "ok": true, "ts": "1.2" })),
    })
    .await;
    let slack = ChannelConfig {
        name: "bot".to_owned(),
        platform: PlatformConfig::Slack {
            transport: ChannelTransport::Webhook,
            api_url: Some(platform.url("/api")),
        },
    };
    site.secret("bot", "signingSecret", "signing-secret");
    let _hub = site.hub(vec![slack]).await;
    put(
        &site,
        &format!("C1|{}", platform.url("/commands/1")),
        "hello",
    )
    .await;
    site.marked(1).await;
    let seen = platform.seen();
    let paths: Vec<_> = seen.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(
        paths[paths.len() - 2..],
        ["/commands/1", "/api/chat.postMessage"]
    );
    assert!(site.dead_letters().await.is_empty());
}

#[tokio::test]
async fn an_answer_is_sent_without_a_reference_where_the_bot_may_not_read_the_history() {
    let site = with_token(Site::new());
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, seen| {
        if seen.path.ends_with("/messages") && seen.json()["message_reference"].is_object() {
            return refuses(403, &json!({ "code": 160_002 }));
        }
        took()
    })
    .await;
    let _hub = site.hub(vec![discord(&platform)]).await;
    put(&site, "5/42/guild", "hello").await;
    site.marked(1).await;
    let mut sent = platform.seen();
    sent.retain(|seen| seen.path.ends_with("/messages"));
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].json()["nonce"], sent[1].json()["nonce"]);
    assert!(site.dead_letters().await.is_empty());
}
