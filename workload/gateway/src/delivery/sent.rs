//! Replies to a platform, sent by the gateway to whom the group suggests their partition.

use std::sync::Arc;

use chatbot_message::Trace;
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader, Step};
use chatbot_queue::{Error, Offset, Suggested};
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::attempt::{Ended, Sender};
use super::catch_up::CatchUp;
use super::lanes::{Lanes, Waiting};
use super::{Place, Progress};
use crate::channel::Running;
use crate::metrics::Phase;
use crate::now_ms;

/// Sends while the partition is suggested to this gateway, as long as the channel runs with the same Secret.
pub(super) async fn consume(place: Place, running: Arc<Running>) {
    let mut suggested = place.member.suggested();
    let over = || async {
        tokio::select! {
            () = running.ended.cancelled() => {}
            () = place.gateway.stop.cancelled() => {}
        }
    };
    loop {
        tokio::select! {
            () = over() => return,
            () = its_turn(&place, &mut suggested) => {}
        }
        let sent = acquire_and_send(&place, &running, &mut suggested).await;
        if let Err(error) = sent {
            tokio::select! {
                () = over() => return,
                () = place.waits(&error) => {}
            }
        }
    }
}

/// Waits until the partition is suggested to this gateway; as long as it is not, others may have it.
async fn its_turn(place: &Place, suggested: &mut watch::Receiver<Suggested>) {
    while !place.is_in(&suggested.borrow_and_update()) {
        place.member.release(place.partition());
        if suggested.changed().await.is_err() {
            // It cannot change any more: the gateway ends.
            std::future::pending::<()>().await;
        }
    }
}

/// From the committed position on, until the partition is another's, the channel begins anew, or the gateway stops.
async fn acquire_and_send(
    place: &Place,
    running: &Running,
    suggested: &mut watch::Receiver<Suggested>,
) -> Result<(), Error> {
    let log = place.gateway.log.as_ref();
    let partition = place.partition();
    let term = place.member.lease().term;
    let committed = place.member.committed(partition).await?;
    let from = Checkpoint::decode(&committed.metadata);
    // The lease lasts from a commit on. It matters for what has no key, and any platform may be asked for that.
    place.commit(from).await?;
    let end = journal::readable_end(log, partition).await?;
    let stop = CancellationToken::new();
    let sender = Sender {
        place,
        running,
        term,
        stop: &stop,
    };
    let mut acquisition = Acquisition {
        place,
        running,
        progress: Progress::new(from, place.gateway.limits.commit),
        reader: Reader::new(log, partition, from),
        lanes: Lanes::default(),
        catch_up: Some(CatchUp::new(end)),
        counted: 0,
    };
    let outcome = acquisition.run(&sender, suggested).await;
    acquisition.count();
    outcome
}

struct Acquisition<'a> {
    place: &'a Place,
    running: &'a Running,
    progress: Progress,
    reader: Reader,
    lanes: Lanes,
    /// While marks of earlier holders may follow.
    catch_up: Option<CatchUp>,
    /// Pending, as counted for the channel.
    counted: usize,
}

/// A reply's turn, to its end.
type Turn = Result<(Offset, Ended), Error>;
/// A commit under way, and what is committed.
type Committing<'a> = Option<BoxFuture<'a, (Checkpoint, Result<(), Error>)>>;

impl<'a> Acquisition<'a> {
    async fn run(
        &mut self,
        sender: &Sender<'_>,
        suggested: &mut watch::Receiver<Suggested>,
    ) -> Result<(), Error> {
        let mut under_way = FuturesUnordered::new();
        // Beside the sends, since none of them may stand still between its look at the lease and its end.
        let mut committing: Committing<'a> = None;
        let gateway_stop = self.place.gateway.stop.clone();
        let outcome = loop {
            self.caught_up();
            while let Some((position, waiting)) = self.lanes.start() {
                under_way.push(async move {
                    let ended = sender.deliver(position, &waiting).await;
                    ended.map(|ended| (position, ended))
                });
            }
            self.count();
            self.place.consumer.has_seen(self.reader.checkpoint());
            tokio::select! {
                Some(turn) = under_way.next() => match self.ended(turn) {
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                },
                step = self.reader.next(), if self.may_read() => match step {
                    Ok(step) => self.take_in(step),
                    Err(error) => break Err(error),
                },
                () = tokio::time::sleep_until(self.progress.due()) => {
                    self.progress.later();
                    if committing.is_none() {
                        committing = Some(self.commit());
                    }
                }
                Some((lowest, committed)) = OptionFuture::from(committing.as_mut()) => {
                    committing = None;
                    match committed {
                        Ok(()) => self.progress.committed(lowest),
                        Err(error) => break Err(error),
                    }
                }
                Ok(()) = suggested.changed() => {
                    if !self.place.is_in(&suggested.borrow_and_update()) {
                        break Ok(());
                    }
                }
                () = self.running.ended.cancelled() => break Ok(()),
                () = gateway_stop.cancelled() => break Ok(()),
            }
        };
        // What is under way ends: whoever is next must find its mark.
        sender.stop.cancel();
        while let Some(turn) = under_way.next().await {
            let _ends_already = self.ended(turn);
        }
        if let (_, Err(error)) = self.commit().await {
            debug!(channel = self.place.channel.name, %error, "the last commit was refused");
        }
        self.lanes = Lanes::default();
        self.catch_up = None;
        outcome
    }

