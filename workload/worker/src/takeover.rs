//! Taking a partition over (W1 to W3): announce, and read what is settled already.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use chatbot_message::Effect;
use chatbot_queue::identity::Links;
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader, Step};
use chatbot_queue::{Offset, Topic};
use tracing::info;
use uuid::Uuid;

use crate::Shared;
use crate::effects;
use crate::settled::Settled;

/// A partition taken over.
pub(crate) struct Takeover {
    /// Position of our owner record.
    pub(crate) epoch: Offset,
    /// What is settled up to there.
    pub(crate) settled: Settled,
    /// Where the tail goes on.
    pub(crate) reader: Checkpoint,
    /// What follows from counting replies, and may not have been done, by offset of the message.
    pub(crate) owed: BTreeMap<Offset, Effect>,
    /// The links of its accounts.
    pub(crate) links: Links,
    /// Owners in a row that died at the lowest unsettled offset.
    pub(crate) deaths: u32,
}

/// Announces a new owner.
pub(crate) async fn take_over(shared: &Shared, partition: u32) -> anyhow::Result<Takeover> {
    let log = shared.log.as_ref();
    let commit = shared.member.committed(partition).await?;
    let checkpoint = Checkpoint::decode(&commit.metadata);
    check_same_logs(shared, partition, commit.offset, checkpoint).await?;
    // Retention may have removed what was never settled, and progress may be lost.
    let start = log.start(Topic::Inbound, partition).await?;
    let mut settled = Settled::new(commit.offset.max(start));
    let mut owed = BTreeMap::new();
    let mut reader = Reader::new(log, partition, checkpoint);
    let end = journal::readable_end(log, partition).await?;
    while reader.checkpoint().position < end {
        note(&mut settled, &mut owed, &reader.next().await?);
    }
    let lowest_unsettled = settled.lowest();
    let fold = reader.checkpoint().fold;
    let deaths = if lowest_unsettled < log.end(Topic::Inbound, partition).await? {
        fold.deaths_of_next(lowest_unsettled, shared.worker)
    } else {
        // Whoever died had no message there to die of.
        0
    };
    let nonce = Uuid::new_v4();
    let owner = Entry::Owner {
        nonce,
        worker: shared.worker,
        lowest_unsettled,
        deaths,
    };
    journal::append(log, partition, &owner).await?;
    // Found by reading, not from the acknowledgement: only the log says where the record is.
    loop {
        let step = reader.next().await?;
        if matches!(&step.entry, Some(Entry::Owner { nonce: found, .. }) if *found == nonce) {
            info!(
                partition,
                epoch = step.position,
                lowest_unsettled,
                deaths,
                "took the partition over"
            );
            return Ok(Takeover {
                epoch: step.position,
                links: effects::links(shared, partition).await?,
                settled,
                owed,
                reader: reader.checkpoint(),
                deaths,
            });
        }
        note(&mut settled, &mut owed, &step);
    }
}

/// Notes a reply that counts. One from which something follows settles its message only when that is done.
fn note(settled: &mut Settled, owed: &mut BTreeMap<Offset, Effect>, step: &Step) {
    let Some(Entry::Reply { inbound, reply, .. }) = &step.entry else {
        return;
    };
    if !step.counts || settled.contains(*inbound) {
        return;
    }
    match &reply.effect {
        None => settled.settle_by_reply(*inbound, step.checkpoint()),
        Some(effect) => {
            settled.replied(*inbound, step.checkpoint());
            owed.insert(*inbound, (**effect).clone());
        }
    }
}

/// Progress beyond the end of a log is of another log under the same name: nothing can be right then.
async fn check_same_logs(
    shared: &Shared,
    partition: u32,
    committed: Offset,
    checkpoint: Checkpoint,
) -> anyhow::Result<()> {
    let ends = [
        (Topic::Inbound, committed),
        (Topic::Response, checkpoint.position),
    ];
    for (topic, known) in ends {
        let end = shared.log.end(topic, partition).await;
        let end = end.context("failed to look for the end of the log")?;
        if known > end {
            bail!(LogReplaced {
                topic,
                partition,
                known,
                end
            });
        }
    }
    Ok(())
}

/// The one fault of a takeover that trying again does not mend.
#[derive(Debug, thiserror::Error)]
#[error(
    "partition {partition} of {topic:?} ends at {end}, but progress is at {known}: the topic was deleted and created \
     again; reset the worker group's offsets to start over"
)]
pub(crate) struct LogReplaced {
    topic: Topic,
    partition: u32,
    known: Offset,
    end: Offset,
}
