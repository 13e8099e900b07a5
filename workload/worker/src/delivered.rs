//! Whether everything that a person was replied in this partition has been delivered: read from the journal, as a gateway
//! does that begins.

use std::collections::BTreeSet;

use chatbot_message::{Account, Reply};
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader, Step};
use chatbot_queue::{Error, Offset, Topic};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::Shared;
use crate::backoff::Backoff;

/// Waits until it has; false when it takes too long: a platform that is away must not hold up a partition.
pub(crate) async fn wait(
    shared: &Shared,
    partition: u32,
    person: &Account,
    channels: &BTreeSet<String>,
) -> bool {
    let waiting = async {
        let mut backoff = Backoff::new(&shared.limits);
        while let Err(error) = all(shared, partition, person, channels).await {
            debug!(partition, "looking for what was delivered again: {error}");
            sleep(backoff.next()).await;
        }
    };
    timeout(shared.limits.delivery_wait, waiting).await.is_ok()
}

/// Ends when nothing of the person's is pending.
async fn all(
    shared: &Shared,
    partition: u32,
    person: &Account,
    channels: &BTreeSet<String>,
) -> Result<(), Error> {
    let log = shared.log.as_ref();
    let end = journal::readable_end(log, partition).await?;
    let mut from: Option<Checkpoint> = None;
    for channel in channels {
        let group = journal::delivery_group(channel);
        let commit = log.committed(&group, Topic::Response, partition).await?;
        let at = Checkpoint::decode(&commit.metadata);
        if from.is_none_or(|from| at.position < from.position) {
            from = Some(at);
        }
    }
    let mut reader = Reader::new(log, partition, from.unwrap_or_default());
    let mut pending = Pending::default();
    while reader.checkpoint().position < end || !pending.0.is_empty() {
        pending.take_in(&reader.next().await?, |reply| reply.person() == person);
    }
    Ok(())
}

/// Replies that are not marked as a whole. Pure.
#[derive(Default)]
struct Pending(BTreeSet<Offset>);

impl Pending {
    fn take_in(&mut self, step: &Step, is_theirs: impl Fn(&Reply) -> bool) {
        match &step.entry {
            Some(Entry::Reply { reply, .. })
                if step.counts && reply.is_shown() && is_theirs(reply) =>
            {
                self.0.insert(step.position);
            }
            Some(Entry::Delivered {
                position,
                last: true,
                ..
            }) => {
                self.0.remove(position);
            }
            _ => {}
        }
    }
}
