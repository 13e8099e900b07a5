//! The topics: made when they are absent, left as they are when they can be used, refused when they cannot. Several
//! processes may do it at once. Everything here waits in the thread that it is called in.

use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;
use tracing::info;

use super::fault::{self, Reason, Told, Unusable};
use super::options::Options;
use crate::Topic;

/// For one answer of a broker.
const ANSWER: Duration = Duration::from_secs(2);
/// After which a refusal is believed.
const REFUSAL: Duration = Duration::from_secs(3);
/// For a topic that was made to be known everywhere.
const KNOWN: Duration = Duration::from_secs(15);
/// Between looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Events looked at after a question that failed.
const EVENTS: usize = 100;
const DAY: Duration = Duration::from_hours(24);

/// Looks at brokers and topics, with a client of its own.
pub(super) struct Look<'a> {
    options: &'a Options,
    told: Told,
    consumer: BaseConsumer<Told>,
}

/// What was found of the topics.
pub(super) enum Found {
    /// One of them is not there.
    Nothing,
    /// All of them, in the cluster of this id, if it is told.
    In(Option<String>),
}

impl<'a> Look<'a> {
    pub(super) fn new(options: &'a Options) -> Result<Self, Unusable> {
        let told = Told::default();
        // Of a consumer, since its questions make no topic on a broker that makes those it is asked about.
        let consumer = options.client().create_with_context(told.clone());
        Ok(Self {
            options,
            told,
            consumer: consumer.map_err(|error| fault::of_options(&error))?,
        })
    }

    /// Whether every topic is there; fails, with the reason, unless a broker answers and those that are can be used.
    pub(super) fn check(&self) -> Result<Found, Unusable> {
        for topic in Topic::ALL {
            let metadata = self.metadata(topic, ANSWER)?;
            if !self.is_usable(topic, &metadata)? {
                return Ok(Found::Nothing);
            }
        }
        Ok(Found::In(self.cluster()))
    }

    /// Makes what is absent; gives the cluster's id, if it is told.
    pub(super) fn ensure(&self, patience: Duration) -> Result<Option<String>, Unusable> {
        for topic in Topic::ALL {
            let metadata = self.metadata(topic, patience)?;
            if !self.is_usable(topic, &metadata)? {
                self.create(topic, metadata.brokers().len())?;
                self.wait_for(topic)?;
            }
        }
        Ok(self.cluster())
    }

    fn cluster(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(ANSWER)
    }

