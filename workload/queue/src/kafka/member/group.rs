//! A member's part in its group: it is told what it may hold, and agrees to what another is to have.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use tracing::{debug, info, warn};

use super::shared::{Leaving, Shared};
use crate::kafka::fault::Told;

/// How long a partition may be held on to when another is to have it. Longer than a worker takes to finish, shorter than
/// the broker waits.
const RELEASE: Duration = Duration::from_secs(25);
/// Between looks at what there is to do.
const TURN: Duration = Duration::from_millis(20);

/// Serves the group until the member closes, and leaves it then.
pub(super) fn serve(shared: &Shared, consumer: Arc<BaseConsumer<Group>>) {
    while !shared.closing.load(Ordering::Acquire) {
        if let Some(Err(error)) = consumer.poll(TURN) {
            debug!(group = shared.group, "a member: {error}");
        }
        let_go(shared, &consumer);
    }
    // Whoever drops it last waits for the broker's answer, and that is to be nobody else.
    while Arc::strong_count(&consumer) > 1 {
        thread::sleep(TURN);
    }
    drop(consumer);
}

/// Agrees to what another is to have, when it has been released.
fn let_go(shared: &Shared, consumer: &BaseConsumer<Group>) {
    let mut state = shared.state();
    let Some(leaving) = &state.leaving else {
        return;
    };
    if consumer.assignment_lost() {
        let leaving = state.leaving.take();
        state.lose();
        drop(state);
        unassign(shared, consumer, leaving);
        return;
    }
    if !leaving.held.is_empty() && Instant::now() < leaving.until {
        return;
    }
    if !leaving.held.is_empty() {
        warn!(group = shared.group, partitions = ?leaving.held, "held on to for too long, and given up");
    }
    let leaving = state.leaving.take();
    drop(state);
    unassign(shared, consumer, leaving);
}

fn unassign(shared: &Shared, consumer: &BaseConsumer<Group>, leaving: Option<Leaving>) {
    if let Some(leaving) = leaving
        && let Err(error) = consumer.incremental_unassign(&leaving.list)
    {
        warn!(group = shared.group, "failed to let partitions go: {error}");
    }
}

/// What the client calls back, in the polling thread.
pub(super) struct Group {
    pub(super) told: Told,
    pub(super) shared: Arc<Shared>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        moved: &mut TopicPartitionList,
    ) {
        let partitions = self.shared.numbers(moved);
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let assigned = consumer
                .incremental_assign(moved)
                // Data comes by others.
                .and_then(|()| consumer.pause(moved));
            if let Err(error) = assigned {
                warn!(
                    group = self.shared.group,
                    "failed to take partitions: {error}"
                );
            }
            debug!(group = self.shared.group, ?partitions, "suggested");
            self.shared.suggested.send_modify(|suggested| {
                suggested.get_or_insert_default().extend(&partitions);
            });
            return;
        }
        let lost = consumer.assignment_lost();
        debug!(
            group = self.shared.group,
            ?partitions,
            lost,
            "no longer suggested"
        );
        let mut state = self.shared.state();
        let leaving = state.leaving.take();
        if lost {
            info!(
                group = self.shared.group,
                "the group has given this member up"
            );
            state.lose();
        }
        state.forget(&partitions);
        self.shared.suggested.send_modify(|suggested| {
            let suggested = suggested.get_or_insert_default();
            suggested.retain(|partition| !partitions.contains(partition));
        });
        let left = Leaving {
            list: moved.clone(),
            held: partitions,
            until: Instant::now() + RELEASE,
        };
        let closing = self.shared.closing.load(Ordering::Acquire);
        let left = if lost || closing || left.held.is_empty() {
            Some(left)
        } else {
            state.leaving = Some(left);
            None
        };
        drop(state);
        unassign(&self.shared, consumer, leaving);
        unassign(&self.shared, consumer, left);
    }
}
