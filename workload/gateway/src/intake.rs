//! From a parsed message to an acknowledged one. The enqueue is the claim: nothing is marked as seen before the log has
//! it, so a message can be lost nowhere; a copy is recognised by the worker, whoever let it in.

#[cfg(test)]
mod broken;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chatbot_adapters::web_chat::Code;
use chatbot_message::{Account, Message, Trace};
use chatbot_queue::{Log, Offset, Topic};
use chatbot_telemetry::log;
use thiserror::Error;
use tokio::sync::Semaphore;
use tracing::{Instrument, debug};
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::rate::Rate;
use crate::{Limits, locked};

/// Takes messages into the log.
pub(crate) struct Intake {
    log: Arc<dyn Log>,
    per_minute: u32,
    rate: Mutex<Rate>,
    known: Mutex<Known>,
    unacknowledged: Semaphore,
    append: Duration,
    metrics: Metrics,
}

/// A message that the log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// From now on.
    Now,
    /// Already, with the position of its reply if there is one.
    Before { reply: Option<Place> },
}

/// The most bytes that a message has in the log. A broker takes a tenth more, so that it can be sent on to a linked account,
/// and kept as a dead letter.
const LARGEST: usize = 900_000;

/// Why a message was not taken. The sender repeats it, with the same id, unless it is too long.
#[derive(Debug, Error)]
pub(crate) enum Rejected {
    #[error("that was a lot at once: at most {limit} messages a minute can be sent")]
    TooManyMessages { limit: u32, retry_after: Duration },
    #[error("too many messages are waiting to be taken; this one was not")]
    Overloaded,
    #[error(
        "the message has {bytes} bytes with all that came with it, more than the {LARGEST} that can be stored; send less"
    )]
    TooLong { bytes: usize },
    #[error("the message could not be stored: {reason}")]
    Unavailable { reason: String },
}

impl Rejected {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::TooManyMessages { .. } => Code::TooManyMessages,
            Self::Overloaded => Code::Overloaded,
            Self::TooLong { .. } => Code::TooLong,
            Self::Unavailable { .. } => Code::Unavailable,
        }
    }

    /// After how long it may be taken; never, if it is the message itself that cannot be.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyMessages { retry_after, .. } => Some(*retry_after),
            Self::Overloaded | Self::Unavailable { .. } => Some(Duration::from_secs(2)),
            Self::TooLong { .. } => None,
        }
    }
}

/// Where a reply stands: partition and position.
pub(crate) type Place = (u32, Offset);

