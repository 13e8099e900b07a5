//! The connection under a page's conversation: frames, their limits, and how it ends.

use axum::extract::ws::{CloseFrame, Message as Ws, Utf8Bytes, WebSocket, close_code};
use chatbot_adapters::web_chat::{self, Code, Frame, Hello, VERSION, is_id};
use serde::Deserialize;
use tokio::time::{Duration, Instant};
use tokio_tungstenite::tungstenite;
use tracing::debug;

use crate::Limits;

/// Tells the page that it is of another version, and that connecting again is of no use.
const CLOSE_VERSION: u16 = 4_000;

/// Why a connection ends.
pub(crate) enum End {
    /// The page has gone, or cannot be reached.
    Gone,
    /// The page is told why.
    Told {
        close: u16,
        code: Code,
        message: String,
    },
}

pub(crate) type Ending<T> = Result<T, End>;

/// The connection itself.
pub(crate) struct Line<'a> {
    limits: &'a Limits,
    socket: WebSocket,
    /// When something last came.
    pub(crate) heard: Instant,
}

/// What is read of a hello first: of another version nothing else can be understood.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl<'a> Line<'a> {
    pub(crate) fn new(limits: &'a Limits, socket: WebSocket) -> Self {
        Self {
            limits,
            socket,
            heard: Instant::now(),
        }
    }

    pub(crate) async fn hello(&mut self) -> Ending<Hello> {
        let within = self.limits.hello;
        let text = tokio::time::timeout(within, self.text())
            .await
            .map_err(|_| malformed("the first frame, hello, did not come in time"))??;
        let Versioned { version } = serde_json::from_str(&text)
            .map_err(|error| malformed(&format!("the first frame must be a hello: {error}")))?;
        if version != VERSION {
            return Err(End::Told {
                close: CLOSE_VERSION,
                code: Code::Version,
                message: format!(
                    "version: this is {version}, the hub speaks {VERSION}; reload the page"
                ),
            });
        }
        let hello: Hello = serde_json::from_str(&text)
            .map_err(|error| malformed(&format!("the first frame must be a hello: {error}")))?;
        if !is_id(&hello.user) {
            return Err(malformed(
                "user: it must be 32 lower-case hexadecimal digits",
            ));
        }
        Ok(hello)
    }

    /// The next text frame.
    pub(crate) async fn text(&mut self) -> Ending<Utf8Bytes> {
        loop {
            let received = self.socket.recv().await.ok_or(End::Gone)?;
            self.heard = Instant::now();
            match received {
                Ok(Ws::Text(text)) => return Ok(text),
                Ok(Ws::Binary(_)) => return Err(malformed("frames must be text")),
                Ok(Ws::Ping(_) | Ws::Pong(_)) => {}
                Ok(Ws::Close(_)) => return Err(End::Gone),
                Err(error) => return Err(broken(error)),
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: &Frame) -> Ending<()> {
        self.send_text(frame.encode()).await
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<Utf8Bytes>) -> Ending<()> {
        self.send_raw(Ws::Text(text.into())).await
    }

    pub(crate) async fn send_raw(&mut self, frame: Ws) -> Ending<()> {
        let sending = self.socket.send(frame);
        match tokio::time::timeout(self.limits.write, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    pub(crate) async fn end(mut self, end: End) {
        let End::Told {
            close,
            code,
            message,
        } = end
        else {
            return;
        };
        debug!(?code, why = message, "a connection is closed");
        let error = Frame::Error {
            code,
            message,
            reload: code == Code::Version,
        };
        if self.send(&error).await.is_err() {
            return;
        }
        let frame = CloseFrame {
            code: close,
            reason: format!("{code:?}").into(),
        };
        if self.send_raw(Ws::Close(Some(frame))).await.is_ok() {
            // Until the page has answered, so that what was sent last is not cut off.
            let answered = async { while let Some(Ok(_)) = self.socket.recv().await {} };
            let _ = tokio::time::timeout(Duration::from_secs(2), answered).await;
        }
    }
}

pub(crate) fn malformed(message: &str) -> End {
    End::Told {
        close: close_code::POLICY,
        code: Code::Malformed,
        message: message.to_owned(),
    }
}

pub(crate) fn restarting() -> End {
    End::Told {
        close: close_code::RESTART,
        code: Code::Restarting,
        message: "the hub is restarting; the page connects again".to_owned(),
    }
}

/// The log cannot be read: the page tries again elsewhere or later.
pub(crate) fn unavailable(error: &chatbot_queue::Error) -> End {
    End::Told {
        close: close_code::AGAIN,
        code: Code::Unavailable,
        message: error.to_string(),
    }
}

fn broken(error: axum::Error) -> End {
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => End::Told {
            close: close_code::SIZE,
            code: Code::TooLong,
            message: format!("a frame may have {} bytes at most", web_chat::MAX_FRAME),
        },
        _ => End::Gone,
    }
}
