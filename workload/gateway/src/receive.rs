//! One delivery of a platform, taken: parsed, and all of its messages in the log. However it came: transports call this,
//! and tell the platform what it returns.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::HeaderMap;
use chatbot_adapters::{Answer, Delivery, Event, Refusal, Request, Transport, Verdict};
use chatbot_message::{Account, Message, TRACEPARENT, Trace};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::backoff::Backoff;
use crate::channel::{Channel, Running};
use crate::intake::{Accepted, Rejected};
use crate::metrics::Phase;
use crate::{Gateway, Limits};

/// A delivery of which the log has every message.
#[derive(Debug)]
pub(crate) struct Received {
    /// What the platform is told now.
    pub(crate) acknowledgement: Answer,
    /// Requests to be made now, by the channel's client ([`Running::follow_up`]).
    pub(crate) requests: Vec<Request>,
    /// Where to go on, where the platform counts its deliveries: to be kept now.
    pub(crate) cursor: Option<String>,
    /// What else it held.
    pub(crate) events: Vec<Event>,
}

/// Why a delivery was not taken. Nothing of it is acknowledged.
#[derive(Debug, Error)]
pub(crate) enum NotReceived {
    /// It is not authentic, or no delivery: the same again is refused again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not now: the platform repeats it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

/// Takes a delivery (G1 to G3 of the message guarantee); returns when the log has all of its messages.
pub(crate) async fn receive(
    gateway: &Gateway,
    channel: &Channel,
    running: &Running,
    delivery: &Delivery<'_>,
) -> Result<Received, NotReceived> {
    let parsed = running.adapter.parse_message(delivery)?;
    let begun = Instant::now();
    let new = enqueue(gateway, delivery, &parsed.messages).await?;
    channel.metrics.received(parsed.messages.len());
    if !parsed.messages.is_empty() {
        channel.metrics.took(Phase::Enqueue, begun.elapsed());
    }
    for message in new {
        gateway.typing.begins(channel, message);
    }
    Ok(Received {
        acknowledgement: parsed.acknowledgement,
        requests: parsed.requests,
        cursor: parsed.cursor,
        events: parsed.events,
    })
}

/// Enqueues messages: those of one account one after the other, so that their order stays, those of others beside them.
/// One that fails ends its account's, and none is forgotten: the platform repeats all of them, and copies are known. Gives
/// those that are no copies.
async fn enqueue<'m>(
    gateway: &Gateway,
    delivery: &Delivery<'_>,
    messages: &'m [Message],
) -> Result<Vec<&'m Message>, Rejected> {
    let mut accounts: HashMap<&Account, Vec<&Message>> = HashMap::new();
    for message in messages {
        accounts.entry(&message.account).or_default().push(message);
    }
    let enqueuing = accounts.into_values().map(|messages| async move {
        let mut new = Vec::new();
        for message in messages {
            let accepted = match delivery.via {
                Transport::Polling | Transport::LongConnection => {
                    gateway.intake.accept_in_order(message).await?
                }
                // A request belongs to the trace that it names; what comes on a connection has none of its own.
                _ => {
                    let trace = trace_of(delivery.headers);
                    gateway.intake.accept(message, trace).await?
                }
            };
            if accepted == Accepted::Now {
                new.push(message);
            }
        }
        Ok(new)
    });
    let results = futures::future::join_all(enqueuing).await;
    let new: Result<Vec<_>, _> = results.into_iter().collect();
    Ok(new?.concat())
}

/// The trace that a request names; one that cannot be read is none.
pub(crate) fn trace_of(headers: &HeaderMap) -> Option<Trace> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

impl Running {
    /// Makes the requests that follow a delivery which came at `came`: its acknowledgement, where that is no answer. They are
    /// of no consequence for its messages, so that they are tried as long as the platform waits for them, and no longer.
    pub(crate) async fn follow_up(
        &self,
        limits: &Limits,
        channel: &str,
        requests: Vec<Request>,
        came: Instant,
    ) {
        let patience = self.adapter.limits().acknowledgement;
        let patience = patience.unwrap_or(limits.send);
        let acknowledging = requests.into_iter().map(|request| async move {
            let backoff = Backoff::new(limits.retry_first, limits.retry_cap);
            let told = self.acknowledge(request, came, patience, backoff).await;
            if let Err(verdict) = told {
                warn!(
                    channel,
                    ?verdict,
                    "the platform did not take an acknowledgement"
                );
            }
        });
        futures::future::join_all(acknowledging).await;
    }

    /// Acknowledges, again if it is not known to have been heard: twice is once to whoever waits for it.
    async fn acknowledge(
        &self,
        request: Request,
        came: Instant,
        patience: Duration,
        mut backoff: Backoff,
    ) -> Result<(), Verdict> {
        loop {
            let asked = self.client.ask(request.clone(), |response| {
                match self.adapter.classify(response) {
                    Verdict::Accepted { .. } => Ok(()),
                    verdict => Err(verdict),
                }
            });
            // One that is not answered leaves time for another.
            let told = timeout(patience / 2, asked).await.unwrap_or_else(|_| {
                Err(Verdict::Unknown {
                    reason: "there was no answer in time".to_owned(),
                })
            });
            let pause = match &told {
                Err(Verdict::Later { after, .. }) => after.unwrap_or_else(|| backoff.next()),
                Err(Verdict::Unknown { .. }) => backoff.next(),
                _ => return told,
            };
            if came.elapsed() + pause >= patience {
                return told;
            }
            sleep(pause).await;
        }
    }
}
