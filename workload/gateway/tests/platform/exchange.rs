//! The channel of clients of the `OpenAI` API, whose replies are responses.

use std::time::Duration;

use chatbot_crds::config::{ChannelConfig, PlatformConfig};
use serde_json::{Value, json};

use crate::answerer::Answerer;
use crate::hub::Hub;
use crate::site::{Site, code, eventually, limits, metric, post, running};

const TOKEN: &str = "token-of-the-shop";

fn channels() -> Vec<ChannelConfig> {
    vec![ChannelConfig {
        name: "api".to_owned(),
        platform: PlatformConfig::OpenAi {},
    }]
}

async fn site() -> (Site, Answerer, Hub) {
    let site = Site::new();
    site.secret("api", "shop", TOKEN);
    let answerer = Answerer::start(&site.backing).await;
    let hub = running(&site, channels()).await;
    (site, answerer, hub)
}

async fn ask(hub: &Hub, token: &str, headers: &str, stream: bool, text: &str) -> String {
    let body = json!({
        "model": "any",
        "stream": stream,
        "messages": [{ "role": "user", "content": text }],
    });
    let head = format!(
        "POST /channels/api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{headers}"
    );
    post(hub.address, &head, body.to_string().as_bytes()).await
}

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn content(answer: &str) -> String {
    let body = body(answer);
    body["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

/// The texts of a stream's pieces, and what ended it.
fn pieces(answer: &str) -> (Vec<String>, String) {
    let data: Vec<_> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let texts = data.iter().filter_map(|data| {
        let chunk: Value = serde_json::from_str(data).ok()?;
        let text = chunk["choices"][0]["delta"]["content"].as_str()?;
        Some(text.to_owned())
    });
    (texts.collect(), (*data.last().unwrap()).to_owned())
}

#[tokio::test]
async fn a_request_stays_open_until_its_reply_which_is_the_response() {
    let (site, _answerer, hub) = site().await;
    let answer = ask(&hub, TOKEN, "", false, "hello").await;
    assert_eq!(content(&answer), "answer to hello");
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    site.marked(1).await;
}

#[tokio::test]
async fn what_is_wrong_is_told_as_the_api_tells_it() {
    let (site, _answerer, hub) = site().await;
    let answer = ask(&hub, "another", "", false, "hello").await;
    assert_eq!(code(&answer), 401);
    assert_eq!(body(&answer)["error"]["type"], "authentication_error");
    let elsewhere = format!(
        "POST /channels/api/v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
    );
    let answer = post(hub.address, &elsewhere, b"{}").await;
    assert_eq!(code(&answer), 404);
    assert_eq!(body(&answer)["error"]["type"], "invalid_request_error");
    assert_eq!(site.enqueued().await, 0);
}

#[tokio::test]
async fn more_than_the_log_takes_is_refused_at_once_and_counted() {
    let (site, _answerer, hub) = site().await;
    let turns = |bytes: usize| {
        let said = "x".repeat(bytes / 10);
        let turn = |role: &str| json!({ "role": role, "content": said });
        let turns = (0..5).flat_map(|_| [turn("user"), turn("assistant")]);
        let question = json!({ "role": "user", "content": "hello" });
        let messages: Vec<_> = turns.chain([question]).collect();
        json!({ "model": "any", "messages": messages }).to_string()
    };
    let head = format!(
        "POST /channels/api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
    );
    let answer = post(hub.address, &head, turns(900_000).as_bytes()).await;
    assert_eq!(code(&answer), 413);
    let said = body(&answer)["error"]["message"].to_string();
    assert!(said.contains("send less"), "{said}");
    assert!(!answer.contains("retry-after"), "{answer}");
    assert_eq!(site.enqueued().await, 0);
    let counted = "chatbot_gateway_messages_rejected_total{reason=\"too_long\"}";
    assert_eq!(metric(&hub, counted), 1);
    let answer = post(hub.address, &head, turns(890_000).as_bytes()).await;
    assert_eq!(content(&answer), "answer to hello");
}

#[tokio::test]
async fn a_repeated_id_is_given_the_recorded_reply_by_any_gateway() {
    let (site, _answerer, first) = site().await;
    let key = "idempotency-key: k-1\r\n";
    let answer = ask(&first, TOKEN, key, false, "hello").await;
    assert_eq!(content(&answer), "answer to hello");
    site.marked(1).await;
    let again = ask(&first, TOKEN, key, true, "hello").await;
    assert_eq!(pieces(&again).0.concat(), "answer to hello");
    let second = running(&site, channels()).await;
    first.stop().await;
    eventually("the recorded reply", async || {
        let answer = ask(&second, TOKEN, key, false, "hello").await;
        code(&answer) == 200 && content(&answer) == "answer to hello"
    })
    .await;
    assert_eq!(site.marks().await.len(), 1);
}

#[tokio::test]
async fn copies_under_way_at_once_share_one_reply() {
    let (site, answerer, hub) = site().await;
    answerer.answering.send_replace(false);
    let key = "idempotency-key: k-1\r\n";
    let asked = (0..4).map(|_| ask(&hub, TOKEN, key, false, "hello"));
    let asked = futures::future::join_all(asked);
    let answering = async {
        answerer.meets(1).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        answerer.answering.send_replace(true);
    };
    let (answers, ()) = tokio::join!(asked, answering);
    for answer in answers {
        assert_eq!(content(&answer), "answer to hello");
    }
    site.marked(1).await;
    assert_eq!(site.marks().await.len(), 1);
}

#[tokio::test]
async fn a_client_that_wants_pieces_gets_them_as_the_answer_grows() {
    let (_site, answerer, hub) = site().await;
    answerer.answering.send_replace(false);
    let asked = ask(&hub, TOKEN, "", true, "hello");
    let growing = async {
        let message = answerer.meets(1).await;
        for text in ["answer", "answer to "] {
            answerer.preview(&message, text).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        answerer.answering.send_replace(true);
    };
    let (answer, ()) = tokio::join!(asked, growing);
    assert!(
        answer.contains("content-type: text/event-stream\r\n"),
        "{answer}"
    );
    let (pieces, end) = pieces(&answer);
    assert!(pieces.len() > 1, "{pieces:?}");
    assert_eq!(
        (pieces.concat().as_str(), end.as_str()),
        ("answer to hello", "[DONE]")
    );
}

#[tokio::test]
async fn an_answer_that_was_begun_anew_ends_a_stream_with_an_error() {
    let (_site, answerer, hub) = site().await;
    answerer.answering.send_replace(false);
    let asked = ask(&hub, TOKEN, "", true, "hello");
    let growing = async {
        let message = answerer.meets(1).await;
        answerer.preview(&message, "something else").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        answerer.answering.send_replace(true);
    };
    let (answer, ()) = tokio::join!(asked, growing);
    let (texts, end) = pieces(&answer);
    assert_eq!(texts, ["something else"]);
    assert!(end.contains("server_error"), "{end}");
}

#[tokio::test]
async fn a_reply_that_does_not_come_in_time_is_told_as_that() {
    let site = Site::new();
    site.secret("api", "shop", TOKEN);
    let mut limits = limits();
    limits.exchange = Duration::from_millis(300);
    let hub = site.hub_with(channels(), limits).await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    let answer = ask(&hub, TOKEN, "", false, "hello").await;
    assert_eq!(code(&answer), 504);
    assert_eq!(body(&answer)["error"]["type"], "timeout_error");
    let answer = ask(&hub, TOKEN, "", true, "hello").await;
    assert!(pieces(&answer).1.contains("timeout_error"), "{answer}");
}
