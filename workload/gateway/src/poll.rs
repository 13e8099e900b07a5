//! Asks a platform for a channel's messages, again and again. The next question confirms what the last one brought: it is
//! asked when the log has that, and never before.

use std::convert::Infallible;
use std::time::Duration;

use chatbot_adapters::{Polled, Response, Transport, Verdict};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::channel::{Hindrance, Reason, hindrance};
use crate::client::Client;
use crate::hold::Holding;

/// An answer with nothing in it that comes sooner than this came without waiting.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Asks for as long as the channel is held.
pub(crate) async fn run(holding: &Holding<'_>) -> Infallible {
    let limits = &holding.gateway().limits;
    let adapter = &holding.running().adapter;
    let within = limits.poll + limits.send;
    let http = holding.gateway().http.bounded(within, adapter.max_body());
    let poll = Poll {
        client: Client::new(http, adapter.clone()),
        holding,
    };
    let mut backoff = Backoff::new(limits.retry_first, limits.retry_cap);
    // Whoever has just begun, or failed, does not wait for messages: it shows at once whether all is well.
    let mut patience = Duration::ZERO;
    loop {
        match poll.once(patience).await {
            Ok(empty_at_once) => {
                holding
                    .channel()
                    .standing
                    .connected("the platform is asked for messages");
                backoff.reset();
                if empty_at_once && !patience.is_zero() {
                    sleep(limits.retry_first).await;
                }
                patience = limits.poll;
            }
            Err((hindrance, pause)) => {
                let Hindrance { reason, message } = hindrance;
                let channel = holding.channel();
                warn!(channel = channel.name, why = reason.as_str(), "{message}");
                channel.standing.fails(reason, message);
                sleep(backoff.next().max(pause)).await;
                patience = Duration::ZERO;
            }
        }
    }
}

struct Poll<'a> {
    client: Client,
    holding: &'a Holding<'a>,
}

impl Poll<'_> {
    /// Asks once, and takes what comes; says whether that was nothing, and at once. Fails with what to tell, and how long
    /// to wait at least.
    async fn once(&self, patience: Duration) -> Result<bool, (Hindrance, Duration)> {
        let adapter = &self.holding.running().adapter;
        let cursor = self.holding.cursor();
        let Some(request) = adapter.poll(cursor.as_deref(), patience) else {
            std::future::pending().await
        };
        let asked = Instant::now();
        let read = |response: &Response| Ok((adapter.polled(response), response.body.to_vec()));
        let (polled, body) = match self.client.ask(request, read).await {
            Ok(told) => told,
            Err(verdict) => return Err(self.failed(verdict)),
        };
        match polled {
            Polled::Delivery => {}
            Polled::Subscribed { reason } => return Err(self.unsubscribe(reason).await),
            Polled::Contended { reason } => {
                let message = format!(
                    "another program asks for this bot's messages: stop it, or give it a bot of its own ({reason})"
                );
                let hindrance = Hindrance {
                    reason: Reason::Disconnected,
                    message,
                };
                return Err((hindrance, Duration::ZERO));
            }
            Polled::Failed(verdict) => return Err(self.failed(verdict)),
        }
        let received = self.holding.take(Transport::Polling, &body).await;
        let next = received.and_then(|received| received.cursor);
        let is_empty = next.is_none();
        if !is_empty {
            self.holding.keep(next);
        }
        Ok(is_empty && asked.elapsed() < AT_ONCE)
    }

    /// Takes back that messages go to a webhook: the platform gives them to one or the other.
    async fn unsubscribe(&self, reason: String) -> (Hindrance, Duration) {
        let adapter = &self.holding.running().adapter;
        if let Some(request) = adapter.subscribe(None) {
            let read = |response: &Response| match adapter.classify(response) {
                Verdict::Accepted { .. } => Ok(()),
                verdict => Err(verdict),
            };
            match self.client.ask(request, read).await {
                Ok(()) => info!(
                    channel = self.holding.channel().name,
                    "its webhook is taken back"
                ),
                Err(verdict) => return self.failed(verdict),
            }
        }
        let hindrance = Hindrance {
            reason: Reason::Disconnected,
            message: format!("its messages went to a webhook, which is taken back ({reason})"),
        };
        (hindrance, Duration::ZERO)
    }

    fn failed(&self, verdict: Verdict) -> (Hindrance, Duration) {
        hindrance(verdict, self.holding.gateway().limits.credentials)
    }
}
