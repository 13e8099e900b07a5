//! How many messages one user may send in a minute.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use chatbot_message::Account;

const MINUTE: Duration = Duration::from_mins(1);
/// Users remembered before those that have been quiet for a minute are forgotten.
const SWEEP_AT_LEAST: usize = 1_024;

/// The last minute of every user.
pub(crate) struct Rate {
    /// 0 is no limit.
    per_minute: usize,
    taken: HashMap<Account, VecDeque<Instant>>,
    sweep_at: usize,
}

impl Rate {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            per_minute: per_minute as usize,
            taken: HashMap::new(),
            sweep_at: SWEEP_AT_LEAST,
        }
    }

    /// Takes one message into account, or says how long its user must wait.
    pub(crate) fn take(&mut self, account: &Account, now: Instant) -> Result<(), Duration> {
        if self.per_minute == 0 {
            return Ok(());
        }
        self.sweep(now);
        let taken = self.taken.entry(account.clone()).or_default();
        while taken
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE)
        {
            taken.pop_front();
        }
        match taken.front() {
            Some(first) if taken.len() >= self.per_minute => {
                Err(MINUTE.saturating_sub(now.saturating_duration_since(*first)))
            }
            _ => {
                taken.push_back(now);
                Ok(())
            }
        }
    }

    /// Gives back what was taken last: the message did not reach the queue.
    pub(crate) fn give_back(&mut self, account: &Account) {
        if let Some(taken) = self.taken.get_mut(account) {
            taken.pop_back();
        }
    }

    fn sweep(&mut self, now: Instant) {
        if self.taken.len() < self.sweep_at {
            return;
        }
        self.taken.retain(|_, taken| {
            taken
                .back()
                .is_some_and(|at| now.saturating_duration_since(*at) < MINUTE)
        });
        self.sweep_at = (self.taken.len() * 2).max(SWEEP_AT_LEAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: usize) -> Account {
        Account {
            channel: "web".to_owned(),
            user: user.to_string(),
        }
    }

    #[test]
    fn the_answer_says_how_long_to_wait() {
        let start = Instant::now();
        let mut rate = Rate::new(2);
        assert_eq!(rate.take(&account(1), start), Ok(()));
        assert_eq!(
            rate.take(&account(1), start + Duration::from_secs(20)),
            Ok(())
        );
        assert_eq!(
            rate.take(&account(1), start + Duration::from_secs(30)),
            Err(Duration::from_secs(30))
        );
        assert_eq!(
            rate.take(&account(2), start + Duration::from_secs(30)),
            Ok(())
        );
        assert_eq!(rate.take(&account(1), start + MINUTE), Ok(()));
    }

    #[test]
    fn a_message_that_did_not_reach_the_queue_does_not_count() {
        let now = Instant::now();
        let mut rate = Rate::new(1);
        assert_eq!(rate.take(&account(1), now), Ok(()));
        rate.give_back(&account(1));
        assert_eq!(rate.take(&account(1), now), Ok(()));
    }

    #[test]
    fn zero_is_no_limit() {
        let now = Instant::now();
        let mut rate = Rate::new(0);
        for _ in 0..1_000 {
            assert_eq!(rate.take(&account(1), now), Ok(()));
        }
        assert!(rate.taken.is_empty());
    }

    #[test]
    fn quiet_users_are_forgotten() {
        let start = Instant::now();
        let mut rate = Rate::new(1);
        for user in 0..SWEEP_AT_LEAST {
            rate.take(&account(user), start).unwrap();
        }
        rate.take(&account(SWEEP_AT_LEAST), start + MINUTE).unwrap();
        assert_eq!(rate.taken.len(), 1);
    }
}
