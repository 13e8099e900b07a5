//! A connection lost at every point, a page loaded again, a hub gone: no message lost, none twice.

use chatbot_adapters::web_chat::{Code, Frame};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::answerer::Answerer;
use crate::hub::{Backing, Hub, config, limits};
use crate::page::Page;

/// Reads until nothing is unanswered; then the answers are exactly those of `questions`.
async fn all_answered_once(page: &mut Page, answerer: &Answerer, questions: &[&str]) {
    while !page.unanswered.is_empty() {
        page.next().await;
    }
    let mut answers: Vec<_> = page.answers.values().cloned().collect();
    let mut wanted: Vec<_> = questions.iter().map(|q| format!("answer to {q}")).collect();
    answers.sort();
    wanted.sort();
    assert_eq!(answers, wanted);
    assert_eq!(
        answerer.met.borrow().len(),
        questions.len(),
        "none was asked twice"
    );
}

#[tokio::test]
async fn a_connection_lost_before_the_acknowledgement_loses_nothing() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    // Sent, and nothing more is known of it: it may or may not have arrived.
    page.ask("hello").await;
    page.lose_connection();
    page.connect(hub.address).await;
    all_answered_once(&mut page, &answerer, &["hello"]).await;
}

#[tokio::test]
async fn a_connection_lost_after_the_acknowledgement_loses_nothing() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    page.acknowledged().await;
    page.lose_connection();
    answerer.answering.send_replace(true);
    page.connect(hub.address).await;
    all_answered_once(&mut page, &answerer, &["hello"]).await;
}

#[tokio::test]
async fn a_connection_lost_during_the_answer_loses_nothing() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    let message = answerer.meets(1).await;
    answerer.preview(&message, "ans").await;
    page.until(|frame| matches!(frame, Frame::Preview { .. }).then_some(()))
        .await;
    page.lose_connection();
    page.connect(hub.address).await;
    page.acknowledged().await;
    answerer.preview(&message, "answer").await;
    let shown = page
        .until(|frame| match frame {
            Frame::Preview { text, .. } => Some(text.clone()),
            _ => None,
        })
        .await;
    assert_eq!(shown, "answer", "the whole of it, whatever was missed");
    answerer.answering.send_replace(true);
    all_answered_once(&mut page, &answerer, &["hello"]).await;
}

#[tokio::test]
async fn an_answer_given_while_nobody_was_there_waits_for_its_page() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    page.acknowledged().await;
    page.lose_connection();
    answerer.answering.send_replace(true);
    let mut other = Page::of(&page.user);
    other.connect(hub.address).await;
    while other.answers.is_empty() {
        other.next().await;
    }
    // The answer is in the log; the first page finds it behind its cursor, without asking again.
    page.hello(hub.address, false).await;
    assert_eq!(page.answered().await, "answer to hello");
    assert!(page.unanswered.is_empty());
    all_answered_once(&mut page, &answerer, &["hello"]).await;
}

#[tokio::test]
async fn a_connection_lost_after_the_answer_brings_it_once() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    page.answered().await;
    page.until(|frame| matches!(frame, Frame::Cursor { .. }).then_some(()))
        .await;
    page.lose_connection();
    page.connect(hub.address).await;
    page.ask("again").await;
    all_answered_once(&mut page, &answerer, &["hello", "again"]).await;
    assert_eq!(page.repeated, 0, "the cursor was believed");
}

#[tokio::test]
async fn a_reload_shows_the_history() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("one").await;
    page.answered().await;
    answerer.answering.send_replace(false);
    page.ask("two").await;
    page.acknowledged().await;
    page.reload();
    page.hello(hub.address, true).await;
    let turns = page
        .until(|frame| match frame {
            Frame::History { turns, complete } => {
                assert!(complete);
                Some(turns.clone())
            }
            _ => None,
        })
        .await;
    assert_eq!(turns.len(), 1);
    assert_eq!(
        (turns[0].question.as_str(), turns[0].answer.as_str()),
        ("one", "answer to one")
    );
    page.lose_connection();
    answerer.answering.send_replace(true);
    page.connect(hub.address).await;
    all_answered_once(&mut page, &answerer, &["one", "two"]).await;
}

#[tokio::test]
async fn a_question_asked_again_after_its_answer_is_answered_from_the_log() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    let id = page.ask("hello").await;
    page.answered().await;
    page.unanswered.insert(id, "hello".to_owned());
    page.lose_connection();
    page.connect(hub.address).await;
    all_answered_once(&mut page, &answerer, &["hello"]).await;
}

#[tokio::test]
async fn a_hub_that_restarts_with_its_logs_goes_on() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let address = hub.address;
    let mut page = Page::connected(address).await;
    page.ask("hello").await;
    page.acknowledged().await;
    hub.stop().await;
    let (told, close) = page.closed().await;
    assert_eq!(
        (told, close),
        (Some(Code::Restarting), Some(CloseCode::Restart))
    );

    answerer.answering.send_replace(true);
    let listener = TcpListener::bind(address).await.unwrap();
    let _hub = Hub::on(listener, config(), limits(), &backing);
    page.connect(address).await;
    all_answered_once(&mut page, &answerer, &["hello"]).await;
}

#[tokio::test]
async fn a_hub_that_lost_its_logs_is_asked_again() {
    let (before, after) = (Backing::new(), Backing::new());
    let answerer = Answerer::start(&before).await;
    let hub = Hub::start(&before).await;
    let mut page = Page::connected(hub.address).await;
    for question in ["one", "two", "three"] {
        page.ask(question).await;
        page.answered().await;
    }
    answerer.answering.send_replace(false);
    page.ask("four").await;
    page.acknowledged().await;
    hub.stop().await;
    page.lose_connection();

    let answerer = Answerer::start(&after).await;
    let hub = Hub::start(&after).await;
    // Its cursor lies beyond the end of the new log, and means nothing there.
    page.connect(hub.address).await;
    while !page.unanswered.is_empty() {
        page.next().await;
    }
    assert_eq!(page.answers.len(), 4);
    assert_eq!(
        answerer.met.borrow().len(),
        1,
        "what has its answer is not asked again"
    );
}

#[tokio::test]
async fn a_page_that_reads_too_slowly_is_closed_and_goes_on() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let mut limits = limits();
    limits.queue = 4;
    let hub = Hub::with(config(), limits, &backing).await;
    let mut slow = Page::connected(hub.address).await;
    let mut quick = Page::of(&slow.user);
    quick.connect(hub.address).await;
    answerer.answering.send_replace(false);
    // Answers of 3 MB fill whatever the network holds for a page that does not read.
    quick.ask("long").await;
    let message = answerer.meets(1).await;
    let partition = message.account.partition(backing.log.partitions());
    let epoch = answerer.own(partition).await;
    let long = "x".repeat(3_000_000);
    for _ in 0..12 {
        answerer.reply(epoch, &message, 0, &long).await;
        quick.answered().await;
    }
    let (told, _) = slow.closed().await;
    assert!(matches!(told, None | Some(Code::TooSlow)));
    let metrics = hub.telemetry.metrics().unwrap();
    assert!(
        metrics.contains("chatbot_gateway_sockets_too_slow_total 1"),
        "{metrics}"
    );
    slow.lose_connection();
    slow.hello(hub.address, false).await;
    slow.until(|frame| matches!(frame, Frame::Ready { .. }).then_some(()))
        .await;
    assert_eq!(slow.answers.len(), 1);
}
