//! Connections to a platform over which a channel's messages come: opened again for ever, with pauses that grow.
//!
//! ```text
//! session ──deliveries──▶ take ──▶ the log
//!    ▲─────acknowledgements──┘
//! ```
//! - `session`: one connection, from its address to its end.
//! - Deliveries are taken one after the other, in their order, whichever connection brought them. What a connection has
//!   brought is taken, too, when it is over.
//! - Where the platform says that it will close a connection, the next one is opened first.

mod session;

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chatbot_adapters::{Answer, Transport};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::backoff::Backoff;
use crate::channel::Hindrance;
use crate::hold::Holding;
use session::{Ended, Item, Session, Taken};

/// Connections open at once: the one that is to be closed, and its successor.
const AT_ONCE: usize = 2;

/// What a connection tells of itself.
enum News {
    /// Messages come.
    Up,
    /// It will be closed.
    Replace,
    /// It is over.
    Down(Hindrance),
}

/// Counts how often where to go on was forgotten: what was brought before does not bring it back.
#[derive(Default)]
struct Forgotten(AtomicU64);

/// Keeps the channel connected for as long as it is held.
pub(crate) async fn run(holding: &Holding<'_>) -> Infallible {
    let (inbox, brought) = mpsc::channel(1);
    let forgotten = Forgotten::default();
    tokio::select! {
        never = take(holding, brought, &forgotten) => never,
        never = Connections::new(holding, inbox, &forgotten).run() => never,
    }
}

/// Takes what connections bring. Where to go on moves, and the platform is told, when the log has it.
async fn take(
    holding: &Holding<'_>,
    mut brought: mpsc::Receiver<Item>,
    forgotten: &Forgotten,
) -> Infallible {
    while let Some(item) = brought.recv().await {
        let received = holding
            .take(Transport::LongConnection, &item.parcel.body)
            .await;
        if item.parcel.cursor.is_some() && item.age == forgotten.0.load(Ordering::Acquire) {
            holding.keep(item.parcel.cursor);
        }
        // Its connection may be over: then the platform sends it again, and it is known.
        let _over = item.taken.send(Taken {
            receipt: item.parcel.receipt,
            answer: received.map_or_else(Answer::default, |received| received.acknowledgement),
            took: item.at.elapsed(),
        });
    }
    std::future::pending().await
}

struct Connections<'a> {
    holding: &'a Holding<'a>,
    inbox: mpsc::Sender<Item>,
    forgotten: &'a Forgotten,
    backoff: Backoff,
    /// The number of the latest one.
    newest: u64,
    /// Those that are open or opening, oldest first, and what ends them.
    open: VecDeque<(u64, CancellationToken)>,
    /// Those over which messages come.
    up: BTreeSet<u64>,
    /// Since when the latest one is up.
    since: Option<Instant>,
    /// When to open another.
    opens_at: Option<Instant>,
}

impl<'a> Connections<'a> {
    fn new(holding: &'a Holding<'a>, inbox: mpsc::Sender<Item>, forgotten: &'a Forgotten) -> Self {
        let limits = &holding.gateway().limits;
        Self {
            backoff: Backoff::new(limits.retry_first, limits.retry_cap),
            holding,
            inbox,
            forgotten,
            newest: 0,
            open: VecDeque::new(),
            up: BTreeSet::new(),
            since: None,
            opens_at: Some(Instant::now()),
        }
    }

    async fn run(mut self) -> Infallible {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut serving = FuturesUnordered::new();
        loop {
            let opens_at = self.opens_at;
            tokio::select! {
                () = sleep_until(opens_at.unwrap_or_else(Instant::now)), if opens_at.is_some() => {
                    let (number, ends) = self.next();
                    let session = Session {
                        holding: self.holding,
                        inbox: self.inbox.clone(),
                        age: self.forgotten.0.load(Ordering::Acquire),
                        tell: tell.clone(),
                        number,
                    };
                    serving.push(async move {
                        (number, ends.run_until_cancelled(Box::pin(session.serve())).await)
                    });
                }
                Some((number, ended)) = serving.next(), if !serving.is_empty() => {
                    self.open.retain(|(open, _)| *open != number);
                    if let Some(ended) = ended {
                        self.ended(number, &ended);
                    }
                }
                Some((number, news)) = told.recv() => self.hears(number, news),
            }
        }
    }

    /// Another one, for which the oldest makes room.
    fn next(&mut self) -> (u64, CancellationToken) {
        while self.open.len() >= AT_ONCE {
            if let Some((number, ends)) = self.open.pop_front() {
                self.up.remove(&number);
                ends.cancel();
            }
        }
        let ends = CancellationToken::new();
        self.newest += 1;
        self.open.push_back((self.newest, ends.clone()));
        self.opens_at = None;
        self.since = None;
        (self.newest, ends)
    }

    fn hears(&mut self, number: u64, news: News) {
        let channel = self.holding.channel();
        match news {
            News::Up => {
                self.up.insert(number);
                if number == self.newest {
                    self.since = Some(Instant::now());
                }
                channel
                    .standing
                    .connected("the connection to the platform is up");
            }
            News::Replace if number == self.newest && self.opens_at.is_none() => {
                self.opens_at = Some(Instant::now() + self.pause());
            }
            News::Replace => {}
            News::Down(Hindrance { reason, message }) => {
                warn!(channel = channel.name, why = reason.as_str(), "{message}");
                self.up.remove(&number);
                if self.up.is_empty() {
                    channel.standing.fails(reason, message);
                }
            }
        }
    }

    fn ended(&mut self, number: u64, ended: &Ended) {
        if ended.forget {
            self.forgotten.0.fetch_add(1, Ordering::AcqRel);
            self.holding.keep(None);
        }
        if number == self.newest && self.opens_at.is_none() {
            self.opens_at = Some(Instant::now() + self.pause().max(ended.least));
        }
    }

    /// None after a connection that lasted; a growing one after those that did not.
    fn pause(&mut self) -> Duration {
        let lasted = self
            .since
            .is_some_and(|since| since.elapsed() >= self.holding.gateway().limits.lasting);
        if lasted {
            self.backoff.reset();
            return Duration::ZERO;
        }
        self.backoff.next()
    }
}
