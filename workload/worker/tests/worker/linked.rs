//! Accounts that are one person: one conversation, whichever of them writes, and replies where the question was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbot_message::{Account, Details, Message, Outcome, Reply, Trace, message_id};
use chatbot_queue::journal::{self, Checkpoint, Delivery, Entry, Reader};
use chatbot_queue::{Log, Topic};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::bench::{Bench, message};
use crate::faults::{Fault, Faults, FaultyLog, FaultyView};

/// What gateways send replies to.
#[derive(Clone, Default)]
struct Platforms {
    /// Nothing arrives with this user.
    away: Option<&'static str>,
    /// What stands in this partition arrives late.
    slow: Option<u32>,
    shown: Arc<Mutex<Vec<Reply>>>,
}

impl Platforms {
    async fn show(&self, partition: u32, reply: Reply) -> bool {
        if self.away == Some(reply.account.user.as_str()) {
            return false;
        }
        if self.slow == Some(partition) {
            sleep(Duration::from_millis(20)).await;
        }
        self.shown.lock().unwrap().push(reply);
        true
    }

    /// The questions of a user, in the order in which answers were shown.
    fn answered(&self, user: &str) -> Vec<String> {
        let shown = self.shown.lock().unwrap();
        let of_user = shown.iter().filter(|reply| reply.account.user == user);
        of_user.map(|reply| reply.question.clone()).collect()
    }
}

/// As gateways do: shows every reply and marks it, as soon as it is there.
fn deliver_to(bench: &Bench, platforms: &Platforms) -> JoinSet<()> {
    let partitions = 0..bench.log.partitions();
    let delivering = partitions.map(|partition| {
        let (log, platforms) = (bench.log.clone(), platforms.clone());
        async move {
            let mut reader = Reader::new(log.as_ref(), partition, Checkpoint::default());
            loop {
                let step = reader.next().await.unwrap();
                let Some(Entry::Reply { reply, .. }) = step.entry else {
                    continue;
                };
                let is_shown = step.counts && reply.is_shown();
                if is_shown && platforms.show(partition, reply).await {
                    mark(log.as_ref(), partition, step.position).await;
                }
            }
        }
    });
    delivering.collect()
}

fn deliver(bench: &Bench) -> JoinSet<()> {
    deliver_to(bench, &Platforms::default())
}

async fn mark(log: &dyn Log, partition: u32, position: u64) {
    let delivered = Entry::Delivered {
        position,
        part: 0,
        delivery: Delivery::Accepted { platform_id: None },
        last: true,
    };
    journal::append(log, partition, &delivered).await.unwrap();
}

/// A conversation with several accounts, question by question.
struct Chat<'a> {
    bench: &'a Bench,
    asked: usize,
}

impl<'a> Chat<'a> {
    fn new(bench: &'a Bench) -> Self {
        Self { bench, asked: 0 }
    }

    fn message(&mut self, user: &str, text: &str) -> Message {
        self.asked += 1;
        Message {
            id: message_id("web", &self.asked.to_string()),
            ..message(user, text)
        }
    }

    /// The one reply that is shown.
    async fn say(&mut self, user: &str, text: &str) -> String {
        let message = self.message(user, text);
        let id = self.bench.put(message).await;
        let reply = shown(self.bench, id).await;
        assert_eq!(reply.account.user, user, "it goes to whoever asked");
        assert_eq!(reply.origin, format!("chat of {user}"));
        reply.answer
    }

    async fn code(&mut self, user: &str) -> String {
        let told = self.say(user, "/link").await;
        let code = told.rsplit_once("/link ");
        code.unwrap().1.to_owned()
    }

    async fn link(&mut self, user: &str, to: &str) {
        let code = self.code(to).await;
        let told = self.say(user, &format!("/link {code}")).await;
        assert!(told.starts_with("Linked"), "{told}");
    }
}

/// Every counting reply to a message that its user sees.
async fn all_shown(bench: &Bench) -> HashMap<Uuid, Vec<Reply>> {
    let mut shown: HashMap<Uuid, Vec<Reply>> = HashMap::new();
    for reply in bench.counting().await {
        if reply.is_shown() {
            shown.entry(reply.message_id).or_default().push(reply);
        }
    }
    shown
}

