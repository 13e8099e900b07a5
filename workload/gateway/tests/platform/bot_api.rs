//! A stand-in for Telegram's Bot API, as far as asking for updates goes: they are kept until an offset confirms them, one
//! asks at a time, and none while a webhook is set.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::hub::PATIENCE;

/// What a fault makes of a question for updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// No answer, for longer than anybody waits.
    Silent,
    /// What is no JSON.
    Garbage,
    /// More than is read.
    Oversized,
    /// The token is not known.
    Unauthorized,
}

#[derive(Default)]
struct Kept {
    next: i64,
    updates: Vec<(i64, Value)>,
    /// Of the question that is asked now.
    asking: u64,
    webhook: Option<String>,
    offsets: Vec<Option<i64>>,
    sent: Vec<String>,
    conflicts: usize,
}

pub struct BotApi {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    kept: Mutex<Kept>,
    /// Something has changed.
    changed: watch::Sender<u64>,
    fault: watch::Sender<Fault>,
}

impl BotApi {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            kept: Mutex::new(Kept {
                next: 100,
                ..Kept::default()
            }),
            changed: watch::Sender::default(),
            fault: watch::Sender::new(Fault::None),
        });
        let app = Router::new()
            .route("/{bot}/{method}", axum::routing::any(answer))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn fault(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
        self.shared.touch();
    }

    /// A user writes.
    pub fn write(&self, user: i64, text: &str) {
        self.shared.change(|kept| {
            let id = kept.next;
            kept.next += 1;
            let message = json!({
                "message_id": id,
                "date": 1,
                "chat": { "id": user, "type": "private" },
                "from": { "id": user, "is_bot": false, "first_name": "Ana" },
                "text": text,
            });
            kept.updates
                .push((id, json!({ "update_id": id, "message": message })));
        });
    }

    pub fn set_webhook(&self, url: &str) {
        self.shared
            .change(|kept| kept.webhook = Some(url.to_owned()));
    }

    /// Another program asks once.
    pub fn rival(&self) {
        self.shared.change(|kept| kept.asking += 1);
    }

    pub fn has_webhook(&self) -> bool {
        self.shared.kept.lock().unwrap().webhook.is_some()
    }

    /// The offsets of all questions for updates.
    pub fn offsets(&self) -> Vec<Option<i64>> {
        self.shared.kept.lock().unwrap().offsets.clone()
    }

    pub fn conflicts(&self) -> usize {
        self.shared.kept.lock().unwrap().conflicts
    }

    /// Updates that are not confirmed.
    pub fn unconfirmed(&self) -> usize {
        self.shared.kept.lock().unwrap().updates.len()
    }

    /// Waits for so many replies, and gives all that came.
    pub async fn replies(&self, count: usize) -> Vec<String> {
        let mut changed = self.shared.changed.subscribe();
        let sent = || self.shared.kept.lock().unwrap().sent.clone();
        let waiting = async {
            while sent().len() < count {
                changed.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("only {:?}", sent()));
        sent()
    }
}

impl Kept {
    /// What the question `mine` is answered now, if it is.
    fn updates_for(&mut self, mine: u64) -> Option<Response> {
        if self.webhook.is_some() {
            let description = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete \
                               the webhook first";
            return Some(told(409, description));
        }
        if self.asking != mine {
            self.conflicts += 1;
            let description = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is \
                               running";
            return Some(told(409, description));
        }
        let updates: Vec<Value> = self
            .updates
            .iter()
            .map(|(_, update)| update.clone())
            .collect();
        (!updates.is_empty()).then(|| result(&updates.into()))
    }
}

impl Shared {
    fn change_silently<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(&mut self.kept.lock().unwrap())
    }

    fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let changed = change(&mut self.kept.lock().unwrap());
        self.touch();
        changed
    }
}

fn told(code: u16, description: &str) -> Response {
    let body = json!({ "ok": false, "error_code": code, "description": description });
    (StatusCode::from_u16(code).unwrap(), body.to_string()).into_response()
}

fn result(result: &Value) -> Response {
    json!({ "ok": true, "result": result })
        .to_string()
        .into_response()
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((bot, method)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    if !bot.starts_with("bot77:") {
        return told(401, "Unauthorized");
    }
    // Clients write JSON, or a form.
    let body: Value = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let fields = url::form_urlencoded::parse(&body);
        fields
            .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
            .collect()
    });
    match method.as_str() {
        "getMe" => {
            result(&json!({ "id": 77, "is_bot": true, "first_name": "Bot", "username": "bot" }))
        }
        "getUpdates" => updates(&shared, &body).await,
        "deleteWebhook" => {
            shared.change(|kept| kept.webhook = None);
            result(&true.into())
        }
        "sendMessage" => {
            let text = body["text"].as_str().unwrap().to_owned();
            shared.change(|kept| kept.sent.push(text));
            let chat = json!({ "id": number(&body, "chat_id"), "type": "private" });
            result(&json!({ "message_id": 9, "date": 1, "chat": chat, "text": "sent" }))
        }
        _ => result(&true.into()),
    }
}

fn number(body: &Value, name: &str) -> Option<i64> {
    let value = &body[name];
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

async fn updates(shared: &Shared, body: &Value) -> Response {
    let offset = number(body, "offset");
    let mine = shared.change(|kept| {
        kept.offsets.push(offset);
        kept.asking += 1;
        kept.updates
            .retain(|(id, _)| offset.is_none_or(|offset| *id >= offset));
        kept.asking
    });
    let mut changed = shared.changed.subscribe();
    let waiting = async {
        loop {
            changed.borrow_and_update();
            let fault = *shared.fault.borrow();
            match fault {
                Fault::None | Fault::Silent => {}
                Fault::Garbage => return "<html>".into_response(),
                Fault::Oversized => return vec![b' '; 9 << 20].into_response(),
                Fault::Unauthorized => return told(401, "Unauthorized"),
            }
            if let Some(response) = shared.change_silently(|kept| kept.updates_for(mine)) {
                return response;
            }
            if changed.changed().await.is_err() {
                return told(500, "Internal Server Error");
            }
        }
    };
    let patience = Duration::from_secs(number(body, "timeout").map_or(0, i64::unsigned_abs));
    let patience = patience.max(Duration::from_millis(20));
    let waited = tokio::time::timeout(patience, waiting).await;
    if *shared.fault.borrow() == Fault::Silent {
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    waited.unwrap_or_else(|_| result(&json!([])))
}
