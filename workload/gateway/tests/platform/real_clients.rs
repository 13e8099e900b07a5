//! The platforms' own clients on the same stand-ins: what they understand, the platforms say, and what they say, the gateway
//! says as well. Needs a Python with `slack_sdk`, `python-telegram-bot`, `discord.py` and `lark-oapi`, which
//! `CHATBOT_CLIENTS` names.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::extract::ws::Message;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::bot_api::BotApi;
use crate::live::{discord, dispatch, envelope, event, feishu, ready, slack};

/// Programs that need long to begin.
const BEGINS: Duration = Duration::from_mins(2);

/// A client, which ends with the test.
fn client(name: &str, address: SocketAddr) -> Child {
    let python = std::env::var("CHATBOT_CLIENTS").expect("CHATBOT_CLIENTS names a Python");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platform/clients");
    Command::new(python)
        .arg(scripts.join(format!("{name}.py")))
        .arg(address.to_string())
        .env_remove("http_proxy")
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "needs the platforms' own clients"]
async fn slack_s_own_client_is_told_the_same_and_says_the_same() {
    let platform = slack().await;
    let _client = client("slack", platform.address);
    let mut line = platform.line_within(BEGINS).await;
    line.says(&json!({ "type": "hello", "num_connections": 1 }));
    line.says(&envelope(1, "hello"));
    let told = line.hears().await;
    assert_eq!(told["envelope_id"], "e-1");
    assert_eq!(platform.replies(1).await[0]["text"], "answer to hello");
    // It, too, opens another connection when this one is to be closed.
    line.says(&json!({ "type": "disconnect", "reason": "warning" }));
    let mut next = platform.line().await;
    next.says(&json!({ "type": "hello", "num_connections": 2 }));
    next.says(&envelope(2, "again"));
    assert_eq!(next.hears().await["envelope_id"], "e-2");
}

#[tokio::test]
#[ignore = "needs the platforms' own clients"]
async fn a_client_of_telegram_polls_the_same() {
    let platform = BotApi::start().await;
    let _client = client("telegram", platform.address);
    platform.write(5, "hello");
    assert_eq!(platform.replies(1).await, ["answer to hello"]);
    platform.write(5, "again");
    platform.replies(2).await;
    let offsets = platform.offsets();
    assert!(offsets.contains(&Some(101)), "{offsets:?}");
}

#[tokio::test]
#[ignore = "needs the platforms' own clients"]
async fn a_client_of_discord_identifies_beats_and_resumes_the_same() {
    let platform = discord().await;
    let _client = client("discord", platform.address);
    let mut line = platform.line_within(BEGINS).await;
    line.says(&json!({ "op": 10, "d": { "heartbeat_interval": 1_000 } }));
    let identify = line.hears().await;
    assert_eq!(
        (&identify["op"], &identify["d"]["token"]),
        (&json!(2), &json!("token"))
    );
    ready(&line, &platform);
    line.says(&dispatch(2, "hello"));
    let beat = loop {
        let frame = line.hears().await;
        if frame["op"] == 1 && frame["d"] == 2 {
            break frame;
        }
        line.says(&json!({ "op": 11 }));
    };
    assert_eq!(beat, json!({ "op": 1, "d": 2 }));
    assert_eq!(platform.replies(1).await[0]["content"], "answer to hello");
    line.says(&json!({ "op": 7, "d": null }));
    let mut next = platform.line().await;
    assert!(next.path.starts_with("/resume"), "{}", next.path);
    next.says(&json!({ "op": 10, "d": { "heartbeat_interval": 30_000 } }));
    let resume = loop {
        let frame = next.hears().await;
        if frame["op"] != 1 {
            break frame;
        }
    };
    let expected = json!({ "op": 6, "d": { "token": "token", "session_id": "s-1", "seq": 2 } });
    assert_eq!(
        (&resume["op"], &resume["d"]["seq"]),
        (&expected["op"], &expected["d"]["seq"])
    );
    assert_eq!(resume["d"]["session_id"], expected["d"]["session_id"]);
}

#[tokio::test]
#[ignore = "needs the platforms' own clients"]
async fn lark_s_own_client_acknowledges_the_same() {
    let platform = feishu().await;
    let _client = client("feishu", platform.address);
    let mut line = platform.line_within(BEGINS).await;
    line.sends(Message::binary(event(1, "hello").encode_to_vec()));
    let told = line.envelope().await;
    assert_eq!(told.header("message_id"), Some("f-1"));
    assert!(told.header("biz_rt").is_some(), "{told:?}");
    let payload: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!(payload["code"], 200);
    let replies = platform.replies(1).await;
    let content: Value = serde_json::from_str(replies[0]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["text"], "answer to hello");
}
