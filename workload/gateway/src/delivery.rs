//! One consumer of `response[p]` per channel and partition: counting replies go to the channel's users, in the log's
//! order, and each is marked in the journal before the offset passes it.
//!
//! For the web chat the journal itself is the mailbox: a page fetches from it what follows its cursor, so a reply is
//! delivered once it has been offered to the sockets that are here, however many those are. Offering it again is
//! harmless, since the page drops what it knows: the web chat counts as a platform with idempotency keys.
//!
//! Each gateway offers every reply to the sockets that it has. Only the one to whom the channel's group suggests the
//! partition marks and commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbot_message::{Outcome, Reply};
use chatbot_queue::journal::{self, Checkpoint, Delivery, Entry, Reader, Step};
use chatbot_queue::{Commit, Error, Member, Offset, Suggested, Topic};
use tokio::sync::watch;
use tokio::task::JoinSet;
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

/// Delivers a channel's replies until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>, channel: Arc<Channel>) {
    let stop = gateway.stop.clone();
    let group = format!("gateway-{}", channel.name);
    let joining = async {
        loop {
            match gateway.log.join(&group, Topic::Response).await {
                Ok(member) => return member,
                Err(error) => {
                    warn!(channel = channel.name, %error, "delivery waits");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    let Some(member) = stop.run_until_cancelled(joining).await else {
        return;
    };
    let member: Arc<dyn Member> = member.into();
    let mut consumers = JoinSet::new();
    for consumer in &channel.consumers {
        let consuming = consume(
            Arc::clone(&gateway),
            Arc::clone(&channel),
            Arc::clone(consumer),
            Arc::clone(&member),
        );
        consumers.spawn(consuming);
    }
    stop.cancelled().await;
    consumers.shutdown().await;
}

async fn consume(
    gateway: Arc<Gateway>,
    channel: Arc<Channel>,
    consumer: Arc<Consumer>,
    member: Arc<dyn Member>,
) {
    let mut suggested = member.suggested();
    loop {
        let delivering = acquire_and_deliver(
            &gateway,
            &channel,
            &consumer,
            member.as_ref(),
            &mut suggested,
        );
        if let Err(error) = delivering.await {
            warn!(channel = channel.name, partition = consumer.partition, %error, "delivery waits");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// From the committed position on, until the partition is suggested to this gateway, too: then all is read again, since
/// somebody else may have delivered meanwhile.
async fn acquire_and_deliver(
    gateway: &Gateway,
    channel: &Channel,
    consumer: &Consumer,
    member: &dyn Member,
    suggested: &mut watch::Receiver<Suggested>,
) -> Result<(), Error> {
    let log = gateway.log.as_ref();
    let partition = consumer.partition;
    let owns = is_in(&suggested.borrow_and_update(), partition);
    let committed = member.committed(partition).await?;
    let from = Checkpoint::decode(&committed.metadata);
    let end = journal::readable_end(log, partition).await?;

    let mut delivery = Consumption {
        gateway,
        channel,
        consumer,
        member,
        owns,
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
    delivery.run(suggested).await
}

fn is_in(suggested: &Suggested, partition: u32) -> bool {
    suggested
        .as_ref()
        .is_some_and(|suggested| suggested.contains(&partition))
}

struct Consumption<'a> {
    gateway: &'a Gateway,
    channel: &'a Channel,
    consumer: &'a Consumer,
    member: &'a dyn Member,
    /// Whether it marks and commits.
    owns: bool,
    reader: Reader,
    pending: BTreeMap<Offset, Pending>,
    committed: Offset,
    commit_at: Instant,
}

impl Consumption<'_> {
    async fn run(&mut self, suggested: &mut watch::Receiver<Suggested>) -> Result<(), Error> {
        let partition = self.consumer.partition;
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
                Ok(()) = suggested.changed() => {
                    let owns = is_in(&suggested.borrow_and_update(), partition);
                    if owns && !self.owns {
                        return Ok(());
                    }
                    if self.owns && !owns {
                        // What is not committed is read again by the next one.
                        let _refused = self.commit().await;
                        self.owns = false;
                        self.member.release(partition);
                    }
                }
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
            if self.owns {
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
            }
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
        if self.owns && lowest.position > self.committed {
            let commit = Commit {
                offset: lowest.position,
                metadata: lowest.encode(),
            };
            self.member.commit(self.consumer.partition, commit).await?;
            self.committed = lowest.position;
        }
        self.commit_at = Instant::now() + COMMIT_EVERY;
        Ok(())
    }
}
