//! Reading: consumers that many readers share, each partition with a queue of its own.
//!
//! A consumer costs several threads and connections, and a process reads tens of partitions several times over. So
//! partitions are assigned to shared consumers by hand; a second reader of the same partition goes to the next consumer,
//! since one cannot read a partition twice.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::{TRACEPARENT, Trace};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::debug;

use super::fault::Told;
use crate::{Error, Offset, Record, Records};

/// Consumers without a reader that are kept for the next one.
const IDLE: usize = 2;
/// Between looks at a consumer's own events: logs and errors.
const EVENTS: Duration = Duration::from_millis(100);

impl ConsumerContext for Told {}

type Place = (Arc<str>, u32);

/// The shared consumers: as many as there are readers of one partition at the same time.
pub(super) struct Pool {
    config: ClientConfig,
    told: Told,
    fetchers: Mutex<Vec<Arc<Fetcher>>>,
}

struct Fetcher {
    consumer: Arc<BaseConsumer<Told>>,
    taken: Mutex<HashSet<Place>>,
    ended: Arc<AtomicBool>,
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

impl Pool {
    pub(super) fn new(config: ClientConfig, told: Told) -> Self {
        Self {
            config,
            told,
            fetchers: Mutex::default(),
        }
    }

    /// A consumer on which nobody reads this place; it is taken from now on.
    fn take(&self, place: &Place) -> KafkaResult<Arc<Fetcher>> {
        let mut fetchers = self.fetchers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = 0;
        fetchers.retain(|fetcher| {
            idle += usize::from(fetcher.is_idle());
            idle <= IDLE || !fetcher.is_idle()
        });
        for fetcher in fetchers.iter() {
            if fetcher.takes(place) {
                return Ok(Arc::clone(fetcher));
            }
        }
        let fetcher = Fetcher::new(&self.config, &self.told)?;
        fetcher.takes(place);
        fetchers.push(Arc::clone(&fetcher));
        Ok(fetcher)
    }
}

impl Fetcher {
    fn new(config: &ClientConfig, told: &Told) -> KafkaResult<Arc<Self>> {
        let consumer: BaseConsumer<Told> = config.create_with_context(told.clone())?;
        let consumer = Arc::new(consumer);
        let ended = Arc::new(AtomicBool::new(false));
        let (polled, until) = (Arc::clone(&consumer), Arc::clone(&ended));
        let polling = move || {
            while !until.load(Ordering::Acquire) {
                // Records come by the partitions' own queues.
                if let Some(Err(error)) = polled.poll(EVENTS) {
                    debug!("a reading client: {error}");
                }
            }
            // Whoever drops it last waits for the client's end, and that is to be nobody else.
            while Arc::strong_count(&polled) > 1 {
                std::thread::sleep(EVENTS);
            }
        };
        std::thread::Builder::new()
            .name("kafka-fetch".to_owned())
            .spawn(polling)
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Arc::new(Self {
            consumer,
            taken: Mutex::default(),
            ended,
        }))
    }

    fn takes(&self, place: &Place) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(place.clone())
    }

    fn is_idle(&self) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.is_empty()
    }

    fn frees(&self, place: &Place) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(place);
    }
}

/// A place on a shared consumer; given back when dropped.
struct Seat {
    fetcher: Arc<Fetcher>,
    place: Place,
    queue: Option<PartitionQueue<Told>>,
    filled: Arc<Notify>,
}

impl Seat {
    /// Assigns the partition from `from` on. Waits for the client in the calling thread.
    fn open(pool: &Pool, place: Place, from: Offset) -> KafkaResult<Self> {
        let fetcher = pool.take(&place)?;
        let mut seat = Self {
            fetcher,
            place,
            queue: None,
            filled: Arc::default(),
        };
        // The queue first, so that no record goes to the consumer's own.
        let (topic, partition) = (&seat.place.0, number(seat.place.1));
        let queue = seat
            .fetcher
            .consumer
            .split_partition_queue(topic, partition);
        let Some(mut queue) = queue else {
            return Err(KafkaError::Subscription(format!(
                "{topic} has no partition {partition}"
            )));
        };
        let filled = Arc::clone(&seat.filled);
        queue.set_nonempty_callback(move || filled.notify_one());
        let mut list = TopicPartitionList::new();
        let from = rdkafka::Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, partition, from)?;
        seat.fetcher.consumer.incremental_assign(&list)?;
        seat.queue = Some(queue);
        Ok(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (fetcher, place) = (Arc::clone(&self.fetcher), self.place.clone());
        let queue = self.queue.take();
        off_thread(move || {
            if queue.is_some() {
                let mut list = TopicPartitionList::new();
                list.add_partition(&place.0, number(place.1));
                if let Err(error) = fetcher.consumer.incremental_unassign(&list) {
                    debug!("a reader was not freed: {error}");
                }
            }
            drop(queue);
            fetcher.frees(&place);
        });
    }
}

