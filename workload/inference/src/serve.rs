//! The server: routes, the way of a request, the start of the model, the drain.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use chatbot_crds::config::{InferenceConfig, ModelState};
use chatbot_engine::{Engine, Event, Options, Refused, Request, Role, Turn};
use chatbot_message::{TRACEPARENT, Trace};
use chatbot_telemetry::{Telemetry, log, shutdown};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info, warn};

use crate::admission::Admission;
use crate::completion::{Completion, Tracked};
use crate::error::ApiError;
use crate::generate::Generate;
use crate::metrics::{Metrics, Outcome};
use crate::request::Ask;

const LONGEST_BODY: usize = 1 << 20;

/// One instance's API. Clones share everything.
pub struct Server<E> {
    inner: Arc<Inner<E>>,
}

impl<E> Clone for Server<E> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Inner<E> {
    config: InferenceConfig,
    /// Absent while the model is being loaded.
    engine: OnceLock<Arc<E>>,
    admission: Admission,
    metrics: Metrics,
    since: u64,
}

impl<E: Generate> Server<E> {
    /// A server without an engine: it answers that the model is being loaded.
    #[must_use]
    pub fn new(config: InferenceConfig, telemetry: &Telemetry) -> Self {
        let metrics = Metrics::register(telemetry);
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let admission = Admission::new(config.max_concurrent_requests, metrics.clone());
        let inner = Arc::new(Inner::<E> {
            config,
            engine: OnceLock::new(),
            admission,
            metrics,
            since,
        });
        let reported = Arc::clone(&inner);
        telemetry.report(move |state| {
            state.model = reported.engine.get().map(|engine| {
                let facts = engine.facts();
                ModelState {
                    name: reported.config.model_name.clone(),
                    format: facts.format,
                    bytes: facts.bytes,
                    parameters: facts.parameters,
                }
            });
        });
        Self { inner }
    }

    /// Gives the server its engine, once it has answered.
    pub async fn warm(&self, engine: Arc<E>) -> Result<()> {
        let turns = vec![Turn {
            role: Role::User,
            content: "Hello".to_owned(),
        }];
        let request = Request {
            turns,
            max_tokens: Some(1),
            temperature: 0.0,
            top_p: 1.0,
            seed: None,
            stop: Vec::new(),
        };
        let mut events = engine
            .answer(request)
            .context("failed to ask the model its first question")?;
        loop {
            match events.recv().await {
                Some(Event::Text(_)) => {}
                Some(Event::Done { .. }) => break,
                Some(Event::Failed(reason)) => {
                    bail!("the model did not answer its first question: {reason}")
                }
                None => bail!("the engine stopped at its first question"),
            }
        }
        // Only one caller warms a server; a second engine would be dropped here, and the first one serves.
        let _ = self.inner.engine.set(engine);
        Ok(())
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/chat/completions", post(complete::<E>))
            .route("/v1/models", get(models::<E>))
            .fallback(|uri: Uri| async move { ApiError::NotFound(uri.path().to_owned()) })
            .method_not_allowed_fallback(|uri: Uri| async move {
                let error = ApiError::NotFound(format!("this method on {}", uri.path()));
                (StatusCode::METHOD_NOT_ALLOWED, Json(error.body()))
            })
            .layer(DefaultBodyLimit::max(LONGEST_BODY))
            .with_state(self.clone())
    }

    /// Answers until `shutdown`, then finishes what it has in hand, within the drain time.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
        let stop = shutdown.clone();
        let serving =
            axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned());
        let served = shutdown::drained(&shutdown, serving.into_future()).await;
        if let Some(outcome) = served {
            return outcome.context("failed to serve the inference API");
        }
        warn!("answers were still under way at the end of the drain time and are cut off");
        Ok(())
    }

    async fn answer(&self, body: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
        let since = Instant::now();
        let Inner {
            config,
            engine,
            admission,
            metrics,
            ..
        } = &*self.inner;
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge {
                limit: LONGEST_BODY,
            },
            _ => ApiError::Body(format!(
                "failed to read the body: {}",
                rejection.body_text()
            )),
        })?;
        let engine = Arc::clone(engine.get().ok_or(ApiError::Loading)?);
        let ask = Ask::parse(&body, &config.model_name, config.context_tokens)?;
        let mut tracked = Tracked::begin(since, admission.clone(), metrics.clone());
        tracked.enter().await?;
        let request = ask.request;
        let events = tokio::task::spawn_blocking(move || engine.answer(request))
            .await
            .unwrap_or(Err(Refused::Stopped))
            .map_err(|refused| match refused {
                Refused::Stopped => ApiError::Engine(refused.to_string()),
                Refused::PromptTooLong { .. } | Refused::Template { .. } => {
                    ApiError::invalid("messages", refused.to_string())
                }
            })
            .inspect_err(|error| tracked.refused(error))?;
        let completion = Completion::new(&config.model_name, tracked, events);
        if ask.stream {
            Ok(completion.pieces(ask.include_usage))
        } else {
            completion.whole().await
        }
    }
}

async fn complete<E: Generate>(
    State(server): State<Server<E>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let metrics = server.inner.metrics.clone();
    let answering = server.answer(body).instrument(span_of(&headers));
    answering.await.inspect_err(|error| match error {
        ApiError::Busy { .. } | ApiError::Loading => metrics.ended(Outcome::rejected),
        // Counted where it failed.
        ApiError::Engine(_) => {}
        _ => metrics.ended(Outcome::invalid),
    })
}

/// That of the trace that a request names; one that cannot be read is none.
fn span_of(headers: &HeaderMap) -> Span {
    let named = headers.get(TRACEPARENT);
    let named = named.and_then(|value| value.to_str().ok()?.parse::<Trace>().ok());
    named.map_or_else(Span::none, |trace| log::trace(trace.id()))
}

async fn models<E: Generate>(State(server): State<Server<E>>) -> Json<Value> {
    let Inner { config, since, .. } = &*server.inner;
    Json(json!({
        "object": "list",
        "data": [{ "id": config.model_name, "object": "model", "created": since, "owned_by": "chatbot" }],
    }))
}

/// Loads the model and serves it until `shutdown`.
pub async fn run(
    config: InferenceConfig,
    listener: TcpListener,
    telemetry: &Telemetry,
    shutdown: CancellationToken,
) -> Result<()> {
    let health = telemetry.part("inference");
    health.unready("loading the model");
    let server = Server::<Engine>::new(config.clone(), telemetry);
    let serving = server.serve(listener, shutdown.clone());
    let working = async {
        let engine = load(config).await?;
        let engine = Arc::new(engine);
        server.warm(Arc::clone(&engine)).await?;
        let facts = engine.facts();
        info!(
            format = facts.format,
            bytes = facts.bytes,
            parameters = facts.parameters,
            "the model answers"
        );
        health.ready();
        engine.stopped().await;
        health.unready("the engine has stopped");
        bail!("the engine has stopped: start the process again")
    };
    let draining = async {
        shutdown.cancelled().await;
        health.unready("draining");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = serving => outcome,
        outcome = working => outcome,
        () = draining => Ok(()),
    }
}

async fn load(config: InferenceConfig) -> Result<Engine> {
    let options = Options {
        context_tokens: config.context_tokens,
        sequences: config.max_concurrent_requests,
        threads: config.threads,
    };
    let path = PathBuf::from(config.model_path);
    let loaded = tokio::task::spawn_blocking(move || Engine::load(&path, options)).await;
    Ok(loaded.context("failed to wait for the model")??)
}
