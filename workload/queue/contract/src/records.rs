//! Appending and reading.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chatbot_message::{Account, Trace};
use chatbot_queue::identity::{self, Link};
use chatbot_queue::{Log, Offset, Records, Topic};
use futures::FutureExt;
use tokio::time::timeout;

use crate::{Bench, Promise, within};

pub(crate) fn promises() -> Vec<Promise> {
    vec![
        (
            "records come in the order in which they were appended",
            |bench| in_order(bench).boxed(),
        ),
        ("a reader waits at the end, and goes on", |bench| {
            waits(bench).boxed()
        }),
        (
            "a reader that is dropped or not waited for loses nothing",
            |bench| loses_nothing(bench).boxed(),
        ),
        (
            "a reader begins where it was told, or where retention has left the first record",
            |bench| begins(bench).boxed(),
        ),
        (
            "readers of one partition do not disturb each other",
            |bench| several(bench).boxed(),
        ),
        ("a large record comes back whole", |bench| {
            large(bench).boxed()
        }),
        ("partitions and topics are apart", |bench| {
            apart(bench).boxed()
        }),
        (
            "of a compacted topic the latest record of each key is there, and a record without a key is refused",
            |bench| compacted(bench).boxed(),
        ),
        (
            "the newest link of an account holds, whatever comes late",
            |bench| linked(bench).boxed(),
        ),
        ("a record keeps the trace that it came with", |bench| {
            traced(bench).boxed()
        }),
    ]
}

async fn append(log: &dyn Log, topic: Topic, partition: u32, text: &str) {
    let appending = log.append(topic, partition, text.as_bytes().to_vec());
    within("a record acknowledged", appending).await.unwrap();
}

async fn append_numbers(log: &dyn Log, partition: u32, numbers: std::ops::Range<usize>) {
    for number in numbers {
        append(log, Topic::Inbound, partition, &number.to_string()).await;
    }
}

