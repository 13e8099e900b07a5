//! How long to wait before asking again.

use std::fmt::Display;
use std::time::Duration;

use tracing::{debug, warn};
use uuid::Uuid;

use crate::Limits;

/// Exponential, capped, with jitter, so that those who failed together do not come back together.
pub(crate) struct Backoff {
    next: Duration,
    cap: Duration,
    tried: bool,
}

impl Backoff {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            next: limits.retry_first,
            cap: limits.retry_cap,
            tried: false,
        }
    }

    /// Tells of a failure, and how long to wait. In the log a warning comes once until something works again: every
    /// partition fails for as long as a broker or a store is away, and the status tells that meanwhile.
    pub(crate) fn failed(&mut self, partition: u32, failure: &dyn Display) -> Duration {
        if self.tried {
            debug!(partition, "{failure}, trying again");
        } else {
            warn!(partition, "{failure}, trying again");
        }
        self.next()
    }

    /// Between half and the whole of a span that doubles each time.
    pub(crate) fn next(&mut self) -> Duration {
        self.tried = true;
        let span = self.next;
        self.next = (span * 2).min(self.cap);
        let share = f64::from(u16::from_be_bytes(random())) / f64::from(u16::MAX);
        span.mul_f64(0.5 + share / 2.0)
    }
}

fn random() -> [u8; 2] {
    let bytes = Uuid::new_v4().into_bytes();
    [bytes[0], bytes[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let limits = Limits::default();
        let mut backoff = Backoff::new(&limits);
        let mut span = limits.retry_first;
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(wait >= span / 2 && wait <= span, "{wait:?} of {span:?}");
            span = (span * 2).min(limits.retry_cap);
        }
        assert_eq!(span, limits.retry_cap);
    }
}
