//! Whether everything that came by an account and was answered in this partition has been delivered: read from the
//! journal, as a gateway does that begins.

use std::collections::BTreeSet;

use chatbot_message::Account;
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader, Step};
use chatbot_queue::{Error, Offset, Topic};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::Shared;
use crate::backoff::Backoff;

/// Waits until it has; false when it takes too long: a platform that is away must not hold up a partition. A log that is
/// away tells nothing, and is waited for.
pub(crate) async fn wait(
    shared: &Shared,
    partition: u32,
    account: &Account,
    channels: &BTreeSet<String>,
) -> bool {
    let mut backoff = Backoff::new(&shared.limits);
    loop {
        match look(shared, partition, account, channels).await {
            Ok(delivered) => return delivered,
            Err(error) => {
                debug!(partition, "looking for what was delivered again: {error}");
                sleep(backoff.next()).await;
            }
        }
    }
}

async fn look(
    shared: &Shared,
    partition: u32,
    account: &Account,
    channels: &BTreeSet<String>,
) -> Result<bool, Error> {
    let log = shared.log.as_ref();
    let end = journal::readable_end(log, partition).await?;
    let from = undelivered(shared, partition, channels).await?;
    let mut reader = Reader::new(log, partition, from);
    let mut pending = Pending::of(account);
    while reader.checkpoint().position < end {
        pending.take_in(&reader.next().await?);
    }
    let marks = async {
        while !pending.positions.is_empty() {
            pending.take_in(&reader.next().await?);
        }
        Ok(true)
    };
    let waited = timeout(shared.limits.delivery_wait, marks).await;
    waited.unwrap_or(Ok(false))
}

/// Where the channels' gateways are: what lies before that is delivered.
async fn undelivered(
    shared: &Shared,
    partition: u32,
    channels: &BTreeSet<String>,
) -> Result<Checkpoint, Error> {
    let mut first: Option<Checkpoint> = None;
    for channel in channels {
        let group = journal::delivery_group(channel);
        let committed = shared.log.committed(&group, Topic::Response, partition);
        let at = Checkpoint::decode(&committed.await?.metadata);
        if first.is_none_or(|first| at.position < first.position) {
            first = Some(at);
        }
    }
    Ok(first.unwrap_or_default())
}

/// Replies that are not marked as a whole. Pure.
struct Pending<'a> {
    account: &'a Account,
    positions: BTreeSet<Offset>,
}

impl<'a> Pending<'a> {
    fn of(account: &'a Account) -> Self {
        Self {
            account,
            positions: BTreeSet::new(),
        }
    }

    fn take_in(&mut self, step: &Step) {
        match &step.entry {
            Some(Entry::Reply { reply, .. })
                if step.counts && reply.is_shown() && reply.came_by(self.account) =>
            {
                self.positions.insert(step.position);
            }
            Some(Entry::Delivered {
                position,
                last: true,
                ..
            }) => {
                self.positions.remove(position);
            }
            _ => {}
        }
    }
}
