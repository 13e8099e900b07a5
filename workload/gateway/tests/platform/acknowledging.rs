//! Interactions of Discord that come over its Gateway, each acknowledged by a request of its own within 3 seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::answerer::Answerer;
use crate::connecting::{connected, site};
use crate::doubt::{discord as channel, took};
use crate::hub::Hub;
use crate::live::{Line, Live, discord, ready};
use crate::resuming::{SLOW, hello};
use crate::site::Site;
use crate::stand_in::{Act, StandIn, status};

const CALLBACK: &str = "/api/interactions/77/secret/callback";

/// An API whose Gateway is `live`; `says` answers the acknowledgements, counted from 0.
async fn api(live: &Live, says: impl Fn(usize) -> Act + Send + Sync + 'static) -> StandIn {
    let gateway = json!({ "url": format!("ws://{}/gateway", live.address) }).to_string();
    let count = Arc::new(AtomicUsize::new(0));
    StandIn::start(move |_, seen| match seen.path.as_str() {
        "/api/gateway/bot" => Act::Answer(200, &[], gateway.clone()),
        CALLBACK => says(count.fetch_add(1, Ordering::SeqCst)),
        _ => took(),
    })
    .await
}

fn command() -> Value {
    json!({
        "op": 0,
        "t": "INTERACTION_CREATE",
        "s": 2,
        "d": {
            "id": "77",
            "type": 2,
            "application_id": "98",
            "channel_id": "5",
            "token": "secret",
            "user": { "id": "7" },
            "data": { "name": "ask", "options": [{ "type": 3, "name": "what", "value": "hello" }] },
        },
    })
}

/// A session in which somebody has called a command.
async fn called(site: &Site, api: &StandIn, live: &Live) -> (Hub, Line) {
    let hub = site.hub(vec![channel(api)]).await;
    let mut session = live.line().await;
    hello(&mut session, SLOW).await;
    ready(&session, live);
    connected(&hub).await;
    session.says(&command());
    (hub, session)
}

fn acknowledgements(api: &StandIn) -> usize {
    let seen = api.seen();
    seen.iter().filter(|seen| seen.path == CALLBACK).count()
}

#[tokio::test]
async fn what_may_not_have_been_heard_is_said_again_until_it_was() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let live = discord().await;
    let api = api(&live, |number| match number {
        0 => Act::Hang,
        1 => status(502),
        _ => Act::Answer(400, &[], json!({ "code": 40_060 }).to_string()),
    })
    .await;
    let (_hub, _line) = called(&site, &api, &live).await;
    // Who the bot is, where the Gateway is, three acknowledgements, the answer.
    let seen = api.sees(6).await;
    assert!(
        seen.iter()
            .any(|seen| seen.path == "/api/webhooks/98/secret/messages/@original")
    );
    site.marked(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(acknowledgements(&api), 3);
}

#[tokio::test]
async fn what_is_refused_is_not_said_again() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let live = discord().await;
    let api = api(&live, |_| {
        Act::Answer(404, &[], json!({ "code": 10_062 }).to_string())
    })
    .await;
    let (_hub, _line) = called(&site, &api, &live).await;
    site.marked(1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(acknowledgements(&api), 1);
}

#[tokio::test]
async fn nothing_is_said_when_the_platform_has_stopped_waiting() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let live = discord().await;
    let api = api(&live, |_| status(502)).await;
    let (_hub, _line) = called(&site, &api, &live).await;
    // Who the bot is, where the Gateway is, the first acknowledgement; it is the platform that waits for three seconds.
    api.sees(3).await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let tries = acknowledgements(&api);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(acknowledgements(&api), tries);
}
