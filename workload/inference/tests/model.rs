//! One instance with a real model, named by `CHATBOT_TEST_MODEL`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test fails by panicking.

use std::time::Duration;

use chatbot_crds::config::InferenceConfig;
use chatbot_engine::LoadError;
use chatbot_telemetry::Telemetry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

fn config(path: &str) -> InferenceConfig {
    InferenceConfig {
        model_path: path.to_owned(),
        model_name: "small".to_owned(),
        context_tokens: 512,
        max_concurrent_requests: 2,
        threads: 1,
    }
}

#[tokio::test]
#[ignore = "needs a model: cargo e2e test"]
async fn an_instance_is_ready_when_it_has_answered_and_then_answers() {
    let path = std::env::var("CHATBOT_TEST_MODEL").expect("CHATBOT_TEST_MODEL names a GGUF file");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/v1/chat/completions",
        listener.local_addr().unwrap()
    );
    let (telemetry, shutdown) = (Telemetry::new(), CancellationToken::new());
    let (told, stop) = (telemetry.clone(), shutdown.clone());
    let running =
        tokio::spawn(
            async move { chatbot_inference::run(config(&path), listener, &told, stop).await },
        );
    let ready = async {
        while telemetry.unready().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), ready)
        .await
        .unwrap();
    let model = telemetry.state().model.unwrap();
    assert_eq!(
        (model.name.as_str(), model.format.as_str()),
        ("small", "Q8_0")
    );

    let body = json!({
        "model": "small", "temperature": 0, "max_tokens": 16,
        "messages": [{ "role": "user", "content": "What is the capital of France?" }],
    });
    let answer: Value = reqwest::Client::new()
        .post(url)
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Paris"), "{answer}");

    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(telemetry.unready().as_deref(), Some("inference: draining"));
}

#[tokio::test]
async fn a_missing_model_is_an_error_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let telemetry = Telemetry::new();
    let error = chatbot_inference::run(
        config("/nonexistent.gguf"),
        listener,
        &telemetry,
        CancellationToken::new(),
    )
    .await
    .unwrap_err();
    let load = error.downcast_ref::<LoadError>().unwrap();
    assert_eq!(chatbot_inference::reason(load), "SourceNotFound");
    assert!(telemetry.unready().is_some());
}