/// Runs what waits for the client where it holds up no task.
pub(super) fn off_thread(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// Reads one partition.
pub(super) struct KafkaRecords {
    pool: Weak<Pool>,
    place: Place,
    next: Offset,
    state: State,
}

enum State {
    /// Nothing is assigned: at first, and after an error.
    Closed,
    Opening(JoinHandle<KafkaResult<Seat>>),
    Open(Seat),
}

impl KafkaRecords {
    pub(super) fn new(pool: &Arc<Pool>, topic: Arc<str>, partition: u32, from: Offset) -> Self {
        Self {
            pool: Arc::downgrade(pool),
            place: (topic, partition),
            next: from,
            state: State::Closed,
        }
    }

    fn failed(&mut self, reason: &impl ToString) -> Error {
        self.state = State::Closed;
        Error::Unreadable {
            reason: reason.to_string(),
        }
    }
}

#[async_trait]
impl Records for KafkaRecords {
    async fn next(&mut self, limit: usize) -> Result<Vec<Record>, Error> {
        loop {
            match &mut self.state {
                State::Closed => {
                    let Some(pool) = self.pool.upgrade() else {
                        return Err(self.failed(&"the log has ended"));
                    };
                    let (place, from) = (self.place.clone(), self.next);
                    self.state = State::Opening(tokio::task::spawn_blocking(move || {
                        Seat::open(&pool, place, from)
                    }));
                }
                State::Opening(opening) => match opening.await {
                    Ok(Ok(seat)) => self.state = State::Open(seat),
                    Ok(Err(error)) => return Err(self.failed(&error)),
                    Err(error) => return Err(self.failed(&error)),
                },
                State::Open(seat) => {
                    // Nothing is awaited between taking records and giving them.
                    match take(seat, self.next, limit.max(1)) {
                        Ok(records) => {
                            if let Some(last) = records.last() {
                                self.next = last.offset + 1;
                                return Ok(records);
                            }
                        }
                        Err(error) => return Err(self.failed(&error)),
                    }
                    if let State::Open(seat) = &self.state {
                        seat.filled.notified().await;
                    }
                }
            }
        }
    }
}

/// What has been fetched already. An error behind records is met again when they have been taken.
fn take(seat: &Seat, next: Offset, limit: usize) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    let Some(queue) = &seat.queue else {
        return Ok(records);
    };
    while records.len() < limit {
        let message = match queue.poll(Duration::ZERO) {
            None => break,
            Some(Ok(message)) => message,
            Some(Err(error)) if records.is_empty() => return Err(error.to_string()),
            Some(Err(error)) => {
                debug!("a reader goes on after {error}");
                continue;
            }
        };
        let offset = u64::try_from(message.offset()).unwrap_or_default();
        if offset < next {
            // The client goes on at the oldest record when the one asked for lies beyond the end.
            return Err(format!(
                "offset {next} of {} [{}] lies beyond its end: the topic was deleted and created again",
                seat.place.0, seat.place.1
            ));
        }
        records.push(Record {
            offset,
            appended_at: message.timestamp().to_millis().unwrap_or_default(),
            value: message.payload().unwrap_or_default().to_vec(),
            trace: trace_of(&message),
        });
    }
    Ok(records)
}

/// The trace in a record's header; one that cannot be read is none.
fn trace_of(message: &BorrowedMessage<'_>) -> Option<Trace> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == TRACEPARENT)?;
    std::str::from_utf8(header.value?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_consumers_are_kept_when_many_readers_have_gone() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:9");
        let pool = Pool::new(config, Told::default());
        let place: Place = ("response".into(), 0);
        let taken: Vec<_> = (0..6).map(|_| pool.take(&place).unwrap()).collect();
        assert_eq!(pool.fetchers.lock().unwrap().len(), 6);
        for fetcher in taken {
            fetcher.frees(&place);
        }
        let _again = pool.take(&place).unwrap();
        assert_eq!(pool.fetchers.lock().unwrap().len(), IDLE);
    }
}
