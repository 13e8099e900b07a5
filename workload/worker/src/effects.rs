//! What follows from replies that count, done before their messages are settled. Anything here may be done twice: a message
//! that is sent on twice is a copy there, and a link written twice is the same link.

use chatbot_message::{Effect, Message, Trace};
use chatbot_queue::identity::{self, Link, Links};
use chatbot_queue::{Error, Topic};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::Shared;
use crate::backoff::Backoff;

/// Does it, however long it takes. The link comes first: whoever reads the message knows that it holds.
pub(crate) async fn perform(
    shared: &Shared,
    partition: u32,
    (message, trace): (&Message, Trace),
    effect: &Effect,
    link: Option<&Link>,
) {
    let log = shared.log.as_ref();
    let mut backoff = Backoff::new(&shared.limits);
    if let Some(link) = link {
        while let Err(error) = link.append(log, partition).await {
            warn!("a link waits to be written: {error}");
            sleep(backoff.next()).await;
        }
    }
    if let Some((to, _)) = effect.way() {
        let links = matches!(effect, Effect::Link { .. });
        let partition = to.partition(log.partitions());
        let value = serde_json::to_vec(&message.sent_on(to, links)).unwrap_or_default();
        let append = || log.append_traced(Topic::Inbound, partition, value.clone(), Some(trace));
        while let Err(error) = append().await {
            warn!("a message waits to be sent on: {error}");
            sleep(backoff.next()).await;
        }
        shared.metrics.forwarded.inc();
    }
}

/// The links of a partition, once all of them are where they stay.
pub(crate) async fn links(shared: &Shared, partition: u32) -> Result<Links, Error> {
    let log = shared.log.as_ref();
    let (links, hidden) = identity::read(log, partition).await?;
    for link in hidden {
        link.append(log, partition).await?;
    }
    Ok(links)
}

/// Looks again for links that a late record of an earlier owner's lies behind, long before compaction removes them.
pub(crate) async fn mend(shared: &Shared, partition: u32) {
    loop {
        sleep(shared.limits.mend_interval).await;
        if let Err(error) = links(shared, partition).await {
            debug!(partition, "failed to look at the links: {error}");
        }
    }
}
