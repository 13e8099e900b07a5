//! Requests that stay open until their reply: the reply is the response.
//!
//! Every gateway reads every reply of such a channel, so it does not matter which of them has the request. A request that
//! repeats an id waits for the same reply as the first one, or is given it at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chatbot_adapters::open_ai::{self, Pieces};
use chatbot_adapters::{Admission, Answer, Delivery, Head, Refusal, Transport};
use chatbot_message::{Message, Preview, Reply};
use futures::Stream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::debug;
use uuid::Uuid;

use crate::channel::{Channel, Running};
use crate::intake::{Accepted, Rejected};
use crate::receive::trace_of;
use crate::webhook::{Unanswerable, refused};
use crate::{Gateway, body, locked, now_ms, resume};

/// How long a client that wants pieces hears nothing at most: some give up a connection on which nothing comes.
const SILENCE: Duration = Duration::from_secs(10);
/// What it hears then; it means nothing.
const SIGN_OF_LIFE: &[u8] = b": waiting\n\n";

/// Replies awaited here, by message.
#[derive(Default)]
pub(crate) struct Exchanges(Mutex<HashMap<Uuid, watch::Sender<Awaited>>>);

/// What is known of an awaited reply.
#[derive(Clone, Default)]
struct Awaited {
    /// The answer so far.
    preview: Arc<str>,
    reply: Option<Arc<Reply>>,
}

impl Exchanges {
    /// A reply has come.
    pub(crate) fn answer(&self, reply: &Reply) {
        if let Some(awaited) = locked(&self.0).remove(&reply.message_id) {
            awaited.send_modify(|awaited| awaited.reply = Some(Arc::new(reply.clone())));
        }
    }

    /// A reply grows.
    pub(crate) fn preview(&self, preview: &Preview) {
        if let Some(awaited) = locked(&self.0).get(&preview.message_id) {
            awaited.send_modify(|awaited| awaited.preview = preview.text.as_str().into());
        }
    }

    fn wait(&self, message: Uuid) -> watch::Receiver<Awaited> {
        let mut all = locked(&self.0);
        // Those whose requests have gone are nobody's.
        all.retain(|_, awaited| awaited.receiver_count() > 0);
        all.entry(message).or_default().subscribe()
    }
}

/// Answers a request to a channel whose replies are responses.
pub(crate) async fn answer(
    gateway: Arc<Gateway>,
    channel: Arc<Channel>,
    path: &str,
    request: Request,
) -> Response {
    match take(&gateway, &channel, path, request).await {
        Ok(response) => response,
        Err(unanswerable) => {
            channel.metrics.refused(unanswerable.reason());
            let (status, message, again) = unanswerable.told();
            debug!(channel = channel.name, %status, message, "a request is not answered");
            let Answer {
                status,
                content_type,
                body,
            } = open_ai::failure(status, &message);
            refused(status, body, content_type, again)
        }
    }
}

async fn take(
    gateway: &Arc<Gateway>,
    channel: &Channel,
    path: &str,
    request: Request,
) -> Result<Response, Unanswerable> {
    let running = channel.now().ok_or(Unanswerable::NotRunning)?;
    let deadline = Instant::now() + gateway.limits.exchange;
    let trace = trace_of(request.headers());
    let message = read(gateway, channel, &running, path, request).await?;
    let awaited = gateway.exchanges.wait(message.id);
    let accepted = gateway.intake.accept(&message, trace).await;
    let accepted = accepted.map_err(Unanswerable::Rejected)?;
    channel.metrics.received(1);
    if let Accepted::Before {
        reply: Some((partition, position)),
    } = accepted
    {
        let recorded = resume::reply_at(gateway, partition, position).await;
        let recorded = recorded.map_err(|error| {
            Unanswerable::Rejected(Rejected::Unavailable {
                reason: error.to_string(),
            })
        })?;
        if let Some(reply) = recorded {
            return Ok(whole(&running, &message, &reply));
        }
    }
    match Pieces::of(message.id, &message.origin) {
        Some(pieces) => Ok(in_pieces(gateway, awaited, pieces, message, deadline)),
        None => match reply(gateway, awaited, deadline).await {
            Some(reply) => Ok(whole(&running, &message, &reply)),
            None => Err(Unanswerable::Late),
        },
    }
}

