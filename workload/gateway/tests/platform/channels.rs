//! Channels that come, change and go with their Secrets.

use crate::answerer::Answerer;
use crate::hub::channel;
use crate::site::{KEY, Site, ask, running, webhook};
use crate::stand_in::{StandIn, ok, status};

const OTHER: &str = "another signing key of 24 bytes";

#[tokio::test]
async fn a_channel_without_its_secret_says_so_and_the_others_run() {
    let site = Site::new();
    site.secret("other", "signingKey", KEY);
    let platform = StandIn::start(|_, _| ok()).await;
    let channels = vec![
        webhook("chat", platform.url("/")),
        webhook("other", platform.url("/")),
        channel("web", &[]),
    ];
    let hub = site.hub(channels).await;
    let state = hub
        .reports(|state| {
            let told = state
                .channels
                .iter()
                .filter(|channel| channel.ready.is_some());
            told.count() == 3
        })
        .await;
    let of = |name: &str| {
        let mut channels = state.channels.iter();
        channels.find(|channel| channel.name == name).unwrap()
    };
    assert_eq!(
        (of("chat").ready, of("chat").reason.as_str()),
        (Some(false), "SecretMissing")
    );
    assert!(of("chat").message.contains("`signingKey`"), "{state:?}");
    assert_eq!(of("other").reason, "Listening");
    assert_eq!(of("web").reason, "Listening");
    assert_eq!(ask(&hub, "chat", "q-1", "u-1", "hello").await, 503);
    assert_eq!(ask(&hub, "other", "q-1", "u-1", "hello").await, 200);

    site.secret("chat", "another", "value");
    let state = hub
        .reports(|state| state.channels[0].reason == "SecretKeyMissing")
        .await;
    assert!(
        state.channels[0].message.contains("`signingKey`"),
        "{state:?}"
    );
    site.secret("chat", "signingKey", KEY);
    hub.reports(|state| state.channels[0].reason == "Listening")
        .await;
    assert_eq!(ask(&hub, "chat", "q-1", "u-1", "hello").await, 200);
}

#[tokio::test]
async fn a_secret_that_changes_is_used_without_a_restart() {
    let site = Site::new();
    site.secret("chat", "signingKey", OTHER);
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, _| ok()).await;
    let hub = running(&site, vec![webhook("chat", platform.url("/"))]).await;
    assert_eq!(ask(&hub, "chat", "q-1", "u-1", "hello").await, 401);
    site.secret("chat", "signingKey", KEY);
    crate::site::eventually("the new key", async || {
        ask(&hub, "chat", "q-1", "u-1", "hello").await == 200
    })
    .await;
    let seen = platform.sees(1).await;
    let timestamp: i64 = seen[0].header("webhook-timestamp").parse().unwrap();
    assert_eq!(
        seen[0].header("webhook-signature"),
        crate::site::signature(KEY, seen[0].header("webhook-id"), timestamp, &seen[0].body)
    );
}

#[tokio::test]
async fn rejected_credentials_are_told_and_replies_wait_for_others() {
    let site = Site::new();
    site.secret("chat", "signingKey", KEY);
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|_, _| status(401)).await;
    let hub = running(&site, vec![webhook("chat", platform.url("/"))]).await;
    assert_eq!(ask(&hub, "chat", "q-1", "u-1", "hello").await, 200);
    hub.reports(|state| state.channels[0].reason == "CredentialsRejected")
        .await;
    assert!(site.marks().await.is_empty());
    platform.rule(|_, _| ok());
    hub.reports(|state| state.channels[0].reason == "Listening")
        .await;
    site.marked(1).await;
    assert!(site.dead_letters().await.is_empty());
}
