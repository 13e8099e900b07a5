//! Opens connections (WebSocket) to platforms: over the same connections as requests, so that the same addresses are allowed and the same
//! certificates trusted.

use http::{Response, Uri};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tower::ServiceExt;

use super::{Http, address, with_causes};

/// A connection that the gateway has opened to a platform.
pub(crate) type Socket = WebSocketStream<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The platform has answered otherwise.
    Refused(Box<Response<Option<Vec<u8>>>>),
    /// It could not be asked, or what it said is not understood.
    Failed(String),
}

impl Http {
    /// Opens a connection whose messages are at most so large.
    pub(crate) async fn upgrade(&self, url: &str, largest: usize) -> Result<Socket, NotOpened> {
        let opening = async {
            let dialled = dialled(url).map_err(NotOpened::Failed)?;
            let stream = self.connector.clone().oneshot(dialled).await;
            let stream = stream.map_err(|error| NotOpened::Failed(with_causes(error.as_ref())))?;
            let config = WebSocketConfig::default()
                .max_message_size(Some(largest))
                .max_frame_size(Some(largest));
            let request = url.into_client_request().map_err(not_opened)?;
            let opened = client_async_with_config(request, TokioIo::new(stream), Some(config));
            Ok(opened.await.map_err(not_opened)?.0)
        };
        timeout(self.within, opening).await.unwrap_or_else(|_| {
            Err(NotOpened::Failed(format!(
                "the platform did not open a connection within {} s",
                self.within.as_secs_f32()
            )))
        })
    }
}

fn not_opened(error: tungstenite::Error) -> NotOpened {
    match error {
        Error::Http(response) => NotOpened::Refused(response),
        error => NotOpened::Failed(error.to_string()),
    }
}

/// The address as the connector knows it.
fn dialled(url: &str) -> Result<Uri, String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("the connection's address cannot be used: {error}"))?;
    address::allowed(&uri)?;
    let scheme = match uri.scheme_str() {
        Some("wss") => "https",
        Some("ws") => "http",
        _ => return Err("the connection's address must begin with wss://".to_owned()),
    };
    let mut parts = uri.into_parts();
    parts.scheme = scheme.parse().ok();
    if parts.path_and_query.is_none() {
        parts.path_and_query = "/".parse().ok();
    }
    Uri::from_parts(parts)
        .map_err(|error| format!("the connection's address cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::dialled;

    #[test]
    fn a_connection_goes_only_where_a_request_may() {
        let to = |url: &str| dialled(url).map(|uri| uri.to_string());
        assert_eq!(
            to("wss://gateway.example.com?v=10").unwrap(),
            "https://gateway.example.com/?v=10"
        );
        assert_eq!(
            to("ws://127.0.0.1:8/link").unwrap(),
            "http://127.0.0.1:8/link"
        );
        for url in [
            "https://example.com/",
            "wss://169.254.169.254/",
            "example.com",
            "",
        ] {
            assert!(to(url).is_err(), "{url}");
        }
    }
}
