//! What retention has removed, and a view of another journal: nothing of it is waited for.

use std::time::Duration;

use chatbot_queue::journal::{Checkpoint, Entry, Fold, Reader};
use chatbot_queue::{Log, Offset, Topic};
use chatbot_store::{Applied, Update, View};

use crate::bench::{Bench, eventually};

#[tokio::test]
async fn messages_that_retention_has_removed_are_not_waited_for() {
    let mut bench = Bench::new(1).await;
    bench.limits.above_commit = 4;
    for number in 0..6 {
        bench.ask("alice", &format!("away {number}")).await;
    }
    bench.log.trim(Topic::Inbound, 0, 6);
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.ask("bob", "two").await;
    bench.replies(2).await;
    bench.settled().await;
    worker.end().await.unwrap();
}

/// Positions of the owner records that are left.
async fn owners(bench: &Bench) -> Vec<Offset> {
    let end = bench.log.end(Topic::Response, 0).await.unwrap();
    let mut reader = Reader::new(bench.log.as_ref(), 0, Checkpoint::default());
    let mut owners = Vec::new();
    while reader.checkpoint().position < end {
        let step = reader.next().await.unwrap();
        if matches!(step.entry, Some(Entry::Owner { .. })) {
            owners.push(step.position);
        }
    }
    owners
}

#[tokio::test]
async fn an_owner_announces_itself_again_before_its_record_is_removed() {
    let mut bench = Bench::new(1).await;
    bench.limits.announce_interval = Duration::from_millis(10);
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    bench.settled().await;
    let before = bench.log.end(Topic::Response, 0).await.unwrap();
    eventually("the owner announces itself again", async || {
        owners(&bench).await.last() > Some(&before)
    })
    .await;
    let last = *owners(&bench).await.last().unwrap();
    bench.log.trim(Topic::Response, 0, last);
    bench.ask("alice", "two").await;
    bench.ask("alice", "three").await;
    let replies = bench.replies(2).await;
    assert_eq!(replies[1].answer, "re: one two three");
    let metrics = worker.telemetry.metrics().unwrap();
    assert!(
        metrics.contains("chatbot_worker_takeovers_total 1"),
        "{metrics}"
    );
    worker.end().await.unwrap();
}

/// A view that was brought up to a position.
async fn viewed(bench: &Bench, position: u64, fold: &str) {
    let update = Update {
        from: 0,
        to: position,
        fold: fold.to_owned(),
        ..Update::default()
    };
    let applied = bench.view.apply(0, update).await.unwrap();
    assert_eq!(applied, Applied::Done);
}

/// Waits until the view has followed the journal to its end, and sees that the model is told what was said before.
async fn is_followed(bench: &Bench) {
    eventually("the view follows the journal", async || {
        let end = bench.log.end(Topic::Response, 0).await.unwrap();
        bench.view.position(0).await.unwrap().0 == end
    })
    .await;
    bench.ask("alice", "two").await;
    assert_eq!(bench.replies(2).await[1].answer, "re: one two");
}

#[tokio::test]
async fn a_view_of_a_journal_that_is_no_more_begins_anew() {
    let bench = Bench::new(1).await;
    let fold = serde_json::to_string(&Fold::default()).unwrap();
    viewed(&bench, 100, &fold).await;
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    is_followed(&bench).await;
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_view_that_another_release_has_written_begins_anew() {
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    worker.end().await.unwrap();
    bench.view.flush();
    viewed(&bench, 2, r#"{"of":"another release"}"#).await;
    let worker = bench.worker();
    is_followed(&bench).await;
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_partition_s_lag_is_told_by_whoever_has_it() {
    let bench = Bench::new(1).await;
    let first = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    let tells = |metrics: &str| metrics.contains("chatbot_worker_lag{partition=\"0\"}");
    eventually("the lag is told", async || {
        tells(&first.telemetry.metrics().unwrap())
    })
    .await;
    let second = bench.worker();
    eventually("there are two", async || {
        bench
            .log
            .members(chatbot_worker::GROUP, Topic::Inbound)
            .len()
            == 2
    })
    .await;
    bench.log.rebalance(chatbot_worker::GROUP, Topic::Inbound);
    eventually("the other one tells it", async || {
        tells(&second.telemetry.metrics().unwrap()) && !tells(&first.telemetry.metrics().unwrap())
    })
    .await;
}
