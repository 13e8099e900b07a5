//! The page of an account that is linked: what it asks is answered in another partition, and shown here.

use chatbot_adapters::web_chat::Frame;
use chatbot_message::{Account, Message};
use uuid::Uuid;

use crate::answerer::Answerer;
use crate::hub::{Backing, Hub};
use crate::page::Page;

/// A page whose questions are met and not answered.
async fn asking() -> (Backing, Answerer, Hub, Page) {
    let backing = Backing::new();
    let answerer = Answerer::start(&backing).await;
    answerer.answering.send_replace(false);
    let hub = Hub::start(&backing).await;
    let page = Page::connected(hub.address).await;
    (backing, answerer, hub, page)
}

/// Somebody whose partition is `steps` after that of who sent the message.
fn somebody_else(backing: &Backing, message: &Message, steps: u32) -> Account {
    let partitions = backing.log.partitions();
    let wanted = (message.account.partition(partitions) + steps) % partitions;
    let mut others = (0..).map(|number| Account {
        channel: "phone".to_owned(),
        user: number.to_string(),
    });
    let somebody = others.find(|other| other.partition(partitions) == wanted);
    somebody.unwrap()
}

/// Reads until everything that was missed has come; the answers, in order.
async fn missed(page: &mut Page, hub: &Hub) -> Vec<String> {
    page.hello(hub.address, false).await;
    let mut answers = Vec::new();
    loop {
        match page.next().await {
            Frame::Reply { answer, .. } => answers.push(answer),
            Frame::Ready { .. } => return answers,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_question_answered_in_another_partition_is_answered_on_the_page() {
    let (backing, answerer, hub, mut page) = asking().await;
    page.ask("hello").await;
    let message = answerer.meets(1).await;
    let main = somebody_else(&backing, &message, 1);
    answerer.send_on(&message, &main).await;
    answerer.answer_for(&message, &main, "elsewhere").await;
    assert_eq!(page.answered().await, "elsewhere");
    page.lose_connection();
    // Once more, since the page's cursor is one of its own partition; then that is past it.
    assert_eq!(missed(&mut page, &hub).await, ["elsewhere"]);
    page.lose_connection();
    assert_eq!(missed(&mut page, &hub).await, [""; 0]);
}

#[tokio::test]
async fn what_was_answered_elsewhere_while_the_page_was_away_comes_before_what_followed_here() {
    let (backing, answerer, hub, mut page) = asking().await;
    page.ask("1").await;
    page.acknowledged().await;
    page.lose_connection();
    let first = answerer.meets(1).await;
    let second = Message {
        id: Uuid::new_v4(),
        ..first.clone()
    };
    let main = somebody_else(&backing, &first, 1);
    answerer.send_on(&first, &main).await;
    answerer.answer_for(&first, &main, "elsewhere").await;
    let own = second.account.partition(backing.log.partitions());
    let epoch = answerer.own(own).await;
    answerer.reply(epoch, &second, 1, "here").await;
    assert_eq!(missed(&mut page, &hub).await, ["elsewhere", "here"]);
    page.lose_connection();
    assert_eq!(missed(&mut page, &hub).await, [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_still_to_come_is_looked_for_the_next_time() {
    let (backing, answerer, hub, mut page) = asking().await;
    page.ask("hello").await;
    let message = answerer.meets(1).await;
    let main = somebody_else(&backing, &message, 1);
    answerer.send_on(&message, &main).await;
    page.lose_connection();
    assert_eq!(missed(&mut page, &hub).await, [""; 0]);
    page.lose_connection();
    answerer.answer_for(&message, &main, "elsewhere").await;
    assert_eq!(missed(&mut page, &hub).await, ["elsewhere"]);
}

#[tokio::test]
async fn a_message_sent_on_twice_is_followed_to_where_it_is_answered() {
    let (backing, answerer, hub, mut page) = asking().await;
    page.ask("hello").await;
    page.acknowledged().await;
    page.lose_connection();
    let message = answerer.meets(1).await;
    let between = somebody_else(&backing, &message, 1);
    let main = somebody_else(&backing, &message, 2);
    answerer.send_on(&message, &between).await;
    answerer.send_on_from(&message, &between, &main).await;
    answerer.answer_for(&message, &main, "there").await;
    assert_eq!(missed(&mut page, &hub).await, ["there"]);
}
