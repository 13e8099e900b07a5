//! Membership of a group: a consumer that is polled all the time and reads nothing.
//!
//! The classic protocol, cooperative: the broker takes a partition from a member first, and gives it to another only
//! when the first has agreed. This one agrees when it has been released, or after [`RELEASE`], and goes on being polled
//! meanwhile, so that the broker does not give it up. An offset commit renews the session, so the last one that
//! succeeded says until when nobody else is given anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::{oneshot, watch};
use tracing::{debug, info, warn};

use super::fault::Told;
use super::options::{Options, SESSION};
use crate::lease::{Lease, Moment};
use crate::{Commit, Error, Member, Suggested, Topic};

/// How long a partition may be held on to when another is to have it. Longer than a worker takes to finish, shorter than
/// the broker waits.
const RELEASE: Duration = Duration::from_secs(25);
/// Between looks at what there is to do.
const TURN: Duration = Duration::from_millis(20);
/// The last commit is repeated after so long without one, to renew the lease.
const RENEW: Duration = Duration::from_millis(500);
/// For the group's answer to a question.
const ANSWER: Duration = Duration::from_secs(5);

pub(super) struct KafkaMember {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Group>>,
    polling: Option<thread::JoinHandle<()>>,
}

/// What the polling thread and the callers share.
struct Shared {
    topic: String,
    group: String,
    partitions: u32,
    suggested: watch::Sender<Suggested>,
    closing: AtomicBool,
    state: Mutex<State>,
    /// Something is to be committed, or the member closes.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    lease: Lease,
    /// What another is to have, once it has been released.
    leaving: Option<Leaving>,
    /// What is to be committed next.
    asked: BTreeMap<u32, Asked>,
    /// The last commit that succeeded.
    last: Option<(u32, Commit)>,
}

impl State {
    /// The group has given this member up.
    fn lose(&mut self) {
        self.lease = Lease {
            term: self.lease.term + 1,
            ..Lease::default()
        };
        self.last = None;
    }

    /// Partitions are to be another's: what was committed of them must not be committed again, not even when they come back,
    /// since that one may have gone further.
    fn forget(&mut self, partitions: &BTreeSet<u32>) {
        self.last
            .take_if(|(partition, _)| partitions.contains(partition));
    }
}

struct Leaving {
    list: TopicPartitionList,
    held: BTreeSet<u32>,
    until: Instant,
}

struct Asked {
    commit: Commit,
    /// The term that it is to be of, where that matters.
    within: Option<u64>,
    answers: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn suggests(&self, partition: u32) -> bool {
        let suggested = self.suggested.borrow();
        suggested
            .as_ref()
            .is_some_and(|all| all.contains(&partition))
    }

    fn numbers(&self, list: &TopicPartitionList) -> BTreeSet<u32> {
        let numbers = list.elements_for_topic(&self.topic);
        numbers
            .iter()
            .filter_map(|element| u32::try_from(element.partition()).ok())
            .filter(|partition| *partition < self.partitions)
            .collect()
    }

    fn list(&self, commits: &BTreeMap<u32, Asked>) -> KafkaResult<TopicPartitionList> {
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

impl KafkaMember {
    /// Waits for the client in the calling thread, not for the group.
    pub(super) fn join(
        options: &Options,
        told: &Told,
        group: &str,
        topic: Topic,
    ) -> KafkaResult<Self> {
        let shared = Arc::new(Shared {
            topic: options.topic(topic),
            group: options.group(group),
            partitions: options.partitions.max(1),
            suggested: watch::Sender::new(None),
            closing: AtomicBool::new(false),
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let context = Group {
            told: told.clone(),
            shared: Arc::clone(&shared),
        };
        let consumer: BaseConsumer<Group> = options.consumer(group).create_with_context(context)?;
        let consumer = Arc::new(consumer);
        consumer.subscribe(&[&shared.topic])?;
        let start = |name: &str, work: fn(&Shared, Arc<BaseConsumer<Group>>)| {
            let (with, consumer) = (Arc::clone(&shared), Arc::clone(&consumer));
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&with, consumer))
                .map_err(|error| KafkaError::ClientCreation(error.to_string()))
        };
        let polling = start("kafka-member", poll)?;
        start("kafka-commit", commit)?;
        Ok(Self {
            shared,
            consumer,
            polling: Some(polling),
        })
    }
}

/// Serves the group until the member closes, and leaves it then.
fn poll(shared: &Shared, consumer: Arc<BaseConsumer<Group>>) {
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

/// Commits what is asked for, all of it at once, one commit after the other, until the member closes.
#[allow(clippy::needless_pass_by_value)] // Of the thread that it runs in.
fn commit(shared: &Shared, consumer: Arc<BaseConsumer<Group>>) {
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

/// What the client calls back, in the polling thread.
pub(super) struct Group {
    told: Told,
    shared: Arc<Shared>,
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

#[async_trait]
impl Member for KafkaMember {
    fn suggested(&self) -> watch::Receiver<Suggested> {
        self.shared.suggested.subscribe()
    }

    fn release(&self, partition: u32) {
        if let Some(leaving) = &mut self.shared.state().leaving {
            leaving.held.remove(&partition);
        }
    }

    async fn commit(&self, partition: u32, commit: Commit) -> Result<(), Error> {
        self.ask(partition, commit, None).await
    }

    async fn commit_within(&self, term: u64, partition: u32, commit: Commit) -> Result<(), Error> {
        self.ask(partition, commit, Some(term)).await
    }

    async fn committed(&self, partition: u32) -> Result<Commit, Error> {
        committed(
            Arc::clone(&self.consumer),
            self.shared.topic.clone(),
            partition,
        )
        .await
    }

    fn lease(&self) -> Lease {
        self.shared.state().lease
    }

    async fn close(mut self: Box<Self>) {
        let polling = self.polling.take();
        drop(self);
        let closing =
            tokio::task::spawn_blocking(move || polling.map(thread::JoinHandle::join).is_some());
        if closing.await.is_err() {
            warn!("a member did not leave its group in order");
        }
    }
}

impl KafkaMember {
    /// Has a commit made by the thread that makes them, and waits for the group's answer.
    async fn ask(&self, partition: u32, commit: Commit, within: Option<u64>) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state();
            let asked = state.asked.entry(partition).or_insert_with(|| Asked {
                commit: Commit::default(),
                within,
                answers: Vec::new(),
            });
            asked.commit = commit;
            asked.within = within;
            asked.answers.push(answer);
        }
        self.shared.wake.notify_one();
        answered.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown {
                reason: "the member has left its group".to_owned(),
            })
        })
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        // With the lock, so that whoever is about to wait hears it.
        let _state = self.shared.state();
        self.shared.closing.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

/// A group's progress, as its coordinator knows it.
pub(super) async fn committed<C: ConsumerContext + 'static>(
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
