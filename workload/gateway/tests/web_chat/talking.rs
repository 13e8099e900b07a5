//! Questions, answers, and what other pages see of them.

use chatbot_adapters::web_chat::{Code, Frame};
use chatbot_queue::Topic;

use crate::answerer::Answerer;
use crate::hub::{Backing, Hub, config, limits};
use crate::page::Page;

#[tokio::test]
async fn a_question_is_acknowledged_and_answered() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    let id = page.ask("how are you?").await;
    let message = page.acknowledged().await;
    let met = answerer.meets(1).await;
    assert_eq!((met.id, met.origin.as_str()), (message, id.as_str()));
    assert_eq!(page.answered().await, "answer to how are you?");
    assert!(page.unanswered.is_empty());
}

#[tokio::test]
async fn the_acknowledgement_comes_after_the_log_has_the_message() {
    let backing = Backing::new();
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    page.acknowledged().await;
    let mut records = 0;
    for partition in 0..backing.log.partitions() {
        records += backing.log.end(Topic::Inbound, partition).await.unwrap();
    }
    assert_eq!(records, 1);
}

#[tokio::test]
async fn an_answer_under_way_is_shown_as_it_grows_and_replaced_by_the_reply() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    let message = answerer.meets(1).await;
    for shown in ["ans", "answer to"] {
        answerer.preview(&message, shown).await;
        let text = page
            .until(|frame| match frame {
                Frame::Preview { message: of, text } if *of == message.id => Some(text.clone()),
                _ => None,
            })
            .await;
        assert_eq!(text, shown);
    }
    answerer.answering.send_replace(true);
    assert_eq!(page.answered().await, "answer to hello");
}

#[tokio::test]
async fn a_second_tab_sees_the_question_and_the_answer() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let mut first = Page::connected(hub.address).await;
    let mut second = Page::of(&first.user);
    second.connect(hub.address).await;
    let mut stranger = Page::connected(hub.address).await;

    let id = first.ask("hello").await;
    let seen = second
        .until(|frame| match frame {
            Frame::Question { id, text, .. } => Some((id.clone(), text.clone())),
            _ => None,
        })
        .await;
    assert_eq!(seen, (id, "hello".to_owned()));
    answerer.answering.send_replace(true);
    assert_eq!(first.answered().await, "answer to hello");
    assert_eq!(second.answered().await, "answer to hello");

    stranger.ask("mine").await;
    assert_eq!(stranger.answered().await, "answer to mine");
    assert_eq!(stranger.answers.len(), 1, "nobody sees another's answers");
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_questions() {
    let backing = Backing::new();
    let _answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    for number in 0..20 {
        page.ask(&number.to_string()).await;
    }
    for number in 0..20 {
        assert_eq!(page.answered().await, format!("answer to {number}"));
    }
}

#[tokio::test]
async fn too_many_messages_are_refused_with_the_time_to_wait() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let mut config = config();
    config.messages_per_user_per_minute = 2;
    let hub = Hub::with(config, limits(), &backing).await;
    let mut page = Page::connected(hub.address).await;
    let ids = [
        page.ask("one").await,
        page.ask("two").await,
        page.ask("three").await,
    ];
    let (id, code, message, retry_after) = page.refused().await;
    assert_eq!(id.as_ref(), ids.last());
    assert_eq!(code, Code::TooManyMessages);
    assert!(message.contains("at most 2"), "{message}");
    assert!(retry_after.is_some_and(|wait| (1..=60_000).contains(&wait)));

    let mut other = Page::connected(hub.address).await;
    other.ask("mine").await;
    assert_eq!(other.answered().await, "answer to mine");
    assert_eq!(answerer.met.borrow().len(), 3);
}

#[tokio::test]
async fn a_reply_that_does_not_count_is_never_shown() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    let message = answerer.meets(1).await;
    let offset = answerer.met.borrow()[0].0;
    let partition = message.account.partition(backing.log.partitions());
    let before = answerer.own(partition).await;
    answerer.own(partition).await;
    answerer
        .reply(before, &message, offset, "from a zombie")
        .await;
    answerer.answering.send_replace(true);
    assert_eq!(page.answered().await, "answer to hello");
}

#[tokio::test]
async fn what_was_delivered_is_marked_and_counted() {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    let hub = Hub::start(&backing).await;
    let mut page = Page::connected(hub.address).await;
    page.ask("hello").await;
    page.answered().await;
    let partition = answerer
        .meets(1)
        .await
        .account
        .partition(backing.log.partitions());
    // The owner, the reply, its mark: past all of them.
    let looks = async {
        loop {
            let committed = backing
                .log
                .committed("gateway-web", Topic::Response, partition)
                .await
                .unwrap();
            if committed.offset == 3 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::hub::PATIENCE, looks)
        .await
        .unwrap();
    let state = hub.reports(|state| state.counters.requests == 1).await;
    assert_eq!(state.counters.errors, 0);
    assert_eq!(state.channels[0].reason, "Listening");
    let metrics = hub.telemetry.metrics().unwrap();
    assert!(
        metrics.contains("chatbot_gateway_messages_accepted_total 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("chatbot_gateway_reply_delay_seconds_count 1"),
        "{metrics}"
    );
}
