//! An OpenAI-compatible server that repeats what it is asked, word by word, and can be held.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::routing::post;
use axum::{Json, Router};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The gateway's own question: not a person's.
const SYNTHETIC: &str = "Answer with one word: are you there?";

#[derive(Clone)]
pub struct Model {
    pub url: String,
    pub held_after: watch::Sender<Option<usize>>,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Model {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let model = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            held_after: watch::Sender::new(None),
            asked: Arc::default(),
        };
        let app = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        model
    }
}

async fn complete(
    State(model): State<Model>,
    Json(request): Json<Value>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let question = request["messages"]
        .as_array()
        .and_then(|messages| messages.last())
        .and_then(|message| message["content"].as_str())
        .unwrap_or_default()
        .to_owned();
    let synthetic = question == SYNTHETIC;
    if !synthetic {
        model.asked.lock().unwrap().push(question.clone());
    }
    let words: Vec<_> = format!("You said: {question}")
        .split_inclusive(' ')
        .map(str::to_owned)
        .collect();
    let pieces = stream::iter(words.into_iter().enumerate()).then(move |(number, word)| {
        let mut held_after = model.held_after.subscribe();
        async move {
            let goes = |held: &Option<usize>| synthetic || held.is_none_or(|after| number < after);
            let _ = held_after.wait_for(goes).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            choice(&json!({ "index": 0, "delta": { "content": word }, "finish_reason": null }))
        }
    });
    let end = [
        choice(&json!({ "index": 0, "delta": {}, "finish_reason": "stop" })),
        Event::default().data("[DONE]"),
    ];
    Sse::new(pieces.chain(stream::iter(end)).map(Ok))
}

fn choice(choice: &Value) -> Event {
    let chunk = json!({ "id": "1", "object": "chat.completion.chunk", "choices": [choice] });
    Event::default().data(chunk.to_string())
}
