//! Sessions of Discord: begun, kept by heartbeats, resumed, ended.

use serde_json::{Value, json};

use crate::answerer::Answerer;
use crate::connecting::{connected, is, site};
use crate::hub::Hub;
use crate::live::{Line, Live, discord, discord_channel, dispatch, ready};
use crate::site::Site;

pub const SLOW: u64 = 30_000;

/// Says hello, and gives what is said to it.
pub async fn hello(line: &mut Line, pause: u64) -> Value {
    line.says(&json!({ "op": 10, "d": { "heartbeat_interval": pause } }));
    loop {
        let frame = line.hears().await;
        if frame["op"] != 1 {
            return frame;
        }
    }
}

/// A hub whose session has begun.
async fn begun(site: &Site, platform: &Live) -> (Hub, Line) {
    let hub = site.hub(discord_channel(platform)).await;
    let mut line = platform.line().await;
    assert_eq!(line.path, "/gateway/?v=10&encoding=json");
    let identify = hello(&mut line, SLOW).await;
    assert_eq!(
        (&identify["op"], &identify["d"]["token"]),
        (&json!(2), &json!("token"))
    );
    ready(&line, platform);
    connected(&hub).await;
    (hub, line)
}

async fn texts(platform: &Live, count: usize) -> Vec<String> {
    let replies = platform.replies(count).await;
    let texts = replies.iter().map(|reply| reply["content"].as_str());
    texts.map(|text| text.unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_session_begins_brings_messages_and_is_kept_by_heartbeats() {
    let site = site();
    let _answerer = Answerer::start(&site.backing).await;
    let platform = discord().await;
    let hub = site.hub(discord_channel(&platform)).await;
    let mut line = platform.line().await;
    hello(&mut line, 500).await;
    ready(&line, &platform);
    line.says(&dispatch(2, "hello"));
    for _ in 0..3 {
        assert_eq!(line.hears().await["op"], 1);
        line.says(&json!({ "op": 11 }));
    }
    connected(&hub).await;
    assert_eq!(texts(&platform, 1).await, ["answer to hello"]);
    assert_eq!(platform.open(), 1);
    // Not acknowledged: the connection is dead, and another resumes.
    line.hears().await;
    line.ends().await;
    let mut line = platform.line().await;
    assert_eq!(hello(&mut line, SLOW).await["op"], 6);
}

#[tokio::test]
async fn a_session_is_resumed_where_the_log_has_everything_and_brings_what_was_missed() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    let platform = discord().await;
    let (hub, line) = begun(&site, &platform).await;
    line.says(&dispatch(2, "one"));
    answerer.meets(1).await;
    drop(line);
    is(&hub, Some(false), "Disconnected").await;
    let mut line = platform.line().await;
    assert_eq!(line.path, "/resume/?v=10&encoding=json");
    let resume = hello(&mut line, SLOW).await;
    assert_eq!(
        (
            &resume["op"],
            &resume["d"]["session_id"],
            &resume["d"]["seq"]
        ),
        (&json!(6), &json!("s-1"), &json!(2))
    );
    // What was said meanwhile, and something once more.
    line.says(&dispatch(2, "one"));
    line.says(&dispatch(3, "two"));
    line.says(&json!({ "op": 0, "t": "RESUMED", "s": 4, "d": {} }));
    connected(&hub).await;
    assert_eq!(
        texts(&platform, 2).await,
        ["answer to one", "answer to two"]
    );
    // The platform itself wants another connection.
    line.says(&json!({ "op": 7, "d": null }));
    line.ends().await;
    let mut line = platform.line().await;
    assert_eq!(hello(&mut line, SLOW).await["d"]["seq"], 4);
    assert_eq!(platform.asked("/gateway/bot"), 1);
}

#[tokio::test]
async fn a_gateway_that_begins_anew_resumes_the_session_of_the_last_one() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    let platform = discord().await;
    let (hub, line) = begun(&site, &platform).await;
    line.says(&dispatch(5, "one"));
    answerer.meets(1).await;
    hub.stop().await;
    line.ends().await;
    let hub = site.hub(discord_channel(&platform)).await;
    let mut line = platform.line().await;
    let resume = hello(&mut line, SLOW).await;
    assert_eq!((&resume["op"], &resume["d"]["seq"]), (&json!(6), &json!(5)));
    line.says(&dispatch(6, "two"));
    line.says(&json!({ "op": 0, "t": "RESUMED", "s": 7, "d": {} }));
    connected(&hub).await;
    assert_eq!(
        texts(&platform, 2).await,
        ["answer to one", "answer to two"]
    );
}

#[tokio::test]
async fn a_session_that_is_over_is_begun_anew() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    let platform = discord().await;
    let (hub, line) = begun(&site, &platform).await;
    line.says(&dispatch(2, "one"));
    answerer.meets(1).await;
    line.says(&json!({ "op": 9, "d": false }));
    line.ends().await;
    let mut line = platform.line().await;
    assert_eq!(hello(&mut line, SLOW).await["op"], 2);
    ready(&line, &platform);
    line.says(&dispatch(2, "two"));
    connected(&hub).await;
    answerer.meets(1).await;
    // Its sequence is not known any more.
    line.closes(4_007);
    let mut line = platform.line().await;
    assert_eq!(hello(&mut line, SLOW).await["op"], 2);
}

#[tokio::test]
async fn a_session_is_resumed_elsewhere_when_its_own_address_answers_nobody() {
    let site = site();
    let answerer = Answerer::start(&site.backing).await;
    let platform = discord().await;
    let hub = site.hub(discord_channel(&platform)).await;
    let mut line = platform.line().await;
    hello(&mut line, SLOW).await;
    let session = json!({ "session_id": "s-1", "resume_gateway_url": "ws://127.0.0.1:1" });
    line.says(&json!({ "op": 0, "t": "READY", "s": 1, "d": session }));
    line.says(&dispatch(2, "one"));
    answerer.meets(1).await;
    connected(&hub).await;
    drop(line);
    let mut line = platform.line().await;
    assert_eq!(line.path, "/gateway/?v=10&encoding=json");
    assert_eq!(hello(&mut line, SLOW).await["op"], 6);
}

#[tokio::test]
async fn a_bot_without_the_intent_that_it_needs_is_told_so() {
    let site = site();
    let platform = discord().await;
    let hub = site.hub(discord_channel(&platform)).await;
    let mut line = platform.line().await;
    hello(&mut line, SLOW).await;
    line.closes(4_014);
    let told = is(&hub, Some(false), "CredentialsRejected").await;
    assert!(told.contains("Message Content Intent"), "{told}");
    let mut line = platform.line().await;
    assert_eq!(hello(&mut line, SLOW).await["op"], 2);
    ready(&line, &platform);
    connected(&hub).await;
}
