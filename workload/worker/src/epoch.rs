//! Owning a partition (W4 to W11): from its inbound records to replies that count.

mod heads;
mod renewal;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chatbot_message::{Account, Effect, Message, Trace};
use chatbot_queue::journal::{self, Checkpoint, Entry, Step};
use chatbot_queue::{Offset, Topic};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::Shared;
use crate::effects;
use crate::intake::{self, Kind, Taken};
use crate::journal_io::{self, Progress, Written};
use crate::lanes::Lanes;
use crate::own::Own;
use crate::settled::Settled;
use crate::takeover::Takeover;
use crate::view::Link;
use crate::ways::Ways;
use heads::{Ended, Head};
use renewal::Renewal;

/// Why a partition is not owned any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The partition is not this worker's any more, or the worker ends: it has let go in order.
    Left,
    /// Another owner has announced itself.
    Fenced,
    /// A reply may or may not have been written: only a new epoch can tell.
    Unknown,
}

/// A user's lane; a synthetic conversation waits behind nobody.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    User(Account),
    Synthetic(Offset),
}

struct Queued {
    offset: Offset,
    message: Message,
    trace: Trace,
    /// What follows from its reply, if an earlier owner wrote one that counts.
    owed: Option<Effect>,
}

/// Owners in a row that died at a message before it is answered alone.
const DEATHS_ALONE: u32 = 2;
/// Records judged ahead of being taken.
const AHEAD: usize = 64;

pub(crate) struct Epoch {
    shared: Arc<Shared>,
    link: Arc<Link>,
    partition: u32,
    began: Offset,
    seq: u64,
    /// The next owner record of this owner, while it is under way.
    renewal: Option<Renewal>,
    settled: Settled,
    reader: Checkpoint,
    /// The next offset of `inbound` to take.
    next: Offset,
    lanes: Lanes<Lane, Queued>,
    own: Own,
    /// Replies written and not read back yet.
    unread: usize,
    /// The message that owners die of, if one is suspected, and how many did.
    suspect: Option<(Offset, u32)>,
    ways: Ways,
    /// What follows from replies of earlier owners.
    owed: BTreeMap<Offset, Effect>,
    /// Messages whose replies were written, and from which something follows once they are read back.
    owing: HashMap<Offset, Head>,
    /// Lanes in which nothing begins before a message that was sent on has come back.
    held: HashMap<Lane, Uuid>,
    /// Such messages while they are sent on, and those that have come back before that was known.
    sending: HashMap<Lane, Uuid>,
    back: HashMap<Uuid, Queued>,
    under_way: JoinSet<Ended>,
    writes: mpsc::UnboundedSender<(Option<Lane>, Entry, Trace)>,
    progress: watch::Sender<Option<Progress>>,
}

/// What the tasks of an epoch send it.
struct Feeds {
    taken: mpsc::Receiver<Taken>,
    steps: mpsc::Receiver<(Step, Checkpoint)>,
    written: mpsc::Receiver<Written>,
    /// Ends with the epoch.
    _tasks: JoinSet<()>,
}

/// Works until the partition is not owned any more.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    partition: u32,
    takeover: Takeover,
    revoked: &CancellationToken,
) -> End {
    let (mut epoch, mut feeds) = Epoch::begin(shared, link, partition, takeover);
    let end = epoch.work(&mut feeds, revoked).await;
    drop(feeds);
    if end == End::Left {
        epoch.leave().await;
    }
    end
}

impl Epoch {
    fn begin(
        shared: &Arc<Shared>,
        link: &Arc<Link>,
        partition: u32,
        takeover: Takeover,
    ) -> (Self, Feeds) {
        let from = takeover.settled.lowest();
        let (to_take, taken) = mpsc::channel(AHEAD);
        let (to_step, steps) = mpsc::channel(AHEAD);
        let (to_written, written) = mpsc::channel(AHEAD);
        let (writes, to_write) = mpsc::unbounded_channel();
        let progress = watch::Sender::new(None);
        let committing = progress.subscribe();
        let mut tasks = JoinSet::new();
        let with = Arc::clone(shared);
        tasks.spawn(async move { intake::read(&with, partition, from, to_take).await });
        let (with, at) = (Arc::clone(shared), takeover.reader);
        tasks.spawn(async move { journal_io::tail(&with, partition, at, to_step).await });
        let with = Arc::clone(shared);
        tasks.spawn(async move { journal_io::write(&with, partition, to_write, to_written).await });
        let with = Arc::clone(shared);
        tasks.spawn(async move { journal_io::commit(&with, partition, committing).await });
        let with = Arc::clone(shared);
        tasks.spawn(async move { effects::mend(&with, partition).await });
        let keep = usize::try_from(shared.config.history_turns).unwrap_or(usize::MAX);
        let epoch = Self {
            shared: Arc::clone(shared),
            link: Arc::clone(link),
            partition,
            began: takeover.epoch,
            seq: 0,
            renewal: None,
            reader: takeover.reader,
            next: from,
            lanes: Lanes::new(),
            own: Own::new(takeover.epoch, keep),
            unread: 0,
            suspect: (takeover.deaths >= DEATHS_ALONE).then_some((from, takeover.deaths)),
            settled: takeover.settled,
            ways: Ways::new(takeover.links),
            owed: takeover.owed,
            owing: HashMap::new(),
            held: HashMap::new(),
            sending: HashMap::new(),
            back: HashMap::new(),
            under_way: JoinSet::new(),
            writes,
            progress,
        };
        let feeds = Feeds {
            taken,
            steps,
            written,
            _tasks: tasks,
        };
        (epoch, feeds)
    }

