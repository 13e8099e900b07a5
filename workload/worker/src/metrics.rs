//! What the worker counts.

use chatbot_telemetry::Telemetry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Partition {
    pub(crate) partition: u32,
}

/// Synthetic conversations are in none of these but `retries`.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) messages: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) answers: Counter,
    pub(crate) fallbacks: Counter,
    pub(crate) without_history: Counter,
    pub(crate) retries: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) answer_seconds: Histogram,
    pub(crate) first_token_seconds: Histogram,
    pub(crate) in_flight: Gauge,
    pub(crate) lag: Family<Partition, Gauge>,
}

impl Metrics {
    pub(crate) fn register(telemetry: &Telemetry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.05, 2.0, 12));
        let metrics = Self {
            messages: Counter::default(),
            duplicates: Counter::default(),
            unreadable: Counter::default(),
            answers: Counter::default(),
            fallbacks: Counter::default(),
            without_history: Counter::default(),
            retries: Counter::default(),
            takeovers: Counter::default(),
            answer_seconds: seconds(),
            first_token_seconds: seconds(),
            in_flight: Gauge::default(),
            lag: Family::default(),
        };
        telemetry.register(|registry| {
            metrics.enter(registry.sub_registry_with_prefix("chatbot_worker"));
        });
        metrics
    }

    fn enter(&self, registry: &mut Registry) {
        let counters = [
            ("messages", "Messages taken into a lane", &self.messages),
            (
                "duplicates",
                "Messages that were a copy of an earlier one",
                &self.duplicates,
            ),
            (
                "unreadable",
                "Records that are no message",
                &self.unreadable,
            ),
            (
                "answers",
                "Replies with an answer of the model",
                &self.answers,
            ),
            (
                "fallbacks",
                "Replies with the fallback text",
                &self.fallbacks,
            ),
            (
                "without_history",
                "Replies made without history, the store being away",
                &self.without_history,
            ),
            (
                "retries",
                "Requests to inference that had to be made again",
                &self.retries,
            ),
            (
                "takeovers",
                "Times that a partition was taken over",
                &self.takeovers,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let histograms = [
            (
                "answer",
                "From taking a message to its reply being written",
                &self.answer_seconds,
            ),
            (
                "first_token",
                "From asking the model to its first token",
                &self.first_token_seconds,
            ),
        ];
        for (name, help, histogram) in histograms {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register(
            "in_flight",
            "Messages being answered",
            self.in_flight.clone(),
        );
        registry.register("lag", "Messages not settled yet", self.lag.clone());
    }
}
