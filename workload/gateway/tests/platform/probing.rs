//! The synthetic conversation of a hub without a web chat.

use std::time::Duration;

use chatbot_crds::config::{ChannelConfig, PlatformConfig};
use chatbot_gateway::Limits;

use crate::answerer::Answerer;
use crate::site::{Site, limits, webhook};

async fn converses(channel: ChannelConfig) {
    let site = Site::new();
    let answerer = Answerer::start(&site.backing).await;
    let limits = Limits {
        probe_first: Duration::ZERO,
        ..limits()
    };
    let name = channel.name.clone();
    let hub = site.hub_with(vec![channel], limits).await;
    let state = hub.reports(|state| state.probe.is_some()).await;
    let probe = state.probe.unwrap();
    assert_eq!(probe.failed_hop, None, "{probe:?}");
    assert!(answerer.met.borrow().is_empty());
    let names: Vec<_> = state.channels.iter().map(|channel| &channel.name).collect();
    assert_eq!(names, [&name]);
}

#[tokio::test]
async fn a_hub_of_a_platform_alone_converses_with_itself() {
    converses(webhook("chat", "http://127.0.0.1:9/".to_owned())).await;
}

#[tokio::test]
async fn a_hub_of_the_open_ai_api_alone_converses_with_itself() {
    converses(ChannelConfig {
        name: "api".to_owned(),
        platform: PlatformConfig::OpenAi {},
    })
    .await;
}