    async fn work(&mut self, feeds: &mut Feeds, revoked: &CancellationToken) -> End {
        let mut commit = interval(self.shared.limits.commit_interval);
        commit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let every = self.shared.limits.announce_interval;
        let mut announce = interval_at(Instant::now() + every, every);
        let mut leave_at: Option<Instant> = None;
        loop {
            let leaving = leave_at.is_some();
            if leaving && self.has_ended() {
                return End::Left;
            }
            let patience = async {
                match leave_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((step, reader)) = feeds.steps.recv() => {
                    if self.fenced_by(&step, reader) {
                        return End::Fenced;
                    }
                }
                Some(taken) = feeds.taken.recv(), if !leaving && self.may_take() => self.take(taken),
                Some(ended) = self.under_way.join_next(), if !self.under_way.is_empty() => match ended {
                    Ok(Ended::Answered(head, reply)) => self.write(head, reply),
                    Ok(Ended::Performed(head, link)) => self.performed(head, link),
                    Ok(Ended::Away(lane, message)) => if self.let_go(&lane, message) {
                        self.next_of(Some(&lane));
                    },
                    Err(error) => error!(partition = self.partition, "failed to answer a message: {error}"),
                },
                Some(written) = feeds.written.recv() => match written {
                    Written::Done(lane) => self.next_of(lane.as_ref()),
                    Written::Unknown => return End::Unknown,
                },
                _ = commit.tick() => self.report(),
                _ = announce.tick(), if !leaving => self.announce(),
                () = revoked.cancelled(), if !leaving => {
                    leave_at = Some(Instant::now() + self.shared.limits.drain);
                }
                () = patience => {
                    warn!(partition = self.partition, "leaving messages to the next owner");
                    return End::Left;
                }
            }
        }
    }

    /// Whether nothing is under way, but what cannot end soon.
    fn has_ended(&self) -> bool {
        self.lanes.count() == self.held.len() && self.unread == 0 && self.renewal.is_none()
    }

    /// W8: a reply that counts settles its message, once what follows from it is done; a later owner ends this epoch.
    fn fenced_by(&mut self, step: &Step, reader: Checkpoint) -> bool {
        self.reader = reader;
        match &step.entry {
            Some(Entry::Owner { nonce, .. }) => return !self.renewed(*nonce, step.position),
            Some(Entry::Reply { inbound, reply, .. }) if step.counts => {
                self.unread = self.unread.saturating_sub(1);
                self.own
                    .read_back(reply.person(), reply.message_id, step.position);
                match (&reply.effect, self.owing.remove(inbound)) {
                    (Some(effect), Some(head)) => {
                        self.settled.replied(*inbound, step.checkpoint());
                        self.perform(head, (**effect).clone());
                    }
                    _ => self.settled.settle_by_reply(*inbound, step.checkpoint()),
                }
            }
            _ => {}
        }
        false
    }

    /// What is taken stays within a bound; a suspect is answered alone. After a takeover the lowest unsettled message may lie
    /// beyond the next to take: what is between has been answered by earlier owners.
    fn may_take(&self) -> bool {
        let suspected = |(offset, _)| self.next > offset && !self.settled.contains(offset);
        let above = self.next.saturating_sub(self.settled.lowest());
        above < self.shared.limits.above_commit && !self.suspect.is_some_and(suspected)
    }

    /// W5.
    fn take(&mut self, taken: Taken) {
        let Taken { offset, kind } = taken;
        self.settled.settle_gap(self.next, offset);
        self.next = offset + 1;
        self.shared.handle.set_read(self.partition, self.next);
        let metrics = &self.shared.metrics;
        match kind {
            Kind::Message(..) if self.settled.contains(offset) => {}
            Kind::Message(message, trace) => {
                let lane = if message.synthetic {
                    Lane::Synthetic(offset)
                } else {
                    metrics.messages.inc();
                    Lane::User(message.person().clone())
                };
                let id = message.id;
                let comes_back = self.let_go(&lane, id);
                let queued = Queued {
                    offset,
                    message: *message,
                    trace,
                    owed: self.owed.remove(&offset),
                };
                if self.sending.get(&lane) == Some(&id) {
                    self.back.insert(id, queued);
                } else if comes_back {
                    self.begin_head(lane, queued);
                } else if let Some(head) = self.lanes.push(&lane, queued) {
                    self.begin_head(lane, head);
                }
            }
            Kind::Duplicate => {
                debug!(
                    partition = self.partition,
                    offset, "a copy of an earlier message"
                );
                metrics.duplicates.inc();
                self.settled.settle(offset);
            }
            Kind::Unreadable => {
                metrics.unreadable.inc();
                self.settled.settle(offset);
            }
        }
    }

    /// W10.
    fn report(&mut self) {
        let progress = self.progress_now();
        self.own.view_is_at(*self.link.at.borrow());
        self.progress.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&progress);
            *current = Some(progress);
            changed
        });
    }

    fn progress_now(&mut self) -> Progress {
        Progress {
            lowest: self.settled.lowest(),
            checkpoint: self.settled.checkpoint(self.reader),
        }
    }

    /// W11. What fails here costs the next owner a little reading.
    async fn leave(&mut self) {
        self.under_way.shutdown().await;
        let progress = self.progress_now();
        let (shared, partition) = (self.shared.as_ref(), self.partition);
        let leaving = async {
            journal_io::put(shared, partition, progress).await?;
            journal::append(
                shared.log.as_ref(),
                partition,
                &Entry::Released { epoch: self.began },
            )
            .await
        };
        match timeout(shared.limits.last_words, leaving).await {
            Ok(Ok(_)) => info!(partition, epoch = self.began, "let the partition go"),
            Ok(Err(error)) => warn!(partition, "failed to let the partition go: {error}"),
            Err(_) => warn!(
                partition,
                "failed to let the partition go: {:?} has no time for it",
                Topic::Response
            ),
        }
    }
}
