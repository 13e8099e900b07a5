//! The world around a service: a model that repeats the conversation, and a platform that takes idempotency keys.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::service::{CHANNEL, KEY, listen};

/// Answers with all questions of the conversation: so an answer shows the context it was made in.
pub fn model() -> Router {
    async fn complete(Json(request): Json<Value>) -> ([(&'static str, &'static str); 1], String) {
        let messages = request["messages"].as_array().unwrap();
        let questions = messages.iter().filter(|message| message["role"] == "user");
        let questions: Vec<_> = questions
            .map(|message| message["content"].as_str().unwrap())
            .collect();
        let answer = json!({"choices": [{"delta": {"content": questions.join(" ")}, "finish_reason": null}]});
        let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
        let events = format!("data: {answer}\n\ndata: {end}\n\ndata: [DONE]\n\n");
        ([("content-type", "text/event-stream")], events)
    }
    Router::new().route("/v1/chat/completions", post(complete))
}

/// What a platform has seen.
#[derive(Default)]
struct Seen {
    /// It takes requests and does not answer them.
    hangs: bool,
    requests: usize,
    /// Idempotency key and text of what it shows, in the order in which it first saw them.
    shown: Vec<(String, String)>,
}

pub struct Platform {
    address: SocketAddr,
    seen: Arc<watch::Sender<Seen>>,
    client: reqwest::Client,
    _serving: JoinSet<()>,
}

impl Platform {
    pub async fn start(hangs: bool) -> Self {
        let (listener, address) = listen().await;
        let seen = Arc::new(watch::Sender::new(Seen {
            hangs,
            ..Seen::default()
        }));
        let router = Router::new()
            .route("/", post(take))
            .with_state(Arc::clone(&seen));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            seen,
            client: reqwest::Client::new(),
            _serving: serving,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Sends a question of its one user; whether it was acknowledged.
    pub async fn ask(&self, entrance: SocketAddr, number: usize) -> bool {
        let body = json!({ "user": "ada", "text": number.to_string() }).to_string();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (id, at) = (format!("q-{number}"), since.as_secs());
        let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
        let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
        let sent = self
            .client
            .post(format!("http://{entrance}/channels/{CHANNEL}"))
            .header("webhook-id", id)
            .header("webhook-timestamp", at.to_string())
            .header(
                "webhook-signature",
                format!("v1,{}", STANDARD.encode(tag.as_ref())),
            )
            .timeout(Duration::from_secs(15))
            .body(body)
            .send()
            .await;
        sent.is_ok_and(|answer| answer.status().is_success())
    }

    /// Answers from now on.
    pub fn recover(&self) {
        self.seen.send_modify(|seen| seen.hangs = false);
    }

    pub async fn has_a_request(&self) {
        self.wait(|seen| seen.requests > 0).await;
    }

    pub async fn has_shown(&self, count: usize) {
        self.wait(|seen| seen.shown.len() >= count).await;
    }

    pub fn shown(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        seen.shown.iter().map(|(_, text)| text.clone()).collect()
    }

    async fn wait(&self, is_so: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let _is_so = seen.wait_for(is_so).await.unwrap();
    }
}

async fn take(
    State(seen): State<Arc<watch::Sender<Seen>>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    let key = headers["webhook-id"].to_str().unwrap().to_owned();
    let text = body["text"].as_str().unwrap_or_default().to_owned();
    let mut hangs = false;
    seen.send_modify(|seen| {
        hangs = seen.hangs;
        seen.requests += 1;
        if seen.shown.iter().all(|(known, _)| *known != key) {
            seen.shown.push((key, text));
        }
    });
    if hangs {
        std::future::pending::<()>().await;
    }
    StatusCode::OK
}
