//! How fast a channel may send: the platform's known limits, and the pauses that it asks for.
//!
//! Requests are spaced evenly, so that no window of the platform's is ever overrun. Whoever waits for the channel waits
//! in order; whoever waits for a chat holds up nobody else.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use chatbot_adapters::{Limits as PlatformLimits, Rate};
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::{Limits, locked};

/// Chats remembered before those that are free are forgotten.
const SWEEP_AT_LEAST: usize = 1_024;

pub(crate) struct Pace {
    limits: PlatformLimits,
    /// One at a time waits for the channel, the others in order behind it.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// Partitions of this gateway, and of all.
    share: (u32, u32),
    /// When the channel may send next, by its limit.
    channel: Instant,
    /// Until when it is to send nothing.
    paused: Instant,
    /// For pauses whose length the platform does not tell.
    backoff: Backoff,
    /// When a chat may be sent to next.
    chats: HashMap<String, Instant>,
    sweep_at: usize,
}

impl Pace {
    pub(crate) fn new(limits: PlatformLimits, bounds: &Limits) -> Self {
        Self {
            limits,
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                share: (1, 1),
                channel: Instant::now(),
                paused: Instant::now(),
                backoff: Backoff::new(bounds.retry_first, bounds.retry_cap),
                chats: HashMap::new(),
                sweep_at: SWEEP_AT_LEAST,
            }),
        }
    }

    /// The channel's limit is shared by partitions: a gateway uses as much of it as it has of them.
    pub(super) fn set_share(&self, owned: usize, of: u32) {
        let owned = u32::try_from(owned).unwrap_or(of).max(1);
        locked(&self.state).share = (owned, of.max(owned));
    }

    /// Waits until a chat may be sent to.
    pub(super) async fn chat(&self, chat: &str) {
        loop {
            let free = locked(&self.state).chats.get(chat).copied();
            match free {
                Some(free) if free > Instant::now() => sleep_until(free).await,
                _ => return,
            }
        }
    }

    /// Waits until the channel may send, in order of asking, and takes its turn and the chat's.
    pub(super) async fn turn(&self, chat: &str, is_group: bool) {
        let _turn = self.turn.lock().await;
        loop {
            let free = locked(&self.state).free();
            let now = Instant::now();
            if free <= now {
                self.take(chat, is_group, now);
                return;
            }
            sleep_until(free).await;
        }
    }

    fn take(&self, chat: &str, is_group: bool, now: Instant) {
        let mut state = locked(&self.state);
        if let Some(rate) = self.limits.channel {
            let (owned, of) = state.share;
            state.channel = now + spacing(rate) * of / owned;
        }
        let of_chat = self.limits.chat.map(spacing);
        let of_group = self.limits.group.filter(|_| is_group).map(spacing);
        if let Some(pause) = of_chat.max(of_group) {
            state.hold(chat, now + pause);
        }
    }

    /// Sends nothing to a chat for a while.
    pub(super) fn pause_chat(&self, chat: &str, pause: Duration) {
        locked(&self.state).hold(chat, Instant::now() + pause);
    }

    /// Sends nothing to anybody for a while: as long as the platform says, or else longer each time, and at least so
    /// long. Requests that failed together make one pause.
    pub(super) fn pause_channel(&self, told: Option<Duration>, least: Duration) {
        let now = Instant::now();
        let mut state = locked(&self.state);
        let pause = match told {
            Some(told) => told,
            None if state.paused > now => return,
            None => state.backoff.next(),
        };
        state.paused = state.paused.max(now + pause.max(least));
    }

    /// The platform took something.
    pub(super) fn went_well(&self) {
        locked(&self.state).backoff.reset();
    }
}

impl State {
    fn free(&self) -> Instant {
        self.channel.max(self.paused)
    }

    fn hold(&mut self, chat: &str, until: Instant) {
        if self.chats.len() >= self.sweep_at {
            let now = Instant::now();
            self.chats.retain(|_, free| *free > now);
            self.sweep_at = (self.chats.len() * 2).max(SWEEP_AT_LEAST);
        }
        let free = self.chats.entry(chat.to_owned()).or_insert(until);
        *free = until.max(*free);
    }
}

fn spacing(rate: Rate) -> Duration {
    rate.per / rate.messages.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests in 100 ms, into the channel and into a chat.
    fn pace(channel: u32, chat: u32) -> Pace {
        let rate = |messages| Rate {
            messages,
            per: Duration::from_millis(100),
        };
        let limits = PlatformLimits {
            channel: Some(rate(channel)),
            chat: Some(rate(chat)),
            ..PlatformLimits::default()
        };
        Pace::new(limits, &Limits::default())
    }

    async fn send(pace: &Pace, chat: &str) {
        pace.chat(chat).await;
        pace.turn(chat, false).await;
    }

    #[tokio::test]
    async fn requests_are_spaced_by_the_channel_s_limit_and_its_share() {
        let pace = pace(2, 1_000);
        pace.set_share(1, 3);
        let begun = Instant::now();
        for chat in ["a", "b", "c"] {
            send(&pace, chat).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[tokio::test]
    async fn a_chat_that_has_to_wait_holds_up_no_other() {
        let pace = pace(1_000, 1_000);
        pace.pause_chat("a", Duration::from_millis(400));
        let waits = send(&pace, "a");
        let goes_on = send(&pace, "b");
        let (waits, goes_on) = (std::pin::pin!(waits), std::pin::pin!(goes_on));
        let begun = Instant::now();
        let first = futures::future::select(waits, goes_on).await;
        let futures::future::Either::Right(((), waits)) = first else {
            panic!("the chat that was to wait went first");
        };
        waits.await;
        assert!(begun.elapsed() >= Duration::from_millis(400));
    }

    #[test]
    fn requests_that_failed_together_make_one_pause() {
        let bounds = Limits::default();
        let pace = Pace::new(PlatformLimits::default(), &bounds);
        for _ in 0..64 {
            pace.pause_channel(None, Duration::ZERO);
        }
        let free = locked(&pace.state).free();
        assert!(free.duration_since(Instant::now()) <= bounds.retry_first);
    }

    #[tokio::test]
    async fn after_a_pause_of_the_channel_requests_do_not_come_all_at_once() {
        let pace = pace(1, 1_000);
        pace.pause_channel(Some(Duration::from_millis(300)), Duration::ZERO);
        let begun = Instant::now();
        let all = ["a", "b", "c"].map(|chat| send(&pace, chat));
        futures::future::join_all(all).await;
        assert!(begun.elapsed() >= Duration::from_millis(500));
    }
}
