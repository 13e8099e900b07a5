//! Channels whose platform is asked for messages, by the form of Telegram.

use std::time::Duration;

use chatbot_crds::config::{ChannelConfig, ChannelTransport, PlatformConfig};
use chatbot_gateway::Limits;
use chatbot_message::Account;
use chatbot_queue::Topic;
use uuid::Uuid;

use crate::answerer::Answerer;
use crate::bot_api::{BotApi, Fault};
use crate::hub::Hub;
use crate::site::{Site, eventually, limits};

const GROUP: &str = "connection-bot";

fn channels(platform: &BotApi) -> Vec<ChannelConfig> {
    vec![ChannelConfig {
        name: "bot".to_owned(),
        platform: PlatformConfig::Telegram {
            transport: ChannelTransport::Polling,
            api_url: Some(platform.url()),
        },
    }]
}

async fn site() -> (Site, Answerer, BotApi) {
    let site = Site::new();
    site.secret("bot", "botToken", "77:token");
    let answerer = Answerer::start(&site.backing).await;
    (site, answerer, BotApi::start().await)
}

async fn connected(hub: &Hub) {
    hub.reports(|state| {
        let channel = &state.channels[0];
        channel.ready == Some(true) && channel.reason == "Connected"
    })
    .await;
}

/// The place of the holder among the members: partitions are shared in the order of joining.
pub fn place(site: &Site, members: usize) -> usize {
    let account = Account {
        channel: "bot".to_owned(),
        user: String::new(),
    };
    account.partition(site.backing.log.partitions()) as usize % members
}

/// Two gateways, the one that holds the channel first, and its member.
async fn two(site: &Site, platform: &BotApi) -> (Hub, Hub, Uuid) {
    let first = site.hub(channels(platform)).await;
    connected(&first).await;
    let second = site.hub(channels(platform)).await;
    let mut members = Vec::new();
    eventually("two members", async || {
        members = site.memory.members(GROUP, Topic::Cursor);
        members.len() == 2
    })
    .await;
    let place = place(site, 2);
    let (holder, other) = if place == 0 {
        (first, second)
    } else {
        (second, first)
    };
    connected(&holder).await;
    let told = other
        .reports(|state| state.channels[0].ready.is_none())
        .await;
    let told = &told.channels[0].message;
    assert!(told.contains("another gateway"), "{told}");
    (holder, other, members[place])
}

#[tokio::test]
async fn messages_come_in_by_asking_and_are_confirmed_when_the_log_has_them() {
    let (site, _answerer, platform) = site().await;
    platform.write(5, "early");
    let hub = site.hub(channels(&platform)).await;
    connected(&hub).await;
    assert_eq!(platform.replies(1).await, ["answer to early"]);
    platform.write(5, "late");
    platform.write(6, "later");
    let mut replies = platform.replies(3).await;
    replies[1..].sort();
    assert_eq!(replies[1..], ["answer to late", "answer to later"]);
    eventually("confirmation", async || platform.unconfirmed() == 0).await;
    assert_eq!(site.enqueued().await, 3);
    assert_eq!(platform.offsets()[0], None);
    assert_eq!(platform.offsets().last(), Some(&Some(103)));
}

#[tokio::test]
async fn a_gateway_that_begins_anew_goes_on_where_the_last_one_was() {
    let (site, _answerer, platform) = site().await;
    let hub = site.hub(channels(&platform)).await;
    platform.write(5, "one");
    platform.replies(1).await;
    eventually("confirmation", async || platform.unconfirmed() == 0).await;
    hub.stop().await;
    let before = platform.offsets().len();
    let _hub = site.hub(channels(&platform)).await;
    eventually("question", async || platform.offsets().len() > before).await;
    assert_eq!(platform.offsets()[before], Some(101));
    eventually("second holder", async || epoch(&site).await == 2).await;
}

/// The number of the latest holder.
async fn epoch(site: &Site) -> u64 {
    let log = &site.backing.log;
    let mut highest = 0;
    for partition in 0..log.partitions() {
        let commit = log.committed(GROUP, Topic::Cursor, partition).await;
        highest = highest.max(commit.unwrap().offset);
    }
    highest
}

