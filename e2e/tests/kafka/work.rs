//! Workers on a broker, each with a client of its own, and a model that repeats the whole conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use chatbot_crds::config::{CacheConfig, WorkerConfig};
use chatbot_e2e::kafka::Broker;
use chatbot_message::{Account, Details, Message, Way, message_id};
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_queue::memory::MemoryPreviews;
use chatbot_queue::{Log, Topic};
use chatbot_queue_contract::within;
use chatbot_store::MemoryCodes;
use chatbot_store::memory::{Keep, MemoryView};
use chatbot_telemetry::Telemetry;
use chatbot_worker::{Handle, Limits, Surroundings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bench::{connect, options};

const PARTITIONS: u32 = 6;
const USERS: [&str; 8] = ["ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal"];

/// All questions of the conversation: so an answer shows the context it was made in.
async fn complete(Json(request): Json<Value>) -> ([(&'static str, &'static str); 1], String) {
    let messages = request["messages"].as_array().unwrap();
    let questions = messages.iter().filter(|message| message["role"] == "user");
    let questions: Vec<_> = questions
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    let answer =
        json!({"choices": [{"delta": {"content": questions.join(" ")}, "finish_reason": null}]});
    let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    let events = format!("data: {answer}\n\ndata: {end}\n\ndata: [DONE]\n\n");
    ([("content-type", "text/event-stream")], events)
}

struct Workers {
    address: String,
    model: String,
    /// One for all, as a store that they share.
    view: Arc<MemoryView>,
}

struct Worker {
    handle: Handle,
    telemetry: Telemetry,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Workers {
    async fn start(&self) -> Worker {
        let (handle, telemetry) = (Handle::default(), Telemetry::new());
        let surroundings = Surroundings {
            log: Arc::new(connect(options(&self.address, "work", PARTITIONS)).await),
            view: self.view.clone(),
            previews: Arc::new(MemoryPreviews::default()),
            codes: Arc::new(MemoryCodes::default()),
            answers: None,
            telemetry: telemetry.clone(),
            handle: handle.clone(),
        };
        let config = WorkerConfig {
            cluster: "shop/support".to_owned(),
            inference_url: self.model.clone(),
            model: "echo".to_owned(),
            system_prompt: None,
            history_turns: 20,
            session_timeout_seconds: 600,
            max_answer_tokens: 100,
            temperature: 0.0,
            fallback_message: "sorry".to_owned(),
            context_tokens: 4_000,
            cache: CacheConfig::default(),
        };
        let shutdown = CancellationToken::new();
        let running =
            chatbot_worker::run(config, surroundings, Limits::default(), shutdown.clone());
        Worker {
            handle,
            telemetry,
            shutdown,
            task: tokio::spawn(running),
        }
    }
}

impl Worker {
    fn owned(&self) -> usize {
        (0..PARTITIONS)
            .filter(|partition| self.handle.read(*partition).is_some())
            .count()
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, waiting).await;
}

fn message(user: &str, number: usize) -> Message {
    Message {
        id: message_id("web", &format!("{user}/{number}")),
        account: Account {
            channel: "web".to_owned(),
            user: user.to_owned(),
        },
        origin: String::new(),
        text: number.to_string(),
        sent_at: None,
        synthetic: false,
        details: Details::default(),
        way: Way::default(),
    }
}

async fn ask(log: &dyn Log, numbers: std::ops::Range<usize>) {
    for number in numbers {
        for user in USERS {
            let message = message(user, number);
            let partition = message.account.partition(PARTITIONS);
            let value = serde_json::to_vec(&message).unwrap();
            log.append(Topic::Inbound, partition, value).await.unwrap();
        }
    }
}

/// The answers that count, by user, in order.
async fn answers(log: &dyn Log) -> BTreeMap<String, Vec<String>> {
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let end = log.end(Topic::Response, partition).await.unwrap();
        let mut reader = Reader::new(log, partition, Checkpoint::default());
        while reader.checkpoint().position < end {
            let step = reader.next().await.unwrap();
            if let (true, Some(Entry::Reply { reply, .. })) = (step.counts, step.entry) {
                answers
                    .entry(reply.account.user)
                    .or_default()
                    .push(reply.answer);
            }
        }
    }
    answers
}

/// Waits until each user has so many answers, and checks that each was given once, in order, knowing those before.
async fn check(log: &dyn Log, count: usize) {
    let all = within("every answer", async {
        loop {
            let answers = answers(log).await;
            let given: usize = answers.values().map(Vec::len).sum();
            if given >= count * USERS.len() {
                return answers;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for user in USERS {
        let expected: Vec<_> = (0..count)
            .map(|last| {
                let numbers: Vec<_> = (0..=last).map(|number| number.to_string()).collect();
                numbers.join(" ")
            })
            .collect();
        assert_eq!(all[user], expected, "{user}");
    }
}

/// One works alone; others join; one is killed and one ends; each message is answered once all the time.
pub async fn share_die_and_go_on() {
    let broker = Broker::start().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let workers = Workers {
        address: broker.address(),
        model: format!("http://{}", listener.local_addr().unwrap()),
        view: Arc::new(MemoryView::new(Keep {
            turns: 50,
            timeout: Duration::from_hours(1),
        })),
    };
    let app = Router::new().route("/v1/chat/completions", post(complete));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let log = connect(options(&workers.address, "work", PARTITIONS)).await;
    let first = workers.start().await;
    ask(&log, 0..2).await;
    check(&log, 2).await;
    eventually("the first is ready", || first.telemetry.unready().is_none()).await;
    assert_eq!(first.owned(), 6);

    let (second, third) = tokio::join!(workers.start(), workers.start());
    ask(&log, 2..4).await;
    eventually("they share", || {
        let owned = [&first, &second, &third].map(Worker::owned);
        owned == [2, 2, 2]
    })
    .await;
    let owned: BTreeSet<u32> = (0..PARTITIONS)
        .filter(|partition| {
            [&first, &second, &third]
                .iter()
                .any(|worker| worker.handle.read(*partition).is_some())
        })
        .collect();
    assert_eq!(owned.len(), 6, "none is owned twice");
    check(&log, 4).await;

    first.task.abort();
    ask(&log, 4..6).await;
    second.shutdown.cancel();
    ask(&log, 6..8).await;
    within("the second ends", second.task)
        .await
        .unwrap()
        .unwrap();
    check(&log, 8).await;
    eventually("the third has all", || third.owned() == 6).await;
    eventually("the third is ready", || third.telemetry.unready().is_none()).await;
    third.shutdown.cancel();
    within("the third ends", third.task).await.unwrap().unwrap();
}
