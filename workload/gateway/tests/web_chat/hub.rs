//! A gateway on a free port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::{ChannelConfig, GatewayConfig, PlatformConfig, State};
use chatbot_gateway::{Gateway, Limits, Surroundings};
use chatbot_queue::memory::{MemoryLog, MemoryPreviews};
use chatbot_queue::{Log, Previews};
use chatbot_store::View;
use chatbot_store::memory::{Keep, MemoryView};
use chatbot_telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; reaching it fails the test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What outlives a gateway.
#[derive(Clone)]
pub struct Backing {
    pub log: Arc<dyn Log>,
    pub view: Arc<dyn View>,
    pub previews: Arc<dyn Previews>,
    /// The folder of the channels' Secrets.
    pub secrets: PathBuf,
}

impl Backing {
    pub fn new() -> Self {
        Self::on(Arc::new(MemoryLog::new(3)))
    }

    pub fn on(log: Arc<dyn Log>) -> Self {
        let keep = Keep {
            timeout: Duration::from_hours(1),
            turns: 20,
        };
        Self {
            log,
            view: Arc::new(MemoryView::new(keep)),
            previews: Arc::new(MemoryPreviews::default()),
            secrets: "/nonexistent".into(),
        }
    }
}

pub struct Hub {
    pub address: SocketAddr,
    pub telemetry: Telemetry,
    pub shutdown: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

/// One channel named `web`.
pub fn config() -> GatewayConfig {
    GatewayConfig {
        cluster: "shop/support".to_owned(),
        channels: vec![channel("web", &[])],
        messages_per_user_per_minute: 0,
        tls: None,
        public_url: None,
    }
}

pub fn channel(name: &str, allowed_origins: &[&str]) -> ChannelConfig {
    ChannelConfig {
        name: name.to_owned(),
        platform: PlatformConfig::WebChat {
            allowed_origins: allowed_origins.iter().map(ToString::to_string).collect(),
        },
    }
}

/// Limits without a synthetic conversation in the way.
pub fn limits() -> Limits {
    Limits {
        probe_first: Duration::from_hours(1),
        ..Limits::default()
    }
}

impl Hub {
    pub async fn start(backing: &Backing) -> Self {
        Self::with(config(), limits(), backing).await
    }

    pub async fn with(config: GatewayConfig, limits: Limits, backing: &Backing) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, config, limits, backing)
    }

    pub fn on(
        listener: TcpListener,
        config: GatewayConfig,
        limits: Limits,
        backing: &Backing,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let telemetry = Telemetry::new();
        let shutdown = CancellationToken::new();
        let Backing {
            log,
            view,
            previews,
            secrets,
        } = backing.clone();
        let surroundings = Surroundings {
            log,
            view,
            previews,
            telemetry: telemetry.clone(),
            secrets,
        };
        let gateway = Gateway::new(config, surroundings, limits).unwrap();
        let served = tokio::spawn(gateway.serve(listener, shutdown.clone()));
        Self {
            address,
            telemetry,
            shutdown,
            served,
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("the gateway ends in time")
            .unwrap()
            .unwrap();
    }

    /// Waits until the reported state is as wanted.
    pub async fn reports(&self, wanted: impl Fn(&State) -> bool) -> State {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        let look = async {
            loop {
                looks.tick().await;
                let state = self.telemetry.state();
                if wanted(&state) {
                    return state;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("still {:?}", self.telemetry.state()))
    }
}
