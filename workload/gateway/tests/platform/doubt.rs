//! Sends that may be seen twice are counted, each once.

use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::{ChannelConfig, PlatformConfig};
use chatbot_message::{Account, Details, Message, Way};
use chatbot_queue::Topic;
use chatbot_queue::memory::MemoryLog;
use serde_json::json;
use uuid::Uuid;

use crate::answerer::Answerer;
use crate::faulty::Faulty;
use crate::hub::Hub;
use crate::site::{Site, eventually, limits, metric, telegram};
use crate::stand_in::{Act, Seen, StandIn};

pub const IN_DOUBT: &str = r#"chatbot_gateway_channel_sends_in_doubt_total{channel="bot"}"#;

pub fn with_token(site: Site) -> Site {
    site.secret("bot", "botToken", "77:token");
    site.secret("bot", "webhookSecret", "webhook-secret");
    site
}

/// A message of a user of the channel, however it came.
pub async fn put(site: &Site, origin: &str, text: &str) {
    let message = Message {
        id: Uuid::new_v4(),
        account: Account {
            channel: "bot".to_owned(),
            user: "7".to_owned(),
        },
        origin: origin.to_owned(),
        text: text.to_owned(),
        sent_at: None,
        synthetic: false,
        details: Details::default(),
        way: Way::default(),
    };
    let log = site.backing.log.as_ref();
    let partition = message.account.partition(log.partitions());
    let value = serde_json::to_vec(&message).unwrap();
    log.append(Topic::Inbound, partition, value).await.unwrap();
}

async fn doubts(hub: &Hub, count: u64) {
    eventually("sends in doubt", async || metric(hub, IN_DOUBT) >= count).await;
}

pub fn discord(platform: &StandIn) -> ChannelConfig {
    ChannelConfig {
        name: "bot".to_owned(),
        platform: PlatformConfig::Discord {
            interactions_public_key: None,
            api_url: Some(platform.url("/api")),
        },
    }
}

pub fn took() -> Act {
    let body = json!({ "ok": true, "id": "99", "username": "bot", "result": { "message_id": 9, "id": 77 } });
    Act::Answer(200, &[], body.to_string())
}

#[tokio::test]
async fn a_part_without_a_key_is_in_doubt_where_others_have_one() {
    let site = with_token(Site::new());
    let _answerer = Answerer::start(&site.backing).await;
    let hung = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let platform = StandIn::start(move |_, seen| {
        let follows = seen.path == "/api/webhooks/98/secret";
        if follows && !hung.swap(true, std::sync::atomic::Ordering::SeqCst) {
            Act::Hang
        } else {
            took()
        }
    })
    .await;
    let hub = site.hub(vec![discord(&platform)]).await;
    put(&site, "5/interaction/98/secret", &"x".repeat(2_500)).await;
    site.marked(2).await;
    let follow = |seen: &&Seen| seen.path == "/api/webhooks/98/secret";
    assert_eq!(platform.seen().iter().filter(follow).count(), 2);
    assert_eq!(metric(&hub, IN_DOUBT), 1);
}

#[tokio::test]
async fn an_answer_in_time_with_a_mark_that_is_late_is_in_doubt() {
    let memory = Arc::new(MemoryLog::new(3));
    let log = Arc::new(Faulty::on(memory.clone()));
    let site = with_token(Site::behind(log.clone(), memory));
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, _| took()).await;
    let hub = site
        .hub_with(vec![telegram("bot", platform.url(""))], limits())
        .await;
    log.marks.close();
    put(&site, "5", "hello").await;
    log.marks.holds(true).await;
    let members = site.memory.members("gateway-bot", Topic::Response);
    site.memory
        .freeze("gateway-bot", Topic::Response, members[0]);
    site.memory.thaw("gateway-bot", Topic::Response, members[0]);
    log.marks.open();
    site.marked(1).await;
    doubts(&hub, 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(metric(&hub, IN_DOUBT), 1);
}

#[tokio::test]
async fn a_long_answer_of_the_platform_is_read_whole() {
    let site = with_token(Site::new());
    let _answerer = Answerer::start(&site.backing).await;
    let echo = json!({ "message_id": 9, "id": 77, "username": "bot", "text": "x".repeat(100_000) });
    let body = json!({ "ok": true, "result": echo }).to_string();
    let platform = StandIn::start(move |_, _| Act::Answer(200, &[], body.clone())).await;
    let hub = site.hub(vec![telegram("bot", platform.url(""))]).await;
    put(&site, "5", "hello").await;
    site.marked(1).await;
    let sent = |seen: &&Seen| seen.path.ends_with("/sendMessage");
    assert_eq!(platform.seen().iter().filter(sent).count(), 1);
    assert_eq!(metric(&hub, IN_DOUBT), 0);
}
