//! A partition is let go whatever fails.

use std::sync::Arc;
use std::time::Duration;

use chatbot_queue::Topic;
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_queue::memory::MemoryLog;

use crate::answerer::Answerer;
use crate::faulty::Faulty;
use crate::hub::{Backing, Hub, PATIENCE};
use crate::page::Page;

/// Marks in the journal's only partition.
async fn marks(log: &MemoryLog) -> usize {
    use chatbot_queue::Log;
    let end = log.end(Topic::Response, 0).await.unwrap();
    let mut reader = Reader::new(log, 0, Checkpoint::default());
    let mut marks = 0;
    while reader.checkpoint().position < end {
        let entry = reader.next().await.unwrap().entry;
        marks += usize::from(matches!(entry, Some(Entry::Delivered { .. })));
    }
    marks
}

#[tokio::test]
async fn a_partition_is_let_go_though_a_commit_failed_meanwhile() {
    let memory = Arc::new(MemoryLog::new(1));
    let log = Arc::new(Faulty::on(memory.clone()));
    let backing = Backing::on(log.clone());
    let _answerer = Answerer::start(&backing).await;
    let first = Hub::start(&backing).await;
    let mut page = Page::connected(first.address).await;
    page.ask("one").await;
    page.answered().await;
    let second = Hub::start(&backing).await;
    log.commits.close();
    page.ask("two").await;
    page.answered().await;
    log.commits.holds(true).await;
    memory.rebalance("gateway-web", Topic::Response);
    log.commits.open();
    let mut page = Page::connected(second.address).await;
    page.ask("three").await;
    page.answered().await;
    let marked = async {
        while marks(&memory).await < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, marked)
        .await
        .expect("a mark of whoever has the partition");
}
