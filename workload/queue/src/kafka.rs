//! The logs on Kafka brokers: as durable as the brokers' copies.
//!
//! - `topics`: made when absent.
//! - `producer`: appends, idempotent, each record to its partition.
//! - `fetch`: readers, on consumers that they share.
//! - `member`: groups, by consumers that read nothing.
//! - `fault`: what is told when brokers cannot be used.
//!
//! The client is librdkafka. Its calls that wait are made on threads that may wait.

mod fault;
mod fetch;
mod member;
mod options;
mod producer;
mod topics;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::Trace;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::Producer;

pub use fault::{Reason, Unusable};
pub use options::{ClientCertificate, Mechanism, Options, Sasl, Tls};

use crate::{Commit, Error, Log, Member, Offset, Records, Topic};
use fault::Told;
use fetch::{KafkaRecords, Pool};
use member::KafkaMember;
use producer::Appender;
use topics::{Found, Look};

/// The group that readers name and never join.
const READERS: &str = "reader";
/// For a broker's answer to where a partition begins and ends.
const ANSWER: Duration = Duration::from_secs(5);
/// Events of a looking consumer passed over at once.
const EVENTS: usize = 10;
/// For the first broker to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The logs on Kafka.
pub struct KafkaLog {
    options: Options,
    identity: String,
    /// The cluster's id, if a broker has told it.
    cluster: Option<String>,
    inbound: Arc<str>,
    response: Arc<str>,
    dead_letter: Arc<str>,
    cursor: Arc<str>,
    identity_topic: Arc<str>,
    told: Told,
    appender: Arc<Appender>,
    pool: Arc<Pool>,
    /// Consumers that only ask for the progress of a group, by its name.
    lookers: Mutex<HashMap<String, Arc<BaseConsumer<Told>>>>,
}

impl KafkaLog {
    /// Looks for the topics and makes those that are absent, so that several processes may do it at once; a topic that
    /// exists with as many partitions or more is left as it is. Waits up to 10 s for a broker.
    ///
    /// # Errors
    ///
    /// Says which of the reasons in [`Reason`] it is, with what was found, what is wanted and what helps.
    pub async fn connect(options: Options) -> Result<Self, Unusable> {
        let with = options.clone();
        let cluster = blocking(move || Look::new(&with)?.ensure(PATIENCE)).await?;
        let told = Told::default();
        Ok(Self {
            identity: format!(
                "{}/{}",
                cluster.as_deref().unwrap_or_default(),
                options.topic_prefix
            ),
            cluster,
            inbound: options.topic(Topic::Inbound).into(),
            response: options.topic(Topic::Response).into(),
            dead_letter: options.topic(Topic::DeadLetter).into(),
            cursor: options.topic(Topic::Cursor).into(),
            identity_topic: options.topic(Topic::Identity).into(),
            appender: Arc::new(Appender::new(&options, &told)?),
            pool: Arc::new(Pool::new(options.consumer(READERS), told.clone())),
            lookers: Mutex::default(),
            told,
            options,
        })
    }

    /// Whether this log is still there, by a connection made for it: its topics are, in the cluster that it was found in.
    /// One that is gone, or was made anew, is gone with all that this process knows of it.
    ///
    /// # Errors
    ///
    /// Says why that cannot be told, or the topics cannot be used: what a condition tells.
    pub async fn is_there(&self, options: Options) -> Result<bool, Unusable> {
        let found = blocking(move || Look::new(&options)?.check()).await?;
        Ok(match (found, self.cluster.as_ref()) {
            (Found::Nothing, _) => false,
            (Found::In(Some(now)), Some(before)) => now == *before,
            (Found::In(_), _) => true,
        })
    }

    /// What hinders the clients of this log since it was last asked, as far as they know.
    #[must_use]
    pub fn hindrance(&self) -> Option<Unusable> {
        self.told.take()
    }