/// Reads so many, and gives their offsets and texts.
async fn read(records: &mut dyn Records, count: usize) -> Vec<(Offset, String)> {
    let mut read = Vec::new();
    while read.len() < count {
        let next = records.next(count - read.len());
        for record in within("a record read", next).await.unwrap() {
            assert!(record.appended_at > 0, "{record:?} has a time");
            read.push((record.offset, String::from_utf8(record.value).unwrap()));
        }
    }
    read
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<(Offset, String)> {
    numbers
        .map(|number| (number as Offset, number.to_string()))
        .collect()
}

async fn in_order(bench: &dyn Bench) {
    let log = bench.log().await;
    append_numbers(log.as_ref(), 0, 0..50).await;
    let mut records = log.reader(Topic::Inbound, 0, 0);
    assert_eq!(read(records.as_mut(), 50).await, numbers(0..50));
    // Under way side by side, they keep the order in which they were begun.
    let values = 50..90_usize;
    let appends = values
        .clone()
        .map(|number| log.append(Topic::Inbound, 0, number.to_string().into_bytes()));
    let appended = within("all acknowledged", futures::future::join_all(appends)).await;
    assert!(appended.iter().all(Result::is_ok));
    assert_eq!(read(records.as_mut(), 40).await, numbers(values));
    assert_eq!(log.start(Topic::Inbound, 0).await.unwrap(), 0);
    assert_eq!(log.end(Topic::Inbound, 0).await.unwrap(), 90);
    assert_eq!(log.end(Topic::Inbound, 1).await.unwrap(), 0);
    let mut few = log.reader(Topic::Inbound, 0, 0);
    let first = within("few records", few.next(3)).await.unwrap();
    assert!((1..=3).contains(&first.len()), "{}", first.len());
}

async fn waits(bench: &dyn Bench) {
    let (writer, reader) = (bench.log().await, bench.log().await);
    let mut records = reader.reader(Topic::Inbound, 1, 0);
    for number in 0..5 {
        let ((), read) = futures::join!(
            append_numbers(writer.as_ref(), 1, number..number + 1),
            read(records.as_mut(), 1)
        );
        assert_eq!(read, numbers(number..number + 1));
    }
}

async fn loses_nothing(bench: &dyn Bench) {
    let log = bench.log().await;
    let mut records = log.reader(Topic::Inbound, 0, 0);
    // Given up at various stages: while it is set up, and while it waits.
    for patience in [0, 1, 5, 300] {
        let next = timeout(Duration::from_millis(patience), records.next(10));
        assert!(next.await.is_err(), "there is nothing to read yet");
    }
    append_numbers(log.as_ref(), 0, 0..20).await;
    let mut found = Vec::new();
    while found.len() < 20 {
        let next = timeout(Duration::from_micros(200), records.next(3));
        if let Ok(next) = next.await {
            found.extend(next.unwrap().into_iter().map(|record| record.offset));
        }
    }
    assert_eq!(found, (0..20).collect::<Vec<_>>());
    let mut waiting = log.reader(Topic::Inbound, 0, 20);
    assert!(
        timeout(Duration::from_millis(100), waiting.next(1))
            .await
            .is_err()
    );
    drop(waiting);
    append_numbers(log.as_ref(), 0, 20..21).await;
    assert_eq!(read(records.as_mut(), 1).await, numbers(20..21));
    let mut again = log.reader(Topic::Inbound, 0, 20);
    assert_eq!(read(again.as_mut(), 1).await, numbers(20..21));
}

async fn begins(bench: &dyn Bench) {
    let log = bench.log().await;
    append_numbers(log.as_ref(), 2, 0..10).await;
    let mut records = log.reader(Topic::Inbound, 2, 7);
    assert_eq!(read(records.as_mut(), 3).await, numbers(7..10));
    bench.trim(Topic::Inbound, 2, 4).await;
    within("retention", async {
        while log.start(Topic::Inbound, 2).await.unwrap() != 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut records = log.reader(Topic::Inbound, 2, 1);
    assert_eq!(read(records.as_mut(), 6).await, numbers(4..10));
    assert_eq!(log.end(Topic::Inbound, 2).await.unwrap(), 10);
    bench.trim(Topic::Inbound, 2, 10).await;
    append_numbers(log.as_ref(), 2, 10..11).await;
    let mut records = log.reader(Topic::Inbound, 2, 0);
    assert_eq!(read(records.as_mut(), 1).await, numbers(10..11));
}

async fn several(bench: &dyn Bench) {
    let log = bench.log().await;
    append_numbers(log.as_ref(), 0, 0..10).await;
    let mut readers: Vec<_> = (0..5)
        .map(|from| log.reader(Topic::Inbound, 0, from))
        .collect();
    for (records, from) in readers.iter_mut().zip(0..) {
        assert_eq!(read(records.as_mut(), 10 - from).await, numbers(from..10));
    }
    // One that ends leaves the others where they are.
    readers.remove(2);
    append_numbers(log.as_ref(), 0, 10..12).await;
    let mut late = log.reader(Topic::Inbound, 0, 9);
    assert_eq!(read(late.as_mut(), 3).await, numbers(9..12));
    for records in &mut readers {
        assert_eq!(read(records.as_mut(), 2).await, numbers(10..12));
    }
}

async fn large(bench: &dyn Bench) {
    let log = bench.log().await;
    let value: Vec<u8> = (0..700_000_u32)
        .flat_map(u32::to_be_bytes)
        .take(700_000)
        .collect();
    let appending = log.append(Topic::Response, 3, value.clone());
    within("it is acknowledged", appending).await.unwrap();
    append(log.as_ref(), Topic::Response, 3, "small").await;
    let mut records = log.reader(Topic::Response, 3, 0);
    let first = within("it is read", records.next(1)).await.unwrap();
    assert!(first[0].value == value);
    let second = within("the next is read", records.next(1)).await.unwrap();
    assert_eq!(second[0].value, b"small");
}

async fn traced(bench: &dyn Bench) {
    let log = bench.log().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traces: [Option<Trace>; 2] = [trace.parse().ok(), None];
    for trace in traces {
        let appending = log.append_traced(Topic::Inbound, 1, b"one".to_vec(), trace);
        within("a record acknowledged", appending).await.unwrap();
    }
    let mut records = log.reader(Topic::Inbound, 1, 0);
    let mut read = Vec::new();
    while read.len() < traces.len() {
        read.extend(within("a record read", records.next(2)).await.unwrap());
    }
    let read: Vec<_> = read.iter().map(|record| record.trace).collect();
    assert_eq!(read, traces);
}

async fn apart(bench: &dyn Bench) {
    let log = bench.log().await;
    for topic in [Topic::Inbound, Topic::Response] {
        for partition in 0..crate::PARTITIONS {
            append(
                log.as_ref(),
                topic,
                partition,
                &format!("{topic:?} {partition}"),
            )
            .await;
        }
    }
    for topic in [Topic::Inbound, Topic::Response] {
        for partition in 0..crate::PARTITIONS {
            let mut records = log.reader(topic, partition, 0);
            let text = format!("{topic:?} {partition}");
            assert_eq!(read(records.as_mut(), 1).await, [(0, text)]);
        }
    }
    let refused = log.append(Topic::Inbound, 4_000, Vec::new());
    assert!(within("an answer", refused).await.is_err());
    assert_eq!(log.partitions(), crate::PARTITIONS);
    assert_eq!(log.identity(), bench.log().await.identity());
}

async fn compacted(bench: &dyn Bench) {
    let (log, other) = (bench.log().await, bench.log().await);
    for number in 0..20 {
        for key in ["a", "b:c"] {
            let value = format!("{key} {number}").into_bytes();
            let appending = log.append_keyed(Topic::Identity, 1, key, value);
            within("a record acknowledged", appending).await.unwrap();
        }
    }
    let refused = log.append(Topic::Identity, 1, Vec::new());
    assert!(within("an answer", refused).await.is_err());
    assert_eq!(other.end(Topic::Identity, 1).await.unwrap(), 40);
    assert_eq!(other.end(Topic::Identity, 2).await.unwrap(), 0);
    let mut records = other.reader(Topic::Identity, 1, 0);
    let mut latest = BTreeMap::new();
    let mut next = 0;
    while next < 40 {
        for (offset, text) in read(records.as_mut(), 1).await {
            assert!(offset >= next, "{offset} comes after {next}");
            next = offset + 1;
            let (key, number) = text.split_once(' ').unwrap();
            latest.insert(key.to_owned(), number.to_owned());
        }
    }
    let expected = ["a", "b:c"].map(|key| (key.to_owned(), "19".to_owned()));
    assert_eq!(latest, BTreeMap::from(expected));
}

async fn linked(bench: &dyn Bench) {
    let (log, other) = (bench.log().await, bench.log().await);
    let account = |user: &str| Account {
        channel: "web".to_owned(),
        user: user.to_owned(),
    };
    let link = |version, main: Option<&str>| Link {
        account: account("a: b"),
        version,
        main: main.map(account),
        channels: BTreeSet::from(["phone".to_owned()]),
    };
    let look = async || {
        let looking = identity::read(other.as_ref(), 3);
        within("the links", looking).await.unwrap()
    };
    let (links, hidden) = look().await;
    assert_eq!((links.of(&account("a: b")), hidden), (None, Vec::new()));
    let newest = link(7, Some("m"));
    for link in [&link(3, None), &newest, &link(5, None)] {
        within("a link", link.append(log.as_ref(), 3))
            .await
            .unwrap();
    }
    let (links, hidden) = look().await;
    assert_eq!(links.of(&account("a: b")), Some(&newest));
    assert_eq!(
        hidden,
        std::slice::from_ref(&newest),
        "an older one lies behind it"
    );
    within("a link", newest.append(log.as_ref(), 3))
        .await
        .unwrap();
    let (links, hidden) = look().await;
    assert_eq!(links.of(&account("a: b")), Some(&newest));
    assert_eq!(hidden, []);
}
