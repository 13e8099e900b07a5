//! Codes by which a user shows that two accounts are theirs: short-lived, and taken once.
//!
//! No truth: a code that is lost is asked for again, and who was linked by one stands in the logs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chatbot_message::Account;
use uuid::Uuid;

use crate::{Clock, Unavailable, millis, now_ms};

/// How long a code can be taken.
pub const CODE_LIFE: Duration = Duration::from_mins(10);
/// How long it is known afterwards, so that whoever comes late is told so.
pub(crate) const CODE_KNOWN: Duration = Duration::from_hours(1);
/// Codes that an account may send within [`CODE_LIFE`].
pub const ATTEMPTS: usize = 5;

/// What has become of a code that somebody sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was made for this account, and is this message's now.
    For(Account),
    /// Nobody was given it, or it has been forgotten.
    Unknown,
    /// Its time is over.
    Expired,
    /// Another message has taken it.
    Used,
    /// It was made for the account that sends it, and stays as it is.
    Own,
}

/// Codes and attempts.
#[async_trait]
pub trait Codes: Send + Sync {
    /// Keeps a code for an account.
    async fn offer(&self, code: &str, account: &Account) -> Result<(), Unavailable>;
    /// Takes a code for a message of an account; the same message may take it again.
    async fn take(
        &self,
        code: &str,
        account: &Account,
        message: Uuid,
    ) -> Result<Taken, Unavailable>;
    /// Counts an attempt of an account, each message once; false when there were too many.
    async fn attempt(
        &self,
        partition: u32,
        account: &Account,
        message: Uuid,
    ) -> Result<bool, Unavailable>;
}

/// In the memory of this process.
pub struct MemoryCodes {
    now: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    codes: HashMap<String, Offered>,
    attempts: HashMap<Account, Attempts>,
}

struct Offered {
    account: Account,
    until: i64,
    by: Option<Uuid>,
}

struct Attempts {
    until: i64,
    messages: HashSet<Uuid>,
}

impl Default for MemoryCodes {
    fn default() -> Self {
        Self::with_clock(now_ms)
    }
}

impl MemoryCodes {
    /// Takes the time, in milliseconds since the epoch, from `now`.
    #[must_use]
    pub fn with_clock(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            state: Mutex::default(),
        }
    }

    /// What is over is forgotten at each look: there is never much.
    fn state(&self, now: i64) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = millis(CODE_KNOWN);
        state
            .codes
            .retain(|_, offered| now <= offered.until.saturating_add(known));
        state.attempts.retain(|_, attempts| now <= attempts.until);
        state
    }
}

#[async_trait]
impl Codes for MemoryCodes {
    async fn offer(&self, code: &str, account: &Account) -> Result<(), Unavailable> {
        let now = (self.now)();
        let offered = Offered {
            account: account.clone(),
            until: now + millis(CODE_LIFE),
            by: None,
        };
        self.state(now).codes.insert(code.to_owned(), offered);
        Ok(())
    }

    async fn take(
        &self,
        code: &str,
        account: &Account,
        message: Uuid,
    ) -> Result<Taken, Unavailable> {
        let now = (self.now)();
        let mut state = self.state(now);
        let Some(offered) = state.codes.get_mut(code) else {
            return Ok(Taken::Unknown);
        };
        Ok(match offered.by {
            Some(by) if by == message => Taken::For(offered.account.clone()),
            Some(_) => Taken::Used,
            None if now > offered.until => Taken::Expired,
            None if offered.account == *account => Taken::Own,
            None => {
                offered.by = Some(message);
                Taken::For(offered.account.clone())
            }
        })
    }

    async fn attempt(
        &self,
        _partition: u32,
        account: &Account,
        message: Uuid,
    ) -> Result<bool, Unavailable> {
        let now = (self.now)();
        let mut state = self.state(now);
        let attempts = state
            .attempts
            .entry(account.clone())
            .or_insert_with(|| Attempts {
                until: now + millis(CODE_LIFE),
                messages: HashSet::new(),
            });
        if attempts.messages.len() < ATTEMPTS {
            attempts.messages.insert(message);
        }
        Ok(attempts.messages.contains(&message))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::contract;

    #[tokio::test]
    async fn the_contract_of_codes_holds_in_memory() {
        contract::check_codes(&MemoryCodes::default()).await;
    }

    #[tokio::test]
    async fn a_code_ends_after_ten_minutes_and_attempts_are_counted_anew() {
        let clock = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&clock);
        let codes = MemoryCodes::with_clock(move || told.load(Ordering::SeqCst));
        let account = contract::account("u");
        let message = Uuid::from_u128;
        codes.offer("A", &account).await.unwrap();
        for number in 0..6 {
            let within = codes.attempt(0, &account, message(number)).await.unwrap();
            assert_eq!(within, number < 5);
        }
        clock.store(millis(CODE_LIFE) + 1, Ordering::SeqCst);
        let other = contract::account("other");
        assert_eq!(
            codes.take("A", &other, message(1)).await,
            Ok(Taken::Expired)
        );
        assert_eq!(codes.attempt(0, &account, message(9)).await, Ok(true));
        clock.store(millis(CODE_LIFE) + millis(CODE_KNOWN) + 1, Ordering::SeqCst);
        assert_eq!(
            codes.take("A", &other, message(1)).await,
            Ok(Taken::Unknown)
        );
    }
}