    /// A topic that the broker does not let be written, as its answer to the last record has shown: neither a connection
    /// nor a look at the topics shows it.
    #[must_use]
    pub fn forbidden(&self) -> Option<Unusable> {
        self.told.forbidden()
    }

    fn name(&self, topic: Topic) -> Arc<str> {
        Arc::clone(match topic {
            Topic::Inbound => &self.inbound,
            Topic::Response => &self.response,
            Topic::DeadLetter => &self.dead_letter,
            Topic::Cursor => &self.cursor,
            Topic::Identity => &self.identity_topic,
        })
    }

    /// The offsets of the oldest record and of the next.
    async fn bounds(&self, topic: Topic, partition: u32) -> Result<(Offset, Offset), Error> {
        let (name, producer) = (self.name(topic), self.appender.producer());
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let unreadable = |reason: String| Error::Unreadable { reason };
        let asking = tokio::task::spawn_blocking(move || {
            producer.client().fetch_watermarks(&name, number, ANSWER)
        });
        let bounds = asking
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        let (start, end) = bounds.map_err(|error| unreadable(error.to_string()))?;
        let offset = |bound: i64| u64::try_from(bound).unwrap_or_default();
        Ok((offset(start), offset(end)))
    }

    fn looker(&self, group: &str) -> Result<Arc<BaseConsumer<Told>>, Error> {
        let mut lookers = self.lookers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looker) = lookers.get(group) {
            // Its events wait until somebody looks, and nobody else does.
            for _ in 0..EVENTS {
                looker.poll(Duration::ZERO);
            }
            return Ok(Arc::clone(looker));
        }
        let looker = self.options.consumer(group);
        let looker = looker.create_with_context(self.told.clone());
        let looker: BaseConsumer<Told> = looker.map_err(|error| Error::Unreadable {
            reason: error.to_string(),
        })?;
        let looker = Arc::new(looker);
        lookers.insert(group.to_owned(), Arc::clone(&looker));
        Ok(looker)
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        let lookers = self.lookers.get_mut();
        let lookers = std::mem::take(lookers.unwrap_or_else(PoisonError::into_inner));
        fetch::off_thread(move || drop(lookers));
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Unusable> + Send + 'static,
) -> Result<T, Unusable> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Unusable {
                reason: Reason::BrokerUnreachable,
                message: format!("failed to look for a broker: {error}"),
            })
        })
}

#[async_trait]
impl Log for KafkaLog {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn partitions(&self) -> u32 {
        self.options.partitions.max(1)
    }

    async fn append_traced(
        &self,
        topic: Topic,
        partition: u32,
        value: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Option<Offset>, Error> {
        self.appender
            .append(&self.name(topic), partition, None, &value, trace)
            .await
    }

    async fn append_keyed(
        &self,
        topic: Topic,
        partition: u32,
        key: &str,
        value: Vec<u8>,
    ) -> Result<Option<Offset>, Error> {
        self.appender
            .append(&self.name(topic), partition, Some(key), &value, None)
            .await
    }

    fn reader(&self, topic: Topic, partition: u32, from: Offset) -> Box<dyn Records> {
        let name = self.name(topic);
        Box::new(KafkaRecords::new(&self.pool, name, partition, from))
    }

    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        Ok(self.bounds(topic, partition).await?.0)
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error> {
        Ok(self.bounds(topic, partition).await?.1)
    }

    async fn join(&self, group: &str, topic: Topic) -> Result<Box<dyn Member>, Error> {
        let (options, told) = (self.options.clone(), self.told.clone());
        let group = group.to_owned();
        let joining =
            tokio::task::spawn_blocking(move || KafkaMember::join(&options, &told, &group, topic));
        let unreadable = |reason: String| Error::Unreadable { reason };
        let member = joining
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        let member = member.map_err(|error| unreadable(error.to_string()))?;
        Ok(Box::new(member))
    }

    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error> {
        let looker = self.looker(group)?;
        member::committed(looker, self.options.topic(topic), partition).await
    }
}
