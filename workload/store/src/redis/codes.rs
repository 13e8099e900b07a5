//! [`Codes`] in Redis. By the server's clock: whoever takes a code asks another process than the one that made it.

use async_trait::async_trait;
use chatbot_message::Account;
use uuid::Uuid;

use super::connection::Connection;
use super::script;
use crate::codes::{ATTEMPTS, CODE_KNOWN, CODE_LIFE};
use crate::{Codes, Taken, Unavailable, millis};

/// Codes and attempts in Redis.
pub struct RedisCodes(Connection);

impl RedisCodes {
    /// On a connection that others use, too.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self(connection)
    }
}

#[async_trait]
impl Codes for RedisCodes {
    async fn offer(&self, code: &str, account: &Account) -> Result<(), Unavailable> {
        let keys = [self.0.keys().code(code)];
        let account = serde_json::to_string(account).unwrap_or_default();
        let arguments = [
            millis(CODE_LIFE).to_string(),
            millis(CODE_KNOWN).to_string(),
            account,
        ];
        let patience = self.0.options().timeouts.write;
        self.0
            .run(&script::OFFER, &keys, &arguments, patience)
            .await
    }

    async fn take(
        &self,
        code: &str,
        account: &Account,
        message: Uuid,
    ) -> Result<Taken, Unavailable> {
        let keys = [self.0.keys().code(code)];
        let account = serde_json::to_string(account).unwrap_or_default();
        let arguments = [message.to_string(), account];
        let patience = self.0.options().timeouts.write;
        let (fate, account): (String, String) = self
            .0
            .run(&script::TAKE, &keys, &arguments, patience)
            .await?;
        Ok(match fate.as_str() {
            "used" => Taken::Used,
            "expired" => Taken::Expired,
            "own" => Taken::Own,
            // An account that this release does not understand is nobody's.
            _ => serde_json::from_str(&account).map_or(Taken::Unknown, Taken::For),
        })
    }

    async fn attempt(
        &self,
        partition: u32,
        account: &Account,
        message: Uuid,
    ) -> Result<bool, Unavailable> {
        let keys = [self.0.keys().attempts(partition, account)];
        let arguments = [
            message.to_string(),
            ATTEMPTS.to_string(),
            millis(CODE_LIFE).to_string(),
        ];
        let patience = self.0.options().timeouts.write;
        self.0
            .run(&script::ATTEMPT, &keys, &arguments, patience)
            .await
    }
}
