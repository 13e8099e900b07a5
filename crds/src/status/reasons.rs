//! Which reasons each condition can have.

use super::{ConditionType, Reason, Reason as R};

impl ConditionType {
    /// Its reasons, `Pending` included where it can be that.
    #[must_use]
    pub fn reasons(self) -> Vec<Reason> {
        let own = [self.of_the_whole(), self.of_a_part()].concat();
        own.iter()
            .chain(self.of_pods())
            .copied()
            .chain(
                Reason::of_persons()
                    .filter(|reason| self == Self::Stalled && !own.contains(reason)),
            )
            .chain((self != Self::Stalled).then_some(R::Pending))
            .collect()
    }

    /// The reasons of a condition of the whole.
    const fn of_the_whole(self) -> &'static [Reason] {
        match self {
            Self::Ready => &[
                R::AllReady,
                R::InvalidSpec,
                R::RollingOut,
                R::Stalled,
                R::Halted,
                R::Paused,
                R::Terminating,
                R::NotAvailable,
                R::AdaptersNotReady,
                R::ChannelsNotReady,
                R::WorkersNotReady,
                R::MessagingNotReady,
                R::StateNotReady,
                R::ModelNotReady,
                R::InferenceNotReady,
            ],
            Self::Available => &[
                R::Answering,
                R::AdapterHopFailed,
                R::QueueHopFailed,
                R::WorkerHopFailed,
                R::InferenceHopFailed,
                R::ReplyHopFailed,
                R::Halted,
                R::ProbeOverdue,
            ],
            Self::Accepted => &[R::Valid, R::InvalidSpec],
            Self::Reconciling => &[
                R::RollingOut,
                R::Halting,
                R::Terminating,
                R::Settled,
                R::Paused,
            ],
            Self::Stalled => &[
                R::InvalidSpec,
                R::ObjectNotOwned,
                R::Forbidden,
                R::AdmissionDenied,
                R::WebhookUnavailable,
                R::QuotaExceeded,
                R::ObjectInvalid,
                R::Contended,
                R::ProgressDeadlineExceeded,
                R::NotStalled,
            ],
            _ => &[],
        }
    }

    /// The reasons of a part's own.
    const fn of_a_part(self) -> &'static [Reason] {
        match self {
            Self::AdaptersReady => &[
                R::TLSSecretMissing,
                R::TLSSecretInvalid,
                R::RouteNotAccepted,
                R::Halted,
            ],
            Self::ChannelsReady => &[
                R::AllReady,
                R::Listening,
                R::Connected,
                R::Disconnected,
                R::SecretMissing,
                R::SecretKeyMissing,
                R::CredentialsRejected,
                R::RateLimited,
                R::PlatformUnavailable,
                R::Halted,
            ],
            Self::WorkersReady => &[R::SystemPromptMissing, R::SystemPromptRefused, R::Halted],
            Self::MessagingReady => &[
                R::BrokerReady,
                R::DevelopmentBroker,
                R::BrokerUnreachable,
                R::SecretMissing,
                R::CredentialsRejected,
                R::TLSFailed,
                R::TopicForbidden,
                R::TopicUnusable,
                R::TooFewBrokers,
                R::Halted,
            ],
            Self::StateReady => &[
                R::StoreReady,
                R::DevelopmentStore,
                R::StoreUnreachable,
                R::StoreRefusesWrites,
                R::SecretMissing,
                R::CredentialsRejected,
                R::TLSFailed,
                R::EvictionEnabled,
                R::Halted,
            ],
            Self::ModelReady => &[
                R::Published,
                R::SourceNotFound,
                R::SourceUnreadable,
                R::SourceTruncated,
                R::SourceDamaged,
                R::UnsupportedFormat,
                R::LimitExceeded,
                R::DoesNotFit,
                R::StoreUnbound,
            ],
            Self::InferenceReady => &[R::ModelNotReady, R::EngineRefused, R::Halted],
            Self::ScalingActive => &[
                R::WithinBounds,
                R::LimitedByMaximum,
                R::MetricsUnavailable,
                R::AutoscalerMissing,
                R::Contended,
                R::Halted,
            ],
            Self::MonitoringReady => &[
                R::Installed,
                R::AnnotationsOnly,
                R::MonitorsOff,
                R::PrometheusUnreachable,
                R::CredentialsRejected,
            ],
            _ => &[],
        }
    }

    /// The reasons of a condition that follows from a component's pods.
    const fn of_pods(self) -> &'static [Reason] {
        match self {
            Self::AdaptersReady
            | Self::WorkersReady
            | Self::MessagingReady
            | Self::StateReady
            | Self::InferenceReady => &[
                R::MinimumReplicasAvailable,
                R::RollingOut,
                R::InsufficientReplicas,
                R::Unschedulable,
                R::ImagePullFailed,
                R::Evicted,
                R::CrashLooping,
                R::QuotaExceeded,
                R::PodsForbidden,
                R::ObjectInvalid,
                R::DeploymentPaused,
                R::ReferenceMissing,
            ],
            _ => &[],
        }
    }
}
