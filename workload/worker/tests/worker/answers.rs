//! What is asked and what is answered, with a model that does not always.

use std::time::Duration;

use chatbot_message::{Details, Message, Outcome, Turn};
use chatbot_queue::journal::{self, Entry};
use chatbot_queue::{Commit, Log, Previews, Topic, dead_letter};
use chatbot_worker::GROUP;
use futures::StreamExt;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::bench::{Bench, GENEROUS, by_user, eventually, message};
use crate::model::Behaviour::{Busy, CutOff, EndEarly, Silent, Unavailable};
use crate::model::{Behaviour, Model};

#[tokio::test]
async fn a_question_is_answered_to_where_it_came_from_with_the_conversation_so_far() {
    let bench = Bench::new(3).await;
    let worker = bench.worker();
    let first = bench.ask("alice", "one").await;
    bench.ask("alice", "two").await;
    bench.ask("bob", "three").await;
    let replies = bench.replies(3).await;
    let answers = by_user(&replies);
    assert_eq!(answers["alice"], ["re: one", "re: one two"]);
    assert_eq!(answers["bob"], ["re: three"]);
    let reply = replies
        .iter()
        .find(|reply| reply.message_id == first)
        .unwrap();
    assert_eq!(
        (reply.origin.as_str(), reply.question.as_str()),
        ("chat of alice", "one")
    );
    assert_eq!(reply.outcome, Outcome::Answered);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_fails_in_any_way_is_asked_again_until_one_answers() {
    let bench = Bench::new(1).await;
    bench
        .model
        .will([Unavailable, Busy, CutOff, EndEarly, Silent, Unavailable]);
    let worker = bench.worker();
    bench.ask("alice", "hello").await;
    let replies = bench.replies(1).await;
    assert_eq!(replies[0].answer, "re: hello");
    assert_eq!(bench.model.requests().len(), 7);
    let metrics = worker.telemetry.metrics().unwrap();
    assert!(
        metrics.contains("chatbot_worker_retries_total 6"),
        "{metrics}"
    );
    assert!(
        metrics.contains("chatbot_worker_answers_total 1"),
        "{metrics}"
    );
    assert_eq!(worker.handle.last_inference_error(), None);
}

#[tokio::test]
async fn the_first_question_waits_until_there_is_an_instance() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let bench = Bench::with_model_at(1, Model::default(), &format!("http://{address}"));
    let worker = bench.worker();
    bench.ask("alice", "hello").await;
    eventually("the worker says why", async || {
        worker
            .handle
            .last_inference_error()
            .is_some_and(|error| error.contains("refused"))
    })
    .await;
    assert_eq!(worker.handle.read(0), Some(1), "the message was read");
    bench.model.serve(TcpListener::bind(address).await.unwrap());
    assert_eq!(bench.replies(1).await[0].answer, "re: hello");
    assert_eq!(worker.handle.last_inference_error(), None);
}

