//! The client of the API server: how long an answer may be waited for, what becomes of connections that have gone
//! silent, and what is heard of a server that asks to be left alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::to_bytes;
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};
use tower::BoxError;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long until an answer begins: an admission webhook may take ten seconds of it.
const ANSWER: Duration = Duration::from_secs(15);
/// How long an answer that has begun may be silent; a watch ends before that by itself.
const SILENCE: Duration = Duration::from_secs(40);
/// The longest that a watch waits because the server asks for it: it would be stale for longer otherwise.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// The longest refusal that is read.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// The client for the cluster that the environment names.
pub async fn connect() -> anyhow::Result<Client> {
    let config = Config::infer()
        .await
        .context("failed to find a cluster: run in a pod, or set KUBECONFIG")?;
    client(config)
}

/// A client that waits for nothing for ever.
pub fn client(mut config: Config) -> anyhow::Result<Client> {
    // A pass that fails is repeated as a whole, on a fresh view of the world: not one request of it for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    // Otherwise the time for which a connection lay idle counts as silence.
    config.reset_reader_on_write = true;
    config.write_timeout = Some(ANSWER);
    let namespace = config.default_namespace.clone();
    let connections = Arc::new(Connections {
        current: Mutex::new((0, pool(&config)?)),
        config,
    });
    let service = tower::service_fn(move |request| {
        let connections = connections.clone();
        async move { connections.send(request).await }
    });
    Ok(Client::new(service, namespace))
}

fn pool(config: &Config) -> anyhow::Result<Client> {
    Client::try_from(config.clone()).context("failed to prepare a client for the cluster")
}

/// A pool of connections that is given up as a whole when one of them is silent: the others were made at the same time
/// and lead to the same place, and each of them would have to be waited for once.
struct Connections {
    config: Config,
    current: Mutex<(u64, Client)>,
}

impl Connections {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let watches = is_watch(request.uri().query().unwrap_or_default());
        let (turn, client) = self.now();
        let Ok(answer) = tokio::time::timeout(ANSWER, client.send(request)).await else {
            self.give_up(turn);
            return Err(format!("no answer within {} seconds", ANSWER.as_secs()).into());
        };
        heard(answer?, watches).await
    }

    fn now(&self) -> (u64, Client) {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn give_up(&self, turn: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != turn {
            return; // somebody else has noticed it as well
        }
        match pool(&self.config) {
            Ok(fresh) => {
                tracing::warn!("the API server does not answer: every connection is made anew");
                *current = (turn + 1, fresh);
            }
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
}

/// Whether a request is one of those that keep the caches: a watch, or the list before it, which alone comes in pages.
fn is_watch(query: &str) -> bool {
    query
        .split('&')
        .any(|parameter| parameter == "watch=true" || parameter.starts_with("limit="))
}

/// A server that sheds load says for how long in a header alone: a watch waits here, everybody else is told where they
/// look for it.
async fn heard(answer: Response<Body>, watches: bool) -> Result<Response<Body>, BoxError> {
    let refused = matches!(
        answer.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let asked = answer.headers().get(RETRY_AFTER);
    let asked: Option<u32> = asked.and_then(|header| header.to_str().ok()?.parse().ok());
    let Some(seconds) = asked.filter(|_| refused) else {
        return Ok(answer);
    };
    if watches {
        tokio::time::sleep(Duration::from_secs(seconds.into()).min(LONGEST_REST)).await;
        return Ok(answer);
    }
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(axum::body::Body::new(body), REFUSAL_LIMIT).await?;
    let body = with_wait(&body, parts.status, seconds);
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(parts, Body::from(body.into_bytes())))
}

/// A refusal in the API's own form, with the time to wait in it.
fn with_wait(body: &[u8], code: StatusCode, seconds: u32) -> String {
    let mut status = serde_json::from_slice::<Value>(body)
        .ok()
        .filter(|status| status["kind"] == "Status")
        .unwrap_or_else(|| {
            json!({
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": code.canonical_reason().unwrap_or_default().replace(' ', ""),
                "message": String::from_utf8_lossy(body).trim(),
                "code": code.as_u16(),
            })
        });
    if !status["details"].is_object() {
        status["details"] = json!({});
    }
    let wait = &mut status["details"]["retryAfterSeconds"];
    if wait.is_null() {
        *wait = json!(seconds);
    }
    status.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_busy_server_says_in_a_header_is_found_where_the_api_says_it() {
        let busy = StatusCode::TOO_MANY_REQUESTS;
        let status = with_wait(b"Too many requests, please try again later.\n", busy, 3);
        let status: kube::core::Status = serde_json::from_str(&status).unwrap();
        assert_eq!(status.code, 429);
        assert_eq!(status.reason, "TooManyRequests");
        assert_eq!(status.details.unwrap().retry_after_seconds, 3);
        let own =
            br#"{"kind":"Status","code":429,"message":"m","details":{"retryAfterSeconds":7}}"#;
        let status: Value = serde_json::from_str(&with_wait(own, busy, 3)).unwrap();
        assert_eq!(status["details"]["retryAfterSeconds"], 7);
        assert_eq!(status["message"], "m");
    }

    #[test]
    fn a_pass_s_own_reads_are_no_watches() {
        assert!(is_watch("labelSelector=a%3Db&limit=500"));
        assert!(is_watch("allowWatchBookmarks=true&watch=true"));
        assert!(!is_watch("&fieldManager=chatbot-operator"));
    }
}
