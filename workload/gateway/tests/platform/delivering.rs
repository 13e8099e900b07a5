//! Replies to a platform that takes idempotency keys: the signed webhook.

use std::sync::Arc;
use std::time::Duration;

use chatbot_message::Message;
use chatbot_queue::Topic;
use chatbot_queue::journal::{Delivery, delivery_group};
use tokio::runtime::Runtime;

use crate::answerer::Answerer;
use crate::hub::Hub;
use crate::site::{
    KEY, Site, ask, config, eventually, limits, metric, running, signature, webhook,
};
use crate::stand_in::{Act, Seen, StandIn, ok, status};

async fn site() -> (Site, Answerer) {
    let site = Site::new();
    site.secret("chat", "signingKey", KEY);
    let answerer = Answerer::start(&site.backing).await;
    (site, answerer)
}

fn keys(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.header("webhook-id")).collect()
}

#[tokio::test]
async fn a_signed_question_is_answered_by_a_signed_reply_and_marked() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|_, _| ok()).await;
    let hub = running(&site, vec![webhook("chat", platform.url("/replies"))]).await;
    assert_eq!(ask(&hub, "chat", "q-1", "u-1", "hello").await, 200);
    let seen = platform.sees(1).await;
    let (reply, body) = (&seen[0], seen[0].json());
    assert_eq!(reply.path, "/replies");
    assert_eq!(
        (body["replyTo"].as_str(), body["text"].as_str()),
        (Some("q-1"), Some("answer to hello"))
    );
    let timestamp: i64 = reply.header("webhook-timestamp").parse().unwrap();
    assert_eq!(
        reply.header("webhook-signature"),
        signature(KEY, reply.header("webhook-id"), timestamp, &reply.body)
    );
    site.marked(1).await;
    assert_eq!(
        site.marks().await,
        [Delivery::Accepted { platform_id: None }]
    );
    assert_eq!(
        metric(
            &hub,
            r#"chatbot_gateway_channel_replies_delivered_total{channel="chat"}"#
        ),
        1
    );
}

#[tokio::test]
async fn what_is_settled_after_a_quiet_time_is_committed_too() {
    let (site, answerer) = site().await;
    let platform = StandIn::start(|_, _| ok()).await;
    let hub = running(&site, vec![webhook("chat", platform.url("/"))]).await;
    // Longer than from one look at the progress to the next, with nothing to commit.
    tokio::time::sleep(limits().commit * 3).await;
    ask(&hub, "chat", "q-1", "u-1", "hello").await;
    let log = site.backing.log.as_ref();
    let account = answerer.meets(1).await.account;
    let partition = account.partition(log.partitions());
    eventually("progress of the delivery", async || {
        let group = delivery_group("chat");
        let progress = log.committed(&group, Topic::Response, partition).await;
        // The owner, the reply, its mark: past all of them.
        progress.unwrap().offset == 3
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_for_now_is_sent_again_with_its_key_after_the_pause_that_was_asked_for() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|number, _| match number {
        0 => Act::Answer(429, &[("retry-after", "1")], String::new()),
        1 => status(503),
        2 => status(500),
        3 => Act::Hang,
        _ => ok(),
    })
    .await;
    let hub = running(&site, vec![webhook("chat", platform.url("/"))]).await;
    ask(&hub, "chat", "q-1", "u-1", "hello").await;
    let seen = platform.sees(5).await;
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1));
    assert!(keys(&seen).iter().all(|key| *key == keys(&seen)[0]));
    site.marked(1).await;
    assert_eq!(platform.seen().len(), 5);
    assert_eq!(
        metric(
            &hub,
            r#"chatbot_gateway_channel_sends_in_doubt_total{channel="chat"}"#
        ),
        0
    );
}

#[tokio::test]
async fn replies_to_one_chat_keep_their_order_whatever_is_refused() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|number, _| match number % 3 {
        0 => status(500),
        1 => status(503),
        _ => ok(),
    })
    .await;
    let hub = running(&site, vec![webhook("chat", platform.url("/"))]).await;
    for number in 0..6 {
        let (id, text) = (format!("q-{number}"), format!("{number}"));
        assert_eq!(ask(&hub, "chat", &id, "u-1", &text).await, 200);
    }
    site.marked(6).await;
    let mut texts: Vec<_> = platform.seen().iter().map(Seen::text).collect();
    texts.dedup();
    let wanted: Vec<_> = (0..6).map(|number| format!("answer to {number}")).collect();
    assert_eq!(texts, wanted);
}