/// The request's one message.
async fn read(
    gateway: &Gateway,
    channel: &Channel,
    running: &Running,
    path: &str,
    request: Request,
) -> Result<Message, Unanswerable> {
    let (head, body) = request.into_parts();
    let received_at = now_ms();
    let admission = running.adapter.check_headers(&Head {
        method: &head.method,
        path,
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        received_at,
    });
    let most = match admission.map_err(Unanswerable::Refused)? {
        Admission::Read { most } => most,
        Admission::Answer(_) => 0,
    };
    let read = body::read(&head.headers, body, most, &gateway.bodies, &gateway.limits)
        .await
        .map_err(Unanswerable::Unread)?;
    let id = Uuid::new_v4().simple().to_string();
    let parsed = running.adapter.parse_message(&Delivery {
        via: Transport::Exchange,
        request: Some(&id),
        received_at,
        ..Delivery::of(&channel.name, &head.headers, &read.bytes)
    });
    let parsed = parsed.map_err(Unanswerable::Refused)?;
    parsed.messages.into_iter().next().ok_or_else(|| {
        Unanswerable::Refused(Refusal {
            fault: chatbot_adapters::Fault::Malformed,
            message: "it asks nothing".to_owned(),
            event: None,
        })
    })
}

/// The reply as the response to this request, whichever request it was made for.
fn whole(running: &Running, message: &Message, reply: &Reply) -> Response {
    let reply = Reply {
        origin: message.origin.clone(),
        ..reply.clone()
    };
    let parts = running.adapter.format_response(&reply, 0);
    let body: Vec<u8> = parts.into_iter().flat_map(|part| part.body).collect();
    typed(Body::from(body), open_ai::content_type(&message.origin))
}

fn typed(body: Body, content_type: &'static str) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Waits for the reply; none when it does not come in time, or the gateway ends.
async fn reply(
    gateway: &Gateway,
    mut awaited: watch::Receiver<Awaited>,
    deadline: Instant,
) -> Option<Arc<Reply>> {
    let waiting = timeout_at(
        deadline,
        awaited.wait_for(|awaited| awaited.reply.is_some()),
    );
    let come = gateway.stop.run_until_cancelled(waiting).await?;
    come.ok()?.ok()?.reply.clone()
}

/// A response that grows with the answer.
struct Growing {
    gateway: Arc<Gateway>,
    awaited: watch::Receiver<Awaited>,
    pieces: Pieces,
    message: Message,
    deadline: Instant,
}

fn in_pieces(
    gateway: &Arc<Gateway>,
    awaited: watch::Receiver<Awaited>,
    pieces: Pieces,
    message: Message,
    deadline: Instant,
) -> Response {
    let content_type = open_ai::content_type(&message.origin);
    let growing = Growing {
        gateway: Arc::clone(gateway),
        awaited,
        pieces,
        message,
        deadline,
    };
    typed(Body::from_stream(growing.stream()), content_type)
}

impl Growing {
    fn stream(self) -> impl Stream<Item = Result<Vec<u8>, Infallible>> {
        futures::stream::unfold(Some(self), |growing| async move {
            let mut growing = growing?;
            let (piece, is_last) = growing.next().await;
            Some((Ok(piece), (!is_last).then_some(growing)))
        })
    }

    /// The next piece, and whether it is the last.
    async fn next(&mut self) -> (Vec<u8>, bool) {
        loop {
            let Awaited { preview, reply } = self.awaited.borrow_and_update().clone();
            if let Some(reply) = reply {
                let reply = Reply {
                    origin: self.message.origin.clone(),
                    ..(*reply).clone()
                };
                return (self.pieces.end(&reply), true);
            }
            if let Some(piece) = self.pieces.grow(&preview) {
                return (piece, false);
            }
            let heard = timeout_at(
                self.deadline.min(Instant::now() + SILENCE),
                self.awaited.changed(),
            );
            match self.gateway.stop.run_until_cancelled(heard).await {
                Some(Ok(Ok(()))) => {}
                Some(Err(_)) if Instant::now() < self.deadline => {
                    return (SIGN_OF_LIFE.to_vec(), false);
                }
                // In vain, or the gateway ends.
                _ => {
                    let (status, message, _) = Unanswerable::Late.told();
                    return (self.pieces.fail(status, &message), true);
                }
            }
        }
    }
}
