//! An open loop: messages are due at times that nothing can put off, and a time is taken from when a message was due, not
//! from when it was sent. So a service that stands still is seen to (coordinated omission).

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use chatbot_e2e::bench::report::quantile;
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::now_us;
use crate::platform::Question;
use crate::sender::Sender;
use crate::stand_in::StandIn;

/// Without a further answer for so long, what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// When messages are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) seed: u64,
    /// Messages a second, on average.
    pub(super) rate: u32,
    pub(super) lasts: Duration,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages a second for {} s",
            self.rate,
            self.lasts.as_secs()
        )
    }
}

impl Pace {
    /// Times from the beginning, rising: people who know nothing of each other (a Poisson process).
    pub(super) fn due(&self) -> Vec<Duration> {
        let mut rng = Rng::with_seed(self.seed);
        let (end, mut at) = (self.lasts.as_secs_f64(), 0.0);
        let mut due = Vec::new();
        loop {
            at -= (1.0 - rng.f64()).ln() / f64::from(self.rate);
            if at >= end {
                return due;
            }
            due.push(Duration::from_secs_f64(at));
        }
    }
}

/// What became of messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub(super) sent: usize,
    /// Of these, without an answer.
    pub(super) lost: usize,
    /// From when it was due until its answer was at the platform, milliseconds; of each answered message.
    pub(super) times_ms: Vec<f64>,
}

impl Window {
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        quantile(&self.times_ms, share)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99] =
            [0.5, 0.9, 0.99].map(|share| self.quantile(share).unwrap_or(f64::NAN));
        write!(
            f,
            "{} messages, {} lost, p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1} ms",
            self.sent, self.lost
        )
    }
}

/// Sends each message when it is due, and returns when all are answered, or no more will be.
pub(super) async fn run(
    messages: Vec<(Duration, Question)>,
    sender: &Sender,
    stand_in: &StandIn,
) -> Window {
    let _earlier = stand_in.take();
    let (start, start_us) = (Instant::now(), now_us());
    let mut due_at = HashMap::new();
    let mut sending = JoinSet::new();
    for (due, question) in messages {
        let micros = i64::try_from(due.as_micros()).unwrap_or(i64::MAX);
        due_at.insert(question.number, start_us.saturating_add(micros));
        sleep_until(start + due).await;
        let sender = sender.clone();
        sending.spawn(async move { sender.deliver(&question).await });
        while sending.try_join_next().is_some() {}
    }
    let (mut answered, mut moved) = (0, Instant::now());
    while answered < due_at.len() && moved.elapsed() < PATIENCE {
        sleep(LOOK).await;
        if stand_in.answered() > answered {
            (answered, moved) = (stand_in.answered(), Instant::now());
        }
    }
    sending.shutdown().await;
    window(&due_at, stand_in)
}

fn window(due_at: &HashMap<u32, i64>, stand_in: &StandIn) -> Window {
    let mut first: HashMap<u32, i64> = HashMap::new();
    for attempt in stand_in.take().iter().filter(|one| one.is_visible()) {
        first.entry(attempt.message).or_insert(attempt.at);
    }
    let took = due_at.iter().filter_map(|(message, due)| {
        let micros = first.get(message)? - due;
        Some(micros as f64 / 1_000.0)
    });
    let times_ms: Vec<f64> = took.collect();
    Window {
        sent: due_at.len(),
        lost: due_at.len() - times_ms.len(),
        times_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_as_often_as_asked_and_at_no_fixed_distance() {
        let pace = Pace {
            seed: 1,
            rate: 500,
            lasts: Duration::from_secs(20),
        };
        let due = pace.due();
        assert!((9_700..10_300).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted());
        let gaps = due.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        // Of exponential gaps, 1 - 1/e are shorter than the mean.
        let short = gaps.filter(|gap| *gap < Duration::from_millis(2)).count();
        assert!((6_100..6_550).contains(&short), "{short}");
    }
}
