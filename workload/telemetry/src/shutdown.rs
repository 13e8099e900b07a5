//! From a signal to an orderly end.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The longest time that work in flight may take after the signal: less than the 30 s after which a pod is killed.
pub const DRAIN: Duration = Duration::from_secs(25);

/// A token that the first SIGTERM or SIGINT cancels; the second one ends the process at once.
pub fn on_signal() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        let mut received = 0;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            received += 1;
            if received > 1 {
                warn!(signal = name, "ending at once");
                std::process::exit(130);
            }
            info!(
                signal = name,
                "ending in order; a second signal ends at once"
            );
            shutdown.cancel();
        }
    });
    Ok(token)
}

/// Waits for `work` to end by itself, at most [`DRAIN`] after `shutdown`; absent when that was not enough.
pub async fn drained<T>(shutdown: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    drained_within(DRAIN, shutdown, work).await
}

async fn drained_within<T>(
    limit: Duration,
    shutdown: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let expired = async {
        shutdown.cancelled().await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        result = work => Some(result),
        () = expired => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_never_ends_is_left_after_the_limit() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let work = std::future::pending::<()>();
        assert_eq!(
            drained_within(Duration::from_millis(1), &shutdown, work).await,
            None
        );
    }

    #[tokio::test]
    async fn without_a_signal_work_may_take_as_long_as_it_needs() {
        let shutdown = CancellationToken::new();
        let work = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            7
        };
        assert_eq!(
            drained_within(Duration::from_millis(1), &shutdown, work).await,
            Some(7)
        );
    }
}
