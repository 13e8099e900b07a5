//! Which partitions this worker works on: those that the group suggests, each for as long as it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::Shared;
use crate::partition;

/// Follows the group's suggestions until `shutdown`, and then until every partition has been let go in order.
pub(crate) async fn follow(shared: &Arc<Shared>, shutdown: &CancellationToken) -> Result<()> {
    let mut suggested = shared.member.suggested();
    let mut at_work = AtWork {
        shared,
        shutdown,
        stops: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    loop {
        let wanted = suggested.borrow_and_update().clone().unwrap_or_default();
        if !shutdown.is_cancelled() {
            at_work.adapt(&wanted);
        }
        tokio::select! {
            Some(ended) = at_work.tasks.join_next() => {
                let partition = ended.context("failed to own a partition")??;
                at_work.stops.remove(&partition);
                shared.member.release(partition);
            }
            Ok(()) = suggested.changed() => {}
            // All of them end by themselves then.
            () = shutdown.cancelled(), if at_work.tasks.is_empty() => return Ok(()),
        }
    }
}

struct AtWork<'a> {
    shared: &'a Arc<Shared>,
    shutdown: &'a CancellationToken,
    /// What is worked on; one that was told to stop stays here until it has.
    stops: BTreeMap<u32, CancellationToken>,
    tasks: JoinSet<Result<u32>>,
}

impl AtWork<'_> {
    fn adapt(&mut self, wanted: &BTreeSet<u32>) {
        for (partition, stop) in &self.stops {
            if !wanted.contains(partition) && !stop.is_cancelled() {
                info!(
                    partition,
                    "letting the partition go, since another is to have it"
                );
                stop.cancel();
            }
        }
        for partition in wanted.iter().copied() {
            if self.stops.contains_key(&partition) {
                continue;
            }
            let stop = self.shutdown.child_token();
            let owning = partition::own(Arc::clone(self.shared), partition, stop.clone());
            self.stops.insert(partition, stop);
            self.tasks.spawn(async move {
                owning.await?;
                Ok(partition)
            });
        }
    }
}
