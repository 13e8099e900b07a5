//! Appending: one idempotent producer, explicit partitions, and a bound on what is not acknowledged.

use std::sync::{Arc, PoisonError, RwLock};

use chatbot_message::{TRACEPARENT, Trace};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::warn;

use super::fault::{self, Told, Unusable};
use super::options::Options;
use crate::{Error, Offset};

/// What a record weighs beside its value.
const OVERHEAD: usize = 128;

pub(super) struct Appender {
    options: Options,
    told: Told,
    /// Another one after an error that the client calls fatal.
    producer: RwLock<Arc<ThreadedProducer<Deliveries>>>,
    room: Arc<Semaphore>,
}

impl Appender {
    pub(super) fn new(options: &Options, told: &Told) -> Result<Self, Unusable> {
        let producer = create(options, told).map_err(|error| fault::of_options(&error))?;
        Ok(Self {
            options: options.clone(),
            told: told.clone(),
            producer: RwLock::new(Arc::new(producer)),
            room: Arc::new(Semaphore::new(options.unacknowledged)),
        })
    }

    /// Appends, and waits until the broker has acknowledged it. What is under way stays so when the future is dropped.
    pub(super) async fn append(
        &self,
        topic: &str,
        partition: u32,
        key: Option<&str>,
        value: &[u8],
        trace: Option<Trace>,
    ) -> Result<Option<Offset>, Error> {
        let weight = value.len().saturating_add(OVERHEAD);
        let room = u32::try_from(weight)
            .ok()
            .and_then(|weight| Arc::clone(&self.room).try_acquire_many_owned(weight).ok());
        let Some(room) = room else {
            let waiting = self.options.unacknowledged - self.room.available_permits();
            return Err(Error::Refused {
                reason: format!("the broker has not acknowledged {waiting} bytes yet"),
            });
        };
        let (answer, answered) = oneshot::channel();
        let producer = self.producer();
        let mut record =
            BaseRecord::<str, [u8], _>::with_opaque_to(topic, Box::new(Pending { answer, room }))
                .partition(i32::try_from(partition).unwrap_or(i32::MAX))
                .payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(trace) = trace {
            record = record.headers(OwnedHeaders::new().insert(Header {
                key: TRACEPARENT,
                value: Some(&trace.to_string()),
            }));
        }
        if let Err((error, _)) = producer.send(record) {
            self.renew_if_fatal(&producer, topic);
            // It was not even put into the client's queue.
            return Err(Error::Refused {
                reason: error.to_string(),
            });
        }
        let result = answered.await.unwrap_or_else(|_| {
            Err(Error::OutcomeUnknown {
                reason: "the producer has ended".to_owned(),
            })
        });
        if result.is_err() {
            self.renew_if_fatal(&producer, topic);
        }
        result
    }

    pub(super) fn producer(&self) -> Arc<ThreadedProducer<Deliveries>> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// After such an error nothing is sent any more; the next one begins with a new identity, and what it writes twice
    /// is told apart by its content. A user who may write nothing gets no identity, and no record gets an answer.
    fn renew_if_fatal(&self, failed: &Arc<ThreadedProducer<Deliveries>>, topic: &str) {
        let Some((code, message)) = failed.client().fatal_error() else {
            return;
        };
        self.told
            .delivered(topic, Some(&KafkaError::MessageProduction(code)));
        let mut current = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, failed) {
            return;
        }
        warn!("the producer ends with {code}: {message}; another one takes its place");
        match create(&self.options, &self.told) {
            Ok(producer) => *current = Arc::new(producer),
            Err(error) => warn!("there is no other producer: {error}"),
        }
    }
}

fn create(options: &Options, told: &Told) -> Result<ThreadedProducer<Deliveries>, KafkaError> {
    options
        .producer()
        .create_with_context(Deliveries(told.clone()))
}

/// A record on its way.
pub(super) struct Pending {
    answer: oneshot::Sender<Result<Option<Offset>, Error>>,
    room: OwnedSemaphorePermit,
}

/// Tells each record's fate.
pub(super) struct Deliveries(Told);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Box<Pending>) {
        let (topic, error) = match result {
            Ok(message) => (message.topic(), None),
            Err((error, message)) => (message.topic(), Some(error)),
        };
        self.0.delivered(topic, error);
        let result = match result {
            Ok(message) => Ok(u64::try_from(message.offset()).ok()),
            Err((error, _)) => Err(failed(error)),
        };
        let Pending { answer, room } = *pending;
        // Before anybody hears of it: whoever does may append again at once.
        drop(room);
        // Nobody may wait any more: it may be written all the same.
        let _unheard = answer.send(result);
    }
}

/// What has become of a record that was handed to the client. Only a broker's own "no" is certain.
fn failed(error: &KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    let reason = error.to_string();
    match fault::code(error) {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::PolicyViolation
            | Code::UnknownPartition
            | Code::UnknownTopic,
        ) => Error::Refused { reason },
        _ => Error::OutcomeUnknown { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broker_s_own_no_is_certain() {
        let certain = |code| {
            let error = failed(&KafkaError::MessageProduction(code));
            matches!(error, Error::Refused { .. })
        };
        assert!(certain(RDKafkaErrorCode::MessageSizeTooLarge));
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::RequestTimedOut,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::Fatal,
        ] {
            assert!(!certain(code), "{code:?}");
        }
    }
}
