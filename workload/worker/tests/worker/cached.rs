//! Answers that are given again, and to whom they never are.

use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::CacheConfig;
use chatbot_store::MemoryAnswers;

use crate::bench::{Bench, by_user};
use crate::model::Behaviour;

async fn with(cache: CacheConfig) -> Bench {
    let mut bench = Bench::new(2).await;
    bench.config.cache = cache;
    bench
}

#[tokio::test]
async fn a_first_question_that_was_answered_already_is_not_asked_again() {
    let bench = with(CacheConfig {
        results_bytes: 1 << 20,
        ..CacheConfig::default()
    })
    .await;
    let worker = bench.worker();
    bench.model.will([Behaviour::Say(vec!["in ", "short"])]);
    bench.ask("alice", "what is TLS?").await;
    bench.replies(1).await;
    bench.ask("bob", " what is  TLS?").await;
    bench.replies(2).await;
    assert_eq!(bench.model.requests().len(), 1);
    bench.ask("bob", "what is TLS?").await;
    let replies = bench.replies(3).await;
    let answers = by_user(&replies);
    assert_eq!(answers["alice"], ["in short"]);
    assert_eq!(
        answers["bob"],
        ["in short", "re:  what is  TLS? what is TLS?"],
        "in a conversation the model is asked"
    );
    let metrics = worker.telemetry.metrics().unwrap();
    for line in [
        "chatbot_worker_cache_hits_total{cache=\"Results\"} 1",
        "chatbot_worker_cache_misses_total{cache=\"Results\"} 1",
        "chatbot_worker_context_hits_total 0",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    worker.end().await.unwrap();
}

#[tokio::test]
async fn an_answer_with_a_conversation_in_it_is_given_to_nobody_else() {
    let bench = with(CacheConfig {
        results_bytes: 1 << 20,
        ..CacheConfig::default()
    })
    .await;
    let worker = bench.worker();
    bench.ask("alice", "I am Alice").await;
    bench.replies(1).await;
    bench.ask("alice", "who am I?").await;
    bench.replies(2).await;
    bench.ask("bob", "who am I?").await;
    let replies = bench.replies(3).await;
    assert_eq!(by_user(&replies)["bob"], ["re: who am I?"]);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn workers_share_answers_only_when_these_have_a_time_to_live() {
    let shared: Arc<MemoryAnswers> = Arc::new(MemoryAnswers::new(1 << 20, Duration::from_mins(10)));
    for (seconds, asked) in [(600, 1), (0, 2)] {
        let mut requests = 0;
        for user in ["alice", "bob"] {
            let mut bench = with(CacheConfig {
                answers_ttl_seconds: seconds,
                ..CacheConfig::default()
            })
            .await;
            bench.answers = Some(shared.clone());
            let worker = bench.worker();
            bench.ask(user, "what is TLS?").await;
            bench.replies(1).await;
            requests += bench.model.requests().len();
            worker.end().await.unwrap();
        }
        assert_eq!(requests, asked, "{seconds} s");
    }
}