#[tokio::test]
async fn of_two_gateways_one_asks_and_the_other_takes_over_when_it_stands_still() {
    let (site, answerer, platform) = site().await;
    let (holder, other, frozen) = two(&site, &platform).await;
    let conflicts = platform.conflicts();
    platform.write(5, "one");
    platform.replies(1).await;
    assert_eq!(platform.conflicts(), conflicts, "two have asked at once");

    // The group gives the holder up, which does not know it.
    let before = epoch(&site).await;
    site.memory.freeze(GROUP, Topic::Cursor, frozen);
    connected(&other).await;
    assert_eq!(epoch(&site).await, before + 1);
    platform.write(5, "two");
    platform.replies(2).await;
    site.memory.thaw(GROUP, Topic::Cursor, frozen);
    platform.write(6, "three");
    platform.replies(3).await;
    holder.stop().await;
    platform.write(7, "four");
    platform.replies(4).await;
    assert_eq!(answerer.met.borrow().len(), 4);
    drop(other);
}

#[tokio::test]
async fn nothing_is_confirmed_while_the_log_takes_nothing() {
    let log = chatbot_queue::memory::MemoryLog::with_limits(
        3,
        chatbot_queue::memory::Limits {
            kept_bytes: 0,
            full_bytes: 3_000,
        },
    );
    let site = Site::on(log);
    site.secret("bot", "botToken", "77:token");
    let platform = BotApi::start().await;
    let hub = site.hub(channels(&platform)).await;
    connected(&hub).await;
    let text = "x".repeat(1_000);
    for user in 1..6 {
        platform.write(user, &text);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(platform.unconfirmed() > 0, "confirmed and not stored");
    // Everything stored is passed, so that there is room.
    eventually("room", async || {
        for partition in 0..3 {
            for topic in [Topic::Inbound, Topic::Response] {
                let end = site.backing.log.end(topic, partition).await.unwrap();
                site.memory.trim(topic, partition, end);
            }
        }
        platform.unconfirmed() == 0
    })
    .await;
    assert!(site.enqueued().await >= 5);
}

#[tokio::test]
async fn a_webhook_that_was_set_is_taken_back() {
    let (site, _answerer, platform) = site().await;
    platform.set_webhook("https://old.example.com");
    platform.write(5, "hello");
    let hub = site.hub(channels(&platform)).await;
    connected(&hub).await;
    platform.replies(1).await;
    assert!(!platform.has_webhook());
}

#[tokio::test]
async fn another_program_that_asks_is_told_and_outlasted() {
    let (site, _answerer, platform) = site().await;
    let hub = site.hub(channels(&platform)).await;
    connected(&hub).await;
    let told = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            platform.rival();
            tokio::time::sleep(Duration::from_millis(5)).await;
            let channel = hub.telemetry.state().channels[0].clone();
            if channel.reason == "Disconnected" {
                return channel;
            }
        }
    })
    .await
    .unwrap();
    assert!(told.message.contains("another program"), "{told:?}");
    connected(&hub).await;
    platform.write(5, "hello");
    platform.replies(1).await;
}

#[tokio::test]
async fn whatever_the_platform_does_is_told_and_ends_when_it_does() {
    let (site, _answerer, platform) = site().await;
    let limits = Limits {
        poll: Duration::from_millis(200),
        ..limits()
    };
    let hub = site.hub_with(channels(&platform), limits).await;
    connected(&hub).await;
    for (number, (fault, reason)) in [
        (Fault::Silent, "PlatformUnavailable"),
        (Fault::Garbage, "PlatformUnavailable"),
        (Fault::Oversized, "PlatformUnavailable"),
        (Fault::Unauthorized, "CredentialsRejected"),
    ]
    .into_iter()
    .enumerate()
    {
        platform.fault(fault);
        hub.reports(|state| {
            let channel = &state.channels[0];
            channel.ready == Some(false) && channel.reason == reason
        })
        .await;
        platform.write(5, &format!("after {number}"));
        platform.fault(Fault::None);
        connected(&hub).await;
        let replies = platform.replies(number + 1).await;
        assert_eq!(replies[number], format!("answer to after {number}"));
    }
}

#[tokio::test]
async fn a_gateway_without_the_secret_leaves_the_channel_to_those_that_have_it() {
    let (site, answerer, platform) = site().await;
    let without = site.without_secrets().hub(channels(&platform)).await;
    without
        .reports(|state| state.channels[0].reason == "SecretMissing")
        .await;
    let hub = site.hub(channels(&platform)).await;
    connected(&hub).await;
    platform.write(5, "hello");
    answerer.meets(1).await;
    site.secret("bot", "botToken", "78:wrong");
    hub.reports(|state| state.channels[0].reason == "CredentialsRejected")
        .await;
}
