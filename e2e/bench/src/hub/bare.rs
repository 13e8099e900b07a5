//! Bare clients of the same broker: from one log to the other and out of it, with nothing in between. What ours takes
//! beyond this is ours.
//!
//! The settings are those of the service; one producer, three that copy from log to log, two that read, as many as there
//! are workers and gateways.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::time::{Instant, sleep, sleep_until};

use super::pace::Pace;
use super::{GATEWAYS, WORKERS};
use crate::now_us;
use crate::service::PARTITIONS;

const INBOUND: &str = "bare.inbound";
const RESPONSE: &str = "bare.response";
/// Of a record, as of a message with its details.
const BYTES: usize = 400;
/// Before anything is measured.
const WARM: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_millis(100);

type Bytes = ThreadedProducer<DefaultProducerContext>;

/// Times from when a record was due until it was read from the second log, milliseconds.
pub(super) async fn measure(broker: &str, pace: Pace) -> Result<Vec<f64>> {
    make_topics(broker).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut threads = Vec::new();
    for worker in 0..WORKERS {
        let (consumer, producer) = (
            consumer(broker, INBOUND, worker, WORKERS)?,
            producer(broker)?,
        );
        let stop = Arc::clone(&stop);
        threads.push(thread::spawn(move || copy(&consumer, &producer, &stop)));
    }
    for gateway in 0..GATEWAYS {
        let consumer = consumer(broker, RESPONSE, gateway, GATEWAYS)?;
        let (stop, times) = (Arc::clone(&stop), Arc::clone(&times));
        threads.push(thread::spawn(move || read(&consumer, &times, &stop)));
    }
    let producer = producer(broker)?;
    let warm = Pace {
        lasts: WARM,
        ..pace
    };
    let measured = async {
        send(&producer, warm, &times).await?;
        locked(&times).clear();
        send(&producer, pace, &times).await
    };
    let sent = measured.await;
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        let joined = thread.join();
        joined
            .map_err(|_| anyhow::anyhow!("a bare client panicked"))
            .and_then(|ended| ended)?;
    }
    sent?;
    Ok(std::mem::take(&mut locked(&times)))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends when it is due, and waits until all is read.
async fn send(producer: &Bytes, pace: Pace, times: &Mutex<Vec<f64>>) -> Result<()> {
    let (start, start_us) = (Instant::now(), now_us());
    let before = locked(times).len();
    let due = pace.due();
    for (partition, due) in (0..PARTITIONS).cycle().zip(&due) {
        sleep_until(start + *due).await;
        let mut value = vec![0; BYTES];
        let at = start_us + i64::try_from(due.as_micros()).unwrap_or_default();
        value[..8].copy_from_slice(&at.to_be_bytes());
        append(producer, INBOUND, partition.cast_signed(), &value)?;
    }
    let (mut read, mut moved) = (0, Instant::now());
    while read < due.len() {
        ensure!(
            moved.elapsed() < PATIENCE,
            "of {} bare records {read} came back",
            due.len()
        );
        sleep(TURN).await;
        let now = locked(times).len() - before;
        if now > read {
            (read, moved) = (now, Instant::now());
        }
    }
    Ok(())
}

fn append(producer: &Bytes, topic: &str, partition: i32, value: &[u8]) -> Result<()> {
    let record = BaseRecord::<(), [u8]>::to(topic)
        .partition(partition)
        .payload(value);
    let sent = producer.send(record).map_err(|(error, _)| error);
    sent.context("failed to append a bare record")
}

fn copy(consumer: &BaseConsumer, producer: &Bytes, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let Some(record) = consumer.poll(TURN) else {
            continue;
        };
        let record = record.context("failed to read a bare record")?;
        append(
            producer,
            RESPONSE,
            record.partition(),
            record.payload().unwrap_or_default(),
        )?;
    }
    producer.flush(TURN).context("failed to end a bare client")
}

fn read(consumer: &BaseConsumer, times: &Mutex<Vec<f64>>, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let Some(record) = consumer.poll(TURN) else {
            continue;
        };
        let record = record.context("failed to read a bare record")?;
        let due = record
            .payload()
            .and_then(|value| Some(i64::from_be_bytes(value.get(..8)?.try_into().ok()?)));
        let due = due.context("a bare record has no time")?;
        locked(times).push((now_us() - due) as f64 / 1_000.0);
    }
    Ok(())
}

fn client(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker);
    config
}

fn producer(broker: &str) -> Result<Bytes> {
    let created = client(broker)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        .set("compression.type", "lz4")
        .create();
    created.context("failed to make a bare producer")
}

/// One that reads its share of the partitions.
fn consumer(broker: &str, topic: &str, one: usize, of: usize) -> Result<BaseConsumer> {
    let created = client(broker)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_uncommitted")
        .set("fetch.wait.max.ms", "100")
        .create();
    let consumer: BaseConsumer = created.context("failed to make a bare consumer")?;
    let mut mine = TopicPartitionList::new();
    for partition in (0..PARTITIONS).skip(one).step_by(of) {
        mine.add_partition_offset(topic, partition.cast_signed(), Offset::Beginning)
            .context("failed to choose partitions")?;
    }
    let assigned = consumer.assign(&mine);
    assigned.context("failed to assign partitions")?;
    Ok(consumer)
}

async fn make_topics(broker: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        client(broker).create().context("failed to make a client")?;
    let topics = [INBOUND, RESPONSE]
        .map(|name| NewTopic::new(name, PARTITIONS.cast_signed(), TopicReplication::Fixed(1)));
    let made = admin.create_topics(&topics, &AdminOptions::new()).await;
    for topic in made.context("failed to make the bare topics")? {
        topic.map_err(|(name, error)| anyhow::anyhow!("failed to make {name}: {error}"))?;
    }
    Ok(())
}
