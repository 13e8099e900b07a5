//! A proxy between an operator and an API server, which does what networks and servers do on bad days, by rules. The
//! operator speaks plain HTTP to it; it speaks TLS to the API server, as the service account that the operator has on a
//! cluster.
#![allow(dead_code)] // Each program that has this module uses its own part of it.

mod events;
pub mod rules;
pub mod subject;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use anyhow::Result;
use axum::body::{Body, Bytes, to_bytes};
use futures::{StreamExt, TryStreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};

use rules::{Asked, Board, Fault, Record, Rule, Verb};

/// Larger than anything that is asked here.
const LIMIT: usize = 64 << 20;

/// A running proxy.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Everything of it ends with this.
    _runtime: Runtime,
}

/// What its connections share.
struct Shared {
    client: Client,
    board: Mutex<Board>,
    lists: Mutex<HashMap<String, Bytes>>,
    /// Tells every watch to end with a reset.
    cut: Notify,
    born: AtomicU64,
    /// Connections made before this one are silent for ever.
    silent_before: watch::Sender<u64>,
}

impl Proxy {
    /// Starts one before the cluster, and as the user, of a kubeconfig.
    pub fn start(kubeconfig: &Path, seed: u64) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (address, shared) = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
            config.default_retry = false;
            let shared = Arc::new(Shared {
                client: Client::try_from(config)?,
                board: Mutex::new(Board::new(seed)),
                lists: Mutex::default(),
                cut: Notify::new(),
                born: AtomicU64::new(0),
                silent_before: watch::Sender::new(0),
            });
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = listener.local_addr()?;
            tokio::spawn(listen(listener, shared.clone()));
            anyhow::Ok((address, shared))
        })?;
        Ok(Self {
            address,
            shared,
            _runtime: runtime,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// These rules from now on, and no others.
    pub fn set(&self, rules: Vec<Rule>) {
        self.shared.board().set(rules);
    }

    /// How often each rule has been applied.
    pub fn applied(&self) -> Vec<u32> {
        self.shared.board().applied()
    }

    /// Every request in a namespace since then, the watches aside.
    pub fn records(&self, namespace: &str, since: Instant) -> Vec<Record> {
        let board = self.shared.board();
        let records = board.records.iter();
        records
            .filter(|record| record.asked.namespace == namespace && record.at >= since)
            .cloned()
            .collect()
    }

    /// What a stale list is like is what the next one is.
    pub fn forget_lists(&self) {
        self.shared.lists.lock().unwrap().clear();
    }

    /// The resources of which a stale list can be given.
    pub fn kept_lists(&self) -> Vec<String> {
        self.shared.lists.lock().unwrap().keys().cloned().collect()
    }

    /// Every watch's connection is reset.
    pub fn cut_watches(&self) {
        self.shared.cut.notify_waiters();
    }

    /// Whatever is connected now is silent for ever, and stays open; what connects from now on is served.
    pub fn freeze_connections(&self) {
        let next = self.shared.born.load(Ordering::SeqCst);
        self.shared.silent_before.send_replace(next);
    }

    /// Everything is silent, new connections too, until it is let go.
    pub fn freeze_all(&self) {
        self.shared.silent_before.send_replace(u64::MAX);
    }

    /// What is connected, and what connects, is served again.
    pub fn thaw(&self) {
        self.shared.silent_before.send_replace(0);
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // It is the operator who closes; whenever it is the proxy, the connection is to be reset.
            if stream.set_zero_linger().is_ok() {
                connection(stream, shared).await;
            }
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let born = shared.born.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move {
            shared.thawed(born).await;
            let answer = shared.answer(request, born).await;
            shared.thawed(born).await;
            answer
        }
    });
    // An error is a connection that was reset, on purpose or by the operator.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap()
    }

    /// Returns at once, later, or never, as the connection is or is not silent.
    async fn thawed(&self, born: u64) {
        let mut silent_before = self.silent_before.subscribe();
        // It ends with the proxy.
        let _ = silent_before.wait_for(|before| *before <= born).await;
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        born: u64,
    ) -> io::Result<Response<Body>> {
        let uri = request.uri().clone();
        let query = uri.query().unwrap_or_default();
        let asked = Asked::of(request.method().as_str(), uri.path(), query);
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), LIMIT)
            .await
            .map_err(io::Error::other)?;
        let fault = self.board().judge(&asked, false);
        let record = |code: Option<u16>, forwarded| {
            self.board().records.push(Record {
                at: Instant::now(),
                asked: asked.clone(),
                code,
                forwarded,
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            });
        };
        match fault {
            Some(Fault::Answer(code)) => {
                record(Some(code), false);
                return Ok(refusal(code));
            }
            Some(Fault::Busy(seconds)) => {
                record(Some(429), false);
                return Ok(busy(seconds));
            }
            Some(Fault::Reset) => {
                record(None, false);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Some(Fault::Stale) => {
                let kept = self.lists.lock().unwrap().get(&asked.resource).cloned();
                if let Some(kept) = kept {
                    record(Some(200), false);
                    return Ok(json_of(200, kept));
                }
            }
            _ => {}
        }
        let answer = self.forward(parts, body.clone(), &asked, born).await?;
        match fault {
            Some(Fault::AnswerAfter(code)) => {
                record(Some(code), true);
                Ok(refusal(code))
            }
            Some(Fault::ResetAfter) => {
                record(None, true);
                Err(io::ErrorKind::ConnectionReset.into())
            }
            _ => {
                record(Some(answer.status().as_u16()), true);
                Ok(answer)
            }
        }
    }

    async fn forward(
        self: &Arc<Self>,
        mut parts: http::request::Parts,
        body: Bytes,
        asked: &Asked,
        born: u64,
    ) -> io::Result<Response<Body>> {
        parts.headers.remove(HOST);
        let body = kube::client::Body::from(body);
        let answer = self.client.send(Request::from_parts(parts, body)).await;
        let (mut parts, body) = answer.map_err(io::Error::other)?.into_parts();
        parts.headers.remove(CONTENT_LENGTH);
        let body = Body::new(body);
        if asked.verb == Verb::Watch && parts.status.is_success() {
            let source = body.into_data_stream().map_err(io::Error::other).boxed();
            let events = events::through(source, &asked.resource, self.clone(), born);
            return Ok(Response::from_parts(parts, Body::from_stream(events)));
        }
        let body = to_bytes(body, LIMIT).await.map_err(io::Error::other)?;
        if asked.verb == Verb::List && parts.status.is_success() {
            let mut lists = self.lists.lock().unwrap();
            let kept = lists.entry(asked.resource.clone());
            kept.or_insert_with(|| body.clone());
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

fn json_of(code: u16, body: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// As the API server puts it.
fn refusal(code: u16) -> Response<Body> {
    let (reason, message) = match code {
        409 => ("Conflict", "the object has been modified"),
        410 => ("Expired", "too old resource version"),
        500 => ("InternalError", "an error on the server"),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "request did not complete within the allotted timeout",
        ),
        _ => ("Unknown", "injected"),
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    json_of(code, status.to_string())
}

/// As the API server does when it sheds load: not even in its own form.
fn busy(seconds: u32) -> Response<Body> {
    let mut answer = Response::new(Body::from("Too many requests, please try again later.\n"));
    *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
}
