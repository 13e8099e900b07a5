//! One chat completion: from a place and an engine's events to the response, whole or in pieces.

use std::convert::Infallible;
use std::time::Instant;

use axum::Json;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chatbot_engine::{Event, Finish, Usage};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::Span;
use uuid::Uuid;

use crate::admission::{Admission, Place};
use crate::error::ApiError;
use crate::metrics::{Metrics, Outcome};

/// An answer under way. Dropping it before its end frees the engine.
pub(crate) struct Completion {
    events: UnboundedReceiver<Event>,
    tracked: Tracked,
    head: Head,
}

/// What every piece of one answer begins with.
struct Head {
    id: String,
    created: u64,
    model: String,
}

/// A request on its way, from before it waits for a place: dropping it before its end counts as the client's going away.
pub(crate) struct Tracked {
    place: Option<Place>,
    admission: Admission,
    metrics: Metrics,
    since: Instant,
    first: bool,
    /// Nothing for what is counted where it is told.
    outcome: Option<Outcome>,
    /// What the request is done in: its pieces are made after its handler has ended.
    span: Span,
}

impl Completion {
    pub fn new(model: &str, tracked: Tracked, events: UnboundedReceiver<Event>) -> Self {
        tracked.metrics.took();
        let created = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let head = Head {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            created,
            model: model.to_owned(),
        };
        Self {
            events,
            tracked,
            head,
        }
    }

    async fn next(&mut self) -> Event {
        let event = self
            .events
            .recv()
            .await
            .unwrap_or_else(|| Event::Failed("the engine has stopped".to_owned()));
        self.tracked.saw(&event);
        event
    }

    /// The whole answer.
    pub async fn whole(mut self) -> Result<Response, ApiError> {
        let mut text = String::new();
        loop {
            match self.next().await {
                Event::Text(piece) => text.push_str(&piece),
                Event::Failed(reason) => return Err(ApiError::Engine(reason)),
                Event::Done { finish, usage } => {
                    let choice = json!({
                        "index": 0,
                        "message": { "role": "assistant", "content": text, "refusal": null },
                        "logprobs": null,
                        "finish_reason": finish_reason(finish),
                    });
                    let mut body = self.head.object("chat.completion", &json!([choice]));
                    body["usage"] = usage_object(usage);
                    return Ok(Json(body).into_response());
                }
            }
        }
    }

    /// The answer in pieces, as server-sent events.
    pub fn pieces(self, include_usage: bool) -> Response {
        let first = self
            .head
            .chunk(&json!({ "role": "assistant", "content": "" }), None);
        let pieces = stream::once(async move { first })
            .chain(self.rest(include_usage))
            .map(Ok::<_, Infallible>);
        Sse::new(pieces)
            .keep_alive(KeepAlive::default())
            .into_response()
    }

    fn rest(self, include_usage: bool) -> impl Stream<Item = SseEvent> {
        stream::unfold(Some(self), move |completion| async move {
            let mut completion = completion?;
            Some(match completion.next().await {
                Event::Text(text) => {
                    let piece = completion.head.chunk(&json!({ "content": text }), None);
                    (vec![piece], Some(completion))
                }
                Event::Failed(reason) => {
                    let error = ApiError::Engine(reason).body();
                    (
                        vec![SseEvent::default().event("error").data(error.to_string())],
                        None,
                    )
                }
                Event::Done { finish, usage } => {
                    (completion.head.end(finish, usage, include_usage), None)
                }
            })
        })
        .flat_map(stream::iter)
    }
}

impl Tracked {
    pub fn begin(since: Instant, admission: Admission, metrics: Metrics) -> Self {
        Self {
            place: None,
            admission,
            metrics,
            since,
            first: true,
            outcome: Some(Outcome::cancelled),
            span: Span::current(),
        }
    }

    /// Waits for a place, and keeps it until the end.
    pub async fn enter(&mut self) -> Result<(), ApiError> {
        let place = self.admission.enter().await;
        let place = place.inspect_err(|error| self.refused(error))?;
        self.place = Some(place);
        Ok(())
    }

    /// There will be no answer.
    pub fn refused(&mut self, error: &ApiError) {
        self.outcome = matches!(error, ApiError::Engine(_)).then_some(Outcome::failed);
    }

    fn saw(&mut self, event: &Event) {
        let _of_the_request = self.span.clone().entered();
        if std::mem::take(&mut self.first) {
            self.metrics
                .first_token
                .observe(self.since.elapsed().as_secs_f64());
        }
        match event {
            Event::Text(_) => {}
            Event::Failed(reason) => {
                tracing::error!(reason, "failed to answer");
                self.outcome = Some(Outcome::failed);
            }
            Event::Done { usage, .. } => {
                self.outcome = Some(Outcome::answered);
                self.admission.answered(self.since.elapsed());
                self.metrics
                    .prompt_tokens
                    .inc_by(usage.prompt_tokens.into());
                self.metrics
                    .cached_tokens
                    .inc_by(usage.cached_tokens.into());
                self.metrics
                    .completion_tokens
                    .inc_by(usage.completion_tokens.into());
            }
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome {
            let took = self.since.elapsed().as_secs_f64();
            self.metrics.duration.observe(took);
            self.metrics.ended(outcome);
        }
    }
}

impl Head {
    fn object(&self, kind: &str, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    fn chunk(&self, delta: &Value, finish: Option<Finish>) -> SseEvent {
        let choice = json!({
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish.map(finish_reason),
        });
        self.sse(&json!([choice]), None)
    }

    fn sse(&self, choices: &Value, usage: Option<Usage>) -> SseEvent {
        let mut body = self.object("chat.completion.chunk", choices);
        if let Some(usage) = usage {
            body["usage"] = usage_object(usage);
        }
        SseEvent::default().data(body.to_string())
    }

    fn end(&self, finish: Finish, usage: Usage, include_usage: bool) -> Vec<SseEvent> {
        let mut pieces = vec![self.chunk(&json!({}), Some(finish))];
        if include_usage {
            pieces.push(self.sse(&json!([]), Some(usage)));
        }
        pieces.push(SseEvent::default().data("[DONE]"));
        pieces
    }
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn usage_object(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
    })
}
