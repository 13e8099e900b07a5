//! A model behind a chat completions API that says what it was asked, and fails as it is told to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chatbot_message::TRACEPARENT;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How one request is treated; without any more it is answered.
#[derive(Clone, Debug)]
pub enum Behaviour {
    Busy,
    Unavailable,
    Refuse,
    /// It knows no model of that name.
    Unknown,
    /// An error where the answer's first piece would be.
    Fail,
    /// Some of the answer, then the connection breaks.
    CutOff,
    /// Some of the answer, then the stream ends as if it were complete.
    EndEarly,
    /// Some of the answer, then nothing, with the connection open.
    Silent,
    /// Nothing at all, with the connection open.
    Hang,
    /// This text instead of an echo, piece by piece.
    Say(Vec<&'static str>),
}

#[derive(Clone, Default)]
pub struct Model {
    script: Arc<Mutex<VecDeque<Behaviour>>>,
    requests: Arc<Mutex<Vec<Value>>>,
    traces: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<Option<&'static str>>>,
}

impl Model {
    pub fn will(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.script.lock().unwrap().extend(behaviours);
    }

    /// Refuses every request with this system prompt.
    pub fn refuse_prompt(&self, prompt: Option<&'static str>) {
        *self.refused.lock().unwrap() = prompt;
    }

    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }

    /// The traces that the requests named.
    pub fn traces(&self) -> Vec<String> {
        self.traces.lock().unwrap().clone()
    }

    pub async fn listen(&self) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, self.serve(listener))
    }

    pub fn serve(&self, listener: TcpListener) -> JoinHandle<()> {
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
    }
}

async fn complete(
    State(model): State<Model>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let refused = *model.refused.lock().unwrap();
    if refused.is_some_and(|refused| request["messages"][0]["content"] == refused) {
        return (StatusCode::BAD_REQUEST, "too long for me").into_response();
    }
    if request["stream"] == false {
        let words = request["messages"].to_string().split(' ').count();
        return Json(json!({ "usage": { "prompt_tokens": words } })).into_response();
    }
    let echo = echo(&request);
    let trace = headers
        .get(TRACEPARENT)
        .map(|trace| trace.to_str().unwrap());
    model
        .traces
        .lock()
        .unwrap()
        .extend(trace.map(str::to_owned));
    model.requests.lock().unwrap().push(request);
    let behaviour = model.script.lock().unwrap().pop_front();
    let half =
        stream::iter([piece("half an "), piece("answer")].map(Ok::<_, std::io::Error>)).boxed();
    let pause = || stream::pending().boxed();
    match behaviour {
        None => events(whole([echo.as_str()])),
        Some(Behaviour::Say(pieces)) => events(whole(pieces)),
        Some(Behaviour::Busy) => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response()
        }
        Some(Behaviour::Unavailable) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Behaviour::Refuse) => (StatusCode::BAD_REQUEST, "too long for me").into_response(),
        Some(Behaviour::Unknown) => {
            let error = json!({ "error": { "message": "there is no such model" } });
            (StatusCode::NOT_FOUND, Json(error)).into_response()
        }
        Some(Behaviour::Fail) => {
            let error = json!({ "error": "out of order" });
            let event = Bytes::from(format!("data: {error}\n\n"));
            events(stream::once(async { Ok(event) }).boxed())
        }
        Some(Behaviour::CutOff) => {
            // Not before the pieces have left.
            let broken = stream::once(async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(std::io::Error::other("broken"))
            });
            events(half.chain(broken).boxed())
        }
        Some(Behaviour::EndEarly) => events(half),
        Some(Behaviour::Silent) => events(half.chain(pause()).boxed()),
        Some(Behaviour::Hang) => events(pause()),
    }
}

/// All questions of the conversation, the last one last: so an answer shows the context it was made in.
fn echo(request: &Value) -> String {
    let messages = request["messages"].as_array().unwrap();
    let questions = messages.iter().filter(|message| message["role"] == "user");
    let questions: Vec<_> = questions
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    format!("re: {}", questions.join(" "))
}

fn whole<'a>(
    pieces: impl IntoIterator<Item = &'a str>,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    let mut events: Vec<_> = pieces.into_iter().map(piece).collect();
    let last = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    events.push(format!("data: {last}\n\ndata: [DONE]\n\n").into());
    stream::iter(events.into_iter().map(Ok)).boxed()
}

fn piece(text: &str) -> Bytes {
    let chunk = json!({"choices": [{"delta": {"content": text}, "finish_reason": null}]});
    format!("data: {chunk}\n\n").into()
}

fn events(stream: BoxStream<'static, std::io::Result<Bytes>>) -> Response {
    let kind = [("content-type", "text/event-stream")];
    Ok::<_, Infallible>((kind, Body::from_stream(stream))).into_response()
}
