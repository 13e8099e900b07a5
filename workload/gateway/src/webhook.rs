//! The HTTP entrance of platforms: `/channels/<name>` and what is below it. A request is acknowledged when the log has
//! all of its messages, and never before: else the platform is asked to repeat it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chatbot_adapters::{Admission, Answer, Delivery, Fault, Head, Refusal, Transport};
use tokio::time::Instant;
use tracing::debug;

use crate::body::{self, Unread};
use crate::channel::{Channel, Running};
use crate::intake::Rejected;
use crate::receive::{NotReceived, receive};
use crate::{Gateway, now_ms};

/// After which a platform is to repeat what could not be taken.
const AGAIN: Duration = Duration::from_secs(2);

/// Why a request of a platform has no better answer.
pub(crate) enum Unanswerable {
    /// The channel does not run.
    NotRunning,
    Unread(Unread),
    Refused(Refusal),
    Rejected(Rejected),
    /// Its reply did not come in time.
    Late,
}

impl From<NotReceived> for Unanswerable {
    fn from(not: NotReceived) -> Self {
        match not {
            NotReceived::Refused(refusal) => Self::Refused(refusal),
            NotReceived::Rejected(rejected) => Self::Rejected(rejected),
        }
    }
}

impl Unanswerable {
    /// Whose it is, and what is counted.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::Unread(unread) => unread.as_str(),
            Self::Refused(refusal) => match refusal.fault {
                Fault::Unauthenticated => "unauthenticated",
                Fault::Malformed => "malformed",
                Fault::TooLong => "too_long",
                Fault::NotFound => "not_found",
                Fault::Method => "method",
            },
            Self::Rejected(Rejected::TooManyMessages { .. }) => "rate",
            Self::Rejected(Rejected::Overloaded) => "overload",
            Self::Rejected(Rejected::TooLong { .. }) => "too_long",
            Self::Rejected(Rejected::Unavailable { .. }) => "queue",
            Self::Late => "late",
        }
    }

    /// What is said, and after how long it may be different.
    pub(crate) fn told(&self) -> (StatusCode, String, Option<Duration>) {
        match self {
            Self::NotRunning => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the channel does not run yet; its state says why".to_owned(),
                Some(AGAIN),
            ),
            Self::Unread(unread) => {
                let again = (*unread == Unread::NoRoom).then_some(AGAIN);
                (unread.status(), unread.to_string(), again)
            }
            Self::Refused(refusal) => (refusal.fault.status(), refusal.message.clone(), None),
            Self::Rejected(rejected) => {
                let status = match rejected {
                    Rejected::TooManyMessages { .. } => StatusCode::TOO_MANY_REQUESTS,
                    Rejected::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, rejected.to_string(), rejected.retry_after())
            }
            Self::Late => (
                StatusCode::GATEWAY_TIMEOUT,
                "the answer did not come in time; with the same Idempotency-Key it can be asked for again".to_owned(),
                None,
            ),
        }
    }
}

/// Answers a request to a channel of a platform.
pub(crate) async fn answer(
    gateway: Arc<Gateway>,
    channel: Arc<Channel>,
    path: &str,
    request: Request,
) -> Response {
    match take(&gateway, &channel, path, request).await {
        Ok(answer) => response_of(answer),
        Err(unanswerable) => {
            channel.metrics.refused(unanswerable.reason());
            let (status, message, again) = unanswerable.told();
            debug!(channel = channel.name, %status, message, "a delivery is not taken");
            refused(
                status,
                format!("{message}\n").into_bytes(),
                "text/plain; charset=utf-8",
                again,
            )
        }
    }
}

async fn take(
    gateway: &Arc<Gateway>,
    channel: &Arc<Channel>,
    path: &str,
    request: Request,
) -> Result<Answer, Unanswerable> {
    let running = channel.now().ok_or(Unanswerable::NotRunning)?;
    let (head, body) = request.into_parts();
    let (received_at, came) = (now_ms(), Instant::now());
    let admission = running.adapter.check_headers(&Head {
        method: &head.method,
        path,
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        received_at,
    });
    let most = match admission.map_err(Unanswerable::Refused)? {
        Admission::Answer(answer) => return Ok(answer),
        Admission::Read { most } => most,
    };
    let read = body::read(&head.headers, body, most, &gateway.bodies, &gateway.limits)
        .await
        .map_err(Unanswerable::Unread)?;
    let delivery = Delivery {
        via: Transport::Webhook,
        me: running.me.as_ref(),
        received_at,
        ..Delivery::of(&channel.name, &head.headers, &read.bytes)
    };
    let received = receive(gateway, channel, &running, &delivery).await?;
    debug!(
        channel = channel.name,
        events = received.events.len(),
        "a delivery is taken"
    );
    if !received.requests.is_empty() {
        follow_up(gateway, channel, running, received.requests, came);
    }
    Ok(received.acknowledgement)
}

/// Makes requests that follow a delivery, without holding up its acknowledgement.
pub(crate) fn follow_up(
    gateway: &Gateway,
    channel: &Channel,
    running: Arc<Running>,
    requests: Vec<chatbot_adapters::Request>,
    came: Instant,
) {
    let (name, limits) = (channel.name.clone(), gateway.limits.clone());
    gateway.sockets.spawn(async move {
        running.follow_up(&limits, &name, requests, came).await;
    });
}

fn response_of(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if !answer.content_type.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(answer.content_type),
        );
    }
    response
}

/// The answer to what is not taken. The connection ends with it, since its body may not have been read.
pub(crate) fn refused(
    status: StatusCode,
    body: Vec<u8>,
    content_type: &'static str,
    again: Option<Duration>,
) -> Response {
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Some(again) = again {
        let seconds = again.as_secs() + u64::from(again.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
