//! Workers that die, are cut off, or overlap: exactly one reply that counts for each message, in order per user, and each
//! made in the right context.

use std::sync::Arc;

use chatbot_queue::journal::{self, Checkpoint, Entry, Reader};
use chatbot_queue::{Log, Topic};
use chatbot_store::View;
use chatbot_worker::GROUP;
use uuid::Uuid;

use crate::bench::{Bench, by_user, eventually, message};
use crate::faults::{Fault, Faults, FaultyLog, FaultyView};
use crate::model::Behaviour;

/// Two users with three messages each, one of them twice. They share a partition.
async fn ask_everything(bench: &Bench) {
    for text in ["1", "2", "3"] {
        bench.ask("alice", text).await;
        bench.ask("bob", text).await;
    }
    bench.ask("alice", "2").await;
}

async fn check_everything(bench: &Bench) {
    bench.replies(6).await;
    bench.settled().await;
    let replies = bench.replies(6).await;
    let answers = by_user(&replies);
    for user in ["alice", "bob"] {
        assert_eq!(answers[user], ["re: 1", "re: 1 2", "re: 1 2 3"]);
    }
    eventually("the sessions are complete", async || {
        let session = bench
            .view
            .session(0, &message("alice", "").account)
            .await
            .unwrap();
        session.turns.len() == 3
    })
    .await;
}

/// Strikes at every operation in turn, until a worker is done with fewer. Says how often it struck; an operation that
/// never ends, such as waiting for a message that nobody sends, cannot be struck at its end.
async fn strike_everywhere(fault: Fault) -> usize {
    let mut strikes = 0;
    for at in 0.. {
        let bench = Bench::new(1).await;
        ask_everything(&bench).await;
        let faults = Faults::new(fault, at);
        let log = Arc::new(FaultyLog(bench.log.clone(), faults.clone()));
        let view = Arc::new(FaultyView(bench.view.clone(), faults.clone()));
        let worker = bench.worker_on(log, view);
        tokio::select! {
            () = faults.struck.cancelled() => {}
            () = bench.settled() => {}
        }
        let struck = faults.struck.is_cancelled();
        let survivor = if struck && fault.kills() {
            worker.kill().await;
            bench.worker()
        } else {
            worker
        };
        check_everything(&bench).await;
        survivor.end().await.unwrap();
        strikes += usize::from(struck);
        if !faults.reached() {
            break;
        }
    }
    strikes
}

#[tokio::test]
async fn a_worker_killed_before_any_step_costs_nothing() {
    assert!(strike_everywhere(Fault::KillBefore).await > 15);
}

#[tokio::test]
async fn a_worker_killed_after_any_step_costs_nothing() {
    assert!(strike_everywhere(Fault::KillAfter).await > 15);
}

#[tokio::test]
async fn what_a_dead_worker_had_sent_may_land_at_any_time() {
    assert!(strike_everywhere(Fault::KillThenHappen).await > 15);
}

