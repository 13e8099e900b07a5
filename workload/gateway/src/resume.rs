//! What a page gets when it connects: the history it asks for, and every reply after its cursor.

use std::sync::Arc;
use std::time::Duration;

use chatbot_adapters::web_chat::{Frame, PastTurn};
use chatbot_message::{Account, Reply};
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader};
use chatbot_queue::{Error, Log, Offset, Topic};
use chatbot_store::Session;
use serde::{Deserialize, Serialize};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::Gateway;
use crate::elsewhere::Elsewhere;

/// Records read between two chances for other tasks.
const YIELD_EVERY: usize = 512;
/// Bytes of replies that are read at once, and then sent.
const BATCH: usize = 256 * 1024;
/// Pause before the view is asked again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How far a page has seen one partition of the journal. The page keeps it and never reads it; a forged one shows its
/// forger nothing but replies to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Identity of the log: in another one the position means nothing.
    log: String,
    at: Checkpoint,
}

impl Cursor {
    pub(crate) fn new(log: &dyn Log, at: Checkpoint) -> Self {
        Self {
            log: log.identity().to_owned(),
            at,
        }
    }

    pub(crate) fn value(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The frame that gives it to the page.
    pub(crate) fn frame(&self) -> Arc<str> {
        Frame::Cursor {
            cursor: self.value(),
        }
        .encode()
        .into()
    }
}

/// Where to begin for a page with this cursor. A cursor of another log, of another release, or from beyond the end of a
/// log that was made anew means the beginning: what was asked before may have been answered anywhere in it.
pub(crate) async fn begin(
    gateway: &Gateway,
    partition: u32,
    cursor: Option<serde_json::Value>,
    seen: Checkpoint,
) -> Result<Checkpoint, Error> {
    let Some(cursor) = cursor else {
        return Ok(seen);
    };
    let end = gateway.log.end(Topic::Response, partition).await?;
    Ok(serde_json::from_value::<Cursor>(cursor)
        .ok()
        .filter(|cursor| cursor.log == gateway.log.identity() && cursor.at.position <= end)
        .map(|cursor| cursor.at)
        .unwrap_or_default())
}

/// A reply found by [`Replay`].
pub(crate) struct Found {
    pub(crate) position: Offset,
    pub(crate) reply: Reply,
    /// The checkpoint after it; of a reply in the page's own partition, and while none is awaited in another.
    pub(crate) after: Option<Checkpoint>,
}

/// The counting replies to one account, from a checkpoint to the end of the log as it was at the beginning. Whoever has
/// a seat before that misses nothing: what is offered later lies beyond that end, or is sent twice.
pub(crate) struct Replay<'a> {
    gateway: &'a Gateway,
    partition: u32,
    reader: Reader,
    account: &'a Account,
    end: Offset,
    read: usize,
    /// Found in the account's own partition, and to be given next.
    here: Option<(Offset, Reply)>,
    elsewhere: Elsewhere,
}

impl<'a> Replay<'a> {
    pub(crate) async fn begin(
        gateway: &'a Gateway,
        account: &'a Account,
        from: Checkpoint,
    ) -> Result<Self, Error> {
        let log = gateway.log.as_ref();
        let partition = account.partition(log.partitions());
        let _one_of_few = one_of_few(gateway).await?;
        Ok(Self {
            gateway,
            partition,
            end: journal::readable_end(log, partition).await?,
            reader: Reader::new(log, partition, from),
            account,
            read: 0,
            here: None,
            elsewhere: Elsewhere::default(),
        })
    }

    /// The next replies, about as many as are sent at once; none at the end. Whoever takes long to send them keeps neither
    /// a place nor a reader from others.
    pub(crate) async fn batch(&mut self) -> Result<Vec<Found>, Error> {
        let _one_of_few = one_of_few(self.gateway).await?;
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH {
            let Some(found) = self.next().await? else {
                break;
            };
            bytes += found.reply.question.len() + found.reply.answer.len();
            batch.push(found);
        }
        let log = self.gateway.log.as_ref();
        self.reader = Reader::new(log, self.partition, self.reader.checkpoint());
        Ok(batch)
    }

