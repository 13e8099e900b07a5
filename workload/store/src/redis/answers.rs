//! [`Answers`] in Redis, shared by all workers of a resource.

use std::time::Duration;

use async_trait::async_trait;
use tracing::debug;

use super::connection::Connection;
use crate::{Answers, millis};

/// Answers in Redis, each under a key of its own that expires.
pub struct RedisAnswers {
    connection: Connection,
    life: Duration,
}

impl RedisAnswers {
    /// Keeps each answer for so long.
    #[must_use]
    pub fn new(connection: Connection, life: Duration) -> Self {
        Self { connection, life }
    }
}

#[async_trait]
impl Answers for RedisAnswers {
    async fn get(&self, key: &str) -> Option<String> {
        let mut get = ::redis::cmd("GET");
        get.arg(self.connection.keys().answer(key));
        let patience = self.connection.options().timeouts.read;
        let found = self.connection.ask(&get, patience).await;
        found.unwrap_or_else(|error| {
            debug!("no cached answer: {error}");
            None
        })
    }

    async fn put(&self, key: &str, answer: &str) {
        let mut set = ::redis::cmd("SET");
        set.arg(self.connection.keys().answer(key)).arg(answer);
        set.arg("PX").arg(millis(self.life));
        let patience = self.connection.options().timeouts.read;
        if let Err(error) = self.connection.ask::<()>(&set, patience).await {
            debug!("an answer was not cached: {error}");
        }
    }
}
