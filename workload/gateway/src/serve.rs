//! Accepts connections: as many at once as fit, each with a limit on how long its headers may take.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::Limits;

/// Headers of one request, at most.
const MAX_HEADERS: usize = 64;
/// Bytes of one request's headers, at most.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Pause after a connection could not be accepted, which is when files run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`; then lets go of what waits for a next request. Connections that became sockets live on.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    limits: &Limits,
    shutdown: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let Some((place, accepted)) = shutdown.run_until_cancelled(next).await else {
            return;
        };
        let (Ok(place), Ok((stream, _))) = (
            place,
            accepted.inspect_err(|error| {
                warn!(%error, "failed to accept a connection");
            }),
        ) else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let connection = connection(stream, app.clone(), limits.hello, shutdown.clone());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

async fn connection(
    stream: TcpStream,
    app: Router,
    headers_within: Duration,
    shutdown: CancellationToken,
) {
    // Previews are small frames at short intervals: none may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers_within)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
    }
}
