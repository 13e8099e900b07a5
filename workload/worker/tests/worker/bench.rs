//! Logs, a view and a model, on which workers are started and killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::{CacheConfig, WorkerConfig};
use chatbot_message::{Account, Details, Message, Reply, Trace, Way, message_id};
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_queue::memory::{MemoryLog, MemoryPreviews};
use chatbot_queue::{Log, Topic, dead_letter};
use chatbot_store::memory::{Keep, MemoryView};
use chatbot_store::{Answers, MemoryCodes, View};
use chatbot_telemetry::Telemetry;
use chatbot_worker::{GROUP, Handle, Limits, Surroundings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::model::Model;

/// Every wait in these tests is for a condition, and at most this long.
pub const GENEROUS: Duration = Duration::from_secs(30);

pub struct Bench {
    pub log: Arc<MemoryLog>,
    pub view: Arc<MemoryView>,
    pub previews: Arc<MemoryPreviews>,
    pub codes: Arc<MemoryCodes>,
    pub answers: Option<Arc<dyn Answers>>,
    pub model: Model,
    pub config: WorkerConfig,
    pub limits: Limits,
}

pub struct Running {
    pub handle: Handle,
    pub telemetry: Telemetry,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// As if the process were gone.
    pub async fn kill(self) {
        self.task.abort();
        let _gone = self.task.await;
    }

    pub async fn end(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.ended().await
    }

    pub async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(GENEROUS, self.task)
            .await
            .unwrap()
            .unwrap()
    }
}

impl Bench {
    /// With a model that answers.
    pub async fn new(partitions: u32) -> Self {
        let model = Model::default();
        let (address, _serving) = model.listen().await;
        Self::with_model_at(partitions, model, &format!("http://{address}"))
    }

    pub fn with_model_at(partitions: u32, model: Model, inference_url: &str) -> Self {
        let keep = Keep {
            timeout: Duration::from_mins(10),
            turns: 10,
        };
        Self {
            log: Arc::new(MemoryLog::new(partitions)),
            view: Arc::new(MemoryView::new(keep)),
            previews: Arc::default(),
            codes: Arc::default(),
            answers: None,
            model,
            config: WorkerConfig {
                cluster: "test/test".to_owned(),
                inference_url: inference_url.to_owned(),
                model: "test".to_owned(),
                system_prompt: None,
                history_turns: 5,
                session_timeout_seconds: 600,
                max_answer_tokens: 100,
                temperature: 0.0,
                fallback_message: "sorry".to_owned(),
                context_tokens: 2_000,
                cache: CacheConfig::default(),
            },
            limits: Limits {
                commit_interval: Duration::from_millis(5),
                heartbeat: Duration::from_millis(60),
                between_tokens: Duration::from_millis(300),
                retry_first: Duration::from_millis(2),
                retry_cap: Duration::from_millis(20),
                preview_interval: Duration::ZERO,
                prompt_interval: Duration::from_millis(10),
                ..Limits::default()
            },
        }
    }

    pub fn worker(&self) -> Running {
        self.worker_on(self.log.clone(), self.view.clone())
    }

    pub fn worker_on(&self, log: Arc<dyn Log>, view: Arc<dyn View>) -> Running {
        let surroundings = Surroundings {
            log,
            view,
            codes: self.codes.clone(),
            previews: self.previews.clone(),
            answers: self.answers.clone(),
            telemetry: Telemetry::new(),
            handle: Handle::default(),
        };
        let (handle, telemetry) = (surroundings.handle.clone(), surroundings.telemetry.clone());
        let shutdown = CancellationToken::new();
        let running = chatbot_worker::run(
            self.config.clone(),
            surroundings,
            self.limits.clone(),
            shutdown.clone(),
        );
        Running {
            handle,
            telemetry,
            shutdown,
            task: tokio::spawn(running),
        }
    }

    pub async fn ask(&self, user: &str, text: &str) -> Uuid {
        self.put(message(user, text)).await
    }

    pub async fn put(&self, message: Message) -> Uuid {
        self.put_traced(message, None).await
    }

    pub async fn put_traced(&self, message: Message, trace: Option<Trace>) -> Uuid {
        let partition = message.account.partition(self.log.partitions());
        let value = serde_json::to_vec(&message).unwrap();
        self.log
            .append_traced(Topic::Inbound, partition, value, trace)
            .await
            .unwrap();
        message.id
    }

    /// The replies that count, in log order, once there are `count` of them in all partitions.
    pub async fn replies(&self, count: usize) -> Vec<Reply> {
        let collecting = async {
            loop {
                let replies = self.counting().await;
                if replies.len() >= count {
                    return replies;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let replies = tokio::time::timeout(GENEROUS, collecting).await;
        let Ok(replies) = replies else {
            panic!("{count} replies expected, got {:?}", self.counting().await)
        };
        assert_eq!(replies.len(), count, "{replies:?}");
        replies
    }

    /// What was asked in the messages that were given up.
    pub async fn dead_letters(&self) -> Vec<String> {
        let mut asked = Vec::new();
        for partition in 0..self.log.partitions() {
            let letters = dead_letter::read(self.log.as_ref(), partition).await;
            for letter in letters.unwrap() {
                let replay = letter.replay(self.log.partitions()).unwrap();
                let message: Message = serde_json::from_slice(&replay.value).unwrap();
                asked.push(message.text);
            }
        }
        asked
    }

    pub async fn counting(&self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for partition in 0..self.log.partitions() {
            let end = self.log.end(Topic::Response, partition).await.unwrap();
            let mut reader = Reader::new(self.log.as_ref(), partition, Checkpoint::default());
            while reader.checkpoint().position < end {
                let step = reader.next().await.unwrap();
                if let (true, Some(Entry::Reply { reply, .. })) = (step.counts, step.entry) {
                    replies.push(reply);
                }
            }
        }
        replies
    }

    /// Waits until everything in `inbound` is settled and committed.
    pub async fn settled(&self) {
        for partition in 0..self.log.partitions() {
            let end = self.log.end(Topic::Inbound, partition).await.unwrap();
            eventually("everything is committed", async || {
                self.log
                    .committed(GROUP, Topic::Inbound, partition)
                    .await
                    .unwrap()
                    .offset
                    == end
            })
            .await;
        }
    }
}

/// Waits for a condition.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(GENEROUS, waiting).await.is_ok(),
        "never: {what}"
    );
}

pub fn message(user: &str, text: &str) -> Message {
    Message {
        id: message_id("web", &format!("{user}/{text}")),
        account: Account {
            channel: "web".to_owned(),
            user: user.to_owned(),
        },
        origin: format!("chat of {user}"),
        text: text.to_owned(),
        sent_at: None,
        synthetic: false,
        details: Details::default(),
        way: Way::default(),
    }
}

/// Answers by user, in order.
pub fn by_user(replies: &[Reply]) -> BTreeMap<&str, Vec<&str>> {
    let mut answers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for reply in replies {
        answers
            .entry(&reply.account.user)
            .or_default()
            .push(&reply.answer);
    }
    answers
}
