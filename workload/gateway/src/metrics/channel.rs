//! What the gateway counts of each channel. Labels are bounded: channels are configured, all else is listed here.

use std::sync::Arc;
use std::time::Duration;

use chatbot_adapters::Verdict;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the phases' buckets, seconds.
const SECONDS: [f64; 12] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0,
];

/// A part of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Phase {
    /// From a delivery that was parsed until the log has its messages.
    Enqueue,
    /// From a reply in the journal until this gateway has it.
    Journal,
    /// From a request to the platform until its response.
    Send,
}

/// What a platform said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Said {
    Accepted,
    Later,
    Refused,
    Credentials,
    Unknown,
}

type Name = Arc<str>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfChannel {
    channel: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    channel: Name,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempted {
    channel: Name,
    verdict: Said,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Took {
    channel: Name,
    phase: Phase,
}

/// The metrics of all channels.
#[derive(Clone)]
pub(super) struct Families {
    received: Family<OfChannel, Counter>,
    refused: Family<Refused, Counter>,
    delivered: Family<OfChannel, Counter>,
    given_up: Family<OfChannel, Counter>,
    attempts: Family<Attempted, Counter>,
    in_doubt: Family<OfChannel, Counter>,
    pending: Family<OfChannel, Gauge>,
    ready: Family<OfChannel, Gauge>,
    seconds: Family<Took, Histogram, fn() -> Histogram>,
}

impl Default for Families {
    fn default() -> Self {
        Self {
            received: Family::default(),
            refused: Family::default(),
            delivered: Family::default(),
            given_up: Family::default(),
            attempts: Family::default(),
            in_doubt: Family::default(),
            pending: Family::default(),
            ready: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        }
    }
}

impl Families {
    pub(super) fn register(self, to: &mut Registry) {
        to.register(
            "channel_messages_received",
            "Messages taken from a platform, copies included",
            self.received,
        );
        to.register(
            "channel_deliveries_refused",
            "Requests of a platform that were not taken, by reason",
            self.refused,
        );
        to.register(
            "channel_replies_delivered",
            "Replies that the platform has taken whole",
            self.delivered,
        );
        to.register(
            "channel_replies_given_up",
            "Replies that went to the dead letters",
            self.given_up,
        );
        to.register(
            "channel_send_attempts",
            "Requests with a part of a reply, by what the platform said; all but the accepted and the refused are repeated, \
             and in place of a refused one another may be sent, once",
            self.attempts,
        );
        to.register(
            "channel_sends_in_doubt",
            "Of these, with unknown effect and without a key that the platform knows: each may be seen twice",
            self.in_doubt,
        );
        to.register(
            "channel_replies_pending",
            "Replies that wait to be sent by this gateway",
            self.pending,
        );
        to.register(
            "channel_ready",
            "1 while the channel can receive and send",
            self.ready,
        );
        to.register(
            "channel_phase_seconds",
            "How long the parts of a message's way took",
            self.seconds,
        );
    }
}

/// The metrics of one channel.
#[derive(Clone)]
pub(crate) struct ChannelMetrics {
    name: Name,
    families: Families,
    received: Counter,
    delivered: Counter,
    given_up: Counter,
    in_doubt: Counter,
    pending: Gauge,
    ready: Gauge,
}

impl ChannelMetrics {
    pub(super) fn new(families: &Families, name: &str) -> Self {
        let name: Name = name.into();
        let of = OfChannel {
            channel: Arc::clone(&name),
        };
        Self {
            received: families.received.get_or_create_owned(&of),
            delivered: families.delivered.get_or_create_owned(&of),
            given_up: families.given_up.get_or_create_owned(&of),
            in_doubt: families.in_doubt.get_or_create_owned(&of),
            pending: families.pending.get_or_create_owned(&of),
            ready: families.ready.get_or_create_owned(&of),
            families: families.clone(),
            name,
        }
    }

    /// Those of a channel of which nobody is told.
    pub(crate) fn untold() -> Self {
        Self::new(&Families::default(), "")
    }

    pub(crate) fn received(&self, messages: usize) {
        self.received
            .inc_by(u64::try_from(messages).unwrap_or_default());
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        let of = Refused {
            channel: Arc::clone(&self.name),
            reason,
        };
        self.families.refused.get_or_create(&of).inc();
    }

    pub(crate) fn delivered(&self) {
        self.delivered.inc();
    }

    pub(crate) fn given_up(&self) {
        self.given_up.inc();
    }

    pub(crate) fn attempted(&self, verdict: &Verdict) {
        let of = Attempted {
            channel: Arc::clone(&self.name),
            verdict: match verdict {
                Verdict::Accepted { .. } => Said::Accepted,
                Verdict::Later { .. } => Said::Later,
                Verdict::Refused { .. } => Said::Refused,
                Verdict::Credentials { .. } => Said::Credentials,
                Verdict::Unknown { .. } => Said::Unknown,
            },
        };
        self.families.attempts.get_or_create(&of).inc();
    }

    pub(crate) fn in_doubt(&self) {
        self.in_doubt.inc();
    }

    /// One of the channel's partitions has so many replies pending instead of as many as before.
    pub(crate) fn now_pending(&self, before: usize, now: usize) {
        let of = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.pending.inc_by(of(now) - of(before));
    }

    pub(crate) fn pending(&self) -> usize {
        usize::try_from(self.pending.get()).unwrap_or_default()
    }

    pub(crate) fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    pub(crate) fn took(&self, phase: Phase, time: Duration) {
        let of = Took {
            channel: Arc::clone(&self.name),
            phase,
        };
        self.families
            .seconds
            .get_or_create(&of)
            .observe(time.as_secs_f64());
    }
}