#[tokio::test]
async fn a_worker_that_was_fenced_stops_and_announces_itself_again() {
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    bench.ask("alice", "1").await;
    bench.replies(1).await;
    let stranger = Entry::Owner {
        nonce: Uuid::new_v4(),
        worker: Uuid::new_v4(),
        lowest_unsettled: 1,
        deaths: 0,
    };
    journal::append(bench.log.as_ref(), 0, &stranger)
        .await
        .unwrap();
    eventually("it has stopped", async || worker.handle.read(0).is_none()).await;
    bench.ask("alice", "2").await;
    assert_eq!(bench.replies(2).await[1].answer, "re: 1 2");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_lost_acknowledgement_of_any_step_costs_nothing() {
    assert!(strike_everywhere(Fault::LoseAnswer).await > 15);
}

#[tokio::test]
async fn a_write_that_lands_late_costs_nothing() {
    assert!(strike_everywhere(Fault::Late).await > 15);
}

#[tokio::test]
async fn a_refusal_of_any_step_costs_nothing() {
    assert!(strike_everywhere(Fault::Refuse).await > 15);
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_an_answer_costs_nothing() {
    let bench = Bench::new(1).await;
    bench.model.will([Behaviour::Silent, Behaviour::Silent]);
    ask_everything(&bench).await;
    let worker = bench.worker();
    eventually("both are being answered", async || {
        bench.model.requests().len() == 2
    })
    .await;
    worker.kill().await;
    let worker = bench.worker();
    check_everything(&bench).await;
    worker.end().await.unwrap();
}

#[tokio::test]
async fn workers_that_overlap_answer_each_message_once() {
    let bench = Bench::new(2).await;
    let workers = [bench.worker(), bench.worker(), bench.worker()];
    let users = ["alice", "bob", "carol", "dave"];
    for number in 1..=8 {
        for user in users {
            bench.ask(user, &number.to_string()).await;
        }
    }
    let replies = bench.replies(32).await;
    let answers = by_user(&replies);
    for user in users {
        assert_eq!(answers[user].len(), 8);
        for (reply, number) in answers[user].iter().zip(1..) {
            assert!(
                reply.ends_with(&format!(" {number}")),
                "{user}: {:?}",
                answers[user]
            );
        }
    }
    let [first, second, third] = workers;
    first.kill().await;
    second.end().await.unwrap();
    bench.settled().await;
    bench.replies(32).await;
    third.end().await.unwrap();
}

#[tokio::test]
async fn a_flushed_session_store_is_filled_again_before_the_next_answer() {
    let bench = Bench::new(1).await;
    let worker = bench.worker();
    bench.ask("alice", "1").await;
    bench.ask("alice", "2").await;
    bench.replies(2).await;
    bench.settled().await;
    bench.view.flush();
    bench.ask("alice", "3").await;
    assert_eq!(bench.replies(3).await[2].answer, "re: 1 2 3");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_ends_finishes_what_it_has_taken_and_lets_go() {
    let bench = Bench::new(1).await;
    bench.model.will([Behaviour::Silent]);
    let worker = bench.worker();
    bench.ask("alice", "1").await;
    bench.ask("alice", "2").await;
    eventually("both are taken", async || worker.handle.read(0) == Some(2)).await;
    worker.end().await.unwrap();
    bench.replies(2).await;
    let committed = bench
        .log
        .committed(chatbot_worker::GROUP, Topic::Inbound, 0)
        .await
        .unwrap();
    assert_eq!(committed.offset, 2);
    let mut reader = Reader::new(bench.log.as_ref(), 0, Checkpoint::default());
    let end = bench.log.end(Topic::Response, 0).await.unwrap();
    while reader.checkpoint().position + 1 < end {
        reader.next().await.unwrap();
    }
    let last = reader.next().await.unwrap();
    assert!(
        matches!(last.entry, Some(Entry::Released { .. })),
        "{last:?}"
    );
    assert!(reader.checkpoint().fold.released);
}

#[tokio::test]
async fn what_stands_above_the_lowest_unsettled_message_is_bounded() {
    let mut bench = Bench::new(1).await;
    bench.limits.above_commit = 10;
    bench.model.will([Behaviour::Hang]);
    bench.limits.first_token = std::time::Duration::from_secs(2);
    let worker = bench.worker();
    bench.ask("slow", "0").await;
    eventually("the slow one is asked", async || {
        bench.model.requests().len() == 1
    })
    .await;
    for number in 0..30 {
        bench.ask(&format!("user {number}"), "hi").await;
    }
    bench.replies(9).await;
    assert_eq!(worker.handle.read(0), Some(10));
    bench.replies(31).await;
    worker.end().await.unwrap();
}

/// Six users ask eight times each, and something happens while each round is answered.
async fn talk(bench: &Bench, mut after: impl FnMut(usize)) {
    let users = ["alice", "bob", "carol", "dave", "erin", "frank"];
    for number in 1..=8 {
        for user in users {
            bench.ask(user, &number.to_string()).await;
        }
        after(number);
        bench.replies(number * users.len()).await;
    }
    let replies = bench.replies(48).await;
    let answers = by_user(&replies);
    for user in users {
        let expected = ["re: 1", "re: 1 2", "re: 1 2 3", "re: 1 2 3 4"];
        assert_eq!(answers[user][..4], expected, "{user}");
        assert_eq!(answers[user].len(), 8, "{user}");
    }
}

#[tokio::test]
async fn workers_whose_partitions_are_moved_all_the_time_answer_each_message_once() {
    let bench = Bench::new(4).await;
    let workers = [bench.worker(), bench.worker(), bench.worker()];
    talk(&bench, |_| bench.log.rebalance(GROUP, Topic::Inbound)).await;
    bench.settled().await;
    for worker in workers {
        worker.end().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_its_group_has_given_up_and_does_not_know_it_harms_nothing() {
    let bench = Bench::new(2).await;
    let victim = bench.worker();
    eventually("it owns all", async || {
        (0..2).all(|partition| victim.handle.read(partition).is_some())
    })
    .await;
    let member = bench.log.members(GROUP, Topic::Inbound)[0];
    let other = bench.worker();
    // It goes on writing, and announces itself again whenever the other one has: they take turns.
    talk(&bench, |number| match number {
        2 => bench.log.freeze(GROUP, Topic::Inbound, member),
        6 => bench.log.thaw(GROUP, Topic::Inbound, member),
        _ => {}
    })
    .await;
    bench.settled().await;
    eventually("they share", async || {
        [&victim, &other].iter().all(|worker| {
            let owned = (0..2).filter(|partition| worker.handle.read(*partition).is_some());
            owned.count() == 1
        })
    })
    .await;
    victim.end().await.unwrap();
    other.end().await.unwrap();
}

#[tokio::test]
async fn a_worker_without_a_partition_is_ready_and_takes_over_when_the_other_ends() {
    let bench = Bench::new(1).await;
    let owner = bench.worker();
    eventually("it owns the only one", async || {
        owner.handle.read(0).is_some()
    })
    .await;
    let idle = bench.worker();
    eventually("both are ready", async || {
        owner.telemetry.unready().is_none() && idle.telemetry.unready().is_none()
    })
    .await;
    assert_eq!(idle.handle.read(0), None);
    bench.ask("alice", "1").await;
    bench.replies(1).await;
    owner.end().await.unwrap();
    bench.ask("alice", "2").await;
    assert_eq!(bench.replies(2).await[1].answer, "re: 1 2");
    assert_eq!(idle.handle.read(0), Some(2));
    idle.end().await.unwrap();
}
