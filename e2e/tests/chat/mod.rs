//! The chat in this process: the real gateway and worker, a played model behind them, and a network in front that can
//! be cut.

mod model;
mod network;
mod process;

use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::{
    CacheConfig, ChannelConfig, GatewayConfig, PlatformConfig, WorkerConfig,
};
use chatbot_queue::memory::{MemoryLog, MemoryPreviews};
use chatbot_queue::{Log, Previews};
use chatbot_store::MemoryCodes;
use chatbot_store::View;
use chatbot_store::memory::{Keep, MemoryView};
use chatbot_telemetry::Telemetry;
use chatbot_worker::{Handle, Surroundings};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use model::Model;
use network::Network;
pub use process::Process;

/// Everything but the browser.
pub struct Chat {
    runtime: Runtime,
    model: Model,
    network: Network,
    hub: Hub,
}

struct Hub {
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Chat {
    /// Starts one, with nothing in it.
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (model, network, hub) = runtime.block_on(async {
            let model = Model::start().await;
            let (hub, address) = Hub::start(&model.url).await;
            (model, Network::start(address).await, hub)
        });
        Self {
            runtime,
            model,
            network,
            hub,
        }
    }

    /// Where the browser finds it.
    pub fn address(&self) -> String {
        format!("http://{}/", self.network.address)
    }

    /// From now on an answer stops after so many words.
    pub fn hold_answers_after(&self, words: usize) {
        self.model.held_after.send_replace(Some(words));
    }

    /// Answers go on.
    pub fn let_answers_go(&self) {
        self.model.held_after.send_replace(None);
    }

    /// Every question of a person that the model was asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.model.asked.lock().unwrap().clone()
    }

    /// Cuts every connection and lets no new one through.
    pub fn cut_off(&self) {
        self.network.through.send_replace(None);
    }

    /// Lets connections through again.
    pub fn reconnect(&self) {
        self.network
            .through
            .send_replace(Some(*self.network.hub.borrow()));
    }

    /// Ends the hub as a rollout does, and starts one that knows nothing.
    pub fn restart_the_hub(&mut self) {
        self.hub.shutdown.cancel();
        let (hub, address) = self.runtime.block_on(async {
            let ended = tokio::time::timeout(Duration::from_secs(30), self.hub.tasks.wait());
            ended.await.unwrap();
            Hub::start(&self.model.url).await
        });
        self.hub = hub;
        self.network.hub.send_replace(address);
        self.reconnect();
    }
}

impl Hub {
    async fn start(inference_url: &str) -> (Self, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(2));
        let view: Arc<dyn View> = Arc::new(MemoryView::new(Keep {
            timeout: Duration::from_hours(1),
            turns: 50,
        }));
        let previews: Arc<dyn Previews> = Arc::new(MemoryPreviews::default());
        let telemetry = Telemetry::new();
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(chatbot_worker::run(
            worker(inference_url),
            Surroundings {
                log: Arc::clone(&log),
                view: Arc::clone(&view),
                previews: Arc::clone(&previews),
                codes: Arc::new(MemoryCodes::default()),
                answers: None,
                telemetry: telemetry.clone(),
                handle: Handle::default(),
            },
            // A held answer is not to be waited for.
            chatbot_worker::Limits {
                drain: Duration::from_millis(200),
                ..chatbot_worker::Limits::default()
            },
            shutdown.clone(),
        ));
        tasks.spawn(chatbot_gateway::run(
            gateway(),
            chatbot_gateway::Surroundings {
                log,
                view,
                previews,
                telemetry,
                secrets: "/channels".into(),
            },
            listener,
            shutdown.clone(),
        ));
        tasks.close();
        (Self { shutdown, tasks }, address)
    }
}

fn gateway() -> GatewayConfig {
    GatewayConfig {
        cluster: "shop/support".to_owned(),
        channels: vec![ChannelConfig {
            name: "web".to_owned(),
            platform: PlatformConfig::WebChat {
                allowed_origins: vec![],
            },
        }],
        messages_per_user_per_minute: 0,
        tls: None,
        public_url: None,
    }
}

fn worker(inference_url: &str) -> WorkerConfig {
    WorkerConfig {
        cluster: "shop/support".to_owned(),
        inference_url: inference_url.to_owned(),
        model: "played".to_owned(),
        system_prompt: None,
        history_turns: 5,
        session_timeout_seconds: 3_600,
        max_answer_tokens: 256,
        temperature: 0.0,
        fallback_message: "Sorry, there is no answer.".to_owned(),
        context_tokens: 8_192,
        cache: CacheConfig::default(),
    }
}