#[tokio::test]
async fn a_slow_answer_delays_nobody_else() {
    let mut bench = Bench::new(1).await;
    bench.limits.first_token = Duration::from_secs(3);
    bench.model.will([Behaviour::Hang]);
    let worker = bench.worker();
    bench.ask("slow", "one").await;
    eventually("the slow one is asked", async || {
        bench.model.requests().len() == 1
    })
    .await;
    bench.ask("slow", "two").await;
    bench.ask("quick", "three").await;
    assert_eq!(bench.replies(1).await[0].answer, "re: three");
    let replies = bench.replies(3).await;
    assert_eq!(by_user(&replies)["slow"], ["re: one", "re: one two"]);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn what_the_model_refuses_three_times_gets_the_fallback_text_which_is_no_context() {
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    bench
        .model
        .will([Behaviour::Refuse, Behaviour::Refuse, Behaviour::Refuse]);
    bench.ask("alice", "two").await;
    let replies = bench.replies(2).await;
    assert_eq!(
        (replies[1].answer.as_str(), replies[1].outcome),
        ("sorry", Outcome::Fallback)
    );
    assert_eq!(bench.dead_letters().await, ["two"]);
    let last = bench.model.requests().pop().unwrap();
    assert_eq!(
        last["messages"].as_array().unwrap().len(),
        1,
        "at last without history: {last}"
    );
    bench.model.will([Behaviour::Say(vec![" \n", " "])]);
    bench.ask("alice", "three").await;
    bench.ask("alice", "four").await;
    let replies = bench.replies(4).await;
    assert_eq!(
        by_user(&replies)["alice"],
        ["re: one", "sorry", "sorry", "re: one four"]
    );
    worker.end().await.unwrap();
}

#[tokio::test]
async fn an_answer_is_shown_as_it_grows_and_trimmed_at_the_end() {
    let bench = Bench::new(1).await;
    let mut previews = bench.previews.subscribe();
    bench
        .model
        .will([Behaviour::Say(vec![" Hel", "lo", " \n"])]);
    let worker = bench.worker();
    let id = bench.ask("alice", "hi").await;
    assert_eq!(bench.replies(1).await[0].answer, "Hello");
    let preview = previews.next().await.unwrap();
    assert_eq!(preview.message_id, id);
    assert!(
        " Hello \n".starts_with(&preview.text) && !preview.text.is_empty(),
        "{preview:?}"
    );
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_a_message_is_answered_once_even_after_a_restart() {
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    let dated = |text| Message {
        sent_at: Some(1_000),
        ..message("alice", text)
    };
    bench.put(dated("one")).await;
    bench.put(dated("one")).await;
    bench.replies(1).await;
    bench.settled().await;
    worker.end().await.unwrap();
    let worker = bench.worker();
    bench.put(dated("one")).await;
    bench.put(dated("two")).await;
    let replies = bench.replies(2).await;
    assert_eq!(by_user(&replies)["alice"], ["re: one", "re: one two"]);
    bench.settled().await;
    bench.replies(2).await;
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_copy_below_what_was_answered_holds_up_nobody_after_a_takeover() {
    let mut bench = Bench::new(1).await;
    // What the first worker settles it does not commit, so that the second one begins at the copy.
    let often = std::mem::replace(&mut bench.limits.commit_interval, GENEROUS);
    let worker = bench.worker();
    eventually("it has begun", async || worker.handle.read(0).is_some()).await;
    bench.ask("alice", "one").await;
    bench.ask("alice", "one").await;
    bench.ask("bob", "two").await;
    bench.replies(2).await;
    worker.kill().await;
    let committed = bench.log.committed(GROUP, Topic::Inbound, 0).await;
    assert_eq!(committed.unwrap().offset, 0);
    bench.limits.commit_interval = often;
    let worker = bench.worker();
    bench.ask("bob", "three").await;
    assert_eq!(bench.replies(3).await[2].answer, "re: two three");
    bench.settled().await;
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_synthetic_conversation_leaves_no_trace_and_waits_behind_nobody() {
    let mut bench = Bench::new(1).await;
    bench.limits.first_token = Duration::from_secs(2);
    bench.limits.in_flight = 1;
    bench
        .model
        .will([Behaviour::Hang, Behaviour::Say(vec![""])]);
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    eventually("alice's is asked", async || {
        bench.model.requests().len() == 1
    })
    .await;
    bench
        .put(Message {
            synthetic: true,
            ..message("alice", "probe")
        })
        .await;
    let replies = bench.replies(1).await;
    assert!(
        replies[0].synthetic && replies[0].outcome == Outcome::Answered,
        "{replies:?}"
    );
    assert_eq!(bench.model.requests()[1]["max_tokens"], 1);
    bench.replies(2).await;
    bench.ask("alice", "two").await;
    assert_eq!(bench.replies(3).await[2].answer, "re: one two");
    let metrics = worker.telemetry.metrics().unwrap();
    assert!(
        metrics.contains("chatbot_worker_messages_total 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_synthetic_conversation_without_an_answer_is_over_after_a_while() {
    let mut bench = Bench::with_model_at(1, Model::default(), "http://127.0.0.1:1");
    bench.limits.synthetic_patience = Duration::from_millis(50);
    let _worker = bench.worker();
    bench
        .put(Message {
            synthetic: true,
            ..message("alice", "probe")
        })
        .await;
    let replies = bench.replies(1).await;
    assert_eq!(replies[0].outcome, Outcome::Fallback);
    bench.settled().await;
}

#[tokio::test]
async fn a_synthetic_conversation_that_failed_carries_the_reason_and_a_user_s_does_not() {
    let synthetic = || Message {
        synthetic: true,
        ..message("alice", "probe")
    };
    let bench = Bench::new(1).await;
    bench.model.will([const { Behaviour::Refuse }; 3]);
    let _worker = bench.worker();
    bench.put(synthetic()).await;
    let replies = bench.replies(1).await;
    assert_eq!(replies[0].outcome, Outcome::Fallback);
    let reason = &replies[0].answer;
    assert!(reason.contains("too long for me"), "{reason}");
    bench.model.will([const { Behaviour::Refuse }; 3]);
    bench.ask("alice", "one").await;
    assert_eq!(bench.replies(2).await[1].answer, "sorry");

    let mut bench = Bench::with_model_at(1, Model::default(), "http://127.0.0.1:1");
    bench.limits.synthetic_patience = Duration::from_millis(200);
    let _worker = bench.worker();
    bench.put(synthetic()).await;
    let reason = &bench.replies(1).await[0].answer;
    assert!(reason.contains("127.0.0.1:1"), "{reason}");
}

#[tokio::test]
async fn what_is_no_message_is_a_dead_letter_and_passed_over() {
    let bench = Bench::new(1).await;
    bench
        .log
        .append(Topic::Inbound, 0, b"nonsense".to_vec())
        .await
        .unwrap();
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    bench.settled().await;
    let metrics = worker.telemetry.metrics().unwrap();
    assert!(
        metrics.contains("chatbot_worker_unreadable_total 1"),
        "{metrics}"
    );
    let letters = dead_letter::read(bench.log.as_ref(), 0).await.unwrap();
    let [letter] = letters.as_slice() else {
        unreachable!("{letters:?}")
    };
    assert!(letter.reason.contains("Syntax error"), "{}", letter.reason);
    assert_eq!(letter.replay(1).unwrap().value, b"nonsense");
}

#[tokio::test]
async fn why_a_record_is_no_message_is_told_without_what_it_says() {
    let bench = Bench::new(1).await;
    let said = br#"{"id":"a word in confidence"}"#.to_vec();
    bench.log.append(Topic::Inbound, 0, said).await.unwrap();
    let _worker = bench.worker();
    bench.settled().await;
    let letters = dead_letter::read(bench.log.as_ref(), 0).await.unwrap();
    assert!(letters[0].reason.contains("Data error at line 1 column"));
    assert!(!letters[0].reason.contains("confidence"));
}

#[tokio::test]
async fn a_refusal_is_followed_by_a_request_with_less_history() {
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    let long = |number: u32| format!("{number} {}", "x".repeat(1_500));
    for number in 1..5 {
        bench.model.will([Behaviour::Say(vec!["ok"])]);
        bench.ask("alice", &long(number)).await;
        bench.replies(usize::try_from(number).unwrap()).await;
    }
    bench.model.will([Behaviour::Refuse]);
    bench.ask("alice", &long(5)).await;
    bench.replies(5).await;
    let requests = bench.model.requests();
    let given = |request: usize| requests[request]["messages"].as_array().unwrap().len();
    assert_eq!((given(4), given(5)), (5, 3), "two turns fit, then one");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_conversation_that_its_client_keeps_stands_in_for_the_session() {
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    let sent_along = |text: &str, history: Vec<Turn>| Message {
        details: Details {
            history: Some(history),
            ..Details::default()
        },
        ..message("alice", text)
    };
    let turn = Turn {
        question: "before".to_owned(),
        answer: "so".to_owned(),
    };
    bench.put(sent_along("two", vec![turn])).await;
    assert_eq!(bench.replies(2).await[1].answer, "re: before two");
    bench.put(sent_along("three", Vec::new())).await;
    assert_eq!(bench.replies(3).await[2].answer, "re: three");
    bench.ask("alice", "four").await;
    assert_eq!(bench.replies(4).await[3].answer, "re: one four");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_message_that_four_workers_died_at_gets_the_fallback_text_alone() {
    let bench = Bench::new(1).await;
    for deaths in 0..4 {
        let worker = Uuid::new_v4();
        let owner = Entry::Owner {
            nonce: Uuid::new_v4(),
            worker,
            lowest_unsettled: 0,
            deaths,
        };
        journal::append(bench.log.as_ref(), 0, &owner)
            .await
            .unwrap();
    }
    bench.ask("alice", "deadly").await;
    bench.ask("bob", "harmless").await;
    let worker = bench.worker();
    let replies = bench.replies(2).await;
    assert_eq!(
        (replies[0].answer.as_str(), replies[1].answer.as_str()),
        ("sorry", "re: harmless")
    );
    assert_eq!(bench.dead_letters().await, ["deadly"]);
    assert_eq!(bench.model.requests().len(), 1);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_message_is_not_suspected_of_deaths_before_it_came() {
    let bench = Bench::new(1).await;
    for deaths in 0..5 {
        let owner = Entry::Owner {
            nonce: Uuid::new_v4(),
            worker: Uuid::new_v4(),
            lowest_unsettled: 0,
            deaths,
        };
        let written = journal::append(bench.log.as_ref(), 0, &owner).await;
        written.unwrap();
    }
    let worker = bench.worker();
    eventually("the partition is taken over", async || {
        worker.handle.read(0) == Some(0)
    })
    .await;
    bench.ask("alice", "harmless").await;
    assert_eq!(bench.replies(1).await[0].answer, "re: harmless");
}

#[tokio::test]
async fn progress_of_another_log_is_refused_with_the_remedy() {
    let bench = Bench::new(1).await;
    let commit = Commit {
        offset: 5,
        metadata: String::new(),
    };
    let member = bench.log.join(GROUP, Topic::Inbound).await;
    member.unwrap().commit(0, commit).await.unwrap();
    let error = bench.worker().ended().await.unwrap_err();
    assert!(
        format!("{error:#}").contains("reset the worker group's offsets"),
        "{error:#}"
    );
}
