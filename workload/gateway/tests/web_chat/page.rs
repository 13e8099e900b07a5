//! What the page does, without a browser: it keeps its user, its cursor and its unanswered questions.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chatbot_adapters::web_chat::{Ask, AskKind, Code, Frame, Hello, HelloKind, VERSION};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::hub::PATIENCE;

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub fn random_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Opens a socket as a page of `origin` would.
pub async fn open(address: SocketAddr, origin: Option<&str>) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}/channels/web/socket").into_client_request()?;
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
    }
    Ok(tokio_tungstenite::connect_async(request).await?.0)
}

/// One page. What a browser keeps in its storage outlives [`Page::reload`].
pub struct Page {
    pub user: String,
    pub cursor: Option<serde_json::Value>,
    pub unanswered: BTreeMap<String, String>,
    /// Answers seen since the page was loaded, by the message's id.
    pub answers: BTreeMap<Uuid, String>,
    /// Times an answer came that was known.
    pub repeated: usize,
    socket: Option<Socket>,
}

impl Page {
    pub fn new() -> Self {
        Self::of(&random_id())
    }

    pub fn of(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            cursor: None,
            unanswered: BTreeMap::new(),
            answers: BTreeMap::new(),
            repeated: 0,
            socket: None,
        }
    }

    /// A page that is connected and up to date.
    pub async fn connected(address: SocketAddr) -> Self {
        let mut page = Self::new();
        page.connect(address).await;
        page
    }

    /// Connects, takes in what it missed, and asks again what has no answer.
    pub async fn connect(&mut self, address: SocketAddr) {
        let history = self.answers.is_empty();
        self.hello(address, history).await;
        while !matches!(self.next().await, Frame::Ready { .. }) {}
        for (id, text) in self.unanswered.clone() {
            self.send_ask(&id, &text).await;
        }
    }

    pub async fn open(&mut self, address: SocketAddr) {
        let origin = format!("http://{address}");
        self.socket = Some(open(address, Some(&origin)).await.unwrap());
    }

    pub async fn hello(&mut self, address: SocketAddr, history: bool) {
        self.open(address).await;
        let hello = Hello {
            kind: HelloKind::Hello,
            version: VERSION,
            user: self.user.clone(),
            cursor: self.cursor.clone(),
            history,
        };
        self.send(serde_json::to_string(&hello).unwrap()).await;
    }

    /// The network is gone: no close frame, nothing.
    pub fn lose_connection(&mut self) {
        self.socket = None;
    }

    /// The page is loaded again: only what the browser keeps is left.
    pub fn reload(&mut self) {
        self.lose_connection();
        self.answers.clear();
    }

    pub async fn ask(&mut self, text: &str) -> String {
        let id = random_id();
        self.unanswered.insert(id.clone(), text.to_owned());
        self.send_ask(&id, text).await;
        id
    }

    /// Asks with an id that was used before.
    pub async fn repeat(&mut self, id: &str, text: &str) {
        self.send_ask(id, text).await;
    }

    async fn send_ask(&mut self, id: &str, text: &str) {
        let ask = Ask {
            kind: AskKind::Ask,
            id: id.to_owned(),
            text: text.to_owned(),
            age: 0,
        };
        self.send(serde_json::to_string(&ask).unwrap()).await;
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        let socket = self.socket.as_mut().unwrap();
        socket.send(Message::text(text.into())).await.unwrap();
    }

    /// The next frame, taken in as the page does.
    pub async fn next(&mut self) -> Frame {
        match self.next_or_close().await {
            Ok(frame) => frame,
            Err(close) => panic!("the connection was closed: {close:?}"),
        }
    }

    pub async fn next_or_close(&mut self) -> Result<Frame, Option<CloseCode>> {
        let socket = self.socket.as_mut().unwrap();
        loop {
            let received = tokio::time::timeout(PATIENCE, socket.next())
                .await
                .expect("a frame in time");
            match received {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    self.take_in(&frame);
                    return Ok(frame);
                }
                Some(Ok(Message::Close(close))) => return Err(close.map(|close| close.code)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    fn take_in(&mut self, frame: &Frame) {
        match frame {
            Frame::Reply {
                id,
                message,
                answer,
                ..
            } => {
                self.unanswered.remove(id);
                if self.answers.insert(*message, answer.clone()).is_some() {
                    self.repeated += 1;
                }
            }
            Frame::History { turns, .. } => {
                for turn in turns {
                    self.answers.insert(turn.message, turn.answer.clone());
                }
            }
            Frame::Ready { cursor } | Frame::Cursor { cursor } => {
                self.cursor = Some(cursor.clone());
            }
            _ => {}
        }
    }

    pub async fn until<T>(&mut self, wanted: impl Fn(&Frame) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.next().await) {
                return found;
            }
        }
    }

    pub async fn acknowledged(&mut self) -> Uuid {
        self.until(|frame| match frame {
            Frame::Ack { message, .. } => Some(*message),
            _ => None,
        })
        .await
    }

    pub async fn answered(&mut self) -> String {
        self.until(|frame| match frame {
            Frame::Reply { answer, .. } => Some(answer.clone()),
            _ => None,
        })
        .await
    }

    pub async fn refused(&mut self) -> (Option<String>, Code, String, Option<u64>) {
        self.until(|frame| match frame {
            Frame::Refused {
                id,
                code,
                message,
                retry_after_ms,
            } => Some((id.clone(), *code, message.clone(), *retry_after_ms)),
            _ => None,
        })
        .await
    }

    /// Reads until the gateway closes; the last `error`, and the code.
    pub async fn closed(&mut self) -> (Option<Code>, Option<CloseCode>) {
        let mut told = None;
        loop {
            match self.next_or_close().await {
                Ok(Frame::Error { code, .. }) => told = Some(code),
                Ok(_) => {}
                Err(close) => return (told, close),
            }
        }
    }
}
