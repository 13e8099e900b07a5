//! Replies to those who wait here, at sockets or for the response to a request.

use std::collections::BTreeMap;

use chatbot_message::{Outcome, Reply};
use chatbot_queue::journal::{self, Checkpoint, Delivery, Entry, Reader, Step};
use chatbot_queue::{Error, Offset, Suggested};
use tokio::sync::watch;

use super::{Place, Progress};
use crate::channel::Kind;
use crate::resume::Cursor;
use crate::rooms::Push;

/// A reply that is not marked yet.
struct Pending {
    at: Checkpoint,
    after: Checkpoint,
    reply: Reply,
}

/// Records of the journal that are looked through for earlier replies, where a request may repeat an id.
const LOOK_BACK: u64 = 10_000;

pub(super) async fn consume(place: Place) {
    let stop = place.gateway.stop.clone();
    let consuming = async {
        let mut suggested = place.member.suggested();
        if place.channel.kind == Kind::Exchange {
            while let Err(error) = remember(&place).await {
                place.waits(&error).await;
            }
        }
        loop {
            if let Err(error) = acquire_and_offer(&place, &mut suggested).await {
                place.waits(&error).await;
            }
        }
    };
    let _stopped: Option<std::convert::Infallible> = stop.run_until_cancelled(consuming).await;
}

/// Learns which replies were made before this gateway began, so that a request that repeats an id is given the recorded
/// one. Which of them counted is known by their marks.
async fn remember(place: &Place) -> Result<(), Error> {
    let log = place.gateway.log.as_ref();
    let partition = place.partition();
    let end = journal::readable_end(log, partition).await?;
    let from = Checkpoint {
        position: end.saturating_sub(LOOK_BACK),
        ..Checkpoint::default()
    };
    let mut reader = Reader::new(log, partition, from);
    let mut replies = BTreeMap::new();
    while reader.checkpoint().position < end {
        let step = reader.next().await?;
        match step.entry {
            Some(Entry::Reply { reply, .. }) if place.delivers(&reply) => {
                replies.insert(step.position, reply.message_id);
            }
            Some(Entry::Delivered { position, .. }) => {
                if let Some(message) = replies.remove(&position) {
                    let _ = place.answered(message, position);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// From the committed position on, until the partition is suggested to this gateway, too: then all is read again, since
/// somebody else may have delivered meanwhile.
async fn acquire_and_offer(
    place: &Place,
    suggested: &mut watch::Receiver<Suggested>,
) -> Result<(), Error> {
    let log = place.gateway.log.as_ref();
    let partition = place.partition();
    let owns = place.is_in(&suggested.borrow_and_update());
    if !owns {
        // Whatever failed when it was another's: that one waits for it.
        place.member.release(partition);
    }
    let committed = place.member.committed(partition).await?;
    let from = Checkpoint::decode(&committed.metadata);
    let end = journal::readable_end(log, partition).await?;

    let mut consumption = Consumption {
        place,
        owns,
        reader: Reader::new(log, partition, from),
        pending: BTreeMap::new(),
        progress: Progress::new(from, place.gateway.limits.commit),
    };
    // What was offered by an earlier holder of the partition carries its mark before `end`.
    while consumption.reader.checkpoint().position < end {
        let step = consumption.reader.next().await?;
        consumption.take_in(step);
    }
    consumption.run(suggested).await
}

struct Consumption<'a> {
    place: &'a Place,
    /// Whether it marks and commits.
    owns: bool,
    reader: Reader,
    pending: BTreeMap<Offset, Pending>,
    progress: Progress,
}

impl Consumption<'_> {
    async fn run(&mut self, suggested: &mut watch::Receiver<Suggested>) -> Result<(), Error> {
        let most = self.place.gateway.limits.pending;
        loop {
            self.deliver().await?;
            self.place.consumer.has_seen(self.reader.checkpoint());
            tokio::select! {
                step = self.reader.next(), if self.pending.len() < most => {
                    let step = step?;
                    self.take_in(step);
                }
                () = tokio::time::sleep_until(self.progress.due()) => self.commit().await?,
                Ok(()) = suggested.changed() => {
                    let owns = self.place.is_in(&suggested.borrow_and_update());
                    if owns && !self.owns {
                        return Ok(());
                    }
                    if self.owns && !owns {
                        // What is not committed is read again by the next one.
                        let _refused = self.commit().await;
                        self.owns = false;
                    }
                    if !owns {
                        self.place.member.release(self.place.partition());
                    }
                }
            }
        }
    }

    fn take_in(&mut self, step: Step) {
        let at = step.checkpoint();
        match step.entry {
            Some(Entry::Reply { reply, .. }) if step.counts && self.place.delivers(&reply) => {
                let after = self.reader.checkpoint();
                self.pending
                    .insert(step.position, Pending { at, after, reply });
            }
            Some(Entry::Delivered { position, .. }) => {
                if let Some(pending) = self.pending.remove(&position) {
                    // Who asks for it again is given it all the same.
                    let _ = self.place.answered(pending.reply.message_id, position);
                }
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
                    last: true,
                };
                let log = self.place.gateway.log.as_ref();
                journal::append(log, self.place.partition(), &delivered).await?;
            }
            self.pending.remove(&position);
        }
        Ok(())
    }

    fn offer(&self, position: Offset, pending: &Pending) {
        let Pending { after, reply, .. } = pending;
        let (gateway, channel) = (&self.place.gateway, &self.place.channel);
        let taken_ago = self.place.answered(reply.message_id, position);
        if channel.kind == Kind::Exchange {
            gateway.exchanges.answer(reply);
        } else {
            let cursor = Cursor::new(gateway.log.as_ref(), *after).frame();
            for part in channel.adapter.format_response(reply, position) {
                let push = Push::Reply {
                    partition: self.place.partition(),
                    position,
                    message: reply.message_id,
                    frame: String::from_utf8_lossy(&part.body).into(),
                    cursor: cursor.clone(),
                };
                gateway.rooms.push(&reply.account, &push, None);
            }
        }
        if reply.synthetic {
            return;
        }
        let metrics = &gateway.metrics;
        metrics.replies.inc();
        if reply.outcome == Outcome::Fallback {
            metrics.fallbacks.inc();
        }
        if let Some(delay) = taken_ago {
            metrics.reply_delay(delay);
        }
        if self.owns {
            channel.metrics.delivered();
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let lowest = self
            .pending
            .first_key_value()
            .map_or_else(|| self.reader.checkpoint(), |(_, pending)| pending.at);
        self.progress.later();
        if self.owns && self.progress.is_past(lowest) {
            self.place.commit(lowest).await?;
            self.progress.committed(lowest);
        }
        Ok(())
    }
}
