//! What can go wrong in a pass, and when the next one is worth while.

use std::time::Duration;

use crate::gate::Shut;

/// A pass that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that a decision depends on could not be read.
    #[error("failed to observe {what}")]
    Observe {
        /// What.
        what: String,
        /// Why.
        source: kube::Error,
    },
    /// An object changed while the pass went on, or belongs to a pass of somebody else: look again.
    #[error("{object} changed since it was looked at")]
    Outdated {
        /// Which.
        object: String,
    },
    /// An object of a resource that had the same name is still there, and is about to go.
    #[error("{object} is of the resource that had this name before, and is not deleted yet")]
    Predecessor {
        /// Which.
        object: String,
    },
    /// An object could not be written.
    #[error("failed to apply {object}")]
    Apply {
        /// Which.
        object: String,
        /// Why.
        source: kube::Error,
    },
    /// The status could not be written.
    #[error("failed to report the status")]
    Report {
        /// Why.
        source: kube::Error,
    },
    /// It was not written: this operator does not lead, or ends.
    #[error("did not write {object}")]
    Shut {
        /// Which.
        object: String,
        /// Why.
        source: Shut,
    },
    /// The namespace is being deleted: what is in it goes, and nothing more is made there.
    #[error("{object} is in a namespace that is being deleted")]
    Leaving {
        /// Which.
        object: String,
    },
    /// What was to be written is no JSON object.
    #[error("failed to serialise {object}")]
    Serialise {
        /// Which.
        object: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The caches will never be filled: the operator is ending.
    #[error("failed to wait for the caches: the watches have ended")]
    Ending,
}

/// The shortest time to the next try.
const SHORTEST: Duration = Duration::from_millis(250);
/// The longest time to the next try: nothing may be stale for more than a minute.
const LONGEST: Duration = Duration::from_secs(45);
/// The longest time to the next try when the server asks for it.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

impl Error {
    /// When to try again after the given number of failures in a row. What has merely changed is looked at again at
    /// once; what the server asks to wait for is waited for; everything else waits twice as long each time.
    #[must_use]
    pub fn retry_after(&self, failures: u32) -> Duration {
        match self {
            Self::Outdated { .. } if failures <= 3 => SHORTEST,
            _ => self.asked_for().unwrap_or_default().max(pause(failures)),
        }
    }

    /// How long the API server is to be left alone, whatever happens meanwhile: as long as it asks for; and where a
    /// namespace is being deleted, each child that goes would otherwise be made anew, in vain.
    #[must_use]
    pub fn asked_for(&self) -> Option<Duration> {
        match self {
            Self::Observe { source, .. } | Self::Apply { source, .. } | Self::Report { source } => {
                asked_for(source).map(|asked| asked.min(LONGEST_ASKED))
            }
            Self::Leaving { .. } => Some(LONGEST),
            _ => None,
        }
    }

    /// Whether it makes the rest of a pass pointless, and says nothing that a person must know.
    #[must_use]
    pub const fn is_end_of_pass(&self) -> bool {
        matches!(
            self,
            Self::Outdated { .. } | Self::Shut { .. } | Self::Leaving { .. }
        )
    }

    /// A name for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "observe",
            Self::Outdated { .. } => "outdated",
            Self::Predecessor { .. } => "predecessor",
            Self::Leaving { .. } => "leaving",
            Self::Apply { .. } => "apply",
            Self::Report { .. } => "report",
            Self::Shut { .. } => "shut",
            Self::Serialise { .. } => "serialise",
            Self::Ending => "ending",
        }
    }
}

/// How long to wait after so many tries in a row that came to nothing: ever longer, up to a limit.
#[must_use]
pub fn pause(tries: u32) -> Duration {
    SHORTEST
        .saturating_mul(1 << tries.clamp(1, 16))
        .min(LONGEST)
}

fn asked_for(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// An error with everything that caused it, on one line.
#[must_use]
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            // Its own text repeats the whole answer as a structure.
            return format!("{text}: {}", status.message);
        }
        let detail = error.to_string();
        // Some libraries repeat their cause in their own words.
        if !text.contains(&detail) {
            text.push_str(": ");
            text.push_str(&detail);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(retry_after_seconds: u32) -> Error {
        let mut status = kube::core::Status::failure("busy", "TooManyRequests").with_code(429);
        status.details =
            serde_json::from_value(serde_json::json!({ "retryAfterSeconds": retry_after_seconds }))
                .unwrap();
        Error::Report {
            source: kube::Error::Api(Box::new(status)),
        }
    }

    #[test]
    fn each_failure_waits_longer_up_to_a_limit() {
        let waits: Vec<_> = (1..20)
            .map(|failures| refused(0).retry_after(failures))
            .collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(waits[0], Duration::from_millis(500));
        assert_eq!(waits.last(), Some(&LONGEST));
    }

    #[test]
    fn the_server_is_waited_for_as_long_as_it_asks() {
        assert_eq!(refused(7).retry_after(1), Duration::from_secs(7));
        assert_eq!(refused(3600).retry_after(1), LONGEST_ASKED);
    }

    #[test]
    fn an_error_is_told_with_the_server_s_words_and_nothing_else() {
        assert_eq!(in_full(&refused(0)), "failed to report the status: busy");
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_left_alone() {
        let leaving = Error::Leaving {
            object: "Service a".to_owned(),
        };
        assert_eq!(leaving.asked_for(), Some(LONGEST));
        assert_eq!(leaving.retry_after(1), LONGEST);
    }

    #[test]
    fn an_outdated_look_is_repeated_at_once() {
        let error = Error::Outdated {
            object: "Service a".to_owned(),
        };
        assert_eq!(error.retry_after(1), SHORTEST);
        assert!(error.retry_after(8) > SHORTEST);
    }
}
