//! Workers and gateways of one service, each with clients of its own of the broker and the store.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::{
    CacheConfig, ChannelConfig, GatewayConfig, PlatformConfig, WorkerConfig,
};
use chatbot_gateway::{Gateway, Surroundings as GatewaySurroundings};
use chatbot_queue::Log;
use chatbot_queue::kafka::{KafkaLog, Options};
use chatbot_queue::memory::MemoryPreviews;
use chatbot_store::redis::{Options as StoreOptions, RedisView};
use chatbot_store::{Keep, MemoryCodes, View};
use chatbot_telemetry::Telemetry;
use chatbot_worker::{Handle, Surroundings};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::death::{Deadly, DeadlyLog, DeadlyView};

/// The channel.
pub const CHANNEL: &str = "hook";
/// What its requests are signed with.
pub const KEY: &str = "a signing key of at least 24 bytes";

/// Where everything is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    pub broker: String,
    pub store: String,
    /// What is the service's own on both.
    pub name: String,
    /// Base URL of the model.
    pub model: String,
    /// Where replies go.
    pub platform: String,
    /// The folder of Secrets.
    pub secrets: PathBuf,
}

impl Service {
    pub async fn log(&self) -> KafkaLog {
        let options = Options {
            bootstrap_servers: vec![self.broker.clone()],
            topic_prefix: format!("{}.", self.name),
            partitions: 1,
            replication_factor: 1,
            ..Options::default()
        };
        KafkaLog::connect(options)
            .await
            .unwrap_or_else(|unusable| unreachable!("{unusable}"))
    }

    fn view(&self) -> RedisView {
        let keep = Keep {
            timeout: Duration::from_mins(10),
            turns: 10,
        };
        let options = StoreOptions::standalone(&self.store, format!("{}:", self.name));
        RedisView::connect(options, keep).unwrap()
    }

    /// Works until it is told to end, or dies.
    pub async fn work(&self, deadly: Option<Arc<Deadly>>, end: CancellationToken) {
        let (log, view) = self.backing(deadly).await;
        let surroundings = Surroundings {
            log,
            view,
            previews: Arc::new(MemoryPreviews::default()),
            codes: Arc::new(MemoryCodes::default()),
            answers: None,
            telemetry: Telemetry::new(),
            handle: Handle::default(),
        };
        let config = WorkerConfig {
            cluster: "shop/support".to_owned(),
            inference_url: self.model.clone(),
            model: "echo".to_owned(),
            system_prompt: None,
            history_turns: 10,
            session_timeout_seconds: 600,
            max_answer_tokens: 100,
            temperature: 0.0,
            fallback_message: "sorry".to_owned(),
            context_tokens: 4_000,
            cache: CacheConfig::default(),
        };
        chatbot_worker::run(config, surroundings, chatbot_worker::Limits::default(), end)
            .await
            .unwrap();
    }

    /// Serves the channel until it is told to end, or dies.
    pub async fn serve(
        &self,
        listener: TcpListener,
        deadly: Option<Arc<Deadly>>,
        end: CancellationToken,
    ) {
        let (log, view) = self.backing(deadly).await;
        let surroundings = GatewaySurroundings {
            log,
            view,
            previews: Arc::new(MemoryPreviews::default()),
            telemetry: Telemetry::new(),
            secrets: self.secrets.clone(),
        };
        let config = GatewayConfig {
            cluster: "shop/support".to_owned(),
            channels: vec![ChannelConfig {
                name: CHANNEL.to_owned(),
                platform: PlatformConfig::Webhook {
                    reply_url: self.platform.clone(),
                },
            }],
            messages_per_user_per_minute: 0,
            tls: None,
            public_url: None,
        };
        let limits = chatbot_gateway::Limits {
            // No conversation of its own: the model is asked by users alone.
            probe_first: Duration::from_hours(1),
            ..chatbot_gateway::Limits::default()
        };
        let gateway = Gateway::new(config, surroundings, limits).unwrap();
        gateway.serve(listener, end).await.unwrap();
    }

    async fn backing(&self, deadly: Option<Arc<Deadly>>) -> (Arc<dyn Log>, Arc<dyn View>) {
        let (log, view) = (self.log().await, self.view());
        match deadly {
            None => (Arc::new(log), Arc::new(view)),
            Some(deadly) => (
                Arc::new(DeadlyLog(log, Arc::clone(&deadly))),
                Arc::new(DeadlyView(view, deadly)),
            ),
        }
    }
}

/// A port of loopback.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
