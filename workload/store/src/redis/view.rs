//! [`View`] and [`Routes`] in Redis.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{CommandCacheConfig, FromRedisValue};
use async_trait::async_trait;
use chatbot_message::Account;

use super::connection::Connection;
use super::near::Near;
use super::options::{Invalid, Options};
use super::script::Script;
use super::{record, script};
use crate::{
    Applied, Clock, Keep, Lookups, Route, Routes, SOCKET_LIFE, Session, Socket, Turn, Unavailable,
    Update, View, millis, now_ms,
};

/// Sessions and routes in Redis.
pub struct RedisView {
    connection: Connection,
    keep: Keep,
    now: Clock,
    near: Option<Near>,
}

/// Milliseconds that a session is kept beyond its end: readers judge the end themselves, a replay may not have brought
/// its latest turn yet, and clocks differ.
const GRACE: i64 = 600_000;

impl RedisView {
    /// Begins to connect; see [`Connection::open`]. Must be called within a tokio runtime.
    pub fn connect(options: Options, keep: Keep) -> Result<Self, Invalid> {
        Connection::open(options).map(|connection| Self::new(connection, keep))
    }

    /// On a connection that others may use, too.
    #[must_use]
    pub fn new(connection: Connection, keep: Keep) -> Self {
        Self::with_clock(connection, keep, now_ms)
    }

    /// Judges by `now`, in milliseconds since the epoch, whether what is read has expired.
    #[must_use]
    pub fn with_clock(
        connection: Connection,
        keep: Keep,
        now: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            connection,
            keep,
            now: Arc::new(now),
            near: None,
        }
    }

    /// Keeps sessions near, at most so many bytes of them; 0 keeps none.
    #[must_use]
    pub fn with_near(mut self, max_bytes: u64) -> Self {
        self.near = (max_bytes > 0).then(|| Near::new(max_bytes, self.keep.timeout));
        self
    }

    /// The connection, which tells how the store is doing.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs a script that writes routes. The server tells a writer of its own change after it has answered: only what is
    /// asked afterwards is sure to see it.
    async fn write_routes<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[String],
        patience: Duration,
    ) -> Result<T, Unavailable> {
        let written = self
            .connection
            .run(script, keys, arguments, patience)
            .await?;
        if let Some(key) = keys.first()
            && self.connection.options().near_routes > 0
        {
            let mut exists = ::redis::cmd("EXISTS");
            exists.arg(key);
            self.connection.ask::<i64>(&exists, patience).await?;
        }
        Ok(written)
    }

    /// How long routes are kept after one of a user's was written, milliseconds.
    fn routes_kept(&self) -> i64 {
        millis(self.keep.timeout).saturating_add(GRACE)
    }
}

/// What an update brings for one account.
#[derive(Default)]
struct News {
    turns: Vec<Turn>,
    routes: Vec<Route>,
}

/// By account, in the order in which they come first.
fn by_account(update: &mut Update) -> Vec<(Account, News)> {
    let mut places: HashMap<Account, usize> = HashMap::new();
    let mut all: Vec<(Account, News)> = Vec::new();
    let mut place = |account: Account, all: &mut Vec<(Account, News)>| {
        *places.entry(account).or_insert_with_key(|account| {
            all.push((account.clone(), News::default()));
            all.len() - 1
        })
    };
    for (account, turn) in std::mem::take(&mut update.turns) {
        let place = place(account, &mut all);
        all[place].1.turns.push(turn);
    }
    for (account, route) in std::mem::take(&mut update.routes) {
        let place = place(account, &mut all);
        all[place].1.routes.push(route);
    }
    all
}

#[async_trait]
impl View for RedisView {
    async fn position(&self, partition: u32) -> Result<(u64, String), Unavailable> {
        let mut get = ::redis::cmd("GET");
        get.arg(self.connection.keys().at(partition));
        let patience = self.connection.options().timeouts.read;
        let at: Option<String> = self.connection.ask(&get, patience).await?;
        Ok(at.map_or_else(Default::default, |at| record::position(&at)))
    }

