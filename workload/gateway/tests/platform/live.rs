//! A stand-in for platforms that hold connections: requests are answered by a rule, and each connection is handed to the
//! test, which speaks for the platform.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chatbot_adapters::feishu::frames::Envelope;
use chatbot_crds::config::{ChannelConfig, ChannelTransport, PlatformConfig};
use futures::{SinkExt, StreamExt};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};

use crate::hub::PATIENCE;

/// What a request for a connection meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Open,
    /// No answer, for longer than anybody waits.
    Silent,
    /// Another answer than a connection.
    Refused(u16, &'static [(&'static str, &'static str)]),
}

/// Answers requests: what is answered, by path.
type Rule = Arc<dyn Fn(&str) -> Value + Send + Sync>;

pub struct Live {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    lines: Mutex<mpsc::UnboundedReceiver<Line>>,
}

struct Shared {
    rule: watch::Sender<Rule>,
    door: watch::Sender<Door>,
    lines: mpsc::UnboundedSender<Line>,
    open: AtomicUsize,
    /// Bodies of requests that are messages of the bot.
    sent: watch::Sender<Vec<Value>>,
    /// Paths of all requests.
    asked: watch::Sender<Vec<String>>,
}

/// A connection, seen from the platform.
pub struct Line {
    /// Path and query.
    pub path: String,
    says: mpsc::UnboundedSender<Message>,
    hears: mpsc::UnboundedReceiver<Message>,
}

impl Line {
    pub fn says(&self, frame: &Value) {
        self.sends(Message::text(frame.to_string()));
    }

    pub fn sends(&self, message: Message) {
        // The other side may be gone.
        let _ = self.says.send(message);
    }

    /// Closes with a code; dropping it cuts the connection.
    pub fn closes(self, code: u16) {
        self.sends(Message::Close(Some(axum::extract::ws::CloseFrame {
            code,
            reason: "why".into(),
        })));
    }