#[tokio::test]
async fn a_reply_refused_for_good_goes_to_the_dead_letters_and_the_next_one_is_sent() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|_, seen| match seen.text().as_str() {
        "answer to bad" => Act::Answer(400, &[], "no such user".to_owned()),
        _ => ok(),
    })
    .await;
    let hub = running(&site, vec![webhook("chat", platform.url("/"))]).await;
    ask(&hub, "chat", "q-1", "u-1", "bad").await;
    ask(&hub, "chat", "q-2", "u-1", "good").await;
    let seen = platform.sees(2).await;
    assert_eq!(seen[1].text(), "answer to good");
    site.marked(2).await;
    let letters = site.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.contains("no such user"), "{letters:?}");
    let replay = letters[0].replay(16).unwrap();
    let again: Message = serde_json::from_slice(&replay.value).unwrap();
    assert_eq!(
        (again.text.as_str(), again.account.user.as_str()),
        ("bad", "u-1")
    );
    assert_eq!(replay, letters[0].replay(16).unwrap());
}

#[tokio::test]
async fn a_reply_that_is_too_old_is_given_up() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|_, _| status(503)).await;
    let mut limits = limits();
    limits.expiry = Duration::from_millis(300);
    let hub = site
        .hub_with(vec![webhook("chat", platform.url("/"))], limits)
        .await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    ask(&hub, "chat", "q-1", "u-1", "hello").await;
    site.marked(1).await;
    let letters = site.dead_letters().await;
    assert!(letters[0].reason.contains("503"), "{letters:?}");
}

#[tokio::test]
async fn a_reply_that_grew_too_old_while_it_waited_is_not_sent() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|number, _| match number {
        0 => Act::Answer(429, &[("retry-after", "1")], String::new()),
        _ => ok(),
    })
    .await;
    let mut limits = limits();
    limits.expiry = Duration::from_millis(600);
    let hub = site
        .hub_with(vec![webhook("chat", platform.url("/"))], limits)
        .await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    ask(&hub, "chat", "q-1", "u-1", "hello").await;
    site.marked(1).await;
    assert_eq!(platform.seen().len(), 1);
    assert_eq!(site.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|_, seen| match seen.path.as_str() {
        "/moved" => Act::Answer(307, &[("location", "/elsewhere")], String::new()),
        _ => ok(),
    })
    .await;
    let hub = running(&site, vec![webhook("chat", platform.url("/moved"))]).await;
    ask(&hub, "chat", "q-1", "u-1", "hello").await;
    site.marked(1).await;
    assert_eq!(platform.seen().len(), 1);
    assert_eq!(site.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_slow_channel_delays_no_other() {
    let (site, _answerer) = site().await;
    site.secret("slow", "signingKey", KEY);
    let slow = StandIn::start(|_, _| Act::Hang).await;
    let quick = StandIn::start(|_, _| ok()).await;
    let channels = vec![
        webhook("slow", slow.url("/")),
        webhook("chat", quick.url("/")),
    ];
    let hub = running(&site, channels).await;
    for number in 0..200 {
        ask(
            &hub,
            "slow",
            &format!("s-{number}"),
            &format!("u-{number}"),
            "hello",
        )
        .await;
    }
    slow.sees(64).await;
    for number in 0..20 {
        ask(&hub, "chat", &format!("q-{number}"), "u-1", "hello").await;
    }
    let seen = quick.sees(20).await;
    assert_eq!(seen.len(), 20);
    assert!(
        metric(
            &hub,
            r#"chatbot_gateway_channel_replies_pending{channel="slow"}"#
        ) >= 150
    );
}

#[test]
fn a_gateway_killed_between_send_and_mark_leaves_the_same_key_to_the_next_one() {
    let outside = Runtime::new().unwrap();
    let doomed = Runtime::new().unwrap();
    let (site, platform, _answerer) = outside.block_on(async {
        let (site, answerer) = site().await;
        (
            Arc::new(site),
            StandIn::start(|_, _| Act::Hang).await,
            answerer,
        )
    });
    let channels = vec![webhook("chat", platform.url("/"))];
    let mut limits = limits();
    limits.send = Duration::from_secs(5);
    let first = {
        let (site, channels) = (Arc::clone(&site), channels.clone());
        doomed.block_on(async move { Hub::with(config(channels), limits, &site.backing).await })
    };
    outside.block_on(async {
        first
            .reports(|state| state.channels[0].ready == Some(true))
            .await;
        ask(&first, "chat", "q-1", "u-1", "hello").await;
        platform.sees(1).await;
    });
    doomed.shutdown_background();
    outside.block_on(async {
        platform.rule(|_, _| ok());
        let _second = running(&site, channels).await;
        let seen = platform.sees(2).await;
        assert_eq!(keys(&seen)[0], keys(&seen)[1]);
        site.marked(1).await;
        assert_eq!(site.marks().await.len(), 1);
    });
}

#[tokio::test]
async fn two_gateways_share_a_channel_and_send_everything_once() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|_, _| ok()).await;
    let channels = vec![webhook("chat", platform.url("/"))];
    let first = running(&site, channels.clone()).await;
    let second = running(&site, channels).await;
    for number in 0..30 {
        let hub = if number % 2 == 0 { &first } else { &second };
        let id = number.to_string();
        ask(hub, "chat", &id, &format!("u-{}", number % 5), &id).await;
    }
    site.marked(30).await;
    first.stop().await;
    ask(&second, "chat", "last", "u-1", "last").await;
    site.marked(31).await;
    let mut keys: Vec<_> = platform
        .seen()
        .iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), platform.seen().len()), (31, 31));
}

