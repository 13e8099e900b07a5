//! What becomes of requests: served, waiting, or lost.
//!
//! The model is a fluid queue: each ready instance answers `capacity` requests a second, what comes above that waits,
//! and what would wait longer than [`PATIENCE`] seconds is lost. Service times, batches and retries are left out: the
//! question is how much volume meets no capacity, not how long an answer takes.

/// How long a user waits, seconds.
pub const PATIENCE: f64 = 10.0;

/// Requests that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Queue {
    waiting: f64,
}

/// What became of the requests of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Served {
    /// Requests that arrived.
    pub arrived: f64,
    /// Requests that were answered.
    pub answered: f64,
    /// Requests that were lost.
    pub lost: f64,
    /// How busy the instances were, from 0 to 1; nothing where there was none.
    pub utilisation: Option<f64>,
}

impl Queue {
    /// Lets `seconds` pass with that load, requests a second, and that capacity, requests a second together.
    pub fn pass(&mut self, seconds: f64, load: f64, capacity: f64) -> Served {
        let arrived = load * seconds;
        let able = capacity * seconds;
        let there = self.waiting + arrived;
        let answered = there.min(able);
        let left = there - answered;
        self.waiting = left.min(capacity * PATIENCE);
        Served {
            arrived,
            answered,
            lost: left - self.waiting,
            utilisation: (able > 0.0).then(|| answered / able),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_too_long_is_lost_and_nothing_is_lost_twice() {
        let mut queue = Queue::default();
        let busy = queue.pass(10.0, 3.0, 2.0);
        assert_eq!((busy.answered, busy.lost), (20.0, 0.0));
        let over = queue.pass(10.0, 4.0, 2.0);
        assert_eq!((over.answered, over.lost), (20.0, 10.0));
        let idle = queue.pass(10.0, 0.0, 2.0);
        assert_eq!((idle.answered, idle.lost), (20.0, 0.0));
        let dead = queue.pass(10.0, 1.0, 0.0);
        assert_eq!(
            (dead.answered, dead.lost, dead.utilisation),
            (0.0, 10.0, None)
        );
    }
}
