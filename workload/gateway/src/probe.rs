//! A synthetic conversation: a question of the gateway's own, through its real entrance, the queue, a worker and the
//! model, and back. Its result is what `/state` says, and the operator's `Ready` rests on it.
//!
//! It has a page of its own ([`CHANNEL`]), whichever channels there are: that one is in no configuration, no list and no
//! metric, and only this process can connect to it.

mod connection;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use chatbot_adapters::web_chat::{Ask, AskKind, Frame, Hello, HelloKind, VERSION};
use chatbot_crds::config::{ChannelConfig, Hop, PlatformConfig, ProbeState};
use chatbot_message::Account;
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader};
use chatbot_queue::{Error, Log, Offset, Topic};
use futures::{SinkExt, StreamExt};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tracing::{info, warn};
use uuid::Uuid;

use crate::channel::Channel;
use crate::metrics::ChannelMetrics;
use crate::{Gateway, Limits, locked, now_ms};
use connection::{NoConnection, Socket, connect};

/// The channel's name, which is no DNS label, as those of users' channels are.
pub(crate) const CHANNEL: &str = "_probe";
/// The header that holds the secret by which the gateway knows its own request.
const SECRET: HeaderName = HeaderName::from_static("chatbot-probe");
const QUESTION: &str = "Answer with one word: are you there?";

/// What went wrong, and where.
struct Failed {
    hop: Hop,
    message: String,
}

/// The page; none if no adapter is of it.
pub(crate) fn channel(partitions: u32, limits: &Limits) -> Option<Channel> {
    let config = ChannelConfig {
        name: CHANNEL.to_owned(),
        platform: PlatformConfig::WebChat {
            allowed_origins: Vec::new(),
        },
    };
    Channel::new(config, partitions, limits, ChannelMetrics::untold())
}

impl Gateway {
    /// A channel, by its name. The gateway's own is there for itself alone.
    pub(crate) fn channel(&self, name: &str, headers: &HeaderMap) -> Option<&Arc<Channel>> {
        if name != CHANNEL {
            return self.channels.get(name);
        }
        let secret = headers.get(SECRET)?.as_bytes();
        (secret == self.probe_secret.as_bytes()).then_some(&self.probe)
    }
}

/// Converses again and again, one conversation at a time, until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>, listening: SocketAddr) {
    let last: Arc<Mutex<Option<ProbeState>>> = Arc::default();
    let reported = Arc::clone(&last);
    gateway
        .telemetry
        .report(move |state| state.probe.clone_from(&locked(&reported)));
    let address = SocketAddr::new(reachable(listening.ip()), listening.port());
    let stop = gateway.stop.clone();
    let conversing = async {
        tokio::time::sleep(gateway.limits.probe_first).await;
        let begun = Instant::now();
        loop {
            let result = Conversation::hold(&gateway, address).await;
            let well = result.is_ok();
            record(&gateway, &last, result);
            tokio::time::sleep(pause(&gateway.limits, well, begun.elapsed())).await;
        }
    };
    stop.run_until_cancelled(conversing).await;
}

/// Until the next conversation, after one that went well or not, so long after the first one began. Often at first: the
/// rollout that this gateway is part of waits for the first conversation after its end.
fn pause(limits: &Limits, well: bool, since_first: Duration) -> Duration {
    if well && since_first > limits.probe {
        limits.probe
    } else {
        limits.probe_again
    }
}

fn record(gateway: &Gateway, last: &Mutex<Option<ProbeState>>, result: Result<(), Failed>) {
    gateway.metrics.probes.inc();
    let state = match result {
        Ok(()) => ProbeState {
            at: now_ms() / 1_000,
            failed_hop: None,
            message: String::new(),
        },
        Err(Failed { hop, message }) => {
            gateway.metrics.failed_probes.inc();
            ProbeState {
                at: now_ms() / 1_000,
                failed_hop: Some(hop),
                message,
            }
        }
    };
    let mut last = locked(last);
    let before = last.as_ref().map(|last| last.failed_hop);
    if before != Some(state.failed_hop) {
        match state.failed_hop {
            None => info!("a synthetic conversation was answered"),
            Some(hop) => warn!(?hop, state.message, "a synthetic conversation failed"),
        }
    }
    *last = Some(state);
}

