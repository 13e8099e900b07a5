//! Which replica asks a platform for a channel's messages: one at a time, by a lease.
//!
//! A consumer group per channel suggests the holder: whoever is given the channel's partition of the topic `cursor`. The
//! commits that renew the lease carry where the channel goes on and the number of the holder, and the group refuses those
//! of a member that it has given up: what a holder knew never replaces what a later one has come to. One who stood still
//! and goes on for a moment is harmless, since what it brings in once more has the same ids.

mod kept;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chatbot_adapters::{Delivery, Transport};
use chatbot_message::Account;
use chatbot_queue::{Commit, Error, Member, Suggested, Topic};
use http::HeaderMap;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::channel::{Channel, Running};
use crate::receive::{NotReceived, Received, receive};
use crate::webhook::{self, Unanswerable};
use crate::{Gateway, connect, now_ms, poll};
use kept::Kept;

/// A holder's lease ends so long before another may hold: what it has begun then still ends in time.
const MARGIN: Duration = Duration::from_secs(1);
/// Between two looks at the lease, for a process that stood still.
const LOOK: Duration = Duration::from_millis(100);
/// For the last commit of a holder that lets go.
const LAST: Duration = Duration::from_secs(2);
const WAITS: &str =
    "another gateway receives its messages; this one takes over when that one is gone";

/// Receives a channel's messages whenever it is this gateway's turn, until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>, channel: Arc<Channel>) {
    let stop = gateway.stop.clone();
    let mut running = channel.running.subscribe();
    while !stop.is_cancelled() {
        let beginning = running.wait_for(Option::is_some);
        let begun = match stop.run_until_cancelled(beginning).await {
            Some(Ok(begun)) => begun.clone(),
            _ => return,
        };
        // Whoever has no credentials is no member, so that nothing is suggested to it.
        if let Some(running) = begun {
            take_turns(&gateway, &channel, running).await;
        }
    }
}

async fn take_turns(gateway: &Arc<Gateway>, channel: &Arc<Channel>, running: Arc<Running>) {
    let group = format!("connection-{}", channel.name);
    let mut backoff = Backoff::new(gateway.limits.retry_first, gateway.limits.retry_cap);
    let joining = async {
        loop {
            match gateway.log.join(&group, Topic::Cursor).await {
                Ok(member) => return member,
                Err(error) => warn!(channel = channel.name, %error, "receiving waits"),
            }
            sleep(backoff.next()).await;
        }
    };
    let member = tokio::select! {
        () = over(gateway, &running) => return,
        member = joining => member,
    };
    let of = Account {
        channel: channel.name.clone(),
        user: String::new(),
    };
    let turns = Turns {
        partition: of.partition(gateway.log.partitions()),
        gateway: Arc::clone(gateway),
        channel: Arc::clone(channel),
        running,
        member,
    };
    tokio::select! {
        () = turns.run() => {}
        () = turns.let_go() => {}
    }
    turns.member.close().await;
}

/// Waits until the gateway stops, or the channel begins anew.
async fn over(gateway: &Gateway, running: &Running) {
    tokio::select! {
        () = gateway.stop.cancelled() => {}
        () = running.ended.cancelled() => {}
    }
}

/// Membership of the channel's group.
struct Turns {
    gateway: Arc<Gateway>,
    channel: Arc<Channel>,
    running: Arc<Running>,
    member: Box<dyn Member>,
    partition: u32,
}

impl Turns {
    /// Holds the channel whenever that is suggested.
    async fn run(&self) {
        let limits = &self.gateway.limits;
        let mut backoff = Backoff::new(limits.retry_first, limits.retry_cap);
        let mut suggested = self.member.suggested();
        loop {
            self.channel.standing.waits(WAITS);
            while !self.is_in(&suggested.borrow_and_update()) {
                self.member.release(self.partition);
                tokio::select! {
                    () = over(&self.gateway, &self.running) => return,
                    changed = suggested.changed() => if changed.is_err() { return },
                }
            }
            match Holding::begin(self).await {
                Ok(holding) => {
                    backoff.reset();
                    if self.hold(&holding, suggested.clone()).await {
                        return;
                    }
                }
                Err(error) => {
                    warn!(channel = self.channel.name, %error, "receiving waits");
                    self.channel
                        .standing
                        .waits(format!("it waits for the broker: {error}"));
                    tokio::select! {
                        () = over(&self.gateway, &self.running) => return,
                        () = sleep(backoff.next()) => {}
                    }
                }
            }
        }
    }

    /// Agrees at once to whatever else is given to others: only the channel's own partition means something.
    async fn let_go(&self) {
        let mut suggested = self.member.suggested();
        loop {
            let now = suggested.borrow_and_update().clone().unwrap_or_default();
            let others = (0..self.gateway.log.partitions()).filter(|one| *one != self.partition);
            for partition in others.filter(|partition| !now.contains(partition)) {
                self.member.release(partition);
            }
            if suggested.changed().await.is_err() {
                return;
            }
        }
    }

