//! From the journal to the users: one consumer group per channel, so that a slow channel shares no queue and no offset
//! with another. Counting replies are delivered in the log's order, and each is marked in the journal before the offset
//! passes it.
//!
//! - `offered`: where users wait at any gateway (sockets, open requests) each gateway offers every reply to those who are
//!   here. The journal itself is the mailbox, so offering again is harmless: it counts as a platform with idempotency
//!   keys. Only the one to whom the group suggests the partition marks and commits.
//! - `sent`: where replies are requests to a platform, the one to whom the group suggests the partition sends them. A
//!   gateway is a member as long as the channel runs there.
//!   `catch_up` finds what was sent before (S1), `lanes` keeps the order of each chat (S2), `pace` the platform's limits,
//!   `attempt` sends a reply until its fate is known (S3, S4), `doubt` tells what may be seen twice.

mod attempt;
#[cfg(test)]
mod broken;
mod catch_up;
mod doubt;
mod lanes;
mod offered;
mod pace;
mod sent;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbot_message::Reply;
use chatbot_queue::journal::{self, Checkpoint};
use chatbot_queue::{Commit, Error, Member, Offset, Suggested, Topic};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::channel::{Channel, Kind};
use crate::{Gateway, locked};

pub(crate) use pace::Pace;

/// Pause before a failed log is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What others may know of a consumer.
pub(crate) struct Consumer {
    partition: u32,
    seen: Mutex<Checkpoint>,
}

impl Consumer {
    pub(crate) fn new(partition: u32) -> Self {
        Self {
            partition,
            seen: Mutex::default(),
        }
    }

    /// Everything before this has been offered, or waits to be sent.
    pub(crate) fn seen(&self) -> Checkpoint {
        *locked(&self.seen)
    }

    fn has_seen(&self, checkpoint: Checkpoint) {
        *locked(&self.seen) = checkpoint;
    }
}

/// One partition of a channel's replies, and who has to do with it.
#[derive(Clone)]
struct Place {
    gateway: Arc<Gateway>,
    channel: Arc<Channel>,
    consumer: Arc<Consumer>,
    member: Arc<Box<dyn Member>>,
}

/// Delivers a channel's replies until the gateway stops, and lets go in order.
pub(crate) async fn run(gateway: Arc<Gateway>, channel: Arc<Channel>) {
    if channel.kind != Kind::Platform {
        deliver(&gateway, &channel, &gateway.stop, offered::consume).await;
        return;
    }
    let mut running = channel.running.subscribe();
    loop {
        let beginning = running.wait_for(Option::is_some);
        let begun = match gateway.stop.run_until_cancelled(beginning).await {
            Some(Ok(begun)) => begun.clone(),
            _ => return,
        };
        // Whoever cannot send is no member, so that another is given every partition.
        if let Some(running) = begun {
            let consume = |place| sent::consume(place, Arc::clone(&running));
            deliver(&gateway, &channel, &running.ended, consume).await;
        }
    }
}

/// Delivers as a member of the channel's group, until it is over or the gateway stops.
async fn deliver<F>(
    gateway: &Arc<Gateway>,
    channel: &Arc<Channel>,
    over: &CancellationToken,
    consume: impl Fn(Place) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let over = async {
        tokio::select! {
            () = over.cancelled() => {}
            () = gateway.stop.cancelled() => {}
        }
    };
    tokio::pin!(over);
    let member = tokio::select! {
        () = &mut over => return,
        member = join(gateway, channel) => Arc::new(member),
    };
    let mut consumers = JoinSet::new();
    for consumer in &channel.consumers {
        consumers.spawn(consume(Place {
            gateway: Arc::clone(gateway),
            channel: Arc::clone(channel),
            consumer: Arc::clone(consumer),
            member: Arc::clone(&member),
        }));
    }
    tokio::select! {
        () = over => {}
        () = share(gateway, channel, member.suggested()) => {}
    }
    // Each of them ends by itself when it is over.
    while consumers.join_next().await.is_some() {}
    if let Some(member) = Arc::into_inner(member) {
        member.close().await;
    }
}

async fn join(gateway: &Gateway, channel: &Channel) -> Box<dyn Member> {
    let group = journal::delivery_group(&channel.name);
    loop {
        match gateway.log.join(&group, Topic::Response).await {
            Ok(member) => return member,
            Err(error) => {
                warn!(channel = channel.name, %error, "delivery waits");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Gives the channel its share of the platform's rate, as long as the group exists.
async fn share(gateway: &Gateway, channel: &Channel, mut suggested: watch::Receiver<Suggested>) {
    loop {
        let owned = suggested
            .borrow_and_update()
            .as_ref()
            .map_or(0, BTreeSet::len);
        channel.pace.set_share(owned, gateway.log.partitions());
        if suggested.changed().await.is_err() {
            return;
        }
    }
}

impl Place {
    fn partition(&self) -> u32 {
        self.consumer.partition
    }

    /// Whether a reply is for this channel's users, rather than a note that it stands in another partition.
    fn delivers(&self, reply: &Reply) -> bool {
        reply.is_shown() && reply.account.channel == self.channel.name
    }

    /// A message has its reply here; how long ago it was taken by this gateway, if it was.
    fn answered(&self, message: Uuid, position: Offset) -> Option<Duration> {
        let place = (self.partition(), position);
        self.gateway.intake.answered(message, place)
    }

    fn is_in(&self, suggested: &Suggested) -> bool {
        suggested
            .as_ref()
            .is_some_and(|suggested| suggested.contains(&self.partition()))
    }

    /// Commits the lowest position that is not settled.
    async fn commit(&self, lowest: Checkpoint) -> Result<(), Error> {
        let commit = Commit {
            offset: lowest.position,
            metadata: lowest.encode(),
        };
        self.member.commit(self.partition(), commit).await
    }

    /// Says why delivery waits, and waits a little.
    async fn waits(&self, error: &Error) {
        warn!(channel = self.channel.name, partition = self.partition(), %error, "delivery waits");
        tokio::time::sleep(RETRY).await;
    }
}

/// When progress in one partition is committed.
struct Progress {
    committed: u64,
    every: Duration,
    at: Instant,
}

impl Progress {
    fn new(from: Checkpoint, every: Duration) -> Self {
        Self {
            committed: from.position,
            every,
            at: Instant::now() + every,
        }
    }

    /// When to commit next.
    fn due(&self) -> Instant {
        self.at
    }

    fn is_past(&self, lowest: Checkpoint) -> bool {
        lowest.position > self.committed
    }

    fn committed(&mut self, lowest: Checkpoint) {
        self.committed = lowest.position;
    }

    fn later(&mut self) {
        self.at = Instant::now() + self.every;
    }
}