async fn shown(bench: &Bench, message: Uuid) -> Reply {
    let mut found = None;
    crate::bench::eventually("the reply", async || {
        found = all_shown(bench).await.remove(&message);
        found.is_some()
    })
    .await;
    let mut replies = found.unwrap();
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

#[tokio::test]
async fn linked_accounts_have_one_conversation_and_each_question_is_answered_where_it_was_asked() {
    for partitions in [1, 4] {
        let bench = Bench::new(partitions).await;
        let _delivering = deliver(&bench);
        let worker = bench.worker();
        let mut chat = Chat::new(&bench);
        assert_eq!(chat.say("phone", "1").await, "re: 1");
        assert_eq!(chat.say("page", "a").await, "re: a");
        chat.link("page", "phone").await;
        assert_eq!(chat.say("page", "2").await, "re: 1 2");
        assert_eq!(chat.say("phone", "3").await, "re: 1 2 3");
        // A third one, by a code that a linked account asked for.
        chat.link("mail", "page").await;
        assert_eq!(chat.say("mail", "4").await, "re: 1 2 3 4");
        assert_eq!(chat.say("page", "5").await, "re: 1 2 3 4 5");
        bench.settled().await;
        worker.end().await.unwrap();
        // Whoever takes over knows it, too.
        let worker = bench.worker();
        assert_eq!(chat.say("mail", "6").await, "re: 1 2 3 4 5 6");
        worker.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_is_sent_on_stays_in_the_trace_that_it_came_with() {
    let bench = Bench::new(4).await;
    let _delivering = deliver(&bench);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    chat.link("page", "phone").await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let given: Trace = given.parse().unwrap();
    let asked = chat.message("page", "1");
    let (id, partition) = (asked.id, message("phone", "").account.partition(4));
    bench.put_traced(asked, Some(given)).await;
    shown(&bench, id).await;
    let mut reader = Reader::new(bench.log.as_ref(), partition, Checkpoint::default());
    let replied = loop {
        let step = reader.next().await.unwrap();
        if matches!(&step.entry, Some(Entry::Reply { reply, .. }) if reply.message_id == id) {
            break step.trace;
        }
    };
    assert_eq!(replied.unwrap().id(), given.id());
    worker.end().await.unwrap();
}

#[tokio::test]
async fn whoever_is_apart_again_has_the_conversation_of_before_and_can_be_linked_again() {
    let bench = Bench::new(4).await;
    let _delivering = deliver(&bench);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    chat.say("phone", "1").await;
    chat.say("page", "a").await;
    assert!(chat.say("page", "/unlink").await.contains("not linked"));
    chat.link("page", "phone").await;
    chat.say("page", "2").await;
    assert!(chat.say("page", "/unlink").await.contains("on its own"));
    assert_eq!(chat.say("page", "b").await, "re: a b");
    assert_eq!(chat.say("phone", "3").await, "re: 1 2 3");
    chat.link("page", "phone").await;
    assert_eq!(chat.say("page", "4").await, "re: 1 2 3 4");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn every_code_that_cannot_be_taken_is_told_why() {
    let bench = Bench::new(2).await;
    let _delivering = deliver(&bench);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    let code = chat.code("phone").await;
    let own = chat.say("phone", &format!("/link {code}")).await;
    assert!(own.contains("own"), "{own}");
    // It is as good as before.
    chat.say("page", &format!("/link {code}")).await;
    let again = chat.say("page", &format!("/link {code}")).await;
    assert!(again.contains("linked already"), "{again}");
    let used = chat.say("mail", &format!("/link {code}")).await;
    assert!(used.contains("has been used"), "{used}");
    for _ in 0..4 {
        let unknown = chat.say("mail", "/link 00000-00000").await;
        assert!(unknown.contains("not known"), "{unknown}");
    }
    let fresh = chat.code("phone").await;
    let too_many = chat.say("mail", &format!("/link {fresh}")).await;
    assert!(too_many.contains("Too many"), "{too_many}");
    let in_group = Message {
        details: Details {
            group: Some("g".to_owned()),
            ..Details::default()
        },
        ..chat.message("page@g", "/link")
    };
    let told = shown(&bench, bench.put(in_group).await).await;
    assert!(told.answer.contains("private chats only"), "{told:?}");
    assert_eq!(told.outcome, Outcome::Told);
    assert!(
        bench.model.requests().is_empty(),
        "commands are not for the model"
    );
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_code_is_not_taken_before_earlier_answers_have_arrived() {
    let mut bench = Bench::new(4).await;
    bench.limits.delivery_wait = Duration::from_millis(200);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    let code = chat.code("phone").await;
    chat.say("page", "a").await;
    let told = chat.say("page", &format!("/link {code}")).await;
    assert!(told.contains("still on their way"), "{told}");
    let _delivering = deliver(&bench);
    let told = chat.say("page", &format!("/link {code}")).await;
    assert!(told.starts_with("Linked"), "{told}");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn whoever_links_or_leaves_waits_for_answers_to_them_and_for_nobody_s_else() {
    let mut bench = Bench::new(4).await;
    bench.limits.delivery_wait = Duration::from_millis(200);
    let platforms = Platforms {
        away: Some("phone"),
        ..Platforms::default()
    };
    let _delivering = deliver_to(&bench, &platforms);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    chat.link("page", "phone").await;
    chat.link("mail", "page").await;
    assert_eq!(chat.say("page", "1").await, "re: 1");
    assert!(chat.say("page", "/unlink").await.contains("on its own"));
    let code = chat.code("mail").await;
    let told = chat.say("phone", &format!("/link {code}")).await;
    assert!(told.contains("still on their way"), "{told}");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn what_is_typed_without_waiting_is_answered_once_and_shown_in_order() {
    for slow in 0..4 {
        let bench = Bench::new(4).await;
        let platforms = Platforms {
            slow: Some(slow),
            ..Platforms::default()
        };
        let _delivering = deliver_to(&bench, &platforms);
        let worker = bench.worker();
        let mut chat = Chat::new(&bench);
        let (code, again) = (chat.code("phone").await, chat.code("phone").await);
        let (code, again) = (format!("/link {code}"), format!("/link {again}"));
        let texts = [
            "a", &code, "b", &code, "/unlink", "c", "/unlink", "/unlink", "d", &again, "e",
        ];
        for text in texts {
            let message = chat.message("page", text);
            bench.put(message).await;
        }
        let all = || platforms.answered("page").len() >= texts.len();
        crate::bench::eventually("all answers", async || all()).await;
        bench.settled().await;
        assert_eq!(
            platforms.answered("page"),
            texts,
            "partition {slow} is slow"
        );
        let last = shown(&bench, message_id("web", &chat.asked.to_string())).await;
        assert_eq!(last.answer, "re: b e", "of the phone's conversation");
        worker.end().await.unwrap();
    }
}

#[tokio::test]
async fn two_that_link_to_each_other_at_once_have_one_conversation() {
    let bench = Bench::new(4).await;
    let _delivering = deliver(&bench);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    let (of_phone, of_page) = (chat.code("phone").await, chat.code("page").await);
    let ids = [
        chat.message("page", &format!("/link {of_phone}")),
        chat.message("phone", &format!("/link {of_page}")),
    ];
    for message in ids.clone() {
        bench.put(message).await;
    }
    for message in ids {
        shown(&bench, message.id).await;
    }
    // Whichever of them was first, or both.
    chat.say("page", "1").await;
    assert_eq!(chat.say("phone", "2").await, "re: 1 2");
    assert_eq!(chat.say("page", "3").await, "re: 1 2 3");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_a_message_is_dropped_on_either_side_of_the_link() {
    let bench = Bench::new(4).await;
    let _delivering = deliver(&bench);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    let before = chat.message("page", "before");
    bench.put(before.clone()).await;
    shown(&bench, before.id).await;
    chat.link("page", "phone").await;
    let after = chat.message("page", "after");
    for copy in [&after, &after, &before] {
        bench.put(copy.clone()).await;
    }
    shown(&bench, after.id).await;
    bench.settled().await;
    let shown = all_shown(&bench).await;
    assert!(
        shown.values().all(|replies| replies.len() == 1),
        "{shown:?}"
    );
    worker.end().await.unwrap();
}

/// Everything that linking does, with a fault at each operation in turn: every message has one reply, in the right
/// conversation, and in order.
async fn strike_everywhere(fault: Fault) {
    let mut strikes = 0;
    for at in (0..).step_by(5) {
        let bench = Bench::new(2).await;
        let _delivering = deliver(&bench);
        let faults = Faults::new(fault, at);
        let log = Arc::new(FaultyLog(bench.log.clone(), faults.clone()));
        let view = Arc::new(FaultyView(bench.view.clone(), faults.clone()));
        let mut worker = bench.worker_on(log, view);
        let talking = async {
            talk(&bench).await;
            bench.settled().await;
        };
        tokio::pin!(talking);
        tokio::select! {
            () = faults.struck.cancelled() => {
                strikes += 1;
                if fault.kills() {
                    worker.kill().await;
                    worker = bench.worker();
                }
                talking.await;
            }
            () = &mut talking => {}
        }
        let shown = all_shown(&bench).await;
        assert!(
            shown.values().all(|replies| replies.len() == 1),
            "struck at {at}: {shown:?}"
        );
        worker.end().await.unwrap();
        if !faults.reached() {
            break;
        }
    }
    assert!(strikes > 10, "{strikes}");
}

async fn talk(bench: &Bench) {
    let mut chat = Chat::new(bench);
    assert_eq!(chat.say("phone", "1").await, "re: 1");
    chat.link("page", "phone").await;
    assert_eq!(chat.say("page", "2").await, "re: 1 2");
    let leave = chat.say("page", "/unlink").await;
    assert!(leave.contains("on its own"), "{leave}");
    assert_eq!(chat.say("page", "b").await, "re: b");
    assert_eq!(chat.say("phone", "3").await, "re: 1 2 3");
}

#[tokio::test]
async fn a_worker_killed_before_any_step_of_linking_costs_nothing() {
    strike_everywhere(Fault::KillBefore).await;
}

#[tokio::test]
async fn a_worker_killed_after_any_step_of_linking_costs_nothing() {
    strike_everywhere(Fault::KillAfter).await;
}

#[tokio::test]
async fn what_a_dead_worker_had_sent_on_may_land_at_any_time() {
    strike_everywhere(Fault::KillThenHappen).await;
}

#[tokio::test]
async fn a_lost_acknowledgement_of_any_step_of_linking_costs_nothing() {
    strike_everywhere(Fault::LoseAnswer).await;
}

#[tokio::test]
async fn a_forwarded_message_settles_with_that_outcome_and_carries_nothing_for_its_user() {
    let bench = Bench::new(4).await;
    let _delivering = deliver(&bench);
    let worker = bench.worker();
    let mut chat = Chat::new(&bench);
    chat.link("page", "phone").await;
    chat.say("page", "1").await;
    let account = |user: &str| Account {
        channel: "web".to_owned(),
        user: user.to_owned(),
    };
    let replies = bench.counting().await;
    let of_page = replies
        .iter()
        .filter(|reply| reply.account == account("page"));
    let forwarded = of_page
        .clone()
        .filter(|reply| reply.outcome == Outcome::Forwarded);
    assert!(forwarded.clone().all(|reply| reply.answer.is_empty()));
    assert_eq!(forwarded.count(), 2, "the code and the question");
    let answered = of_page.filter(|reply| reply.outcome == Outcome::Answered);
    assert!(
        answered
            .clone()
            .all(|reply| *reply.person() == account("phone"))
    );
    assert_eq!(answered.count(), 1);
    bench.settled().await;
    let partition = account("page").partition(4);
    let committed = bench
        .log
        .committed(chatbot_worker::GROUP, Topic::Inbound, partition)
        .await
        .unwrap();
    assert!(committed.offset >= 2);
    worker.end().await.unwrap();
}