    /// What a broker says; asked again until `patience` has passed, or a little less when it says no: one that is just
    /// starting may say so, too.
    fn metadata(&self, topic: Topic, patience: Duration) -> Result<Metadata, Unusable> {
        let name = self.options.topic(topic);
        let begun = Instant::now();
        let mut worst: Option<Unusable> = None;
        loop {
            let step = ANSWER.min(patience);
            let error = match self.consumer.fetch_metadata(Some(&name), step) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            // Errors of connections wait in the client's queue until somebody looks, among lines of its log.
            for _ in 0..EVENTS {
                self.consumer.poll(Duration::ZERO);
            }
            let addresses = self.options.bootstrap_servers.join(", ");
            // What it was told once is not told again.
            let told = self.told.take().map(|told| {
                Unusable::new(
                    told.reason,
                    format!("no broker of {addresses} can be used: {}", told.message),
                )
            });
            worst = match (worst, told) {
                (Some(before), Some(now)) if now.reason > before.reason => Some(now),
                (before, now) => before.or(now),
            };
            let refused = worst
                .as_ref()
                .is_some_and(|worst| worst.reason != Reason::BrokerUnreachable);
            if begun.elapsed()
                >= if refused {
                    REFUSAL.min(patience)
                } else {
                    patience
                }
            {
                return Err(worst.unwrap_or_else(|| {
                    Unusable::new(
                        Reason::BrokerUnreachable,
                        format!("no broker answers at {addresses}: {error}"),
                    )
                }));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// False when the topic is not there.
    fn is_usable(&self, topic: Topic, metadata: &Metadata) -> Result<bool, Unusable> {
        let name = self.options.topic(topic);
        let Some(found) = metadata.topics().iter().find(|found| found.name() == name) else {
            return Ok(false);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(false);
            }
            Some(code) => {
                let reason = fault::reason(code).unwrap_or(Reason::TopicUnusable);
                return Err(Unusable::new(reason, forbidden(&name, code)));
            }
        }
        let has = found.partitions().len();
        let wants = self.options.partitions;
        if has < usize::try_from(wants).unwrap_or(usize::MAX) {
            return Err(Unusable::new(
                Reason::TopicUnusable,
                format!(
                    "the topic {name} has {has} partitions, and {wants} are wanted: set partitions to {has}, or name \
                     topics of its own with another topicPrefix"
                ),
            ));
        }
        Ok(true)
    }

    fn create(&self, topic: Topic, brokers: usize) -> Result<(), Unusable> {
        let name = self.options.topic(topic);
        let copies = self.options.replication_factor.max(1);
        let too_few = || {
            Unusable::new(
                Reason::TooFewBrokers,
                format!(
                    "the topic {name} is to have {copies} copies, and there are {brokers} brokers: set \
                     replicationFactor to {brokers} or less, or add brokers"
                ),
            )
        };
        if usize::from(copies) > brokers {
            return Err(too_few());
        }
        let admin: AdminClient<Told> = self
            .options
            .client()
            .create_with_context(self.told.clone())
            .map_err(|error| fault::of_options(&error))?;
        let retention = self.retention(topic).as_millis().to_string();
        let in_sync = copies.div_ceil(2).max(1).to_string();
        let partitions = i32::try_from(self.options.partitions.max(1)).unwrap_or(i32::MAX);
        let wanted = NewTopic::new(
            &name,
            partitions,
            TopicReplication::Fixed(i32::from(copies)),
        )
        .set("message.timestamp.type", "LogAppendTime")
        .set("min.insync.replicas", &in_sync)
        .set("unclean.leader.election.enable", "false");
        let wanted = if topic.is_compacted() {
            wanted
                .set("cleanup.policy", "compact")
                .set("min.compaction.lag.ms", &retention)
        } else {
            wanted
                .set("cleanup.policy", "delete")
                .set("retention.ms", &retention)
        };
        let options = AdminOptions::new().operation_timeout(Some(KNOWN));
        let results = block_on(admin.create_topics([&wanted], &options));
        let code = match results {
            Ok(results) => match results.into_iter().next() {
                None | Some(Ok(_)) => {
                    info!(topic = name, partitions, "made the topic");
                    return Ok(());
                }
                Some(Err((_, code))) => code,
            },
            Err(error) => fault::code(&error).unwrap_or(RDKafkaErrorCode::Unknown),
        };
        match code {
            // Somebody else was quicker.
            RDKafkaErrorCode::TopicAlreadyExists => Ok(()),
            RDKafkaErrorCode::InvalidReplicationFactor => Err(too_few()),
            code => {
                let reason = fault::reason(code).unwrap_or(Reason::TopicUnusable);
                Err(Unusable::new(reason, forbidden(&name, code)))
            }
        }
    }

    /// How long every record is kept.
    fn retention(&self, topic: Topic) -> Duration {
        match topic {
            Topic::Inbound => self.options.retention,
            Topic::Response => (self.options.retention + DAY).max(self.options.session_timeout),
            // As long as what it is about can be found.
            Topic::DeadLetter => self.options.retention + DAY,
            // The one has no records. In the other, whoever owns the partition has to see a record that came late before
            // compaction puts it in the place of a newer one.
            Topic::Cursor | Topic::Identity => DAY,
        }
    }

    /// A topic that was made is known to each broker a little later.
    fn wait_for(&self, topic: Topic) -> Result<(), Unusable> {
        let begun = Instant::now();
        loop {
            let metadata = self.metadata(topic, ANSWER)?;
            let usable = self.is_usable(topic, &metadata);
            let led = metadata
                .topics()
                .iter()
                .flat_map(rdkafka::metadata::MetadataTopic::partitions)
                .all(|partition| partition.leader() >= 0);
            if matches!(usable, Ok(true)) && led {
                return Ok(());
            }
            if begun.elapsed() > KNOWN {
                usable?;
                return Err(Unusable::new(
                    Reason::TopicUnusable,
                    format!(
                        "the topic {} was made, and its partitions have no leader yet",
                        self.options.topic(topic)
                    ),
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn forbidden(topic: &str, code: RDKafkaErrorCode) -> String {
    format!(
        "the topic {topic} cannot be used: {code}; the user needs Describe, Read, Write and Create for topics, and Read \
         for groups, whose names begin with the topicPrefix"
    )
}