/// Where this process reaches its own listener.
fn reachable(listening: IpAddr) -> IpAddr {
    match listening {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

struct Conversation<'a> {
    gateway: &'a Gateway,
    account: Account,
    socket: Socket,
    deadline: Instant,
}

impl<'a> Conversation<'a> {
    async fn hold(gateway: &'a Gateway, address: SocketAddr) -> Result<(), Failed> {
        let deadline = Instant::now() + gateway.limits.probe_timeout;
        let account = Account {
            channel: CHANNEL.to_owned(),
            user: random_id(),
        };
        let partition = account.partition(gateway.log.partitions());
        let before = match gateway.log.end(Topic::Response, partition).await {
            Ok(end) => end,
            Err(error) => return Err(failed(Hop::Queue, error.to_string())),
        };
        let connecting = connect(&gateway.probe_secret, address, gateway.tls());
        let socket = match timeout_at(deadline, connecting).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(NoConnection::NoCertificate(message))) => {
                return Err(failed(Hop::Adapter, message));
            }
            Ok(Err(error)) => {
                let message = format!("the hub cannot reach its own socket at {address}: {error}");
                return Err(failed(Hop::Adapter, message));
            }
            Err(_) => {
                return Err(failed(
                    Hop::Adapter,
                    format!("the hub's own socket at {address} did not answer"),
                ));
            }
        };
        let mut conversation = Self {
            gateway,
            account,
            socket,
            deadline,
        };
        conversation.say_hello().await?;
        let message = conversation.ask().await?;
        let result = conversation.await_reply(message, before).await;
        let _ = timeout_at(deadline, conversation.socket.close(None)).await;
        result
    }

    async fn say_hello(&mut self) -> Result<(), Failed> {
        let hello = Hello {
            kind: HelloKind::Hello,
            version: VERSION,
            user: self.account.user.clone(),
            cursor: None,
            history: false,
        };
        self.send(&hello).await?;
        loop {
            match self.receive().await {
                Some(Frame::Ready { .. }) => return Ok(()),
                Some(Frame::Error { message, .. }) => return Err(failed(Hop::Adapter, message)),
                Some(_) => {}
                None => {
                    return Err(failed(
                        Hop::Adapter,
                        "the hub's own socket was closed".to_owned(),
                    ));
                }
            }
        }
    }

    async fn ask(&mut self) -> Result<Uuid, Failed> {
        let ask = Ask {
            kind: AskKind::Ask,
            id: random_id(),
            text: QUESTION.to_owned(),
            age: 0,
        };
        self.send(&ask).await?;
        loop {
            match self.receive().await {
                Some(Frame::Ack { message, .. }) => return Ok(message),
                Some(Frame::Refused { message, .. }) => return Err(failed(Hop::Queue, message)),
                Some(_) => {}
                None => {
                    let message = "the queue did not take the message in time".to_owned();
                    return Err(failed(Hop::Queue, message));
                }
            }
        }
    }

    async fn await_reply(&mut self, message: Uuid, before: u64) -> Result<(), Failed> {
        loop {
            match self.receive().await {
                Some(Frame::Reply {
                    message: of,
                    fallback,
                    answer,
                    ..
                }) if of == message => {
                    if fallback {
                        // What a synthetic conversation is told instead of an answer is the reason.
                        return Err(failed(Hop::Inference, answer));
                    }
                    return Ok(());
                }
                Some(_) => {}
                None => return Err(self.diagnose(message, before).await),
            }
        }
    }

    /// Where a message without a reply got stuck, as the journal tells.
    async fn diagnose(&self, message: Uuid, before: u64) -> Failed {
        let within = self.gateway.limits.probe_timeout.as_secs();
        let log = self.gateway.log.as_ref();
        let partition = self.account.partition(log.partitions());
        let replied = was_answered(log, partition, before, message).await;
        let owned = self
            .gateway
            .probe
            .consumers
            .get(partition as usize)
            .map(|consumer| consumer.seen().fold)
            .is_some_and(|fold| fold.owner.is_some() && !fold.released);
        match replied {
            Err(error) => failed(Hop::Queue, error.to_string()),
            Ok(true) => failed(
                Hop::Reply,
                format!("a worker answered, but the answer did not come back within {within} s"),
            ),
            Ok(false) if !owned => failed(
                Hop::Worker,
                format!("no worker owns partition {partition}, so nobody took the message"),
            ),
            Ok(false) => failed(
                Hop::Inference,
                format!(
                    "a worker took the message, but no inference instance answered it within {within} s"
                ),
            ),
        }
    }

    async fn send(&mut self, frame: &impl serde::Serialize) -> Result<(), Failed> {
        let text = serde_json::to_string(frame).unwrap_or_default();
        let sending = self.socket.send(Message::text(text));
        match timeout_at(self.deadline, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(
                Hop::Adapter,
                format!("the hub's own socket broke: {error}"),
            )),
            Err(_) => Err(failed(
                Hop::Adapter,
                "the hub's own socket takes nothing".to_owned(),
            )),
        }
    }

    /// The next frame; none when the connection or the time is over.
    async fn receive(&mut self) -> Option<Frame> {
        loop {
            match timeout_at(self.deadline, self.socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    if let Ok(frame) = serde_json::from_str(&text) {
                        return Some(frame);
                    }
                }
                Ok(Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                ))) => {}
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return None,
            }
        }
    }
}

/// Whether a worker has written a reply to `message` since `from`; whether it counts does not matter here.
async fn was_answered(
    log: &dyn Log,
    partition: u32,
    from: Offset,
    message: Uuid,
) -> Result<bool, Error> {
    let end = journal::readable_end(log, partition).await?;
    let from = Checkpoint {
        position: from,
        ..Checkpoint::default()
    };
    let mut reader = Reader::new(log, partition, from);
    while reader.checkpoint().position < end {
        if let Some(Entry::Reply { reply, .. }) = reader.next().await?.entry
            && reply.message_id == message
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn random_id() -> String {
    Uuid::new_v4().simple().to_string()
}

fn failed(hop: Hop, message: String) -> Failed {
    Failed { hop, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after the first conversation at which each begins, if those with these numbers fail.
    fn begin_at(failing: &[usize]) -> Vec<u64> {
        let limits = Limits::default();
        let mut at = Duration::ZERO;
        let begun = (0..10).map(|number| {
            let begins = at.as_secs();
            at += pause(&limits, !failing.contains(&number), at);
            begins
        });
        begun.collect()
    }

    #[test]
    fn conversations_are_held_often_at_first_and_as_long_as_they_fail() {
        let at_first = [0, 5, 10, 15, 20];
        let begun = begin_at(&[]);
        assert_eq!(begun[..5], at_first);
        assert_eq!(begun[5..], [25, 45, 65, 85, 105]);
        let begun = begin_at(&[5, 6]);
        assert_eq!(begun[5..], [25, 30, 35, 55, 75]);
    }
}
