//! What the threads of a member and its callers share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaResult;
use tokio::sync::{oneshot, watch};

use crate::lease::Lease;
use crate::{Commit, Error, Suggested};

/// What the polling thread and the callers share.
pub(super) struct Shared {
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) partitions: u32,
    pub(super) suggested: watch::Sender<Suggested>,
    pub(super) closing: AtomicBool,
    pub(super) state: Mutex<State>,
    /// Something is to be committed, or the member closes.
    pub(super) wake: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) lease: Lease,
    /// What another is to have, once it has been released.
    pub(super) leaving: Option<Leaving>,
    /// What is to be committed next.
    pub(super) asked: BTreeMap<u32, Asked>,
    /// The last commit that succeeded.
    pub(super) last: Option<(u32, Commit)>,
}

impl State {
    /// The group has given this member up.
    pub(super) fn lose(&mut self) {
        self.lease = Lease {
            term: self.lease.term + 1,
            ..Lease::default()
        };
        self.last = None;
    }

    /// Partitions are to be another's: what was committed of them must not be committed again, not even when they come back,
    /// since that one may have gone further.
    pub(super) fn forget(&mut self, partitions: &BTreeSet<u32>) {
        self.last
            .take_if(|(partition, _)| partitions.contains(partition));
    }
}

pub(super) struct Leaving {
    pub(super) list: TopicPartitionList,
    pub(super) held: BTreeSet<u32>,
    pub(super) until: Instant,
}

pub(super) struct Asked {
    pub(super) commit: Commit,
    /// The term that it is to be of, where that matters.
    pub(super) within: Option<u64>,
    pub(super) answers: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn suggests(&self, partition: u32) -> bool {
        let suggested = self.suggested.borrow();
        suggested
            .as_ref()
            .is_some_and(|all| all.contains(&partition))
    }

    pub(super) fn numbers(&self, list: &TopicPartitionList) -> BTreeSet<u32> {
        let numbers = list.elements_for_topic(&self.topic);
        numbers
            .iter()
            .filter_map(|element| u32::try_from(element.partition()).ok())
            .filter(|partition| *partition < self.partitions)
            .collect()
    }

    pub(super) fn list(&self, commits: &BTreeMap<u32, Asked>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, Asked { commit, .. }) in commits {
            let partition = i32::try_from(*partition).unwrap_or(i32::MAX);
            let mut element = list.add_partition(&self.topic, partition);
            let offset = i64::try_from(commit.offset).unwrap_or(i64::MAX);
            element.set_offset(rdkafka::Offset::Offset(offset))?;
            element.set_metadata(&commit.metadata);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_of_a_partition_that_another_is_to_have_is_not_repeated() {
        let mut state = State {
            last: Some((3, Commit::default())),
            ..State::default()
        };
        state.forget(&[1, 2].into());
        assert_eq!(
            state.last.as_ref().map(|(partition, _)| *partition),
            Some(3)
        );
        state.forget(&[2, 3].into());
        assert!(state.last.is_none());
    }
}
