//! How long to wait before trying again.

use std::time::Duration;

use uuid::Uuid;

/// Exponential, capped, with jitter, so that those who failed together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    next: Duration,
    cap: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            next: first,
            cap,
        }
    }

    /// Between half and the whole of a span that doubles each time.
    pub(crate) fn next(&mut self) -> Duration {
        let span = self.next;
        self.next = (span * 2).min(self.cap);
        let [high, low, ..] = Uuid::new_v4().into_bytes();
        let share = f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX);
        span.mul_f64(0.5 + share / 2.0)
    }

    /// It went well.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_anew_after_a_success() {
        let (first, cap) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, cap);
        for span in [100, 200, 400, 800, 1_000, 1_000].map(Duration::from_millis) {
            let pause = backoff.next();
            assert!(pause >= span / 2 && pause <= span, "{pause:?} of {span:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
