//! What the worker counts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chatbot_message::{Outcome, Reply};
use chatbot_store::View;
use chatbot_telemetry::Telemetry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric,
};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Partition {
    pub(crate) partition: u32,
}

/// A cache of the worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Cache {
    /// Answers in this process.
    Results,
    /// Answers that all workers share.
    Answers,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Looked {
    cache: Cache,
}

/// What a message's time in a worker is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Phase {
    /// The session is read.
    Context,
    /// A place among the requests to inference is waited for.
    Place,
    /// The model is asked, once.
    Model,
    /// The reply is written to the journal.
    Journal,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Took {
    phase: Phase,
}

/// Synthetic conversations are in none of these but `retries`.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) messages: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) answers: Counter,
    pub(crate) fallbacks: Counter,
    pub(crate) commands: Counter,
    pub(crate) forwarded: Counter,
    pub(crate) without_history: Counter,
    pub(crate) retries: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) answer_seconds: Histogram,
    pub(crate) first_token_seconds: Histogram,
    phases: Family<Took, Histogram, fn() -> Histogram>,
    pub(crate) in_flight: Gauge,
    pub(crate) lag: Family<Partition, Gauge>,
    pub(crate) cache_hits: Family<Looked, Counter>,
    pub(crate) cache_misses: Family<Looked, Counter>,
}

impl Metrics {
    pub(crate) fn register(telemetry: &Telemetry, view: &Arc<dyn View>) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.05, 2.0, 12));
        let phase: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 4.0, 9));
        let metrics = Self {
            messages: Counter::default(),
            duplicates: Counter::default(),
            unreadable: Counter::default(),
            answers: Counter::default(),
            fallbacks: Counter::default(),
            commands: Counter::default(),
            forwarded: Counter::default(),
            without_history: Counter::default(),
            retries: Counter::default(),
            takeovers: Counter::default(),
            answer_seconds: seconds(),
            first_token_seconds: seconds(),
            phases: Family::new_with_constructor(phase),
            in_flight: Gauge::default(),
            lag: Family::default(),
            cache_hits: Family::default(),
            cache_misses: Family::default(),
        };
        telemetry.register(|registry| {
            let registry = registry.sub_registry_with_prefix("chatbot_worker");
            metrics.enter(registry);
            registry.register_collector(Box::new(Near(Arc::clone(view))));
        });
        metrics
    }

    /// Counts what was looked for in a cache.
    pub(crate) fn looked_up(&self, cache: Cache, found: bool) {
        let counters = if found {
            &self.cache_hits
        } else {
            &self.cache_misses
        };
        counters.get_or_create(&Looked { cache }).inc();
    }

    /// Counts what a message has led to.
    pub(crate) fn replied(&self, reply: &Reply) {
        if reply.synthetic {
            return;
        }
        match reply.outcome {
            Outcome::Answered => self.answers.inc(),
            Outcome::Fallback => self.fallbacks.inc(),
            Outcome::Told => self.commands.inc(),
            // When it has been sent on.
            Outcome::Forwarded => return,
        };
    }

    /// Measures a phase.
    pub(crate) fn took(&self, phase: Phase, time: Duration) {
        let histogram = self.phases.get_or_create(&Took { phase });
        histogram.observe(time.as_secs_f64());
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
                "commands",
                "Replies of the hub itself, to what accounts are linked by",
                &self.commands,
            ),
            (
                "forwarded",
                "Messages sent on to the partition of a linked account",
                &self.forwarded,
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
        registry.register_with_unit(
            "phase",
            "What a message's time is spent on",
            Unit::Seconds,
            self.phases.clone(),
        );
        registry.register(
            "in_flight",
            "Messages being answered",
            self.in_flight.clone(),
        );
        registry.register("lag", "Messages not settled yet", self.lag.clone());
        registry.register(
            "cache_hits",
            "Answers found in a cache",
            self.cache_hits.clone(),
        );
        registry.register(
            "cache_misses",
            "Answers not found in a cache",
            self.cache_misses.clone(),
        );
    }
}

/// Counts a message as being answered for as long as it lives.
pub(crate) struct InFlight<'a>(&'a Metrics);

impl<'a> InFlight<'a> {
    pub(crate) fn new(metrics: &'a Metrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// Sessions found near, as the view counts them.
struct Near(Arc<dyn View>);

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Near")
    }
}

impl Collector for Near {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let lookups = self.0.near();
        for (name, help, count) in [
            ("context_hits", "Sessions that were kept near", lookups.hits),
            (
                "context_misses",
                "Sessions that had to be read from the store",
                lookups.misses,
            ),
        ] {
            let counter = ConstCounter::new(count);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chatbot_store::memory::{Keep, MemoryView};

    use super::*;

    const DOCUMENT: &str = include_str!("../../../operator/ARCHITECTURE.md");

    #[test]
    fn every_metric_is_documented_and_nothing_else_is() {
        let telemetry = Telemetry::new();
        let view: Arc<dyn View> = Arc::new(MemoryView::new(Keep {
            timeout: Duration::from_mins(1),
            turns: 1,
        }));
        let metrics = Metrics::register(&telemetry, &view);
        // A family without a member is not exposed.
        for found in [true, false] {
            metrics.looked_up(Cache::Results, found);
        }
        metrics.took(Phase::Context, Duration::ZERO);
        drop(metrics.lag.get_or_create(&Partition { partition: 0 }));
        telemetry
            .is_documented("chatbot_worker_", DOCUMENT)
            .unwrap();
    }
}
