//! A conversation with a worker whose sessions are in Redis; its model answers with the questions that it was given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use chatbot_crds::config::{CacheConfig, WorkerConfig};
use chatbot_message::{Account, Details, Message, Way, message_id};
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_queue::memory::{MemoryLog, MemoryPreviews};
use chatbot_queue::{Log, Topic};
use chatbot_store::MemoryCodes;
use chatbot_store::redis::{Options, RedisView};
use chatbot_store::{Keep, View};
use chatbot_telemetry::Telemetry;
use chatbot_worker::{Handle, Limits, Surroundings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::store::GENEROUS;

/// One user, one worker.
pub struct Talk {
    log: Arc<MemoryLog>,
    pub view: Arc<RedisView>,
    account: Account,
    at: Checkpoint,
    asked: u32,
    config: WorkerConfig,
    worker: JoinSet<()>,
    _model: JoinSet<()>,
}

/// What came back.
pub struct Answer {
    /// The questions that the model was given, the last one last.
    pub text: String,
    pub after: Duration,
}

impl Talk {
    pub async fn begin(options: Options) -> Self {
        let keep = Keep {
            timeout: Duration::from_mins(10),
            turns: 10,
        };
        let view = Arc::new(RedisView::connect(options, keep).unwrap());
        let log = Arc::new(MemoryLog::new(1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let model = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        let router = Router::new().route("/v1/chat/completions", post(echo));
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let config = WorkerConfig {
            cluster: "test/test".to_owned(),
            inference_url: format!("http://{model}"),
            model: "test".to_owned(),
            system_prompt: None,
            history_turns: 10,
            session_timeout_seconds: 600,
            max_answer_tokens: 100,
            temperature: 0.0,
            fallback_message: "sorry".to_owned(),
            context_tokens: 4_000,
            cache: CacheConfig::default(),
        };
        let mut talk = Self {
            log,
            view,
            account: Account {
                channel: "web".to_owned(),
                user: "u".to_owned(),
            },
            at: Checkpoint::default(),
            asked: 0,
            config,
            worker: JoinSet::new(),
            _model: serving,
        };
        talk.change_worker().await;
        talk
    }

    /// As if the worker were gone, and another came: returns when that owns the partition.
    pub async fn change_worker(&mut self) {
        self.worker.shutdown().await;
        let surroundings = Surroundings {
            log: self.log.clone(),
            view: self.view.clone(),
            previews: Arc::new(MemoryPreviews::default()),
            codes: Arc::new(MemoryCodes::default()),
            answers: None,
            telemetry: Telemetry::new(),
            handle: Handle::default(),
        };
        let handle = surroundings.handle.clone();
        let config = self.config.clone();
        self.worker.spawn(async move {
            let forever = CancellationToken::new();
            chatbot_worker::run(config, surroundings, Limits::default(), forever)
                .await
                .unwrap();
        });
        let taking_over = async {
            while handle.read(0).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(GENEROUS, taking_over).await.unwrap();
    }

    /// Asks the next question, its number, and waits for the reply that counts.
    pub async fn ask(&mut self) -> Answer {
        self.asked += 1;
        let question = self.asked.to_string();
        let message = Message {
            id: message_id("web", &question),
            account: self.account.clone(),
            origin: String::new(),
            text: question,
            sent_at: None,
            synthetic: false,
            details: Details::default(),
            way: Way::default(),
        };
        let began = Instant::now();
        let value = serde_json::to_vec(&message).unwrap();
        self.log.append(Topic::Inbound, 0, value).await.unwrap();
        let replied = async {
            let mut reader = Reader::new(self.log.as_ref(), 0, self.at);
            loop {
                let step = reader.next().await.unwrap();
                if let Some(Entry::Reply { reply, .. }) = step.entry
                    && step.counts
                    && reply.message_id == message.id
                {
                    return (reply.answer, reader.checkpoint());
                }
            }
        };
        let (text, at) = tokio::time::timeout(GENEROUS, replied).await.unwrap();
        self.at = at;
        Answer {
            text,
            after: began.elapsed(),
        }
    }

    /// What the model is given when it is given everything.
    pub fn everything(&self) -> String {
        let all: Vec<_> = (1..=self.asked).map(|number| number.to_string()).collect();
        all.join(" ")
    }

    /// Waits until the view has everything that was answered.
    pub async fn view_has_everything(&self) {
        let arriving = async {
            loop {
                let session = self.view.session(0, &self.account).await;
                if session.is_ok_and(|session| session.turns.len() == self.asked as usize) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(GENEROUS, arriving).await.unwrap();
    }
}

async fn echo(Json(request): Json<Value>) -> ([(&'static str, &'static str); 1], String) {
    let messages = request["messages"].as_array().unwrap();
    let questions = messages.iter().filter(|message| message["role"] == "user");
    let questions: Vec<_> = questions
        .map(|message| message["content"].as_str().unwrap())
        .collect();
    let text = json!({"choices": [{"delta": {"content": questions.join(" ")}}]});
    let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    let body = format!("data: {text}\n\ndata: {end}\n\ndata: [DONE]\n\n");
    ([("content-type", "text/event-stream")], body)
}
