//! A page of the web chat without a browser: one connection, on which it asks and reads what is answered. What a page
//! does beyond one connection is [`crate::conversation`]'s.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::header::ORIGIN;
use tungstenite::{Message, WebSocket};

/// The version of the protocol that is spoken here.
const VERSION: u32 = 1;
/// The gateway tells every 15 s that nothing happened; a connection that is silent for longer than this is broken.
pub const SILENCE: Duration = Duration::from_secs(45);
/// Longest time for a connection to be made, and for a frame to leave.
const PROMPT: Duration = Duration::from_secs(10);

/// One connection of one user.
pub struct Page {
    socket: WebSocket<TcpStream>,
    heard: Instant,
}

/// Asks one question as a new user, and gives the whole answer.
pub fn ask(address: SocketAddr, channel: &str, question: &str, limit: Duration) -> Result<String> {
    let mut page = Page::open(address, channel, &random_id()?)?;
    let id = page.ask(question)?;
    page.answer(&id, limit)
}

impl Page {
    /// Connects, says who it is, and returns when the gateway is ready for questions.
    pub fn open(address: SocketAddr, channel: &str, user: &str) -> Result<Self> {
        let mut page = Self::connect(address, channel, user, None, true)?;
        while page.receive()?["type"] != "ready" {}
        Ok(page)
    }

    /// Connects and says who it is and what it has seen; the frames up to `ready` are still to be read.
    pub fn connect(
        address: SocketAddr,
        channel: &str,
        user: &str,
        cursor: Option<&Value>,
        history: bool,
    ) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PROMPT)
            .with_context(|| format!("failed to connect to the web chat at {address}"))?;
        for timeout in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            timeout(&stream, Some(PROMPT)).context("failed to set a timeout")?;
        }
        let mut request = format!("ws://{address}/channels/{channel}/socket")
            .into_client_request()
            .context("failed to write a request for the web chat")?;
        let origin = format!("http://{address}")
            .parse()
            .context("failed to write the page's origin")?;
        request.headers_mut().insert(ORIGIN, origin);
        let (socket, _) = tungstenite::client(request, stream)
            .map_err(|error| anyhow::anyhow!("the web chat refused the WebSocket: {error}"))?;
        let mut page = Self {
            socket,
            heard: Instant::now(),
        };
        let mut hello =
            json!({ "type": "hello", "version": VERSION, "user": user, "history": history });
        if let Some(cursor) = cursor {
            hello["cursor"] = cursor.clone();
        }
        page.send(&hello)?;
        Ok(page)
    }

    /// Sends a question, and gives its id.
    pub fn ask(&mut self, question: &str) -> Result<String> {
        let id = random_id()?;
        self.ask_again(&id, question, Duration::ZERO)?;
        Ok(id)
    }

    /// Sends a question under an id that it may have been sent with before, so long ago.
    pub fn ask_again(&mut self, id: &str, question: &str, age: Duration) -> Result<()> {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.send(&json!({ "type": "ask", "id": id, "text": question, "age": age }))
    }

    /// Reads on until the answer to a question has come.
    pub fn answer(&mut self, id: &str, limit: Duration) -> Result<String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            let frame = self.receive()?;
            match frame["type"].as_str() {
                Some("reply") if frame["id"] == id && frame["fallback"] == false => {
                    return Ok(frame["answer"].as_str().unwrap_or_default().to_owned());
                }
                Some("reply") if frame["id"] == id => {
                    bail!(
                        "the model did not answer; the service said instead: {}",
                        frame["answer"]
                    );
                }
                Some("refused") => bail!("the question was refused: {frame}"),
                _ => {}
            }
        }
        bail!("no answer came within {} s", limit.as_secs())
    }

    /// The next frame.
    pub fn receive(&mut self) -> Result<Value> {
        loop {
            if let Some(frame) = self.receive_within(SILENCE)? {
                return Ok(frame);
            }
        }
    }

    /// The next frame, if one comes in this time. A connection that has been silent for too long is broken.
    pub fn receive_within(&mut self, limit: Duration) -> Result<Option<Value>> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.socket
                .get_ref()
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .context("failed to set a timeout")?;
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.heard = Instant::now();
                    return frame(&text).map(Some);
                }
                Ok(Message::Close(reason)) => {
                    bail!("the gateway closed the connection: {reason:?}")
                }
                Ok(_) => self.heard = Instant::now(),
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if self.heard.elapsed() > SILENCE {
                        bail!("the web chat has been silent for {} s", SILENCE.as_secs());
                    }
                    if left.is_zero() {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error).context("failed to read from the web chat"),
            }
        }
    }

    fn send(&mut self, frame: &Value) -> Result<()> {
        self.socket
            .send(Message::text(frame.to_string()))
            .context("failed to write to the web chat")
    }
}

/// A frame that announces the end of the connection is an error.
fn frame(text: &str) -> Result<Value> {
    let frame: Value = serde_json::from_str(text).context("failed to read a frame as JSON")?;
    if frame["type"] == "error" {
        bail!("the gateway closes the connection: {frame}");
    }
    Ok(frame)
}

/// 128 bits of randomness as the page writes them.
pub fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("failed to read randomness")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