#[tokio::test]
async fn a_gateway_without_the_secret_leaves_every_reply_to_those_that_have_it() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|_, _| ok()).await;
    let channels = vec![webhook("chat", platform.url("/"))];
    let bare = site.without_secrets();
    let without = bare.hub(channels.clone()).await;
    without
        .reports(|state| state.channels[0].reason == "SecretMissing")
        .await;
    let hub = running(&site, channels).await;
    for number in 0..10 {
        let id = number.to_string();
        ask(&hub, "chat", &id, &format!("u-{number}"), &id).await;
    }
    site.marked(10).await;
    assert_eq!(platform.seen().len(), 10);
}

#[tokio::test]
async fn what_was_sent_before_a_stop_is_not_sent_again() {
    let (site, _answerer) = site().await;
    let platform = StandIn::start(|_, _| ok()).await;
    let channels = vec![webhook("chat", platform.url("/"))];
    let first = running(&site, channels.clone()).await;
    for number in 0..10 {
        ask(&first, "chat", &format!("q-{number}"), "u-1", "hello").await;
    }
    site.marked(10).await;
    first.stop().await;
    let second = running(&site, channels).await;
    ask(&second, "chat", "q-10", "u-1", "hello").await;
    site.marked(11).await;
    assert_eq!(platform.seen().len(), 11);
}

#[tokio::test]
async fn more_replies_than_may_wait_are_sent_in_order_and_none_twice() {
    let (site, answerer) = site().await;
    let platform = StandIn::start(|_, _| ok()).await;
    let mut limits = limits();
    limits.pending = 4;
    let channels = vec![webhook("chat", platform.url("/"))];
    {
        let first = site.hub_with(channels.clone(), limits.clone()).await;
        first
            .reports(|state| state.channels[0].ready == Some(true))
            .await;
        answerer.answering.send_replace(false);
        for number in 0..40 {
            let user = format!("u-{}", number % 3);
            ask(
                &first,
                "chat",
                &format!("q-{number}"),
                &user,
                &number.to_string(),
            )
            .await;
        }
        first.stop().await;
    }
    answerer.answering.send_replace(true);
    eventually("replies in the journal", async || {
        let log = site.backing.log.as_ref();
        let mut records = 0;
        for partition in 0..log.partitions() {
            records += log
                .end(chatbot_queue::Topic::Response, partition)
                .await
                .unwrap();
        }
        records >= 43
    })
    .await;
    let _second = site.hub_with(channels, limits).await;
    site.marked(40).await;
    let seen = platform.seen();
    assert_eq!(seen.len(), 40);
    for user in 0..3 {
        let of_user: Vec<usize> = seen
            .iter()
            .filter(|seen| seen.json()["user"] == format!("u-{user}"))
            .map(|seen| seen.text()["answer to ".len()..].parse().unwrap())
            .collect();
        assert!(of_user.is_sorted(), "{of_user:?}");
    }
}
