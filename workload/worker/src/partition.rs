//! One partition, for as long as it is suggested to this worker: take over, work, and again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Shared;
use crate::backoff::Backoff;
use crate::epoch::{self, End};
use crate::metrics::Partition;
use crate::takeover::{LogReplaced, take_over};
use crate::view::{self, Link};

/// Owns the partition until `stop`, and keeps its view meanwhile.
pub(crate) async fn own(
    shared: Arc<Shared>,
    partition: u32,
    stop: CancellationToken,
) -> Result<()> {
    let link = Arc::new(Link::new());
    tokio::select! {
        owned = own_again(&shared, partition, &link, &stop) => owned,
        () = view::keep(&shared, partition, &link) => Ok(()),
    }
}

async fn own_again(
    shared: &Arc<Shared>,
    partition: u32,
    link: &Arc<Link>,
    stop: &CancellationToken,
) -> Result<()> {
    let mut backoff = Backoff::new(&shared.limits);
    loop {
        let Some(taken) = stop.run_until_cancelled(take_over(shared, partition)).await else {
            return Ok(());
        };
        let pause = match taken {
            Ok(takeover) => {
                backoff = Backoff::new(&shared.limits);
                shared.metrics.takeovers.inc();
                shared.handle.set_read(partition, takeover.settled.lowest());
                let end = epoch::run(shared, link, partition, takeover, stop).await;
                shared.handle.set_lost(partition);
                // Whoever has it next tells its lag.
                shared.metrics.lag.remove(&Partition { partition });
                match end {
                    End::Left => return Ok(()),
                    End::Fenced => {
                        info!(partition, "another owner has taken over");
                        shared.limits.heartbeat
                    }
                    End::Unknown => Duration::ZERO,
                }
            }
            Err(error) if error.is::<LogReplaced>() => return Err(error),
            Err(error) => {
                warn!(
                    partition,
                    "failed to take the partition over, trying again: {error:#}"
                );
                backoff.next()
            }
        };
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
}
