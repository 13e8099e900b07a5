//! `chatbot_inference_…`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chatbot_telemetry::Telemetry;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub(crate) enum Outcome {
    /// Answered in full.
    answered,
    /// The engine failed.
    failed,
    /// The request was wrong.
    invalid,
    /// No place: 429.
    rejected,
    /// The client went away.
    cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Labels {
    outcome: Outcome,
}

/// The metrics of one instance; clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    pub duration: Histogram,
    pub first_token: Histogram,
    pub prompt_tokens: Counter,
    pub cached_tokens: Counter,
    pub completion_tokens: Counter,
    pub queue_depth: Gauge,
    pub running: Gauge,
    taken: Arc<AtomicU64>,
    errors: Arc<AtomicU64>,
}

impl Metrics {
    /// Registers them, and the counts of the state.
    pub fn register(telemetry: &Telemetry) -> Self {
        // An answer takes from a tenth of a second to minutes; a first token from a hundredth to half a minute.
        let metrics = Self {
            requests: Family::default(),
            duration: Histogram::new([0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0]),
            first_token: Histogram::new([
                0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
            ]),
            prompt_tokens: Counter::default(),
            cached_tokens: Counter::default(),
            completion_tokens: Counter::default(),
            queue_depth: Gauge::default(),
            running: Gauge::default(),
            taken: Arc::default(),
            errors: Arc::default(),
        };
        telemetry.register(|registry| {
            let registry = registry.sub_registry_with_prefix("chatbot_inference");
            registry.register(
                "requests",
                "Requests by how they ended",
                metrics.requests.clone(),
            );
            registry.register_with_unit(
                "request_duration",
                "From the request to the end of its answer, waiting included",
                Unit::Seconds,
                metrics.duration.clone(),
            );
            registry.register_with_unit(
                "time_to_first_token",
                "From the request to the first text of its answer, waiting included",
                Unit::Seconds,
                metrics.first_token.clone(),
            );
            registry.register(
                "prompt_tokens",
                "Tokens of prompts",
                metrics.prompt_tokens.clone(),
            );
            registry.register(
                "cached_prompt_tokens",
                "Tokens of prompts that an earlier request had left in memory",
                metrics.cached_tokens.clone(),
            );
            registry.register(
                "completion_tokens",
                "Tokens of answers",
                metrics.completion_tokens.clone(),
            );
            registry.register(
                "queue_depth",
                "Requests waiting for a place",
                metrics.queue_depth.clone(),
            );
            registry.register(
                "running",
                "Requests being answered",
                metrics.running.clone(),
            );
        });
        let (taken, errors) = (Arc::clone(&metrics.taken), Arc::clone(&metrics.errors));
        telemetry.report(move |state| {
            state.counters.requests += taken.load(Ordering::Relaxed);
            state.counters.errors += errors.load(Ordering::Relaxed);
        });
        metrics
    }

    /// A request was taken: it is well-formed and has a place.
    pub fn took(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ended(&self, outcome: Outcome) {
        self.requests.get_or_create(&Labels { outcome }).inc();
        if outcome == Outcome::failed {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../operator/ARCHITECTURE.md");

    #[test]
    fn every_metric_is_documented_and_nothing_else_is() {
        let telemetry = Telemetry::new();
        // A family without a member is not exposed.
        Metrics::register(&telemetry).ended(Outcome::answered);
        telemetry
            .is_documented("chatbot_inference_", DOCUMENT)
            .unwrap();
    }
}
