//! How a channel is doing, for `/state`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use chatbot_crds::Reason;

use crate::locked;

/// Why nothing gets through to the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hindrance {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

/// How a channel is doing. Receiving comes first; a hindrance in sending is told when it lasts.
pub(crate) struct Standing {
    tell: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    receiving: (Option<bool>, Reason, String),
    hindered: Option<(Instant, Hindrance)>,
}

impl Standing {
    pub(super) fn new(tell: Duration) -> Self {
        let message = "it has not begun yet".to_owned();
        Self {
            tell,
            inner: Mutex::new(Inner {
                receiving: (None, Reason::Pending, message),
                hindered: None,
            }),
        }
    }

    /// It receives, and nothing is known against its sending: it has just begun.
    pub(crate) fn receives(&self, reason: Reason, message: impl Into<String>) {
        let mut inner = locked(&self.inner);
        inner.receiving = (Some(true), reason, message.into());
        inner.hindered = None;
    }

    /// It receives what this gateway asks for. What hinders its sending is told on: the one says nothing of the other.
    pub(crate) fn connected(&self, message: impl Into<String>) {
        locked(&self.inner).receiving = (Some(true), Reason::Connected, message.into());
    }

    /// Another gateway receives, and this one would take over.
    pub(crate) fn waits(&self, message: impl Into<String>) {
        locked(&self.inner).receiving = (None, Reason::Pending, message.into());
    }

    /// It does not receive.
    pub(crate) fn fails(&self, reason: Reason, message: impl Into<String>) {
        locked(&self.inner).receiving = (Some(false), reason, message.into());
    }

    /// Something could not be sent. Says whether that is news.
    pub(crate) fn hindered(&self, hindrance: Hindrance) -> bool {
        let mut inner = locked(&self.inner);
        let before = inner.hindered.take();
        let same = before
            .as_ref()
            .is_some_and(|(_, before)| before.reason == hindrance.reason);
        let since = before.map_or_else(Instant::now, |(since, _)| since);
        inner.hindered = Some((since, hindrance));
        !same
    }

    /// Nothing is known any more against its sending: something was sent, the platform has answered, or nothing waits.
    pub(crate) fn unhindered(&self) {
        locked(&self.inner).hindered = None;
    }

    pub(crate) fn tell(&self) -> (Option<bool>, Reason, String) {
        let inner = locked(&self.inner);
        match &inner.hindered {
            // Of a second's pause nobody needs to hear; rejected credentials do not mend themselves.
            Some((since, Hindrance { reason, message }))
                if inner.receiving.0 != Some(false)
                    && (*reason == Reason::CredentialsRejected || since.elapsed() >= self.tell) =>
            {
                (Some(false), *reason, message.clone())
            }
            _ => inner.receiving.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hindrance(reason: Reason) -> Hindrance {
        Hindrance {
            reason,
            message: "why".to_owned(),
        }
    }

    #[test]
    fn a_pause_is_told_when_it_lasts_and_rejected_credentials_at_once() {
        let patient = Standing::new(Duration::from_hours(1));
        patient.receives(Reason::Listening, "here");
        assert!(patient.hindered(hindrance(Reason::RateLimited)));
        assert!(!patient.hindered(hindrance(Reason::RateLimited)));
        assert_eq!(patient.tell().1, Reason::Listening);
        patient.hindered(hindrance(Reason::CredentialsRejected));
        assert_eq!(patient.tell().0, Some(false));
        patient.unhindered();
        assert_eq!(
            patient.tell(),
            (Some(true), Reason::Listening, "here".to_owned())
        );

        let strict = Standing::new(Duration::ZERO);
        strict.receives(Reason::Listening, "here");
        strict.hindered(hindrance(Reason::RateLimited));
        assert_eq!(strict.tell().1, Reason::RateLimited);
    }

    #[test]
    fn what_is_over_is_not_told_whoever_receives() {
        let standing = Standing::new(Duration::ZERO);
        standing.waits("another receives");
        standing.hindered(hindrance(Reason::CredentialsRejected));
        assert_eq!(standing.tell().0, Some(false));
        standing.unhindered();
        assert_eq!(standing.tell().0, None);
        // One that comes later is new, and told when it lasts.
        assert!(standing.hindered(hindrance(Reason::RateLimited)));
    }

    #[test]
    fn a_channel_that_does_not_receive_says_that_first() {
        let standing = Standing::new(Duration::ZERO);
        assert_eq!(standing.tell().0, None);
        standing.hindered(hindrance(Reason::RateLimited));
        // One that leaves receiving to another still sends, and so does one that goes on receiving.
        standing.connected("here");
        assert_eq!(standing.tell().1, Reason::RateLimited);
        standing.waits("another receives");
        assert_eq!(standing.tell().1, Reason::RateLimited);
        standing.fails(Reason::SecretMissing, "no Secret");
        assert_eq!(standing.tell().1, Reason::SecretMissing);
    }
}
