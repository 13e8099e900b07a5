//! What it takes to find a user's route in the store, beside the least that Redis can be asked for the same.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chatbot_e2e::redis::Server;
use chatbot_message::Account;
use chatbot_store::redis::{Connection, Options, RedisView};
use chatbot_store::{Keep, Routes, Socket};
use tokio::time::{Instant, sleep_until};

use crate::service::{CHANNEL, PARTITIONS};

const PREFIX: &str = "routes.";
const USERS: u32 = 5_000;
/// Lookups a second: one for each message.
const RATE: u32 = 500;

/// Times of single lookups, milliseconds.
pub(super) struct Found {
    /// By ours, from the store.
    pub(super) ours: Vec<f64>,
    /// By ours, kept near.
    pub(super) near: Vec<f64>,
    /// By `HGET` on one connection.
    pub(super) hget: Vec<f64>,
}

/// Asks for routes of seldom repeated users, in turn in all three ways.
pub(super) async fn measure(store: &Server, quick: bool) -> Result<Found> {
    let far = view(store, 0)?;
    let near = view(store, USERS as usize)?;
    let client = redis::Client::open(format!("redis://{}/", store.address()))
        .context("failed to set up a bare client of the store")?;
    let mut bare = client
        .get_multiplexed_async_connection()
        .await
        .context("failed to connect to the store")?;
    for user in 0..USERS {
        let account = account(user);
        let socket = Socket {
            channel: CHANNEL,
            origin: "chat",
            instance: "127.0.0.1:8080",
        };
        far.open(account.partition(PARTITIONS), &account, socket)
            .await?;
        near.routes(account.partition(PARTITIONS), &account).await?;
    }
    let lookups = if quick { 2_000 } else { 20_000 };
    let mut found = Found {
        ours: Vec::new(),
        near: Vec::new(),
        hget: Vec::new(),
    };
    let start = Instant::now();
    for lookup in 0..lookups {
        sleep_until(start + Duration::from_secs(1) / RATE * lookup).await;
        let account = account(lookup.wrapping_mul(7_919) % USERS);
        let partition = account.partition(PARTITIONS);
        for (view, times) in [(&far, &mut found.ours), (&near, &mut found.near)] {
            let asked = Instant::now();
            let routes = view.routes(partition, &account).await?;
            times.push(asked.elapsed().as_secs_f64() * 1_000.0);
            ensure!(routes.len() == 1, "a route is missing");
        }
        let key = format!("{{{PREFIX}{partition}}}:r:{CHANNEL}:{}", account.user);
        let asked = Instant::now();
        let mut hget = redis::cmd("HGET");
        hget.arg(&key).arg(CHANNEL);
        let route: Option<String> = hget.query_async(&mut bare).await?;
        found.hget.push(asked.elapsed().as_secs_f64() * 1_000.0);
        ensure!(route.is_some(), "{key}: a route is missing");
    }
    Ok(found)
}

fn account(user: u32) -> Account {
    Account {
        channel: CHANNEL.to_owned(),
        user: format!("u-{user}"),
    }
}

fn view(store: &Server, near_routes: usize) -> Result<RedisView> {
    let options = Options {
        near_routes,
        ..Options::standalone(store.address(), PREFIX)
    };
    let keep = Keep {
        timeout: Duration::from_hours(1),
        turns: 10,
    };
    let connection = Connection::open(options).context("failed to set up the store's client")?;
    Ok(RedisView::new(connection, keep))
}