impl Intake {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        per_minute: u32,
        limits: &Limits,
        metrics: Metrics,
    ) -> Self {
        Self {
            log,
            per_minute,
            rate: Mutex::new(Rate::new(per_minute)),
            known: Mutex::new(Known::new(limits.known)),
            unacknowledged: Semaphore::new(limits.unacknowledged),
            append: limits.append,
            metrics,
        }
    }

    /// Takes a message, in the trace that it came with if it did; returns when the log has it.
    pub(crate) async fn accept(
        &self,
        message: &Message,
        trace: Option<Trace>,
    ) -> Result<Accepted, Rejected> {
        self.take(message, trace, !message.synthetic).await
    }

    /// Takes a message of a platform that keeps one order for all its users: one that is too fast would hold up the others
    /// until the log has what it sent, so that no user is too fast here.
    pub(crate) async fn accept_in_order(&self, message: &Message) -> Result<Accepted, Rejected> {
        self.take(message, None, false).await
    }

    async fn take(
        &self,
        message: &Message,
        trace: Option<Trace>,
        is_bounded: bool,
    ) -> Result<Accepted, Rejected> {
        let trace = trace.unwrap_or_else(|| Trace::of(message.id)).at("gateway");
        let taking = self.take_in(message, trace, is_bounded);
        taking
            .instrument(log::message(trace.id(), message.id))
            .await
    }

    async fn take_in(
        &self,
        message: &Message,
        trace: Trace,
        is_bounded: bool,
    ) -> Result<Accepted, Rejected> {
        if let Some(seen) = locked(&self.known).messages.get(&message.id) {
            self.metrics.duplicates.inc();
            return Ok(Accepted::Before { reply: seen.reply });
        }
        let share = is_bounded
            .then(|| self.share(&message.account))
            .transpose()?;
        let appended = self.append(message, trace).await;
        appended.inspect_err(|rejected| debug!("a message is not taken: {rejected}"))?;
        if let Some(share) = share {
            share.keep();
        }
        debug!(channel = message.account.channel, "a message is taken");
        locked(&self.known).insert(message.id);
        if !message.synthetic {
            self.metrics.accepted.inc();
        }
        Ok(Accepted::Now)
    }

    /// Takes one message of a user's rate.
    fn share<'a>(&'a self, account: &'a Account) -> Result<Share<'a>, Rejected> {
        let taken = locked(&self.rate).take(account, Instant::now());
        taken.map_err(|retry_after| {
            self.metrics.rejected("rate");
            Rejected::TooManyMessages {
                limit: self.per_minute,
                retry_after,
            }
        })?;
        Ok(Share {
            rate: &self.rate,
            account: Some(account),
        })
    }

    async fn append(&self, message: &Message, trace: Trace) -> Result<(), Rejected> {
        let failed = |reason: String| {
            self.metrics.rejected("queue");
            Rejected::Unavailable { reason }
        };
        let value = serde_json::to_vec(message).map_err(|error| failed(error.to_string()))?;
        if value.len() > LARGEST {
            self.metrics.rejected("too_long");
            return Err(Rejected::TooLong { bytes: value.len() });
        }
        let bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let Ok(_waiting) = self.unacknowledged.try_acquire_many(bytes) else {
            self.metrics.rejected("overload");
            return Err(Rejected::Overloaded);
        };
        let partition = message.account.partition(self.log.partitions());
        let append = self
            .log
            .append_traced(Topic::Inbound, partition, value, Some(trace));
        match tokio::time::timeout(self.append, append).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("the queue did not answer in time".to_owned())),
        }
    }

    /// Learns that a message was answered; returns how long ago it was taken here, if it was.
    pub(crate) fn answered(&self, message: Uuid, reply: Place) -> Option<Duration> {
        locked(&self.known).answered(message, reply)
    }
}

/// One message of a user's rate: given back unless the log has the message, also when nobody waits for that any more.
struct Share<'a> {
    rate: &'a Mutex<Rate>,
    account: Option<&'a Account>,
}

impl Share<'_> {
    fn keep(mut self) {
        self.account = None;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.account {
            locked(self.rate).give_back(account);
        }
    }
}

/// The latest messages that the log is known to have: only to spare it copies, never to decide what is one.
struct Known {
    bound: usize,
    messages: HashMap<Uuid, Seen>,
    order: VecDeque<Uuid>,
}

struct Seen {
    at: Instant,
    reply: Option<Place>,
}

impl Known {
    fn new(bound: usize) -> Self {
        Self {
            bound,
            messages: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    fn insert(&mut self, id: Uuid) {
        if self.messages.contains_key(&id) {
            return;
        }
        if self.order.len() >= self.bound
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
        self.order.push_back(id);
        self.messages.insert(
            id,
            Seen {
                at: Instant::now(),
                reply: None,
            },
        );
    }

    fn answered(&mut self, id: Uuid, reply: Place) -> Option<Duration> {
        let taken_here = self.messages.contains_key(&id);
        self.insert(id);
        let seen = self.messages.get_mut(&id)?;
        seen.reply = Some(reply);
        taken_here.then(|| seen.at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_messages_are_remembered() {
        let mut known = Known::new(2);
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];
        for id in ids {
            known.insert(id);
        }
        assert!(!known.messages.contains_key(&ids[0]));
        assert!(known.messages.contains_key(&ids[2]));
        assert_eq!(known.messages.len(), known.order.len());
    }

    #[test]
    fn a_reply_seen_before_its_acknowledgement_is_remembered() {
        let mut known = Known::new(2);
        let id = Uuid::from_u128(1);
        assert_eq!(known.answered(id, (0, 7)), None);
        known.insert(id);
        assert_eq!(known.messages[&id].reply, Some((0, 7)));
        assert!(known.answered(id, (0, 7)).is_some());
    }
}