    /// The next reply; none at the end. What the account was answered elsewhere comes before what it is answered here
    /// after that.
    async fn next(&mut self) -> Result<Option<Found>, Error> {
        if self.here.is_none() {
            self.here = self.next_here().await?;
        }
        let log = self.gateway.log.as_ref();
        if let Some(found) = self.elsewhere.next(log, self.account).await? {
            return Ok(Some(found));
        }
        let after = self.elsewhere.is_empty();
        let after = after.then(|| self.reader.checkpoint());
        Ok(self.here.take().map(|(position, reply)| Found {
            position,
            reply,
            after,
        }))
    }

    /// The next reply in the account's own partition.
    async fn next_here(&mut self) -> Result<Option<(Offset, Reply)>, Error> {
        while self.reader.checkpoint().position < self.end {
            let step = self.reader.next().await?;
            self.read += 1;
            if self.read.is_multiple_of(YIELD_EVERY) {
                tokio::task::yield_now().await;
            }
            let at = step.checkpoint();
            match step.entry {
                Some(Entry::Reply { reply, .. })
                    if step.counts && reply.account == *self.account =>
                {
                    if reply.is_shown() {
                        self.elsewhere.no_longer_await(reply.message_id);
                        return Ok(Some((step.position, reply)));
                    }
                    let partitions = self.gateway.log.partitions();
                    self.elsewhere.await_reply(at, &reply, partitions);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// From where the page is to begin next time: whatever is awaited from another partition is looked for again.
    pub(crate) fn next_time(&self) -> Checkpoint {
        self.elsewhere
            .first_awaited()
            .unwrap_or_else(|| self.reader.checkpoint())
    }

    /// Where it is.
    pub(crate) fn at(&self) -> Checkpoint {
        self.reader.checkpoint()
    }
}

/// The conversation so far: at least up to `seen`, unless the view does not get there in time.
pub(crate) async fn history(gateway: &Gateway, account: &Account, seen: Offset) -> Frame {
    let partition = account.partition(gateway.log.partitions());
    let deadline = Instant::now() + gateway.limits.view;
    let mut best = Session::default();
    let mut complete = false;
    while !complete && Instant::now() < deadline {
        let session = gateway.view.session(partition, account);
        match tokio::time::timeout_at(deadline, session).await {
            Ok(Ok(session)) => {
                complete = session.at >= seen;
                best = session;
            }
            Ok(Err(error)) => tracing::debug!(%error, "a history cannot be read"),
            Err(_) => break,
        }
        if !complete {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    let turns = best.turns.into_iter().map(|turn| PastTurn {
        message: turn.message_id,
        position: turn.position,
        question: turn.question,
        answer: turn.answer,
        fallback: turn.fallback,
    });
    Frame::History {
        turns: turns.collect(),
        complete,
    }
}

/// A place among the few that read the log at once for pages and requests: each may need a reader of its own.
async fn one_of_few(gateway: &Gateway) -> Result<SemaphorePermit<'_>, Error> {
    let place = gateway.replays.acquire().await;
    place.map_err(|_| Error::Unreadable {
        reason: "the gateway has ended".to_owned(),
    })
}

/// The reply at `position`.
pub(crate) async fn reply_at(
    gateway: &Gateway,
    partition: u32,
    position: Offset,
) -> Result<Option<Reply>, Error> {
    let log = gateway.log.as_ref();
    let _one_of_few = one_of_few(gateway).await?;
    if position >= journal::readable_end(log, partition).await? {
        return Ok(None);
    }
    let mut records = log.reader(Topic::Response, partition, position);
    let records = records.next(1).await?;
    Ok(records.into_iter().find_map(|record| {
        if record.offset != position {
            return None;
        }
        match serde_json::from_slice(&record.value) {
            Ok(Entry::Reply { reply, .. }) => Some(reply),
            _ => None,
        }
    }))
}
