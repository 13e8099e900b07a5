//! A gateway with channels of platforms, and requests to it.

use std::net::SocketAddr;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chatbot_crds::config::{ChannelConfig, ChannelTransport, GatewayConfig, PlatformConfig};
use chatbot_gateway::Limits;
use chatbot_queue::dead_letter::{self, DeadLetter};
use chatbot_queue::journal::{Checkpoint, Entry, Reader};
use chatbot_queue::memory::MemoryLog;
use chatbot_queue::{Log, Topic};
use ring::hmac;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hub::{self, Backing, Hub, PATIENCE};

pub const KEY: &str = "a signing key of at least 24 bytes";

/// Everything that outlives a gateway.
pub struct Site {
    pub backing: Backing,
    pub memory: Arc<MemoryLog>,
    pub secrets: TempDir,
}

impl Site {
    pub fn new() -> Self {
        Self::on(MemoryLog::new(3))
    }

    pub fn on(log: MemoryLog) -> Self {
        let memory = Arc::new(log);
        Self::behind(memory.clone(), memory)
    }

    /// The logs in memory behind whatever stands before them.
    pub fn behind(log: Arc<dyn Log>, memory: Arc<MemoryLog>) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let mut backing = Backing::on(log);
        secrets.path().clone_into(&mut backing.secrets);
        Self {
            backing,
            memory,
            secrets,
        }
    }

    /// Writes a key of a channel's Secret.
    pub fn secret(&self, channel: &str, key: &str, value: &str) {
        let folder = self.secrets.path().join(channel);
        std::fs::create_dir_all(&folder).unwrap();
        // As a whole or not at all, as Kubernetes replaces it.
        let written = folder.join("..new");
        std::fs::write(&written, value).unwrap();
        std::fs::rename(&written, folder.join(key)).unwrap();
    }

    /// The same logs, and no Secrets.
    pub fn without_secrets(&self) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let mut backing = self.backing.clone();
        secrets.path().clone_into(&mut backing.secrets);
        Self {
            backing,
            memory: self.memory.clone(),
            secrets,
        }
    }

    pub async fn hub(&self, channels: Vec<ChannelConfig>) -> Hub {
        self.hub_with(channels, limits()).await
    }

    pub async fn hub_with(&self, channels: Vec<ChannelConfig>, limits: Limits) -> Hub {
        Hub::with(config(channels), limits, &self.backing).await
    }

    /// Records in `inbound`.
    pub async fn enqueued(&self) -> u64 {
        let log = self.backing.log.as_ref();
        let mut records = 0;
        for partition in 0..log.partitions() {
            records += log.end(Topic::Inbound, partition).await.unwrap();
        }
        records
    }

    /// Marks in the journal, of every partition.
    pub async fn marks(&self) -> Vec<chatbot_queue::journal::Delivery> {
        let log = self.backing.log.as_ref();
        let mut marks = Vec::new();
        for partition in 0..log.partitions() {
            let end = log.end(Topic::Response, partition).await.unwrap();
            let mut reader = Reader::new(log, partition, Checkpoint::default());
            while reader.checkpoint().position < end {
                if let Some(Entry::Delivered { delivery, .. }) = reader.next().await.unwrap().entry
                {
                    marks.push(delivery);
                }
            }
        }
        marks
    }

    pub async fn marked(&self, count: usize) {
        eventually("marks in the journal", async || {
            self.marks().await.len() >= count
        })
        .await;
    }

    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let log = self.backing.log.as_ref();
        let mut letters = Vec::new();
        for partition in 0..log.partitions() {
            letters.extend(dead_letter::read(log, partition).await.unwrap());
        }
        letters
    }
}

pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("still no {what}"));
}

pub fn config(channels: Vec<ChannelConfig>) -> GatewayConfig {
    GatewayConfig {
        channels,
        ..hub::config()
    }
}

/// Short pauses, and every hindrance told at once.
pub fn limits() -> Limits {
    Limits {
        secrets: Duration::from_millis(20),
        send: Duration::from_millis(500),
        commit: Duration::from_millis(50),
        retry_first: Duration::from_millis(20),
        retry_cap: Duration::from_millis(100),
        credentials: Duration::from_millis(100),
        tell: Duration::ZERO,
        ..hub::limits()
    }
}

pub fn webhook(name: &str, reply_url: String) -> ChannelConfig {
    ChannelConfig {
        name: name.to_owned(),
        platform: PlatformConfig::Webhook { reply_url },
    }
}

pub fn telegram(name: &str, api_url: String) -> ChannelConfig {
    ChannelConfig {
        name: name.to_owned(),
        platform: PlatformConfig::Telegram {
            transport: ChannelTransport::Webhook,
            api_url: Some(api_url),
        },
    }
}

pub fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub fn signature(key: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    let tag = hmac::sign(&key, &signed);
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

/// The head of a signed request, without its length.
pub fn head_of(channel: &str, key: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    format!(
        "POST /channels/{channel} HTTP/1.1\r\nhost: x\r\nwebhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\n\
         webhook-signature: {}\r\n",
        signature(key, id, timestamp, body)
    )
}

/// Sends bytes and gives all that comes back.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The gateway may answer, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    read(&mut stream).await
}

pub async fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

pub async fn post(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut request = format!(
        "{head}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    exchange(address, &request).await
}

/// A question by the signed webhook; gives the status.
pub async fn ask(hub: &Hub, channel: &str, id: &str, user: &str, text: &str) -> u16 {
    let body = serde_json::json!({ "user": user, "text": text }).to_string();
    let head = head_of(channel, KEY, id, seconds(), body.as_bytes());
    code(&post(hub.address, &head, body.as_bytes()).await)
}

pub fn code(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).unwrap_or_default();
    code.parse()
        .unwrap_or_else(|_| panic!("no answer: {answer:?}"))
}

/// A webhook channel's hub whose channel runs.
pub async fn running(site: &Site, channels: Vec<ChannelConfig>) -> Hub {
    let hub = site.hub(channels).await;
    hub.reports(|state| {
        state
            .channels
            .iter()
            .all(|channel| channel.ready == Some(true))
    })
    .await;
    hub
}

pub fn metric(hub: &Hub, line: &str) -> u64 {
    let text = hub.telemetry.metrics().unwrap();
    text.lines()
        .find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
        .unwrap_or_default()
}
