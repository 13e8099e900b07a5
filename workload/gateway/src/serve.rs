//! Accepts connections: as many at once as fit, each with a limit on how long its headers may take. Where TLS was asked
//! for, a connection without it is none.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::Limits;
use crate::certificate::Certificate;

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
    tls: Option<&Arc<Certificate>>,
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
        // Previews are small frames at short intervals: none may wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let (app, within) = (app.clone(), limits.hello);
        let (tls, shutdown) = (tls.cloned(), shutdown.clone());
        let connection = async move {
            match tls {
                None => connection(stream, app, within, shutdown).await,
                Some(certificate) => {
                    if let Some(stream) = secured(stream, &certificate, within).await {
                        connection(stream, app, within, shutdown).await;
                    }
                }
            }
        };
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

/// The connection under TLS; none when there is no certificate, or when the other side does not speak TLS.
async fn secured(
    stream: TcpStream,
    certificate: &Certificate,
    within: Duration,
) -> Option<TlsStream<TcpStream>> {
    let served = certificate.served()?;
    match tokio::time::timeout(within, served.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            debug!(%error, "a connection without TLS was dropped");
            None
        }
        Err(_) => None,
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    headers_within: Duration,
    shutdown: CancellationToken,
) {
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
