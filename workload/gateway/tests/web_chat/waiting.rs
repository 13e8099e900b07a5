//! Whoever is slow, or asks for the same again and again, holds up nobody else; a partition is let go whatever fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chatbot_adapters::web_chat::Frame;
use chatbot_queue::Topic;
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_queue::memory::MemoryLog;

use crate::answerer::Answerer;
use crate::faulty::Faulty;
use crate::hub::{Backing, Hub, PATIENCE, limits};
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
async fn pages_that_do_not_read_what_they_missed_hold_up_no_other() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    answerer.answering.send_replace(false);
    page.ask("long").await;
    page.acknowledged().await;
    let message = answerer.meets(1).await;
    page.lose_connection();
    let partition = message.account.partition(backing.log.partitions());
    let epoch = answerer.own(partition).await;
    let long = "x".repeat(3_000_000);
    for _ in 0..6 {
        answerer.reply(epoch, &message, 0, &long).await;
    }
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut one = Page::of(&page.user);
        one.cursor.clone_from(&page.cursor);
        one.hello(hub.address, false).await;
        one.until(|frame| matches!(frame, Frame::Welcome { .. }).then_some(()))
            .await;
        slow.push(one);
    }
    // Until each of them has as much as the network holds for it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut quick = Page::new();
    let connecting = quick.connect(hub.address);
    tokio::time::timeout(limits().write / 3, connecting)
        .await
        .expect("a place for one that reads");
}

#[tokio::test]
async fn a_question_that_is_repeated_by_many_is_read_by_few_at_once() {
    let log = Arc::new(Faulty::on(Arc::new(MemoryLog::new(1))));
    let backing = Backing::on(log.clone());
    let _answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut first = Page::connected(hub.address).await;
    let id = first.ask("hello").await;
    first.answered().await;
    let mut pages = Vec::new();
    for _ in 0..50 {
        let mut page = Page::of(&first.user);
        page.connect(hub.address).await;
        pages.push(page);
    }
    let before = log.readers.now();
    log.readers.slow.store(50, Ordering::SeqCst);
    let asking = pages.iter_mut().map(|page| async {
        page.repeat(&id, "hello").await;
        page.answered().await
    });
    for answer in futures::future::join_all(asking).await {
        assert_eq!(answer, "answer to hello");
    }
    let at_once = log.readers.most() - before;
    assert!((1..=8).contains(&at_once), "{at_once}");
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
