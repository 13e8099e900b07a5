//! For how long a member may act on what its group suggests, on a clock that goes on while this process, or the whole
//! machine, is stopped.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment of the clock that counts from the machine's start, also while this process or the machine is stopped, and
/// that nobody sets. The default is that start: long past.
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

    /// The time from an earlier one to this; none when that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A member's right to what is suggested to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The session time-out after the last commit that succeeded was begun; long past for one that never committed.
    pub until: Moment,
    /// Another one whenever the group has given this member up in between, even if it suggests the same again: whoever
    /// acted under an earlier term must look again at what others did meanwhile.
    pub term: u64,
}

impl Lease {
    /// Whether it lasts for this long from now.
    #[must_use]
    pub fn lasts(&self, margin: Duration) -> bool {
        Moment::now().after(margin) < self.until
    }
}
