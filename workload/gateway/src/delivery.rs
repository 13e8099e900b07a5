//! One consumer of `response[p]` per channel and partition: counting replies go to the channel's users, in the log's
//! order, and each is marked in the journal before the offset passes it.
//!
//! For the web chat the journal itself is the mailbox: a page fetches from it what follows its cursor, so a reply is
//! delivered once it has been offered to the sockets that are here, however many those are. Offering it again is
//! harmless, since the page drops what it knows: the web chat counts as a platform with idempotency keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbot_message::{Outcome, Reply};
use chatbot_queue::journal::{self, Checkpoint, Delivery, Entry, Reader, Step};
use chatbot_queue::{Commit, Error, Offset, Topic};
use tokio::time::Instant;
use tracing::warn;

use crate::resume::Cursor;
use crate::rooms::Push;
use crate::{Channel, Gateway, locked};

/// How often progress is committed while there is any.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Pause before a failed log is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Replies without a mark, at most; then reading waits.
const MAX_PENDING: usize = 10_000;

/// What others may know of a consumer.
pub(crate) struct Consumer {
    partition: u32,
    seen: Mutex<Checkpoint>,
}

/// A reply that is not marked yet.
struct Pending {
    at: Checkpoint,
    after: Checkpoint,
    reply: Reply,
}

impl Consumer {
    pub(crate) fn new(partition: u32) -> Self {
        Self {
            partition,
            seen: Mutex::default(),
        }
    }

    /// Everything before this has been offered.
    pub(crate) fn seen(&self) -> Checkpoint {
        *locked(&self.seen)
    }
}

/// Runs a consumer until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>, channel: Arc<Channel>, consumer: Arc<Consumer>) {
    let stop = gateway.stop.clone();
    let lasting = async {
        loop {
            let Err(error) = acquire_and_deliver(&gateway, &channel, &consumer).await;
            warn!(channel = channel.name, partition = consumer.partition, %error, "delivery waits");
            tokio::time::sleep(RETRY).await;
        }
    };
    stop.run_until_cancelled(lasting).await;
}

/// From the committed position on; ends only by an error of the log.
async fn acquire_and_deliver(
    gateway: &Gateway,
    channel: &Channel,
    consumer: &Consumer,
) -> Result<std::convert::Infallible, Error> {
    let log = gateway.log.as_ref();
    let partition = consumer.partition;
    let group = format!("gateway-{}", channel.name);
    let committed = log.committed(&group, Topic::Response, partition).await?;
    let from = Checkpoint::decode(&committed.metadata);
    let end = log.end(Topic::Response, partition).await?;

    let mut delivery = Consumption {
        gateway,
        channel,
        consumer,
        group,
        reader: Reader::new(log, partition, from),
        pending: BTreeMap::new(),
        committed: from.position,
        commit_at: Instant::now() + COMMIT_EVERY,
    };
    // What was sent by an earlier holder of the partition carries its mark before `end`.
    while delivery.reader.checkpoint().position < end {
        let step = delivery.reader.next().await?;
        delivery.take_in(step);
    }
    delivery.run().await
}

struct Consumption<'a> {
    gateway: &'a Gateway,
    channel: &'a Channel,
    consumer: &'a Consumer,
    group: String,
    reader: Reader<'a>,
    pending: BTreeMap<Offset, Pending>,
    committed: Offset,
    commit_at: Instant,
}

impl Consumption<'_> {
    async fn run(&mut self) -> Result<std::convert::Infallible, Error> {
        loop {
            self.deliver().await?;
            *locked(&self.consumer.seen) = self.reader.checkpoint();
            let at = self.commit_at;
            tokio::select! {
                step = self.reader.next(), if self.pending.len() < MAX_PENDING => {
                    let step = step?;
                    self.take_in(step);
                }
                () = tokio::time::sleep_until(at) => self.commit().await?,
            }
        }
    }

    fn take_in(&mut self, step: Step) {
        let at = step.checkpoint();
        match step.entry {
            Some(Entry::Reply { reply, .. })
                if step.counts && reply.account.channel == self.channel.name =>
            {
                let after = self.reader.checkpoint();
                self.pending
                    .insert(step.position, Pending { at, after, reply });
            }
            Some(Entry::Delivered { position, .. }) => {
                self.pending.remove(&position);
            }
            _ => {}
        }
    }

    /// Offers what is pending and marks it. A mark is taken for true only once it was read back or acknowledged.
    async fn deliver(&mut self) -> Result<(), Error> {
        while let Some((position, pending)) = self.pending.first_key_value() {
            let position = *position;
            self.offer(position, pending);
            let delivered = Entry::Delivered {
                position,
                part: 0,
                delivery: Delivery::Accepted { platform_id: None },
            };
            journal::append(
                self.gateway.log.as_ref(),
                self.consumer.partition,
                &delivered,
            )
            .await?;
            self.pending.remove(&position);
        }
        Ok(())
    }

    fn offer(&self, position: Offset, pending: &Pending) {
        let Pending { after, reply, .. } = pending;
        let cursor = Cursor::new(self.gateway.log.as_ref(), *after).frame();
        for part in self.channel.adapter.format_response(reply, position) {
            let push = Push::Reply {
                position,
                message: reply.message_id,
                frame: String::from_utf8_lossy(&part.body).into(),
                cursor: cursor.clone(),
            };
            self.gateway.rooms.push(&reply.account, &push, None);
        }
        let taken_ago = self.gateway.intake.answered(reply.message_id, position);
        if reply.synthetic {
            return;
        }
        let metrics = &self.gateway.metrics;
        metrics.replies.inc();
        if reply.outcome == Outcome::Fallback {
            metrics.fallbacks.inc();
        }
        if let Some(delay) = taken_ago {
            metrics.reply_delay(delay);
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let lowest = self
            .pending
            .first_key_value()
            .map_or_else(|| self.reader.checkpoint(), |(_, pending)| pending.at);
        if lowest.position > self.committed {
            let commit = Commit {
                offset: lowest.position,
                metadata: lowest.encode(),
            };
            self.gateway
                .log
                .commit(
                    &self.group,
                    Topic::Response,
                    self.consumer.partition,
                    commit,
                )
                .await?;
            self.committed = lowest.position;
        }
        self.commit_at = Instant::now() + COMMIT_EVERY;
        Ok(())
    }
}
