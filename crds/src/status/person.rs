//! When a person is needed, told by the reason of the part that does not work.

use super::{ConditionType, Reason};

/// Seconds in which a program that stops may find what it lacks.
const CRASHES: u32 = 120;
/// Seconds in which nodes may be added and pods find their place: as long as a Deployment waits for progress.
const WAITING: u32 = 600;

impl Reason {
    /// Seconds after which a part that does not work for this reason needs a person; none when time mends it, or when
    /// another condition says what it needs. At once when nothing but another spec or another object can help.
    #[must_use]
    pub const fn needs_person_after(self) -> Option<u32> {
        match self {
            Self::SourceNotFound
            | Self::SourceUnreadable
            | Self::SourceTruncated
            | Self::SourceDamaged
            | Self::UnsupportedFormat
            | Self::LimitExceeded
            | Self::DoesNotFit
            | Self::StoreUnbound
            | Self::SystemPromptMissing
            | Self::ReferenceMissing
            | Self::TLSSecretMissing
            | Self::TLSSecretInvalid
            | Self::PodsForbidden
            | Self::ObjectInvalid
            | Self::DeploymentPaused
            | Self::SecretMissing
            | Self::SecretKeyMissing
            | Self::CredentialsRejected
            | Self::TLSFailed
            | Self::TopicForbidden
            | Self::TopicUnusable
            | Self::TooFewBrokers
            | Self::ImagePullFailed => Some(0),
            Self::CrashLooping => Some(CRASHES),
            Self::Unschedulable
            | Self::Evicted
            | Self::SystemPromptRefused
            | Self::EngineRefused
            | Self::InsufficientReplicas
            | Self::RouteNotAccepted
            | Self::BrokerUnreachable
            | Self::StoreUnreachable
            | Self::StoreRefusesWrites
            | Self::PlatformUnavailable
            | Self::Disconnected => Some(WAITING),
            _ => None,
        }
    }

    /// Every reason for which a part may need a person.
    pub(super) fn of_persons() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|reason| reason.needs_person_after().is_some())
    }
}

impl ConditionType {
    /// Whether a person is needed when it is false for long enough.
    #[must_use]
    pub const fn needs_persons(self) -> bool {
        matches!(
            self,
            Self::AdaptersReady
                | Self::ChannelsReady
                | Self::WorkersReady
                | Self::MessagingReady
                | Self::StateReady
                | Self::ModelReady
                | Self::InferenceReady
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_who_is_needed_is_told_what_to_do() {
        for reason in Reason::of_persons() {
            assert!(!reason.remedy().is_empty(), "{reason}");
            let used = ConditionType::ALL.iter().any(|condition| {
                condition.needs_persons() && condition.reasons().contains(&reason)
            });
            assert!(used, "{reason} is the reason of no part");
        }
    }
}
