//! What the gateway counts.

mod channel;

use std::time::Duration;

use chatbot_crds::config::State;
use chatbot_telemetry::Telemetry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of the reply delay's buckets, seconds.
const SECONDS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0,
];

pub(crate) use channel::{ChannelMetrics, Phase};

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    reason: &'static str,
}

/// Handles; cheap to clone. Synthetic conversations are counted in `probes` only.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    rejected: Family<Reason, Counter>,
    pub(crate) duplicates: Counter,
    pub(crate) replies: Counter,
    pub(crate) fallbacks: Counter,
    pub(crate) sockets: Gauge,
    pub(crate) slow_sockets: Counter,
    reply_delay: Histogram,
    pub(crate) probes: Counter,
    pub(crate) failed_probes: Counter,
    channels: channel::Families,
}

impl Metrics {
    pub(crate) fn new(telemetry: &Telemetry) -> Self {
        let metrics = Self {
            accepted: Counter::default(),
            rejected: Family::default(),
            duplicates: Counter::default(),
            replies: Counter::default(),
            fallbacks: Counter::default(),
            sockets: Gauge::default(),
            slow_sockets: Counter::default(),
            reply_delay: Histogram::new(SECONDS),
            probes: Counter::default(),
            failed_probes: Counter::default(),
            channels: channel::Families::default(),
        };
        telemetry.register(|registry| {
            let to = registry.sub_registry_with_prefix("chatbot_gateway");
            let it = metrics.clone();
            to.register(
                "messages_accepted",
                "Messages acknowledged to their sender",
                it.accepted,
            );
            to.register(
                "messages_rejected",
                "Messages not taken, by reason",
                it.rejected,
            );
            to.register(
                "messages_duplicate",
                "Copies of messages taken before",
                it.duplicates,
            );
            to.register("replies", "Replies offered to their users", it.replies);
            to.register(
                "replies_fallback",
                "Of these, with the fallback text",
                it.fallbacks,
            );
            to.register("sockets", "Sockets open now", it.sockets);
            to.register(
                "sockets_too_slow",
                "Sockets closed because they read too slowly",
                it.slow_sockets,
            );
            to.register(
                "reply_delay_seconds",
                "From a message's acknowledgement to its reply",
                it.reply_delay,
            );
            to.register("probes", "Synthetic conversations ended", it.probes);
            to.register(
                "probes_failed",
                "Of these, without an answer",
                it.failed_probes,
            );
            it.channels.register(to);
        });
        metrics
    }

    /// Those of one channel.
    pub(crate) fn of_channel(&self, name: &str) -> ChannelMetrics {
        ChannelMetrics::new(&self.channels, name)
    }

    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn reply_delay(&self, delay: Duration) {
        self.reply_delay.observe(delay.as_secs_f64());
    }

    /// Adds to the counters of `/state`: a message counts as failed when it was not taken for a reason of ours, or
    /// answered with the fallback text.
    pub(crate) fn report(&self, state: &mut State) {
        let of = |reason| self.rejected.get_or_create(&Reason { reason }).get();
        let not_taken = of("queue") + of("overload");
        state.counters.requests += self.accepted.get() + not_taken;
        state.counters.errors += self.fallbacks.get() + not_taken;
    }
}

#[cfg(test)]
mod tests {
    use chatbot_adapters::Verdict;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../operator/ARCHITECTURE.md");

    #[test]
    fn every_metric_is_documented_and_nothing_else_is() {
        let telemetry = Telemetry::new();
        let metrics = Metrics::new(&telemetry);
        let channel = metrics.of_channel("chat");
        // A family without a member is not exposed.
        metrics.rejected("queue");
        channel.refused("queue");
        channel.attempted(&Verdict::Accepted { id: None });
        channel.took(Phase::Send, Duration::ZERO);
        telemetry
            .is_documented("chatbot_gateway_", DOCUMENT)
            .unwrap();
    }
}
