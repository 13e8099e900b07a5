//! The platform's half that delivers: what is not answered with 2xx is sent again, to another gateway if there is one,
//! until it is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;

use crate::now_us;
use crate::platform::{Platform, Question};
use crate::service::CHANNEL;

/// To connect, and for an answer.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(12);
/// Before a message is sent again, the first time; doubled from then on.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where gateways can be reached; it changes as they come and go.
#[derive(Clone, Default)]
pub struct Entrances(Arc<RwLock<Vec<SocketAddr>>>);

impl Entrances {
    /// From now on it is these.
    pub fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn pick(&self, turn: usize) -> Option<SocketAddr> {
        let addresses = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.len().max(1);
        addresses.get(turn % count).copied()
    }
}

/// Delivers messages; clones share everything.
#[derive(Clone)]
pub struct Sender {
    platform: Platform,
    /// Since when the platform numbers its messages, seconds since 1970.
    began: i64,
    entrances: Entrances,
    client: Client,
    turn: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What has become of deliveries so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Requests made.
    pub requests: u64,
    /// Of these, answered with something else than 2xx.
    pub refused: u64,
    /// Of these, not answered.
    pub failed: u64,
}

impl Sender {
    /// Delivers messages of a platform that began to number them at `began`, seconds since 1970.
    pub fn new(platform: Platform, began: i64, entrances: &Entrances) -> Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build()
            .context("failed to set up a client")?;
        Ok(Self {
            platform,
            began,
            entrances: entrances.clone(),
            client,
            turn: Arc::default(),
            counts: Arc::default(),
        })
    }

    /// What has become of deliveries so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let Counts {
            requests,
            refused,
            failed,
        } = self.counts.as_ref();
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            requests: load(requests),
            refused: load(refused),
            failed: load(failed),
        }
    }

    /// Returns when a gateway has acknowledged the message, however long that takes.
    pub async fn deliver(&self, question: &Question) {
        let mut pause = PAUSE;
        while !self.try_once(question).await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_once(&self, question: &Question) -> bool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let Some(address) = self.entrances.pick(turn) else {
            return false;
        };
        let delivery = self
            .platform
            .delivery(question, self.began, now_us() / 1_000_000);
        let url = format!("http://{address}/channels/{CHANNEL}");
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/json");
        for (name, value) in &delivery.headers {
            request = request.header(*name, value);
        }
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let counts = &self.counts;
        match request.body(delivery.body).send().await {
            Ok(response) if response.status().is_success() => true,
            Ok(_) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
            Err(_) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}
