//! The admin port: `/livez`, `/readyz`, `/metrics`, `/state`. For the cluster, never for users.

use std::net::{Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::extract::State as Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chatbot_crds::config::ADMIN_PORT;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Telemetry;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens on the admin port of every address, IPv6 and IPv4 where the host has them.
pub async fn listen() -> Result<TcpListener> {
    listen_everywhere(ADMIN_PORT).await.with_context(|| {
        format!("failed to listen on the admin port {ADMIN_PORT}: end the process that has it")
    })
}

/// Listens on `port` of every address, IPv6 and IPv4 where the host has them.
pub async fn listen_everywhere(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await
        }
        listener => listener,
    }
}

/// Serves until `stop`. Give it a token of its own, cancelled last: a draining process must still say that it drains.
pub async fn serve(
    listener: TcpListener,
    telemetry: Telemetry,
    stop: CancellationToken,
) -> Result<()> {
    axum::serve(listener, router(telemetry))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("failed to serve the admin port")
}

/// The routes.
pub fn router(telemetry: Telemetry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/state", get(state))
        .with_state(telemetry)
}

async fn readyz(Extension(telemetry): Extension<Telemetry>) -> Response {
    match telemetry.unready() {
        None => "ok".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn metrics(Extension(telemetry): Extension<Telemetry>) -> Response {
    match telemetry.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to write metrics: {error}"),
        )
            .into_response(),
    }
}

async fn state(Extension(telemetry): Extension<Telemetry>) -> Response {
    Json(telemetry.state()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use chatbot_crds::config::State;
    use tower::ServiceExt;

    async fn get(telemetry: &Telemetry, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(telemetry.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let telemetry = Telemetry::new();
        let health = telemetry.part("inference");
        assert_eq!(get(&telemetry, "/livez").await.0, StatusCode::OK);
        assert_eq!(
            get(&telemetry, "/readyz").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "inference: starting".to_owned()
            )
        );
        health.ready();
        assert_eq!(get(&telemetry, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_state_is_the_contract_s_json() {
        let telemetry = Telemetry::new();
        telemetry.report(|state| state.counters.errors = 4);
        let (status, body) = get(&telemetry, "/state").await;
        assert_eq!(status, StatusCode::OK);
        let state: State = serde_json::from_str(&body).unwrap();
        assert_eq!(state.counters.errors, 4);
    }
}
