//! One delivery of a platform, taken: parsed, and all of its messages in the log. However it came: transports call this,
//! and tell the platform what it returns.

use chatbot_adapters::{Answer, Delivery, Event, Refusal, Request, Transport};
use chatbot_message::Message;
use thiserror::Error;
use tokio::time::Instant;

use crate::Gateway;
use crate::channel::{Channel, Running};
use crate::intake::Rejected;
use crate::metrics::Phase;

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
    enqueue(gateway, delivery.via, &parsed.messages).await?;
    channel.metrics.received(parsed.messages.len());
    if !parsed.messages.is_empty() {
        channel.metrics.took(Phase::Enqueue, begun.elapsed());
    }
    for message in &parsed.messages {
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
/// One that fails ends its account's, and none is forgotten: the platform repeats all of them, and copies are known.
async fn enqueue(gateway: &Gateway, via: Transport, messages: &[Message]) -> Result<(), Rejected> {
    let mut accounts: Vec<Vec<&Message>> = Vec::new();
    for message in messages {
        match accounts.iter_mut().find(|of| {
            of.first()
                .is_some_and(|first| first.account == message.account)
        }) {
            Some(of) => of.push(message),
            None => accounts.push(vec![message]),
        }
    }
    let enqueuing = accounts.into_iter().map(|messages| async move {
        for message in messages {
            match via {
                Transport::Polling | Transport::LongConnection => {
                    gateway.intake.accept_in_order(message).await?
                }
                _ => gateway.intake.accept(message).await?,
            };
        }
        Ok(())
    });
    let results = futures::future::join_all(enqueuing).await;
    results.into_iter().collect()
}

impl Running {
    /// Makes the requests that follow a delivery. They are of no consequence for its messages, and are not repeated.
    pub(crate) async fn follow_up(&self, channel: &str, requests: Vec<Request>) {
        for request in requests {
            let asked = self
                .client
                .ask(request, |response| match self.adapter.classify(response) {
                    chatbot_adapters::Verdict::Accepted { .. } => Ok(()),
                    verdict => Err(verdict),
                })
                .await;
            if let Err(verdict) = asked {
                tracing::debug!(
                    channel,
                    ?verdict,
                    "the platform did not take an acknowledgement"
                );
            }
        }
    }
}
