//! The system prompt: when it is used, and what becomes of one that the model refuses.

use std::time::Duration;

use chatbot_crds::config::SystemPrompt;
use chatbot_message::Outcome;

use crate::bench::{Bench, Running, eventually};
use crate::model::Model;

#[tokio::test]
async fn nothing_is_answered_before_the_system_prompt_is_there_and_its_changes_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("system-prompt");
    let mut bench = Bench::new(2).await;
    bench.config.system_prompt = Some(SystemPrompt::File(path.to_str().unwrap().to_owned()));
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    eventually("the missing file is named", async || {
        worker
            .telemetry
            .unready()
            .is_some_and(|reason| reason.contains("system-prompt") && reason.contains("failed"))
    })
    .await;
    assert!(bench.model.requests().is_empty());
    std::fs::write(&path, "be kind\n").unwrap();
    bench.replies(1).await;
    eventually("the worker is ready", async || {
        worker.telemetry.unready().is_none()
    })
    .await;
    let system = || bench.model.requests().last().unwrap()["messages"][0]["content"].clone();
    assert_eq!(system(), "be kind");
    std::fs::write(&path, "be brief").unwrap();
    let mut asked = 1;
    eventually("the change is seen", async || {
        bench.ask("alice", &format!("question {asked}")).await;
        asked += 1;
        bench.replies(asked).await;
        system() == "be brief"
    })
    .await;
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_worker_whose_system_prompt_the_model_refuses_takes_nothing_until_it_is_taken() {
    let mut bench = Bench::new(2).await;
    let before = bench.worker();
    eventually("the worker before is ready", async || {
        before.telemetry.unready().is_none()
    })
    .await;
    bench.config.system_prompt = Some(SystemPrompt::Text("be long".to_owned()));
    bench.model.refuse_prompt(Some("be long"));
    let worker = bench.worker();
    let told = |worker: &Running| worker.telemetry.state().system_prompt_refused;
    eventually("the refusal is told", async || {
        let unready = worker.telemetry.unready().unwrap_or_default();
        unready.contains("too long for me")
            && told(&worker).is_some_and(|told| told.contains("too long for me"))
    })
    .await;
    for user in ["alice", "bob", "carol", "dave"] {
        bench.ask(user, "one").await;
    }
    let replies = bench.replies(4).await;
    let mut outcomes = replies.iter().map(|reply| &reply.outcome);
    assert!(outcomes.all(|outcome| *outcome == Outcome::Answered));
    bench.model.refuse_prompt(None);
    eventually("the worker is ready", async || {
        worker.telemetry.unready().is_none() && told(&worker).is_none()
    })
    .await;
}

#[tokio::test]
async fn a_system_prompt_that_is_changed_for_one_that_the_model_refuses_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("system-prompt");
    std::fs::write(&path, "be kind").unwrap();
    let mut bench = Bench::new(1).await;
    bench.config.system_prompt = Some(SystemPrompt::File(path.to_str().unwrap().to_owned()));
    let worker = bench.worker();
    bench.ask("alice", "one").await;
    bench.replies(1).await;
    bench.model.refuse_prompt(Some("be long"));
    std::fs::write(&path, "be long").unwrap();
    eventually("the refusal is told", async || {
        worker.telemetry.state().system_prompt_refused.is_some()
    })
    .await;
    eventually("it goes on", async || worker.telemetry.unready().is_none()).await;
    bench.ask("alice", "two").await;
    assert_eq!(bench.replies(2).await[1].outcome, Outcome::Answered);
    std::fs::write(&path, "be kind").unwrap();
    eventually("nothing is refused any more", async || {
        worker.telemetry.state().system_prompt_refused.is_none()
    })
    .await;
}

#[tokio::test]
async fn a_worker_whose_system_prompt_is_longer_than_its_context_waits_though_the_model_takes_it() {
    let mut bench = Bench::new(1).await;
    bench.config.system_prompt = Some(SystemPrompt::Text("be kind ".repeat(10)));
    bench.config.context_tokens = 10;
    let worker = bench.worker();
    eventually("the length is told", async || {
        let told = worker.telemetry.state().system_prompt_refused;
        told.is_some_and(|told| told.contains("tokens and the context is to hold 10"))
    })
    .await;
    assert!(worker.telemetry.unready().is_some());
}

#[tokio::test]
async fn a_system_prompt_is_used_when_no_model_is_there_to_say_anything_of_it() {
    let mut bench = Bench::with_model_at(1, Model::default(), "http://127.0.0.1:1");
    bench.config.system_prompt = Some(SystemPrompt::Text("be kind".to_owned()));
    bench.limits.prompt_patience = Duration::from_millis(50);
    let worker = bench.worker();
    eventually("the worker is ready", async || {
        worker.telemetry.unready().is_none()
    })
    .await;
}
