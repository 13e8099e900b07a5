//! Receives users' messages into the queue, and gives them the replies from it.
//!
//! ```text
//! socket ──▶ intake ──▶ inbound         response ──▶ delivery ──▶ rooms ──▶ socket
//! webhook ──▶ receive ──┤                              └──▶ lanes ──▶ client ──▶ platform
//! poll, connect ──▶ hold┘
//! ```
//! - `channel`: each with its Secret, which may come, change and go while the others run.
//! - `webhook`, `body`: the HTTP entrance of platforms. `receive` takes one delivery, however it came.
//! - `hold`: a channel whose messages the gateway asks for is held by one replica. `poll`: asking, again and
//!   again. `connect`: connections to platforms.
//! - `intake`: the enqueue is the claim. A message is acknowledged when the log has it, never before.
//! - `delivery`: one consumer of `response[p]` per channel, so that a slow channel shares no offset with another.
//! - `client`: requests to platforms. `typing`: that an answer is being written.
//! - `exchange`: requests that stay open until their reply.
//! - `rooms`: which sockets an account has here.
//! - `socket`, `resume`: the web chat's protocol (`chatbot_adapters::web_chat`); a page that lost its connection asks
//!   for what follows its cursor.
//! - `certificate`: TLS, where the gateway itself serves it.
//! - `probe`: a synthetic conversation through every hop, the ground of what `/state` says.
//!
//! It keeps nothing that it could not lose: sockets, and copies of what the log holds. It knows no platform's format
//! and never talks to a model.

mod backoff;
mod body;
mod certificate;
mod channel;
mod client;
mod connect;
mod delivery;
mod elsewhere;
mod exchange;
mod hold;
mod http;
mod intake;
mod limits;
mod line;
mod metrics;
mod origin;
mod page;
mod poll;
mod probe;
mod rate;
mod receive;
mod resume;
mod rooms;
mod serve;
mod socket;
mod typing;
mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use chatbot_crds::config::GatewayConfig;
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
use channel::Channel;
use client::Http;
use exchange::Exchanges;
use intake::Intake;
pub use limits::Limits;
use metrics::Metrics;
use rooms::Rooms;
use typing::Typing;

/// Pages and requests that read the log at once.
const REPLAYS: usize = 8;

/// What a gateway works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Where messages go and replies come from.
    pub log: Arc<dyn Log>,
    /// The sessions.
    pub view: Arc<dyn View>,
    /// Answers under way.
    pub previews: Arc<dyn Previews>,
    /// Health and metrics.
    pub telemetry: Telemetry,
    /// The folder of the channels' Secrets: `<channel>/<key>`.
    pub secrets: PathBuf,
}

/// A gateway, before it listens.
pub struct Gateway {
    cluster: String,
    public_url: Option<String>,
    limits: Limits,
    channels: BTreeMap<String, Arc<Channel>>,
    /// The page of its synthetic conversation, which is in nobody's configuration.
    probe: Arc<Channel>,
    log: Arc<dyn Log>,
    view: Arc<dyn View>,
    previews: Arc<dyn Previews>,
    telemetry: Telemetry,
    secrets: PathBuf,
    metrics: Metrics,
    rooms: Rooms,
    typing: Typing,
    exchanges: Exchanges,
    intake: Intake,
    http: Http,
    certificate: Option<Arc<Certificate>>,
    /// By which a request is known to be of its own synthetic conversation.
    probe_secret: String,
    /// Places for sockets.
    open: Arc<Semaphore>,
    /// Bytes of bodies that are held.
    bodies: Semaphore,
    /// Places for pages and requests that read the log: a page's cursor may lie far back, and a question be repeated.
    replays: Semaphore,
    stop: CancellationToken,
    sockets: TaskTracker,
}

/// Serves until `shutdown`, then closes every socket so that its page connects to another gateway.
pub async fn run(
    config: GatewayConfig,
    surroundings: Surroundings,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<()> {
    Gateway::new(config, surroundings, Limits::default())?
        .serve(listener, shutdown)
        .await
}

impl Gateway {
    /// A gateway for `config`.
    pub fn new(config: GatewayConfig, surroundings: Surroundings, limits: Limits) -> Result<Self> {
        let Surroundings {
            log,
            view,
            previews,
            telemetry,
            secrets,
        } = surroundings;
        let metrics = Metrics::new(&telemetry);
        let partitions = log.partitions();
        let mut channels = BTreeMap::new();
        for channel in config.channels {
            let name = channel.name.clone();
            let of_channel = metrics.of_channel(&name);
            let channel = Channel::new(channel, partitions, &limits, of_channel)
                .with_context(|| format!("failed to find the platform of channel {name}"))?;
            channels.insert(name, Arc::new(channel));
        }
        let probe = probe::channel(partitions, &limits).context("failed to set up the probe")?;
        Ok(Self {
            probe: Arc::new(probe),
            cluster: config.cluster,
            public_url: config.public_url,
            channels,
            intake: Intake::new(
                Arc::clone(&log),
                config.messages_per_user_per_minute,
                &limits,
                metrics.clone(),
            ),
            rooms: Rooms::default(),
            typing: Typing::default(),
            exchanges: Exchanges::default(),
            http: Http::new(&limits).context("failed to set up the client for platforms")?,
            certificate: config.tls.map(Certificate::new).map(Arc::new),
            probe_secret: uuid::Uuid::new_v4().simple().to_string(),
            open: Arc::new(Semaphore::new(limits.sockets)),
            bodies: Semaphore::new(limits.bodies),
            replays: Semaphore::new(REPLAYS),
            stop: CancellationToken::new(),
            sockets: TaskTracker::new(),
            limits,
            log,
            view,
            previews,
            telemetry,
            secrets,
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
            let channels = reported.channels.values();
            state
                .channels
                .extend(channels.map(|channel| channel.state()));
            reported.metrics.report(state);
            state.tls = reported
                .certificate
                .as_ref()
                .and_then(|found| found.state());
        });

        let tasks = TaskTracker::new();
        for channel in gateway.channels.values() {
            tasks.spawn(channel::follow(Arc::clone(&gateway), Arc::clone(channel)));
            tasks.spawn(delivery::run(Arc::clone(&gateway), Arc::clone(channel)));
            if channel.is_held() {
                tasks.spawn(hold::run(Arc::clone(&gateway), Arc::clone(channel)));
            }
        }
        let probe = Arc::clone(&gateway.probe);
        tasks.spawn(delivery::run(Arc::clone(&gateway), probe));
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
            self.typing.goes_on(&preview);
            self.exchanges.preview(&preview);
        }
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