    /// Whether the acquisition goes on after the end of a reply's turn.
    fn ended(&mut self, turn: Turn) -> Result<bool, Error> {
        match turn? {
            (position, Ended::Done) => self.lanes.done(position),
            (_, Ended::Stopped) => {}
            (_, Ended::Lapsed) => {
                info!(
                    channel = self.place.channel.name,
                    partition = self.place.partition(),
                    "the lease has lapsed: the journal is read again"
                );
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reading waits while too much does. Once it has begun to catch up it goes on, for the marks.
    fn may_read(&self) -> bool {
        match &self.catch_up {
            Some(catch_up) if !catch_up.waits() => true,
            // Not for a single place: the marks behind it are read once more for every beginning.
            Some(_) => {
                self.place.channel.metrics.pending() <= self.place.gateway.limits.pending / 2
            }
            None => self.has_room(),
        }
    }

    fn has_room(&self) -> bool {
        self.place.channel.metrics.pending() < self.place.gateway.limits.pending
    }

    /// Once the marks of earlier holders are read, what they left is sent.
    fn caught_up(&mut self) {
        let position = self.reader.checkpoint().position;
        let Some(catch_up) = self.catch_up.take_if(|catch_up| catch_up.is_over(position)) else {
            return;
        };
        let (staged, again) = catch_up.finish();
        for (position, waiting) in staged {
            self.place.heard_of(position, &waiting);
            self.lanes.add(position, waiting);
        }
        if let Some((from, again)) = again {
            let log = self.place.gateway.log.as_ref();
            self.reader = Reader::new(log, self.place.partition(), from);
            self.catch_up = Some(again);
        }
    }

    fn take_in(&mut self, step: Step) {
        let at = step.checkpoint();
        let position = step.position;
        match step.entry {
            Some(Entry::Reply { reply, .. }) if step.counts && self.place.delivers(&reply) => {
                let chat = self.running.adapter.chat(&reply.origin).to_owned();
                let trace = step.trace.unwrap_or_else(|| Trace::of(reply.message_id));
                let waiting = Waiting {
                    trace: trace.at("delivery"),
                    at,
                    appended_at: step.appended_at,
                    reply: Arc::new(reply),
                    chat,
                    sent: 0,
                };
                self.found(position, waiting);
            }
            Some(Entry::Delivered {
                position,
                part,
                delivery,
                ..
            }) => {
                if let Some(catch_up) = &mut self.catch_up {
                    let adapter = &self.running.adapter;
                    catch_up.mark(position, part, &delivery, |reply| {
                        adapter.format_response(reply, position).len()
                    });
                }
            }
            _ => {}
        }
    }

    fn found(&mut self, position: Offset, waiting: Waiting) {
        let room = self.has_room();
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.reply(position, waiting, room);
        } else {
            self.place.heard_of(position, &waiting);
            self.lanes.add(position, waiting);
        }
        self.count();
    }

    /// The lowest position that is not settled.
    fn lowest(&self) -> Checkpoint {
        let staged = self.catch_up.as_ref().and_then(CatchUp::lowest);
        self.lanes
            .lowest()
            .or(staged)
            .unwrap_or_else(|| self.reader.checkpoint())
    }

    /// Commits, which renews the lease as well.
    fn commit(&self) -> BoxFuture<'a, (Checkpoint, Result<(), Error>)> {
        let (place, lowest) = (self.place, self.lowest());
        async move { (lowest, place.commit(lowest).await) }.boxed()
    }

    /// Counts what waits, for the channel's bound.
    fn count(&mut self) {
        let staged = self.catch_up.as_ref().map_or(0, CatchUp::len);
        let pending = self.lanes.len() + staged;
        let channel = &self.place.channel;
        channel.metrics.now_pending(self.counted, pending);
        let last_is_gone = self.counted > 0 && channel.metrics.pending() == 0;
        self.counted = pending;
        if last_is_gone {
            channel.standing.unhindered();
        }
    }
}

impl Place {
    /// A reply has come: how long it took until here.
    fn heard_of(&self, position: Offset, waiting: &Waiting) {
        let (gateway, reply) = (&self.gateway, &waiting.reply);
        gateway.typing.ends(reply.message_id);
        let taken_ago = self.answered(reply.message_id, position);
        if reply.synthetic {
            return;
        }
        gateway.metrics.replies.inc();
        if reply.outcome == chatbot_message::Outcome::Fallback {
            gateway.metrics.fallbacks.inc();
        }
        if let Some(delay) = taken_ago {
            gateway.metrics.reply_delay(delay);
        }
        let waited = now_ms().saturating_sub(waiting.appended_at);
        let waited = std::time::Duration::from_millis(u64::try_from(waited).unwrap_or_default());
        self.channel.metrics.took(Phase::Journal, waited);
    }
}
