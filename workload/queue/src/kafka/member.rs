//! Membership of a group: a consumer that is polled all the time and reads nothing.
//!
//! The classic protocol, cooperative: the broker takes a partition from a member first, and gives it to another only
//! when the first has agreed. This one agrees when it has been released, or after [`RELEASE`], and goes on being polled
//! meanwhile, so that the broker does not give it up. An offset commit renews the session, so the last one that
//! succeeded says until when nobody else is given anything.

mod commits;
mod group;
mod shared;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::{oneshot, watch};
use tracing::warn;

pub(super) use self::commits::committed;
use self::group::Group;
use self::shared::{Asked, Shared};
use super::fault::Told;
use super::options::Options;
use crate::lease::Lease;
use crate::{Commit, Error, Member, Suggested, Topic};

pub(super) struct KafkaMember {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Group>>,
    polling: Option<thread::JoinHandle<()>>,
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
        let polling = start("kafka-member", group::serve)?;
        start("kafka-commit", commits::make)?;
        Ok(Self {
            shared,
            consumer,
            polling: Some(polling),
        })
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
