//! What is particular to the logs in memory: retention, and previews.
#![allow(clippy::unwrap_used)] // A step of a test fails as the test does.

use std::sync::Arc;
use std::time::Duration;

use chatbot_message::{Account, Preview, message_id};
use chatbot_queue::memory::{Limits, MemoryLog, MemoryPreviews};
use chatbot_queue::{Commit, Error, Log, Previews, Topic};
use futures::StreamExt;

const GENEROUS: Duration = Duration::from_secs(20);

async fn commit(log: &MemoryLog, group: &str, topic: Topic, commit: Commit) {
    let member = log.join(group, topic).await.unwrap();
    member.commit(0, commit).await.unwrap();
}

fn upto(offset: u64) -> Commit {
    Commit {
        offset,
        metadata: String::new(),
    }
}

#[tokio::test]
async fn a_read_waits_for_the_next_record() {
    let log = Arc::new(MemoryLog::new(2));
    let reading = tokio::spawn({
        let mut records = log.reader(Topic::Inbound, 1, 1);
        async move { records.next(10).await }
    });
    log.append(Topic::Inbound, 1, b"first".to_vec())
        .await
        .unwrap();
    log.append(Topic::Inbound, 0, b"elsewhere".to_vec())
        .await
        .unwrap();
    let offset = log
        .append(Topic::Inbound, 1, b"second".to_vec())
        .await
        .unwrap();
    let records = tokio::time::timeout(GENEROUS, reading)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(offset, Some(1));
    assert_eq!(
        records
            .iter()
            .map(|record| record.value.as_slice())
            .collect::<Vec<_>>(),
        [b"second"]
    );
}

#[tokio::test]
async fn groups_keep_their_progress_apart() {
    let log = MemoryLog::new(1);
    let metadata = Commit {
        offset: 3,
        metadata: "facts".to_owned(),
    };
    commit(&log, "worker", Topic::Inbound, metadata.clone()).await;
    assert_eq!(
        log.committed("worker", Topic::Inbound, 0).await.unwrap(),
        metadata
    );
    assert_eq!(
        log.committed("other", Topic::Inbound, 0).await.unwrap(),
        Commit::default()
    );
}

#[tokio::test]
async fn only_what_every_group_has_passed_is_dropped() {
    let limits = Limits {
        kept_bytes: 0,
        full_bytes: 1 << 20,
    };
    let log = MemoryLog::with_limits(1, limits);
    for _ in 0..4 {
        log.append(Topic::Response, 0, vec![0; 10]).await.unwrap();
    }
    commit(&log, "fast", Topic::Response, upto(4)).await;
    assert_eq!(log.start(Topic::Response, 0).await.unwrap(), 4);
    for _ in 0..4 {
        log.append(Topic::Response, 0, vec![0; 10]).await.unwrap();
    }
    commit(&log, "slow", Topic::Response, upto(5)).await;
    commit(&log, "fast", Topic::Response, upto(8)).await;
    assert_eq!(log.start(Topic::Response, 0).await.unwrap(), 5);
    let records = log.reader(Topic::Response, 0, 0).next(10).await.unwrap();
    assert_eq!(
        records
            .iter()
            .map(|record| record.offset)
            .collect::<Vec<_>>(),
        [5, 6, 7]
    );
    assert_eq!(log.end(Topic::Response, 0).await.unwrap(), 8);
}

#[tokio::test]
async fn a_full_log_refuses_until_something_is_settled() {
    let limits = Limits {
        kept_bytes: 0,
        full_bytes: 300,
    };
    let log = MemoryLog::with_limits(1, limits);
    log.append(Topic::Inbound, 0, vec![0; 200]).await.unwrap();
    let refused = log
        .append(Topic::Inbound, 0, vec![0; 200])
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    commit(&log, "worker", Topic::Inbound, upto(1)).await;
    assert_eq!(
        log.append(Topic::Inbound, 0, vec![0; 200]).await.unwrap(),
        Some(1)
    );
}

#[tokio::test]
async fn an_unknown_partition_is_refused_and_every_log_has_its_own_identity() {
    let log = MemoryLog::new(1);
    assert!(matches!(
        log.append(Topic::Inbound, 1, Vec::new()).await,
        Err(Error::Refused { .. })
    ));
    assert!(matches!(
        log.reader(Topic::Inbound, 1, 0).next(1).await,
        Err(Error::Unreadable { .. })
    ));
    assert_ne!(log.identity(), MemoryLog::new(1).identity());
}

#[tokio::test]
async fn previews_reach_those_who_watch_and_nobody_waits_for_a_slow_one() {
    let previews = MemoryPreviews::default();
    let account = Account {
        channel: "web".to_owned(),
        user: "u".to_owned(),
    };
    let preview = |text: String| Preview {
        message_id: message_id("web", "1"),
        account: account.clone(),
        text,
    };
    previews.publish(preview("nobody".to_owned())).await;
    let mut watched = previews.subscribe();
    for number in 0..2_000 {
        previews.publish(preview(number.to_string())).await;
    }
    drop(previews);
    let mut last = String::new();
    while let Some(preview) = watched.next().await {
        last = preview.text;
    }
    assert_eq!(last, "1999");
}

#[tokio::test]
async fn dead_letters_leave_room_for_messages_whatever_their_size() {
    let limits = Limits {
        kept_bytes: 4_000,
        full_bytes: 8_000,
    };
    let log = MemoryLog::with_limits(1, limits);
    for number in 0..100_u8 {
        let letter = vec![number; 1_000];
        log.append(Topic::DeadLetter, 0, letter).await.unwrap();
    }
    // The newest are there.
    let start = log.start(Topic::DeadLetter, 0).await.unwrap();
    assert!((1..100).contains(&start), "{start}");
    let mut letters = log.reader(Topic::DeadLetter, 0, 0);
    let letters = letters.next(100).await.unwrap();
    assert_eq!(letters.last().unwrap().value, vec![99; 1_000]);
    for _ in 0..3 {
        log.append(Topic::Inbound, 0, vec![0; 1_000]).await.unwrap();
    }
}
