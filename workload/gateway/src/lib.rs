//! Receives users' messages into the queue, and gives them the replies from it.
//!
//! ```text
//! socket ──▶ intake ──▶ inbound         response ──▶ delivery ──▶ rooms ──▶ socket
//! ```
//! - `intake`: the enqueue is the claim. A message is acknowledged when the log has it, never before.
//! - `delivery`: one consumer of `response[p]` per channel, so that a slow channel shares no offset with another.
//! - `rooms`: which sockets an account has here.
//! - `socket`, `resume`: the web chat's protocol (`chatbot_adapters::web_chat`); a page that lost its connection asks
//!   for what follows its cursor.
//! - `certificate`: TLS, where the gateway itself serves it.
//! - `probe`: a synthetic conversation through every hop, the ground of what `/state` says.
//!
//! It keeps nothing that it could not lose: sockets, and copies of what the log holds. It knows no platform's format
//! and never talks to a model.

mod certificate;
mod delivery;
mod http;
mod intake;
mod line;
mod metrics;
mod origin;
mod page;
mod probe;
mod rate;
mod resume;
mod rooms;
mod serve;
mod socket;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use chatbot_adapters::{ProtocolAdapter, Secrets};
use chatbot_crds::config::{ChannelState, GatewayConfig, PlatformConfig};
use chatbot_queue::{Log, Previews};
use chatbot_store::View;
use chatbot_telemetry::{Health, Telemetry};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use certificate::Certificate;
use delivery::Consumer;
use intake::Intake;
use metrics::Metrics;
use rooms::Rooms;

/// Pages that read the log at once.
const REPLAYS: usize = 8;

/// Bounds of a gateway. Every queue has one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sockets open at once; a further one is refused with 503.
    pub sockets: usize,
    /// TCP connections open at once; a further one waits to be accepted.
    pub connections: usize,
    /// Frames that wait for one socket; a socket that is slower is closed, and resumes.
    pub queue: usize,
    /// Bytes of messages that the log has not acknowledged yet; a further message is refused.
    pub unacknowledged: usize,
    /// Message ids remembered, so that a copy costs no write.
    pub known: usize,
    /// Longest time for a request's headers, and for a page's hello.
    pub hello: Duration,
    /// Longest time for the log to acknowledge a message.
    pub append: Duration,
    /// Longest time for one frame to leave.
    pub write: Duration,
    /// How often a quiet socket is tried.
    pub heartbeat: Duration,
    /// A socket that was silent for so long is closed.
    pub silence: Duration,
    /// How long a history waits for the view to catch up.
    pub view: Duration,
    /// How long a shutdown waits for sockets to close.
    pub drain: Duration,
    /// How often the mounted certificate is looked at.
    pub certificate: Duration,
    /// Pause before the first synthetic conversation.
    pub probe_first: Duration,
    /// Pause after a synthetic conversation that failed.
    pub probe_again: Duration,
    /// Pause after a synthetic conversation that succeeded.
    pub probe: Duration,
    /// Longest synthetic conversation.
    pub probe_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sockets: 10_000,
            connections: 11_000,
            queue: 256,
            unacknowledged: 4 * 1024 * 1024,
            known: 65_536,
            hello: Duration::from_secs(10),
            append: Duration::from_secs(10),
            write: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            view: Duration::from_secs(2),
            drain: Duration::from_secs(15),
            certificate: Duration::from_secs(5),
            probe_first: Duration::from_millis(500),
            probe_again: Duration::from_secs(5),
            probe: Duration::from_secs(20),
            probe_timeout: Duration::from_secs(30),
        }
    }
}

/// A gateway, before it listens.
pub struct Gateway {
    cluster: String,
    limits: Limits,
    channels: BTreeMap<String, Arc<Channel>>,
    log: Arc<dyn Log>,
    view: Arc<dyn View>,
    previews: Arc<dyn Previews>,
    telemetry: Telemetry,
    metrics: Metrics,
    rooms: Rooms,
    intake: Intake,
    certificate: Option<Arc<Certificate>>,
    /// By which a socket is known to be the gateway's own synthetic conversation.
    probe_secret: String,
    /// Places for sockets.
    open: Arc<Semaphore>,
    /// Pages that read the log at once, since a page's cursor may lie far back.
    replays: Semaphore,
    stop: CancellationToken,
    sockets: TaskTracker,
}

/// One channel as the gateway serves it.
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) adapter: Arc<dyn ProtocolAdapter>,
    pub(crate) allowed_origins: Vec<String>,
    /// By partition.
    pub(crate) consumers: Vec<Arc<Consumer>>,
}

