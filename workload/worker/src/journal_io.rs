//! An epoch's traffic with the logs: the tail, the one writer, the commits.

use std::time::Duration;

use chatbot_message::Trace;
use chatbot_queue::journal::{self, Checkpoint, Entry, Reader, Step};
use chatbot_queue::{Commit, Error, Offset, Topic};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::Shared;
use crate::backoff::Backoff;
use crate::epoch::Lane;
use crate::metrics::{Partition, Phase};

/// What has become of a reply.
pub(crate) enum Written {
    /// It is in the log: the next of its lane may begin. Nothing of it while something follows from the reply.
    Done(Option<Lane>),
    /// Nobody knows.
    Unknown,
}

/// What is to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) lowest: Offset,
    pub(crate) checkpoint: Checkpoint,
}

/// How often the lag is looked at while nothing moves.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the journal behind the owner record, until nobody listens.
pub(crate) async fn tail(
    shared: &Shared,
    partition: u32,
    from: Checkpoint,
    steps: mpsc::Sender<(Step, Checkpoint)>,
) {
    let mut reader = Reader::new(shared.log.as_ref(), partition, from);
    let mut backoff = Backoff::new(&shared.limits);
    loop {
        match reader.next().await {
            Ok(step) => {
                backoff = Backoff::new(&shared.limits);
                if steps.send((step, reader.checkpoint())).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                sleep(backoff.failed(partition, &error)).await;
            }
        }
    }
}

/// Appends replies one after another: their order in the log is the order of their numbers.
pub(crate) async fn write(
    shared: &Shared,
    partition: u32,
    mut writes: mpsc::UnboundedReceiver<(Option<Lane>, Entry, Trace)>,
    written: mpsc::Sender<Written>,
) {
    while let Some((lane, entry, trace)) = writes.recv().await {
        let began = Instant::now();
        let result = match append(shared, partition, &entry, trace).await {
            Ok(()) => {
                if is_to_a_user(&entry) {
                    shared.metrics.took(Phase::Journal, began.elapsed());
                }
                Written::Done(lane)
            }
            Err(error) => {
                warn!(partition, "giving up this epoch: {error}");
                Written::Unknown
            }
        };
        let unknown = matches!(result, Written::Unknown);
        if written.send(result).await.is_err() || unknown {
            return;
        }
    }
}

fn is_to_a_user(entry: &Entry) -> bool {
    matches!(entry, Entry::Reply { reply, .. } if !reply.synthetic)
}

/// What was certainly not written is written again.
async fn append(shared: &Shared, partition: u32, entry: &Entry, trace: Trace) -> Result<(), Error> {
    let mut backoff = Backoff::new(&shared.limits);
    loop {
        let log = shared.log.as_ref();
        match journal::append_traced(log, partition, entry, Some(trace)).await {
            Ok(_) => return Ok(()),
            Err(error @ Error::Refused { .. }) => {
                sleep(backoff.failed(partition, &error)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Commits the latest progress whenever it has changed, and keeps the lag.
pub(crate) async fn commit(
    shared: &Shared,
    partition: u32,
    mut progress: watch::Receiver<Option<Progress>>,
) {
    let mut committed = None;
    let lag = shared
        .metrics
        .lag
        .get_or_create_owned(&Partition { partition });
    loop {
        // Either something has moved, or it is time to look at the lag.
        let _moved = timeout(LAG_INTERVAL, progress.changed()).await;
        let Some(latest) = *progress.borrow_and_update() else {
            continue;
        };
        if committed != Some(latest) {
            match put(shared, partition, latest).await {
                Ok(()) => committed = Some(latest),
                Err(error) => debug!(partition, "failed to commit, trying again: {error}"),
            }
        }
        if let Ok(end) = shared.log.end(Topic::Inbound, partition).await {
            lag.set(i64::try_from(end.saturating_sub(latest.lowest)).unwrap_or(i64::MAX));
        }
        sleep(shared.limits.commit_interval).await;
    }
}

/// Commits. The checkpoint says from where the next owner reads the journal.
pub(crate) async fn put(shared: &Shared, partition: u32, progress: Progress) -> Result<(), Error> {
    let commit = Commit {
        offset: progress.lowest,
        metadata: progress.checkpoint.encode(),
    };
    shared.member.commit(partition, commit).await
}
