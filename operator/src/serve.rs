//! What the operator tells about itself: `/livez`, `/readyz`, `/metrics`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::sync::watch::Receiver;

use crate::standing::Standing;
use crate::watch::Caches;

/// What is counted.
#[derive(Clone, Default)]
pub struct Metrics {
    passes: Family<PassLabels, Counter>,
    seconds: Option<Histogram>,
    writes: Family<WriteLabels, Counter>,
    leading: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassLabels {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let metrics = Self {
            seconds: Some(seconds.clone()),
            ..Self::default()
        };
        let registry = registry.sub_registry_with_prefix("chatbot_operator");
        registry.register(
            "passes",
            "Passes over a resource, by outcome",
            metrics.passes.clone(),
        );
        registry.register("pass_seconds", "Duration of a pass", seconds);
        registry.register(
            "writes",
            "Writes that changed something, by kind",
            metrics.writes.clone(),
        );
        registry.register(
            "leading",
            "Whether this operator leads: 1, or 0 while it waits",
            metrics.leading.clone(),
        );
        metrics
    }

    /// Whether this operator leads.
    pub fn lead(&self, leads: bool) {
        self.leading.set(leads.into());
    }

    /// A pass has ended.
    pub fn passed(&self, outcome: &str, duration: Duration) {
        let labels = PassLabels {
            outcome: outcome.to_owned(),
        };
        self.passes.get_or_create(&labels).inc();
        if let Some(seconds) = &self.seconds {
            seconds.observe(duration.as_secs_f64());
        }
    }

    /// Something was changed in the cluster.
    pub fn wrote(&self, kind: &str) {
        self.writes
            .get_or_create(&WriteLabels {
                kind: kind.to_owned(),
            })
            .inc();
    }
}

/// What the endpoints tell.
#[derive(Clone)]
pub struct Told {
    registry: Arc<Mutex<Registry>>,
    caches: Caches,
    ready: Arc<AtomicBool>,
    standing: Receiver<Standing>,
    identity: String,
}

impl Told {
    /// Metrics, a readiness that is not given yet, and where the operator of this identity stands among others.
    #[must_use]
    pub fn new(
        registry: Registry,
        caches: Caches,
        standing: Receiver<Standing>,
        identity: String,
    ) -> Self {
        Self {
            registry: Arc::new(Mutex::new(registry)),
            caches,
            ready: Arc::default(),
            standing,
            identity,
        }
    }

    /// The caches are filled.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// Serves until the process ends.
pub async fn serve(address: std::net::SocketAddr, told: Told) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(told);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| {
            format!("failed to listen at --metrics-address {address}: choose a free address")
        })?;
    axum::serve(listener, router)
        .await
        .context("failed to serve metrics")
}

async fn ready(State(told): State<Told>) -> impl IntoResponse {
    if told.ready.load(Ordering::Relaxed) {
        let standing = told.standing.borrow().words(&told.identity);
        return (StatusCode::OK, format!("ok: {standing}"));
    }
    let mut why = "the caches are not filled yet".to_owned();
    for refused in told.caches.refused() {
        why.push_str(": ");
        why.push_str(&refused);
    }
    (StatusCode::SERVICE_UNAVAILABLE, why)
}

async fn metrics(State(told): State<Told>) -> impl IntoResponse {
    let mut text = String::new();
    let registry = told.registry.lock().unwrap_or_else(PoisonError::into_inner);
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => (
            StatusCode::OK,
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCUMENT: &str = include_str!("../ARCHITECTURE.md");

    #[test]
    fn every_metric_is_documented_and_nothing_else_is() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        // A family without a member is not exposed.
        metrics.passed("done", Duration::ZERO);
        metrics.wrote("Service");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let exposed: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
        let documented: BTreeSet<_> = DOCUMENT
            .split('`')
            .filter_map(|word| word.split('{').next())
            .filter(|word| word.starts_with("chatbot_operator_"))
            .collect();
        assert_eq!(documented, exposed);
    }
}