/// Serves until `shutdown`, then closes every socket so that its page connects to another gateway.
pub async fn run(
    config: GatewayConfig,
    log: Arc<dyn Log>,
    view: Arc<dyn View>,
    previews: Arc<dyn Previews>,
    listener: TcpListener,
    telemetry: Telemetry,
    shutdown: CancellationToken,
) -> Result<()> {
    Gateway::new(config, log, view, previews, telemetry, Limits::default())?
        .serve(listener, shutdown)
        .await
}

impl Gateway {
    /// A gateway for `config`.
    pub fn new(
        config: GatewayConfig,
        log: Arc<dyn Log>,
        view: Arc<dyn View>,
        previews: Arc<dyn Previews>,
        telemetry: Telemetry,
        limits: Limits,
    ) -> Result<Self> {
        let metrics = Metrics::new(&telemetry);
        let partitions = log.partitions();
        let mut channels = BTreeMap::new();
        for channel in config.channels {
            let adapter = chatbot_adapters::find(&channel.platform, &Secrets::default())
                .with_context(|| {
                    format!("failed to find the platform of channel {}", channel.name)
                })?;
            let PlatformConfig::WebChat { allowed_origins } = channel.platform else {
                bail!(
                    "channel {}: this release receives nothing from its platform",
                    channel.name
                );
            };
            channels.insert(
                channel.name.clone(),
                Arc::new(Channel {
                    name: channel.name,
                    adapter,
                    allowed_origins,
                    consumers: (0..partitions).map(Consumer::new).map(Arc::new).collect(),
                }),
            );
        }
        Ok(Self {
            cluster: config.cluster,
            channels,
            intake: Intake::new(
                Arc::clone(&log),
                config.messages_per_user_per_minute,
                &limits,
                metrics.clone(),
            ),
            rooms: Rooms::default(),
            certificate: config.tls.map(Certificate::new).map(Arc::new),
            probe_secret: uuid::Uuid::new_v4().simple().to_string(),
            open: Arc::new(Semaphore::new(limits.sockets)),
            replays: Semaphore::new(REPLAYS),
            stop: CancellationToken::new(),
            sockets: TaskTracker::new(),
            limits,
            log,
            view,
            previews,
            telemetry,
            metrics,
        })
    }

    /// Serves `listener` until `shutdown`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
        let address = listener
            .local_addr()
            .context("failed to learn the address listened on")?;
        let health = self.telemetry.part("gateway");
        let serving = self.tls().map(|_| self.telemetry.part("certificate"));
        let gateway = Arc::new(self);
        let reported = Arc::clone(&gateway);
        gateway.telemetry.report(move |state| {
            state.channels.extend(reported.channel_states());
            reported.metrics.report(state);
            state.tls = reported
                .certificate
                .as_ref()
                .and_then(|found| found.state());
        });

        let tasks = TaskTracker::new();
        for channel in gateway.channels.values() {
            tasks.spawn(delivery::run(Arc::clone(&gateway), Arc::clone(channel)));
        }
        tasks.spawn(Arc::clone(&gateway).forward_previews());
        tasks.spawn(Arc::clone(&gateway).follow_certificate(serving));
        tasks.spawn(probe::run(Arc::clone(&gateway), address));

        health.ready();
        info!(%address, "listening");
        let app = http::router(&gateway);
        serve::serve(listener, app, &gateway.limits, gateway.tls(), shutdown).await;

        health.unready("draining");
        gateway.stop.cancel();
        gateway.sockets.close();
        tasks.close();
        let drained = async {
            gateway.sockets.wait().await;
            tasks.wait().await;
        };
        if tokio::time::timeout(gateway.limits.drain, drained)
            .await
            .is_err()
        {
            tracing::warn!("some sockets did not close in time; their pages connect again");
        }
        Ok(())
    }

    /// The certificate that this gateway serves, when it does.
    pub(crate) fn tls(&self) -> Option<&Arc<Certificate>> {
        self.certificate
            .as_ref()
            .filter(|certificate| certificate.is_served())
    }

    async fn follow_certificate(self: Arc<Self>, serving: Option<Health>) {
        let Some(certificate) = &self.certificate else {
            return;
        };
        let following = certificate.follow(self.limits.certificate, serving);
        let _stopped = self.stop.run_until_cancelled(following).await;
    }

    async fn forward_previews(self: Arc<Self>) {
        let mut previews = self.previews.subscribe();
        while let Some(Some(preview)) = self.stop.run_until_cancelled(previews.next()).await {
            self.rooms.preview(&preview);
        }
    }

    fn channel_states(&self) -> impl Iterator<Item = ChannelState> + '_ {
        self.channels.values().map(|channel| ChannelState {
            name: channel.name.clone(),
            ready: Some(true),
            reason: "Listening".to_owned(),
            message: format!("users are served at /channels/{}/", channel.name),
        })
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A lock that another thread's panic does not take away: everything behind these locks is valid at any moment.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
