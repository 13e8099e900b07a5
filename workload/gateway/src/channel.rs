//! One channel: its platform, whether it runs, and how it is doing.
//!
//! A channel runs with the Secret that it found. When the Secret changes it begins anew, and whatever worked for it
//! before lets go; without one that is complete it does not begin, and the others go on.

mod secrets;
mod standing;
mod start;

use std::sync::Arc;

use chatbot_adapters::{Me, ProtocolAdapter, Secrets, Transport};
pub(crate) use chatbot_crds::Reason;
use chatbot_crds::config::{ChannelConfig, ChannelState, PlatformConfig};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::Limits;
use crate::client::Client;
use crate::delivery::{Consumer, Pace};
use crate::metrics::ChannelMetrics;

pub(crate) use standing::{Hindrance, Standing};
pub(crate) use start::{follow, hindrance};

/// How replies of a channel reach its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Over sockets that users hold open at any gateway.
    Page,
    /// As responses to requests that stay open at any gateway.
    Exchange,
    /// By requests to a platform.
    Platform,
}

/// One channel as the gateway serves it.
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) platform: PlatformConfig,
    pub(crate) kind: Kind,
    /// Without secrets: what holds for the platform whoever runs the channel. It verifies nothing.
    pub(crate) adapter: Arc<dyn ProtocolAdapter>,
    pub(crate) allowed_origins: Vec<String>,
    /// By partition.
    pub(crate) consumers: Vec<Arc<Consumer>>,
    /// What the channel runs with; none while it does not run.
    pub(crate) running: watch::Sender<Option<Arc<Running>>>,
    pub(crate) standing: Standing,
    pub(crate) pace: Pace,
    /// Places for replies that are sent and not marked yet.
    pub(crate) unmarked: Semaphore,
    pub(crate) metrics: ChannelMetrics,
}

/// What a channel runs with, as long as its Secret is the same.
pub(crate) struct Running {
    pub(crate) adapter: Arc<dyn ProtocolAdapter>,
    pub(crate) client: Client,
    /// Who the bot is, where the platform can be asked.
    pub(crate) me: Option<Me>,
    /// Cancelled when the channel no longer runs with this.
    pub(crate) ended: CancellationToken,
}

impl Channel {
    /// The channel, not running yet; none if no adapter is of its platform.
    pub(crate) fn new(
        config: ChannelConfig,
        partitions: u32,
        limits: &Limits,
        metrics: ChannelMetrics,
    ) -> Option<Self> {
        let ChannelConfig { name, platform } = config;
        let adapter = chatbot_adapters::find(&platform, &Secrets::default())?;
        let allowed_origins = match &platform {
            PlatformConfig::WebChat { allowed_origins } => allowed_origins.clone(),
            _ => Vec::new(),
        };
        Some(Self {
            kind: kind(adapter.transports()),
            allowed_origins,
            consumers: (0..partitions).map(Consumer::new).map(Arc::new).collect(),
            running: watch::Sender::new(None),
            standing: Standing::new(limits.tell),
            pace: Pace::new(adapter.limits(), limits),
            unmarked: Semaphore::new(limits.unmarked),
            metrics,
            name,
            platform,
            adapter,
        })
    }

    /// What the channel runs with now, if it does.
    pub(crate) fn now(&self) -> Option<Arc<Running>> {
        self.running.borrow().clone()
    }

    pub(crate) fn takes(&self, transport: Transport) -> bool {
        self.adapter.transports().contains(&transport)
    }

    /// Whether the gateway itself asks its platform for messages, which one replica at a time does.
    pub(crate) fn is_held(&self) -> bool {
        self.takes(Transport::Polling) || self.takes(Transport::LongConnection)
    }

    /// As `/state` tells of it.
    pub(crate) fn state(&self) -> ChannelState {
        let (ready, reason, message) = self.standing.tell();
        self.metrics.ready(ready == Some(true));
        ChannelState {
            name: self.name.clone(),
            ready,
            reason: reason.as_str().to_owned(),
            message,
        }
    }
}

fn kind(transports: &[Transport]) -> Kind {
    match transports.first() {
        Some(Transport::Socket) => Kind::Page,
        Some(Transport::Exchange) => Kind::Exchange,
        _ => Kind::Platform,
    }
}
