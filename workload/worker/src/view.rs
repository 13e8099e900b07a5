//! Keeps the view of one partition as far as the journal is (W9), whoever owns it.

use chatbot_message::Outcome;
use chatbot_queue::Topic;
use chatbot_queue::journal::{Checkpoint, Entry, Fold, Reader, Step};
use chatbot_store::{Applied, Route, Turn, Update};
use tokio::sync::{Notify, watch};

use crate::Shared;
use crate::backoff::Backoff;

/// Between the keeper of a partition's view and those who read it.
pub(crate) struct Link {
    /// How far the view is, as the keeper left it.
    pub(crate) at: watch::Sender<u64>,
    /// Somebody found the view elsewhere.
    pub(crate) look: Notify,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            at: watch::Sender::new(0),
            look: Notify::new(),
        }
    }
}

/// Where a view is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// What the store says.
    pub(crate) stored: u64,
    /// Where the journal is to be read on.
    pub(crate) from: Checkpoint,
}

/// Reads the journal and applies it, for as long as the partition is this worker's. A flush, a restart from an old snapshot and a
/// failover to a lagging replica are one case: go on from where the view says it is.
pub(crate) async fn keep(shared: &Shared, partition: u32, link: &Link) {
    let mut backoff = Backoff::new(&shared.limits);
    loop {
        let Err(error) = follow(shared, partition, link, &mut backoff).await;
        let pause = backoff.failed(partition, &format_args!("{error:#}"));
        tokio::time::sleep(pause).await;
    }
}

async fn follow(
    shared: &Shared,
    partition: u32,
    link: &Link,
    backoff: &mut Backoff,
) -> anyhow::Result<std::convert::Infallible> {
    let log = shared.log.as_ref();
    let mut place = position(shared, partition).await?;
    loop {
        let mut reader = Reader::new(log, partition, place.from);
        link.at.send_replace(place.from.position);
        loop {
            let step = tokio::select! {
                step = reader.next() => step?,
                () = link.look.notified() => {
                    let found = position(shared, partition).await?;
                    if found.stored == place.stored {
                        continue;
                    }
                    place = found;
                    break;
                }
            };
            if let Some(elsewhere) =
                apply(shared, partition, place.stored, step, &mut reader).await?
            {
                place = elsewhere;
                break;
            }
            *backoff = Backoff::new(&shared.limits);
            place.stored = reader.checkpoint().position;
            link.at.send_replace(place.stored);
        }
    }
}

/// Applies a record and all that was fetched with it; gives where the view is if that is not where it was thought to be.
async fn apply(
    shared: &Shared,
    partition: u32,
    stored: u64,
    first: Step,
    reader: &mut Reader,
) -> anyhow::Result<Option<Place>> {
    let mut update = Update::default();
    take_in(first, &mut update);
    while let Some(step) = reader.next_fetched() {
        take_in(step, &mut update);
    }
    put(shared, partition, (stored, reader.checkpoint()), update).await
}

/// Applies what lies between where the view is and a place of the journal; gives where the view is if it is elsewhere.
pub(crate) async fn put(
    shared: &Shared,
    partition: u32,
    (stored, to): (u64, Checkpoint),
    mut update: Update,
) -> anyhow::Result<Option<Place>> {
    update.from = stored;
    update.to = to.position;
    update.fold = serde_json::to_string(&to.fold).unwrap_or_default();
    match shared.view.apply(partition, update).await? {
        Applied::Done => Ok(None),
        Applied::At { position, fold } => place(shared, partition, position, &fold).await.map(Some),
    }
}

pub(crate) async fn position(shared: &Shared, partition: u32) -> anyhow::Result<Place> {
    let (position, fold) = shared.view.position(partition).await?;
    place(shared, partition, position, &fold).await
}

/// A fold that this release does not understand, and a place beyond the end of the journal, which is of one that was there
/// before: from the beginning. Turns that are there already are skipped.
async fn place(shared: &Shared, partition: u32, stored: u64, fold: &str) -> anyhow::Result<Place> {
    let end = shared.log.end(Topic::Response, partition).await?;
    let fold = serde_json::from_str::<Fold>(fold).ok();
    let from = fold.filter(|_| stored <= end).map(|fold| Checkpoint {
        position: stored,
        fold,
    });
    Ok(Place {
        stored,
        from: from.unwrap_or_default(),
    })
}

/// A reply that counts is a turn of its session and says where its chat is, unless the hub asked itself.
pub(crate) fn take_in(step: Step, update: &mut Update) {
    let Some(Entry::Reply { reply, .. }) = step.entry else {
        return;
    };
    if !step.counts || reply.synthetic || !reply.is_shown() {
        return;
    }
    let person = reply.person().clone();
    let route = Route {
        channel: reply.account.channel.clone(),
        origin: reply.origin.clone(),
        instance: None,
        epoch: step.position,
    };
    update.routes.push((person.clone(), route));
    if !reply.is_turn() {
        return;
    }
    let turn = Turn {
        position: step.position,
        at: step.appended_at,
        message_id: reply.message_id,
        question: reply.question,
        answer: reply.answer,
        fallback: reply.outcome == Outcome::Fallback,
    };
    update.turns.push((person, turn));
}
