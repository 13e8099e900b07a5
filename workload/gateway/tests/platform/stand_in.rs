//! A stand-in platform: takes requests, keeps them, and answers as a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::hub::PATIENCE;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: Instant,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        self.json()["text"].as_str().unwrap_or_default().to_owned()
    }
}

/// What a platform does with a request.
#[derive(Clone)]
pub enum Act {
    /// Answers.
    Answer(u16, &'static [(&'static str, &'static str)], String),
    /// Takes it, and answers later than anybody waits.
    Hang,
}

pub fn ok() -> Act {
    Act::Answer(200, &[], "{}".to_owned())
}

pub fn status(code: u16) -> Act {
    Act::Answer(code, &[], String::new())
}

/// Decides on the request with this number, counted from 0.
pub type Rule = Arc<dyn Fn(usize, &Seen) -> Act + Send + Sync>;

pub struct StandIn {
    pub address: SocketAddr,
    seen: watch::Sender<Vec<Seen>>,
    rule: watch::Sender<Rule>,
}

struct Shared {
    seen: watch::Sender<Vec<Seen>>,
    rule: watch::Receiver<Rule>,
}

impl StandIn {
    pub async fn start(rule: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Rule = Arc::new(rule);
        let stand_in = Self {
            address,
            seen: watch::Sender::default(),
            rule: watch::Sender::new(rule),
        };
        let shared = Arc::new(Shared {
            seen: stand_in.seen.clone(),
            rule: stand_in.rule.subscribe(),
        });
        let app = Router::new().fallback(take).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        stand_in
    }

    /// Decides by another rule from now on.
    pub fn rule(&self, rule: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) {
        self.rule.send_replace(Arc::new(rule));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for so many requests, and gives all that came.
    pub async fn sees(&self, count: usize) -> Vec<Seen> {
        let mut seen = self.seen.subscribe();
        let enough = seen.wait_for(|seen| seen.len() >= count);
        let seen = tokio::time::timeout(PATIENCE, enough).await;
        let seen = seen.unwrap_or_else(|_| panic!("only {:?}", self.seen.borrow()));
        seen.unwrap().clone()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let seen = Seen {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: to_bytes(body, 1 << 20).await.unwrap(),
        at: Instant::now(),
    };
    let rule = shared.rule.borrow().clone();
    let mut act = ok();
    shared.seen.send_modify(|all| {
        act = rule(all.len(), &seen);
        all.push(seen);
    });
    match act {
        Act::Answer(code, headers, body) => {
            let mut response = (StatusCode::from_u16(code).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            response
        }
        Act::Hang => {
            tokio::time::sleep(Duration::from_mins(10)).await;
            StatusCode::OK.into_response()
        }
    }
}
