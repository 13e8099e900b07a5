//! Commits of a member: all that is asked for at once, one after the other. Each one that succeeds renews the lease.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::group::Group;
use super::shared::{Asked, Shared};
use crate::kafka::options::SESSION;
use crate::lease::Moment;
use crate::{Commit, Error};

/// The last commit is repeated after so long without one, to renew the lease.
const RENEW: Duration = Duration::from_millis(500);
/// For the group's answer to a question.
const ANSWER: Duration = Duration::from_secs(5);

/// Commits what is asked for, all of it at once, one commit after the other, until the member closes.
#[allow(clippy::needless_pass_by_value)] // Of the thread that it runs in.
pub(super) fn make(shared: &Shared, consumer: Arc<BaseConsumer<Group>>) {
    while let Some(asked) = next_commit(shared) {
        let term = shared.state().lease.term;
        let asked = of_term(asked, term);
        if asked.is_empty() {
            continue;
        }
        let begun = Moment::now();
        let committed = shared
            .list(&asked)
            .and_then(|list| consumer.commit(&list, CommitMode::Sync));
        let mut state = shared.state();
        if committed.is_ok() && term == state.lease.term {
            state.lease.until = begun.after(SESSION);
            let mut still = asked.iter();
            if let Some((partition, asked)) = still.find(|(one, _)| shared.suggests(**one)) {
                state.last = Some((*partition, asked.commit.clone()));
            }
        }
        drop(state);
        for waiting in asked.into_values().flat_map(|asked| asked.answers) {
            let _unheard = waiting.send(committed.clone().map_err(|error| refused(&error)));
        }
    }
}

/// Waits for what is to be committed; after a while without anything, the last commit again. Nothing at the end.
fn next_commit(shared: &Shared) -> Option<BTreeMap<u32, Asked>> {
    let begun = Instant::now();
    let mut state = shared.state();
    loop {
        if shared.closing.load(Ordering::Acquire) {
            return None;
        }
        if !state.asked.is_empty() {
            return Some(std::mem::take(&mut state.asked));
        }
        if begun.elapsed() >= RENEW
            && let Some((partition, commit)) = state.last.clone()
            && shared.suggests(partition)
        {
            let asked = Asked {
                commit,
                within: Some(state.lease.term),
                answers: Vec::new(),
            };
            return Some([(partition, asked)].into());
        }
        let waited = shared.wake.wait_timeout(state, RENEW);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// What may be committed in this term; to the rest it is refused. A commit that comes too late all the same has the
/// number of a membership that is over, and the broker refuses it.
fn of_term(asked: BTreeMap<u32, Asked>, term: u64) -> BTreeMap<u32, Asked> {
    let mut rest = BTreeMap::new();
    for (partition, asked) in asked {
        if asked.within.is_none_or(|within| within == term) {
            rest.insert(partition, asked);
            continue;
        }
        for waiting in asked.answers {
            let _unheard = waiting.send(Err(Error::Refused {
                reason: "the group has given this member up in between".to_owned(),
            }));
        }
    }
    rest
}

fn refused(error: &KafkaError) -> Error {
    Error::Refused {
        reason: error.to_string(),
    }
}

/// A group's progress, as its coordinator knows it.
pub(in crate::kafka) async fn committed<C: ConsumerContext + 'static>(
    consumer: Arc<BaseConsumer<C>>,
    topic: String,
    partition: u32,
) -> Result<Commit, Error> {
    let unreadable = |reason: String| Error::Unreadable { reason };
    let asking = tokio::task::spawn_blocking(move || {
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, i32::try_from(partition).unwrap_or(i32::MAX));
        let list = consumer.committed_offsets(list, ANSWER)?;
        let elements = list.elements();
        let Some(element) = elements.first() else {
            return Ok(Commit::default());
        };
        element.error()?;
        Ok(match element.offset() {
            rdkafka::Offset::Offset(offset) => Commit {
                offset: u64::try_from(offset).unwrap_or_default(),
                metadata: element.metadata().to_owned(),
            },
            _ => Commit::default(),
        })
    });
    let answer: KafkaResult<Commit> = asking
        .await
        .map_err(|error| unreadable(error.to_string()))?;
    answer.map_err(|error| unreadable(error.to_string()))
}