    /// The next frame; none when the other side has gone.
    pub async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(PATIENCE, self.hears.recv())
            .await
            .expect("a frame in time")
    }

    pub async fn hears(&mut self) -> Value {
        loop {
            match self.next().await.expect("the connection is there") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame of Feishu that is no ping.
    pub async fn envelope(&mut self) -> Envelope {
        loop {
            let Message::Binary(bytes) = self.next().await.expect("the connection is there") else {
                continue;
            };
            let envelope = Envelope::decode(bytes).unwrap();
            if envelope.header("type") != Some("ping") {
                return envelope;
            }
        }
    }

    /// Waits until the other side has gone.
    pub async fn ends(mut self) {
        while self.next().await.is_some() {}
    }
}

impl Live {
    pub async fn start(rule: impl Fn(SocketAddr, &str) -> Value + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rule: Rule = Arc::new(move |path| rule(address, path));
        let (lines, taken) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            rule: watch::Sender::new(rule),
            door: watch::Sender::new(Door::Open),
            lines,
            open: AtomicUsize::new(0),
            sent: watch::Sender::default(),
            asked: watch::Sender::default(),
        });
        let app = Router::new().fallback(take).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            shared,
            lines: Mutex::new(taken),
        }
    }

    pub fn door(&self, door: Door) {
        self.shared.door.send_replace(door);
    }

    /// Answers `path` with something else from now on.
    pub fn rule(&self, path: &'static str, answer: Value) {
        let before = self.shared.rule.borrow().clone();
        self.shared.rule.send_replace(Arc::new(move |asked| {
            if asked.ends_with(path) {
                answer.clone()
            } else {
                before(asked)
            }
        }));
    }

    /// The next connection.
    pub async fn line(&self) -> Line {
        self.line_within(PATIENCE).await
    }

    pub async fn line_within(&self, patience: Duration) -> Line {
        let mut lines = self.lines.lock().await;
        tokio::time::timeout(patience, lines.recv())
            .await
            .expect("a connection in time")
            .unwrap()
    }

    /// Whether nobody connects for a while.
    pub async fn is_left_alone(&self) -> bool {
        let mut lines = self.lines.lock().await;
        let line = tokio::time::timeout(Duration::from_millis(300), lines.recv());
        line.await.is_err()
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    pub fn asked(&self, path: &str) -> usize {
        let asked = self.shared.asked.borrow();
        asked.iter().filter(|one| one.ends_with(path)).count()
    }

    /// Waits for so many messages of the bot, and gives all that came.
    pub async fn replies(&self, count: usize) -> Vec<Value> {
        let mut sent = self.shared.sent.subscribe();
        let enough = sent.wait_for(|sent| sent.len() >= count);
        let waited = tokio::time::timeout(PATIENCE, enough).await;
        waited
            .unwrap_or_else(|_| panic!("only {:?}", self.shared.sent.borrow()))
            .unwrap()
            .clone()
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    if head.headers.contains_key("upgrade") {
        let door = *shared.door.borrow();
        match door {
            Door::Open => {}
            Door::Silent => tokio::time::sleep(Duration::from_mins(10)).await,
            Door::Refused(code, headers) => {
                let mut response = StatusCode::from_u16(code).unwrap().into_response();
                for (name, value) in headers {
                    response.headers_mut().insert(*name, value.parse().unwrap());
                }
                return response;
            }
        }
        let asked = head.uri.to_string();
        let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &()).await;
        return upgrade
            .unwrap()
            .on_upgrade(move |socket| serve(shared, asked, socket));
    }
    let body = to_bytes(body, 1 << 20).await.unwrap();
    shared.asked.send_modify(|asked| asked.push(path.clone()));
    let answer = (shared.rule.borrow().clone())(&path);
    let is_message = path.ends_with("/messages") || path.ends_with("/chat.postMessage");
    if is_message && let Ok(message) = serde_json::from_slice(&body) {
        shared.sent.send_modify(|sent| sent.push(message));
    }
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

async fn serve(shared: Arc<Shared>, path: String, socket: WebSocket) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let (mut sink, mut stream) = socket.split();
    let (says, mut said) = mpsc::unbounded_channel();
    let (frames, hears) = mpsc::unbounded_channel();
    let line = Line { path, says, hears };
    let _ = shared.lines.send(line);
    loop {
        tokio::select! {
            message = said.recv() => match message {
                Some(message) => {
                    if sink.send(message).await.is_err() {
                        break;
                    }
                }
                // The test has dropped it: no farewell.
                None => break,
            },
            message = stream.next() => match message {
                Some(Ok(message)) => {
                    let _ = frames.send(message);
                }
                _ => break,
            },
        }
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

/// Slack, with Socket Mode.
pub async fn slack() -> Live {
    Live::start(|address, path| match path.rsplit('/').next() {
        Some("auth.test") => json!({ "ok": true, "user_id": "U0BOT" }),
        Some("apps.connections.open") => {
            json!({ "ok": true, "url": format!("ws://{address}/link?ticket=t") })
        }
        _ => json!({ "ok": true, "ts": "1.2" }),
    })
    .await
}

/// Discord, with its Gateway.
pub async fn discord() -> Live {
    Live::start(|address, path| match path {
        "/api/users/@me" => user("99"),
        "/api/gateway/bot" => json!({
            "url": format!("ws://{address}/gateway"),
            "session_start_limit": { "remaining": 100, "reset_after": 1_000 },
        }),
        "/api/oauth2/applications/@me" => json!({
            "id": "98",
            "name": "bot",
            "description": "",
            "icon": null,
            "bot_public": true,
            "bot_require_code_grant": false,
            "verify_key": "",
            "flags": 0,
            "owner": user("97"),
            "team": null,
        }),
        _ => message(1, "99", "sent"),
    })
    .await
}

/// Feishu, with long connections.
pub async fn feishu() -> Live {
    Live::start(|address, path| match path {
        "/open-apis/auth/v3/tenant_access_token/internal" => {
            json!({ "code": 0, "tenant_access_token": "t", "expire": 7_200 })
        }
        "/open-apis/bot/v3/info" => json!({ "code": 0, "bot": { "open_id": "ou_bot" } }),
        "/callback/ws/endpoint" => json!({
            "code": 0,
            "data": { "URL": format!("ws://{address}/ws?device_id=d&service_id=9") },
        }),
        _ => json!({ "code": 0, "data": { "message_id": "om_1" } }),
    })
    .await
}

pub fn slack_channel(live: &Live) -> Vec<ChannelConfig> {
    of(PlatformConfig::Slack {
        transport: ChannelTransport::LongConnection,
        api_url: Some(format!("http://{}/api", live.address)),
    })
}

pub fn discord_channel(live: &Live) -> Vec<ChannelConfig> {
    of(PlatformConfig::Discord {
        interactions_public_key: None,
        api_url: Some(format!("http://{}/api", live.address)),
    })
}

pub fn feishu_channel(live: &Live) -> Vec<ChannelConfig> {
    of(PlatformConfig::Feishu {
        app_id: "cli_1".to_owned(),
        transport: ChannelTransport::LongConnection,
        api_url: Some(format!("http://{}", live.address)),
    })
}

fn of(platform: PlatformConfig) -> Vec<ChannelConfig> {
    vec![ChannelConfig {
        name: "bot".to_owned(),
        platform,
    }]
}

/// A direct message, as Slack sends it.
pub fn envelope(id: u32, text: &str) -> Value {
    json!({
        "envelope_id": format!("e-{id}"),
        "type": "events_api",
        "accepts_response_payload": false,
        "payload": {
            "type": "event_callback",
            "event_id": format!("Ev{id}"),
            "event": {
                "type": "message",
                "channel": "D1",
                "channel_type": "im",
                "user": "U1",
                "text": text,
                "ts": format!("1700000000.{id:06}"),
            },
        },
    })
}

/// A direct message, as Discord sends it.
pub fn dispatch(sequence: u32, text: &str) -> Value {
    json!({
        "op": 0,
        "t": "MESSAGE_CREATE",
        "s": sequence,
        "d": message(1_000 + sequence, "7", text),
    })
}

fn message(id: u32, author: &str, text: &str) -> Value {
    json!({
        "id": id.to_string(),
        "channel_id": "5",
        "type": 0,
        "author": user(author),
        "content": text,
        "timestamp": "2026-11-30T00:00:00+00:00",
        "edited_timestamp": null,
        "tts": false,
        "mention_everyone": false,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "components": [],
        "pinned": false,
        "flags": 0,
    })
}

fn user(id: &str) -> Value {
    json!({ "id": id, "username": "ana", "global_name": null, "discriminator": "0", "avatar": null })
}

/// A session of Discord begins.
pub fn ready(line: &Line, platform: &Live) {
    let url = format!("ws://{}/resume", platform.address);
    line.says(&json!({
        "op": 0,
        "t": "READY",
        "s": 1,
        "d": {
            "v": 10,
            "session_id": "s-1",
            "resume_gateway_url": url,
            "user": user("99"),
            "guilds": [],
            "application": { "id": "98", "flags": 0 },
        },
    }));
}

/// A direct message, as Feishu sends it.
pub fn event(id: u32, text: &str) -> Envelope {
    let body = json!({
        "schema": "2.0",
        "header": { "event_id": format!("ev-{id}"), "event_type": "im.message.receive_v1" },
        "event": {
            "sender": { "sender_id": { "open_id": "ou_1" }, "sender_type": "user" },
            "message": {
                "message_id": format!("om_{id}"),
                "chat_id": "oc_1",
                "chat_type": "p2p",
                "message_type": "text",
                "content": json!({ "text": text }).to_string(),
                "create_time": "1700000000000",
            },
        },
    });
    Envelope {
        sequence: u64::from(id),
        service: 9,
        method: 1,
        payload: body.to_string().into_bytes(),
        ..Envelope::default()
    }
    .with("type", "event")
    .with("message_id", format!("f-{id}"))
    .with("trace_id", "t")
    .with("sum", "1")
    .with("seq", "0")
}
