//! What a channel says of itself: what hindered it is not told when it is over.

use crate::answerer::Answerer;
use crate::site::{KEY, Site, ask, eventually, metric, running, webhook};
use crate::stand_in::{Act, StandIn, status};

#[tokio::test]
async fn a_reply_that_is_refused_after_it_had_to_wait_hinders_nothing_any_more() {
    let site = Site::new();
    site.secret("chat", "signingKey", KEY);
    let _answerer = Answerer::start(&site.backing).await;
    let platform = StandIn::start(|number, _| match number {
        0 => Act::Hang,
        _ => status(400),
    })
    .await;
    let hub = running(&site, vec![webhook("chat", platform.url("/"))]).await;
    ask(&hub, "chat", "q-1", "u-1", "hello").await;
    hub.reports(|state| state.channels[0].reason == "PlatformUnavailable")
        .await;
    site.marked(1).await;
    hub.reports(|state| state.channels[0].reason == "Listening")
        .await;
}

#[tokio::test]
async fn whether_a_channel_is_ready_is_measured_without_anybody_asking_for_the_state() {
    let site = Site::new();
    site.secret("chat", "signingKey", KEY);
    let hub = site
        .hub(vec![webhook("chat", "http://127.0.0.1:9/".to_owned())])
        .await;
    eventually("a channel that is ready", async || {
        metric(&hub, r#"chatbot_gateway_channel_ready{channel="chat"}"#) == 1
    })
    .await;
}
