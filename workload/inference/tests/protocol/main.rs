//! The API over real connections, with an engine that says what it is told, one word per step that a test allows.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test fails by panicking.

mod instance;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};

use instance::{Instance, PATIENCE, body, events, taken};

#[tokio::test]
async fn a_whole_answer_has_the_shape_of_openai() {
    let instance = Instance::start(9).await;
    let answer: Value = instance
        .post(&body("one two", false))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "echo");
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(
        answer["choices"][0]["message"],
        json!({ "role": "assistant", "content": "one two", "refusal": null })
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 5);
    let models: Value = instance
        .client
        .get(format!("{}/v1/models", instance.url))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(models["data"][0]["id"], "echo");
    assert_eq!(instance.telemetry.state().counters.requests, 1);
    assert_eq!(instance.telemetry.state().model.unwrap().format, "Q8_0");
}

#[tokio::test]
async fn pieces_come_one_by_one_and_end_with_done() {
    let instance = Instance::start(0).await;
    let mut asked = body("one two", true);
    asked["stream_options"] = json!({ "include_usage": true });
    instance.engine.steps.add_permits(1);
    let response = instance.post(&asked).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("one ") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(
        !text.contains("two"),
        "the second word was not allowed yet: {text}"
    );
    instance.engine.steps.add_permits(1);
    while let Some(bytes) = stream.next().await {
        text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
    }
    let data: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let (done, chunks) = data.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    let deltas: Vec<_> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["content"])
        .collect();
    assert_eq!(
        deltas,
        [
            &json!(""),
            &json!("one "),
            &json!("two"),
            &Value::Null,
            &Value::Null
        ]
    );
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        (&chunks[4]["choices"], &chunks[4]["usage"]["prompt_tokens"]),
        (&json!([]), &json!(3))
    );
}

#[tokio::test]
async fn a_failure_in_the_middle_is_an_error_event_and_never_done() {
    let instance = Instance::start(9).await;
    let data = events(instance.post(&body("one fail", true)).await.unwrap()).await;
    let last: Value = serde_json::from_str(data.last().unwrap()).unwrap();
    assert_eq!(last["error"]["message"], "out of order");
    assert!(!data.contains(&"[DONE]".to_owned()));
    let whole = instance.post(&body("fail", false)).await.unwrap();
    assert_eq!(whole.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(instance.telemetry.state().counters.errors, 2);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let instance = Instance::start(0).await;
    for stream in [true, false] {
        let client = instance.ask("never to be said", stream);
        instance.begun(1).await;
        if stream {
            drop(client.await.unwrap().unwrap());
        } else {
            client.abort();
        }
        taken(&instance.engine.abandoned, 1).await;
    }
    instance
        .shows("chatbot_inference_requests_total{outcome=\"cancelled\"} 2")
        .await;
    instance.engine.steps.add_permits(1);
    assert_eq!(
        instance.post(&body("next", false)).await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_client_that_goes_away_before_its_turn_counts_as_gone() {
    let instance = Instance::start(0).await;
    let first = instance.ask("first", false);
    instance.begun(1).await;
    let waiting = instance.ask("never begun", false);
    instance.shows("chatbot_inference_queue_depth 1").await;
    waiting.abort();
    instance
        .shows("chatbot_inference_requests_total{outcome=\"cancelled\"} 1")
        .await;
    instance.shows("chatbot_inference_queue_depth 0").await;
    instance.engine.steps.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn as_many_wait_as_are_answered_and_the_next_is_told_to_come_back() {
    let instance = Instance::start(0).await;
    let first = instance.ask("first", false);
    instance.begun(1).await;
    let second = instance.ask("second", false);
    instance.shows("chatbot_inference_queue_depth 1").await;
    let third = instance.post(&body("third", false)).await.unwrap();
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(third.headers()["retry-after"], "1");
    let error: Value = third.json().await.unwrap();
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");
    instance.engine.steps.add_permits(2);
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(second.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_under_way_at_the_end_is_finished_and_nothing_else_begins() {
    let instance = Instance::start(0).await;
    let under_way = instance.ask("one two", true);
    instance.begun(1).await;
    let response = under_way.await.unwrap().unwrap();
    instance.shutdown.cancel();
    let refused = async {
        while instance.post(&body("late", false)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("new connections are refused");
    instance.engine.steps.add_permits(2);
    let data = events(response).await;
    assert_eq!(data.last().unwrap(), "[DONE]");
    tokio::time::timeout(PATIENCE, instance.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn until_the_model_has_answered_once_there_is_no_other_answer() {
    let (instance, server) = Instance::loading().await;
    let early = instance.post(&body("early", false)).await.unwrap();
    assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(early.headers()["retry-after"], "1");
    assert_eq!(instance.telemetry.state().model, None);
    instance.engine.steps.add_permits(2);
    server.warm(Arc::clone(&instance.engine)).await.unwrap();
    assert_eq!(
        instance.post(&body("now", false)).await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_cannot_be_answered_says_why_in_the_shape_of_openai() {
    let instance = Instance::start(0).await;
    let chat = format!("{}/v1/chat/completions", instance.url);
    let post = |text: String| instance.client.post(&chat).body(text).send();
    let cases = [
        (
            post(body(&"x".repeat(1 << 20), false).to_string()).await,
            413,
            "request_too_large",
        ),
        (post("{".to_owned()).await, 400, ""),
        (post(body("too long", false).to_string()).await, 400, ""),
        (
            post(body("x", false).to_string().replace("echo", "other")).await,
            404,
            "model_not_found",
        ),
        (instance.client.get(&chat).send().await, 405, "unknown_url"),
        (
            instance
                .client
                .get(format!("{}/v1/embeddings", instance.url))
                .send()
                .await,
            404,
            "unknown_url",
        ),
    ];
    for (response, status, code) in cases {
        let response = response.unwrap();
        assert_eq!(response.status().as_u16(), status);
        let error: Value = response.json().await.unwrap();
        assert!(
            error["error"]["message"].as_str().unwrap().len() > 20,
            "{error}"
        );
        assert_eq!(
            error["error"]["code"].as_str().unwrap_or_default(),
            code,
            "{error}"
        );
    }
    instance
        .shows("chatbot_inference_requests_total{outcome=\"invalid\"} 4")
        .await;
}