    fn is_in(&self, suggested: &Suggested) -> bool {
        suggested
            .as_ref()
            .is_some_and(|suggested| suggested.contains(&self.partition))
    }

    /// Receives as long as it is the holder; says whether that was the last time.
    async fn hold(&self, holding: &Holding<'_>, mut suggested: watch::Receiver<Suggested>) -> bool {
        let channel = &self.channel.name;
        let is_over = tokio::select! {
            biased;
            () = holding.lapses() => {
                warn!(channel, "the lease has lapsed: another gateway may receive by now");
                false
            }
            () = over(&self.gateway, &self.running) => true,
            _ = suggested.wait_for(|suggested| !self.is_in(suggested)) => {
                info!(channel, "another gateway is to receive");
                false
            }
            never = holding.renew() => match never {},
            never = holding.receive() => match never {},
        };
        if holding.lasts()
            && let Ok(Err(error)) = timeout(LAST, holding.commit()).await
        {
            debug!(channel, %error, "the last commit failed; what follows it comes again");
        }
        is_over
    }
}

/// The right to receive a channel's messages, and where it goes on.
pub(crate) struct Holding<'a> {
    turns: &'a Turns,
    /// The group's term that it holds in.
    term: u64,
    /// The number of the holder: each has a higher one.
    epoch: u64,
    kept: watch::Sender<Kept>,
}

impl<'a> Holding<'a> {
    /// Goes on where the last holder has come to. The first commit of a holder makes the lease, and fences the one before.
    async fn begin(turns: &'a Turns) -> Result<Self, Error> {
        let term = turns.member.lease().term;
        let committed = turns.member.committed(turns.partition).await?;
        let me = turns.running.me.as_ref();
        let bot = me.map_or("", |me| me.id.as_str());
        let holding = Self {
            turns,
            term,
            epoch: committed.offset + 1,
            kept: watch::Sender::new(Kept::found(&committed.metadata, bot, now_ms())),
        };
        holding.commit().await?;
        info!(
            channel = turns.channel.name,
            epoch = holding.epoch,
            "receives its messages"
        );
        Ok(holding)
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.turns.gateway
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.turns.channel
    }

    pub(crate) fn running(&self) -> &Arc<Running> {
        &self.turns.running
    }

    /// Whether nobody else may hold the channel.
    pub(crate) fn lasts(&self) -> bool {
        let lease = self.turns.member.lease();
        lease.term == self.term && lease.lasts(MARGIN)
    }

    /// Where to go on.
    pub(crate) fn cursor(&self) -> Option<String> {
        self.kept.borrow().cursor(now_ms())
    }

    /// Goes on there from now on: the log has everything before it.
    pub(crate) fn keep(&self, cursor: Option<String>) {
        self.kept.send_modify(|kept| kept.moves(cursor, now_ms()));
    }

    /// Takes a delivery, again and again until the log has its messages; none for one that is refused, which would be
    /// refused again.
    pub(crate) async fn take(&self, via: Transport, body: &[u8]) -> Option<Received> {
        let (gateway, channel, running) = (self.gateway(), self.channel(), self.running());
        let headers = HeaderMap::new();
        let limits = &gateway.limits;
        let mut backoff = Backoff::new(limits.retry_first, limits.retry_cap);
        let came = Instant::now();
        loop {
            let delivery = Delivery {
                via,
                me: running.me.as_ref(),
                received_at: now_ms(),
                ..Delivery::of(&channel.name, &headers, body)
            };
            match receive(gateway, channel, running, &delivery).await {
                Ok(mut received) => {
                    let requests = std::mem::take(&mut received.requests);
                    if !requests.is_empty() {
                        let running = Arc::clone(running);
                        webhook::follow_up(gateway, channel, running, requests, came);
                    }
                    return Some(received);
                }
                Err(NotReceived::Rejected(rejected)) if rejected.retry_after().is_some() => {
                    warn!(channel = channel.name, %rejected, "a delivery waits");
                    sleep(backoff.next()).await;
                }
                Err(not) => {
                    warn!(channel = channel.name, reason = %not, "a delivery cannot be taken, and is passed over");
                    channel.metrics.refused(Unanswerable::from(not).reason());
                    return None;
                }
            }
        }
    }

    async fn receive(&self) -> Infallible {
        if self.channel().takes(Transport::Polling) {
            poll::run(self).await
        } else {
            connect::run(self).await
        }
    }

    async fn commit(&self) -> Result<(), Error> {
        let commit = Commit {
            offset: self.epoch,
            metadata: self.kept.borrow().encode(),
        };
        let Turns {
            member, partition, ..
        } = self.turns;
        member.commit_within(self.term, *partition, commit).await
    }

    /// Commits where it has come to, which renews the lease.
    async fn renew(&self) -> Infallible {
        loop {
            sleep(self.gateway().limits.commit).await;
            if let Err(error) = self.commit().await {
                debug!(channel = self.channel().name, %error, "the lease is not renewed");
            }
        }
    }

    async fn lapses(&self) {
        while self.lasts() {
            sleep(LOOK).await;
        }
    }
}
