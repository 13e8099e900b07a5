//! For how long this operator may write: until the moment to which its lease was last renewed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of the clock that counts from the machine's start, also while this process or the machine is stopped, and
/// that nobody sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The present one.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        // This clock begins with 0.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanos))
    }

    /// A later one.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The time from an earlier one to this.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time for which this operator leads. All handles are on the same.
#[derive(Clone, Debug, Default)]
pub struct Term {
    /// The end, in milliseconds; before the first renewal it is over.
    end: Arc<AtomicU64>,
}

impl Term {
    /// One without end: for an operator that has no rival.
    #[must_use]
    pub fn endless() -> Self {
        Self {
            end: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// Lasts until then. Says whether it had been over, if only for a moment: writes were refused meanwhile.
    #[must_use]
    pub fn extend(&self, end: Moment) -> bool {
        let end = u64::try_from(end.0.as_millis()).unwrap_or(u64::MAX);
        let before = self.end.swap(end, Ordering::SeqCst);
        Moment::now().0.as_millis() >= u128::from(before)
    }

    /// Is over.
    pub fn end(&self) {
        self.end.store(0, Ordering::SeqCst);
    }

    /// Whether it lasts.
    #[must_use]
    pub fn lasts(&self) -> bool {
        Moment::now().0.as_millis() < u128::from(self.end.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_begins_with_a_renewal_and_ends_by_itself() {
        let term = Term::default();
        assert!(!term.lasts());
        let minute = Moment::now().after(Duration::from_mins(1));
        assert!(term.extend(minute));
        assert!(term.clone().lasts());
        assert!(!term.extend(Moment::now()));
        assert!(!term.lasts());
        assert!(term.extend(minute));
        term.end();
        assert!(!term.lasts());
        assert!(Term::endless().lasts());
    }
}
