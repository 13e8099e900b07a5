//! A stand-in for the model: an OpenAI-compatible server that repeats what it is asked, at once. What is measured is the
//! way to it and back, not a model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::platform::ANSWER;

/// A running one; it serves as long as the runtime that it was started in.
pub struct Model {
    /// Its base URL.
    pub url: String,
    asked: Arc<AtomicU64>,
}

impl Model {
    /// Starts one on a free port of the loopback.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("failed to listen for the model's stand-in")?;
        let address = listener
            .local_addr()
            .context("failed to find a free port")?;
        let asked = Arc::new(AtomicU64::new(0));
        let app = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(Arc::clone(&asked));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self {
            url: format!("http://{address}"),
            asked,
        })
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn complete(
    State(asked): State<Arc<AtomicU64>>,
    Json(request): Json<Value>,
) -> impl IntoResponse {
    asked.fetch_add(1, Ordering::Relaxed);
    let messages = request["messages"].as_array();
    let question = messages
        .and_then(|messages| messages.last()?["content"].as_str())
        .unwrap_or_default();
    let choice = json!({
        "index": 0, "delta": { "content": format!("{ANSWER}{question}") }, "finish_reason": "stop",
    });
    let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "choices": [choice] });
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        format!("data: {chunk}\n\ndata: [DONE]\n\n"),
    )
}