    async fn apply(&self, partition: u32, mut update: Update) -> Result<Applied, Unavailable> {
        let names = self.connection.keys();
        let news = by_account(&mut update);
        let mut keys = vec![names.at(partition)];
        let mut arguments = vec![
            update.from.to_string(),
            update.to.to_string(),
            update.fold,
            self.keep.turns.to_string(),
            millis(self.keep.timeout).to_string(),
            GRACE.to_string(),
            millis(SOCKET_LIFE).to_string(),
        ];
        for (account, news) in &news {
            keys.push(names.session(partition, account));
            keys.push(names.routes(partition, account));
            arguments.push(news.turns.len().to_string());
            arguments.extend(news.turns.iter().map(record::turn_text));
            arguments.push(news.routes.len().to_string());
            for route in &news.routes {
                arguments.push(route.channel.clone());
                arguments.push(record::route_text(route));
            }
        }
        let patience = self.connection.options().timeouts.write;
        let elsewhere: Option<String> = self
            .write_routes(&script::APPLY, &keys, &arguments, patience)
            .await?;
        Ok(elsewhere.map_or(Applied::Done, |at| {
            let (position, fold) = record::position(&at);
            Applied::At { position, fold }
        }))
    }

    async fn session(&self, partition: u32, account: &Account) -> Result<Session, Unavailable> {
        let names = self.connection.keys();
        let keys = [names.at(partition), names.session(partition, account)];
        let place = (partition, account.clone());
        let held = match &self.near {
            Some(near) => near.get(&place).await,
            None => None,
        };
        let last = held.as_ref().and_then(|turns| turns.last());
        let last = last.map_or_else(String::new, |turn| turn.position.to_string());
        let patience = self.connection.options().timeouts.read;
        let (at, same, turns): (String, bool, Vec<String>) = self
            .connection
            .run(&script::SESSION, &keys, &[last], patience)
            .await?;
        let turns = match held.filter(|_| same) {
            Some(held) => held,
            None => Arc::new(turns.iter().filter_map(|turn| record::turn(turn)).collect()),
        };
        if let Some(near) = &self.near {
            near.count(same);
            if !same {
                near.put(place, &turns).await;
            }
        }
        let (at, _) = record::position(&at);
        let is_over = self.keep.has_expired(&turns, (self.now)());
        let turns = if is_over {
            Vec::new()
        } else {
            Arc::unwrap_or_clone(turns)
        };
        Ok(Session { at, turns })
    }

    fn near(&self) -> Lookups {
        self.near
            .as_ref()
            .map_or_else(Lookups::default, Near::lookups)
    }
}

#[async_trait]
impl Routes for RedisView {
    async fn routes(&self, partition: u32, account: &Account) -> Result<Vec<Route>, Unavailable> {
        let mut get = ::redis::cmd("HGETALL");
        get.arg(self.connection.keys().routes(partition, account));
        if self.connection.options().near_routes > 0 {
            get.set_cache_config(CommandCacheConfig::new());
        }
        let patience = self.connection.options().timeouts.read;
        let found: HashMap<String, String> = self.connection.ask(&get, patience).await?;
        let now = (self.now)();
        let alive = found.into_iter().filter_map(|(channel, text)| {
            let stored = record::stored(&text)?;
            stored.is_alive(now).then(|| stored.route(channel))
        });
        let mut routes: Vec<_> = alive.collect();
        routes.sort_by(|one, other| one.channel.cmp(&other.channel));
        Ok(routes)
    }

    async fn open(
        &self,
        partition: u32,
        account: &Account,
        socket: Socket<'_>,
    ) -> Result<u64, Unavailable> {
        let keys = [self.connection.keys().routes(partition, account)];
        let arguments = [
            socket.channel.to_owned(),
            socket.instance.to_owned(),
            socket.origin.to_owned(),
            self.routes_kept().to_string(),
        ];
        let patience = self.connection.options().timeouts.read;
        self.write_routes(&script::OPEN, &keys, &arguments, patience)
            .await
    }

    async fn announce(
        &self,
        partition: u32,
        account: &Account,
        socket: Socket<'_>,
        epoch: u64,
    ) -> Result<bool, Unavailable> {
        let keys = [self.connection.keys().routes(partition, account)];
        let arguments = [
            socket.channel.to_owned(),
            epoch.to_string(),
            socket.instance.to_owned(),
            socket.origin.to_owned(),
            self.routes_kept().to_string(),
        ];
        let patience = self.connection.options().timeouts.read;
        self.write_routes(&script::ANNOUNCE, &keys, &arguments, patience)
            .await
    }

    async fn close(
        &self,
        partition: u32,
        account: &Account,
        channel: &str,
        epoch: u64,
    ) -> Result<bool, Unavailable> {
        let keys = [self.connection.keys().routes(partition, account)];
        let arguments = [channel.to_owned(), epoch.to_string()];
        let patience = self.connection.options().timeouts.read;
        self.write_routes(&script::CLOSE, &keys, &arguments, patience)
            .await
    }
}
