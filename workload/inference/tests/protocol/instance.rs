//! An instance to talk to, with an engine that a test steps.

use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::InferenceConfig;
use chatbot_engine::{Event, Finish, ModelFacts, Refused, Request, Usage};
use chatbot_inference::{Generate, Server};
use chatbot_telemetry::Telemetry;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Says the last message again, word by word; at the word `fail` it fails.
pub struct Echo {
    pub steps: Arc<Semaphore>,
    pub begun: Arc<Semaphore>,
    pub abandoned: Arc<Semaphore>,
}

impl Generate for Echo {
    fn facts(&self) -> ModelFacts {
        ModelFacts {
            format: "Q8_0".to_owned(),
            bytes: 1,
            parameters: 1,
            trained_context_tokens: 64,
        }
    }

    fn answer(&self, request: Request) -> Result<UnboundedReceiver<Event>, Refused> {
        let content = request.turns.last().unwrap().content.clone();
        if content.contains("too long") {
            return Err(Refused::PromptTooLong {
                prompt_tokens: 99,
                context_tokens: 64,
            });
        }
        let (events, receiver) = unbounded_channel();
        let (steps, abandoned) = (Arc::clone(&self.steps), Arc::clone(&self.abandoned));
        self.begun.add_permits(1);
        tokio::spawn(async move {
            for word in content.split_inclusive(' ') {
                tokio::select! {
                    step = steps.acquire() => step.unwrap().forget(),
                    () = events.closed() => return abandoned.add_permits(1),
                }
                if word == "fail" {
                    return drop(events.send(Event::Failed("out of order".to_owned())));
                }
                let _ = events.send(Event::Text(word.to_owned()));
            }
            let usage = Usage {
                prompt_tokens: 3,
                cached_tokens: 1,
                completion_tokens: 2,
            };
            let _ = events.send(Event::Done {
                finish: Finish::Stop,
                usage,
            });
        });
        Ok(receiver)
    }

    async fn stopped(&self) {
        std::future::pending::<()>().await;
    }
}

pub struct Instance {
    pub url: String,
    pub client: Client,
    pub engine: Arc<Echo>,
    pub telemetry: Telemetry,
    pub shutdown: CancellationToken,
    pub serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Instance {
    /// One place, so that the second request waits and the third is refused; `steps` words are allowed already.
    pub async fn start(steps: usize) -> Self {
        let (instance, server) = Self::loading().await;
        instance.engine.steps.add_permits(1);
        server.warm(Arc::clone(&instance.engine)).await.unwrap();
        instance.begun(1).await;
        instance.engine.steps.add_permits(steps);
        instance
    }

    pub async fn loading() -> (Self, Server<Echo>) {
        let config = InferenceConfig {
            model_path: String::new(),
            model_name: "echo".to_owned(),
            context_tokens: 64,
            max_concurrent_requests: 1,
            threads: 1,
        };
        let telemetry = Telemetry::new();
        let server = Server::new(config, &telemetry);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let (its_server, stop) = (server.clone(), shutdown.clone());
        let serving = tokio::spawn(async move { its_server.serve(listener, stop).await });
        let none = || Arc::new(Semaphore::new(0));
        let engine = Arc::new(Echo {
            steps: none(),
            begun: none(),
            abandoned: none(),
        });
        let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        (
            Self {
                url,
                client,
                engine,
                telemetry,
                shutdown,
                serving,
            },
            server,
        )
    }

    pub async fn post(&self, body: &Value) -> reqwest::Result<Response> {
        self.client
            .post(format!("{}/v1/chat/completions", self.url))
            .json(body)
            .timeout(PATIENCE)
            .send()
            .await
    }

    pub fn ask(
        &self,
        content: &str,
        stream: bool,
    ) -> tokio::task::JoinHandle<reqwest::Result<Response>> {
        let request = self
            .client
            .post(format!("{}/v1/chat/completions", self.url))
            .timeout(PATIENCE);
        tokio::spawn(request.json(&body(content, stream)).send())
    }

    pub async fn begun(&self, requests: u32) {
        taken(&self.engine.begun, requests).await;
    }

    /// Waits until the metrics have this line.
    pub async fn shows(&self, line: &str) {
        let seen = async {
            while !self
                .telemetry
                .metrics()
                .unwrap()
                .lines()
                .any(|shown| shown == line)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, seen).await;
        assert!(
            shown.is_ok(),
            "no line `{line}` in\n{}",
            self.telemetry.metrics().unwrap()
        );
    }
}

pub async fn taken(semaphore: &Semaphore, permits: u32) {
    tokio::time::timeout(PATIENCE, semaphore.acquire_many(permits))
        .await
        .unwrap()
        .unwrap()
        .forget();
}

pub fn body(content: &str, stream: bool) -> Value {
    json!({ "model": "echo", "messages": [{ "role": "user", "content": content }], "stream": stream })
}

/// The data of every event, in order.
pub async fn events(response: Response) -> Vec<String> {
    let text = response.text().await.unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
        .collect()
}
