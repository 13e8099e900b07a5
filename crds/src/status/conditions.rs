//! Conditions and the closed list of their reasons.

use std::{fmt, str::FromStr};

/// A reason that is not in the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason {0:?}")]
pub struct UnknownReason(pub String);

/// A closed list of names, each with words for a person.
macro_rules! names {
    ($(#[$docs:meta])* $list:ident { $(#[doc = $doc:literal] $name:ident,)* }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $list { $(#[doc = $doc] $name,)* }

        impl $list {
            /// The whole list.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it is written in status.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it says, as a sentence.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }.trim()
            }
        }

        impl fmt::Display for $list {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

names! {
    /// What the operator says of a resource, in the order of a message's way. Of two that may both be true, kstatus and
    /// whoever is built on it believe the first: `Stalled` stands before `Reconciling`.
    ConditionType {
        /// This generation is rolled out and a conversation through it succeeded.
        Ready,
        /// Users are answered now.
        Available,
        /// The spec is usable.
        Accepted,
        /// A person is needed.
        Stalled,
        /// A change of the spec is under way.
        Reconciling,
        /// The adapters work.
        AdaptersReady,
        /// Every channel can receive and send.
        ChannelsReady,
        /// The workers work.
        WorkersReady,
        /// The broker can be used.
        MessagingReady,
        /// The store can be used.
        StateReady,
        /// The specified model is served.
        ModelReady,
        /// The instances work.
        InferenceReady,
        /// A signal scales the instances.
        ScalingActive,
        /// The pods are offered to be scraped, and the Prometheus that is named answers.
        MonitoringReady,
    }
}

names! {
    /// Why a condition is as it is: one closed list for all of them.
    Reason {
        /// Not looked yet.
        Pending,
        /// Everything that is asked for works.
        AllReady,
        /// The spec cannot be used.
        InvalidSpec,
        /// A new revision is replacing the old one.
        RollingOut,
        /// Only a person gets on from here.
        Stalled,
        /// Users are not answered.
        NotAvailable,
        /// The adapters do not work.
        AdaptersNotReady,
        /// A channel does not work.
        ChannelsNotReady,
        /// The workers do not work.
        WorkersNotReady,
        /// The broker cannot be used.
        MessagingNotReady,
        /// The store cannot be used.
        StateNotReady,
        /// The model cannot be served.
        ModelNotReady,
        /// The instances do not work.
        InferenceNotReady,
        /// The last synthetic conversation was answered.
        Answering,
        /// The conversation failed at the gateway.
        AdapterHopFailed,
        /// The conversation failed at the queue.
        QueueHopFailed,
        /// The conversation failed at the worker.
        WorkerHopFailed,
        /// The conversation failed at the model.
        InferenceHopFailed,
        /// The answer did not come back.
        ReplyHopFailed,
        /// No synthetic conversation was seen lately.
        ProbeOverdue,
        /// The spec is usable.
        Valid,
        /// Nothing is under way.
        Settled,
        /// The operator is told to leave everything as it is.
        Paused,
        /// The resource, or its namespace, is being deleted.
        Terminating,
        /// The pods are being brought to an end, as asked for.
        Halting,
        /// Nothing runs, as asked for.
        Halted,
        /// An object with a name that is needed belongs to somebody else.
        ObjectNotOwned,
        /// The API server forbids the operator something.
        Forbidden,
        /// An admission policy or webhook refuses what is needed.
        AdmissionDenied,
        /// An admission webhook that is to be asked cannot be reached.
        WebhookUnavailable,
        /// A quota forbids what is needed.
        QuotaExceeded,
        /// The API server refuses an object, whoever sends it.
        ObjectInvalid,
        /// Somebody changes an object of the operator's again and again.
        Contended,
        /// A roll-out took too long.
        ProgressDeadlineExceeded,
        /// Nobody is needed.
        NotStalled,
        /// Enough pods work.
        MinimumReplicasAvailable,
        /// Too few pods work.
        InsufficientReplicas,
        /// A pod finds no node.
        Unschedulable,
        /// A node cannot pull the image.
        ImagePullFailed,
        /// A pod stops again and again.
        CrashLooping,
        /// A node has thrown a pod out.
        Evicted,
        /// A Secret or ConfigMap that a pod reads, or its key, is not there.
        ReferenceMissing,
        /// Somebody has stopped the Deployment's rollouts.
        DeploymentPaused,
        /// The API server lets nobody make the pods.
        PodsForbidden,
        /// The ConfigMap with the system prompt, or its key, is not there.
        SystemPromptMissing,
        /// The model refuses every message with the system prompt.
        SystemPromptRefused,
        /// A server that is not the built-in one answers, and refuses every question.
        EngineRefused,
        /// The Secret with the certificate, or a key of it, is not there.
        TLSSecretMissing,
        /// The Secret with the certificate holds none that can be used.
        TLSSecretInvalid,
        /// A Gateway does not take the `HTTPRoute`, or nobody judges it.
        RouteNotAccepted,
        /// The channel takes messages.
        Listening,
        /// The channel's connection is up.
        Connected,
        /// The channel's connection is down, or its gateway cannot be reached.
        Disconnected,
        /// The channel's Secret lacks a key.
        SecretKeyMissing,
        /// The platform wants fewer requests for now.
        RateLimited,
        /// The platform does not answer.
        PlatformUnavailable,
        /// The broker and its topics can be used.
        BrokerReady,
        /// The broker that the operator runs for development can be used; what it holds is lost with its pod.
        DevelopmentBroker,
        /// The broker does not answer.
        BrokerUnreachable,
        /// A Secret that is named, or a key of it, is not there.
        SecretMissing,
        /// The user name or the password is not accepted.
        CredentialsRejected,
        /// TLS could not be agreed on, or a certificate is not trusted.
        TLSFailed,
        /// The topics may not be made, read or written.
        TopicForbidden,
        /// The topics cannot be used as they are.
        TopicUnusable,
        /// There are fewer brokers than copies that are asked for.
        TooFewBrokers,
        /// The store can be used.
        StoreReady,
        /// The store that the operator runs for development can be used.
        DevelopmentStore,
        /// The store does not answer.
        StoreUnreachable,
        /// The store answers, and refuses to be written to.
        StoreRefusesWrites,
        /// The store may throw keys away to make room.
        EvictionEnabled,
        /// The model is served.
        Published,
        /// The model's file is not there.
        SourceNotFound,
        /// The model's file cannot be read.
        SourceUnreadable,
        /// The model's file ends before its end.
        SourceTruncated,
        /// The model's file contradicts itself.
        SourceDamaged,
        /// The file is not a model that can be served.
        UnsupportedFormat,
        /// More is asked for than the model or the server can hold.
        LimitExceeded,
        /// An instance has too little memory for the model.
        DoesNotFit,
        /// The model's volume is not there.
        StoreUnbound,
        /// The number of instances follows the load.
        WithinBounds,
        /// More instances are wanted than may be.
        LimitedByMaximum,
        /// There are no figures to scale by.
        MetricsUnavailable,
        /// There is no autoscaler, or it says nothing.
        AutoscalerMissing,
        /// A `PodMonitor` is in place.
        Installed,
        /// The pods carry annotations, and nothing else: the cluster has no `PodMonitor`.
        AnnotationsOnly,
        /// Nothing offers the pods to be scraped, as asked for.
        MonitorsOff,
        /// The Prometheus that is named does not answer.
        PrometheusUnreachable,
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

impl ConditionType {
    /// What its three values mean: true, false, unknown.
    #[must_use]
    pub const fn meaning(self) -> [&'static str; 3] {
        match self {
            Self::Ready => [
                "this generation is rolled out and a conversation through it succeeded",
                "something named is missing",
                "not looked yet",
            ],
            Self::Available => [
                "users are answered now, by whatever generation (a synthetic conversation)",
                "a hop fails; the message names it",
                "no synthetic conversation was seen lately",
            ],
            Self::Accepted => [
                "the spec is usable",
                "it is not: the last good state serves, and nothing is retried until it is edited",
                "not judged yet",
            ],
            Self::Reconciling => [
                "a change of the spec is under way, also one that waits for a person",
                "nothing to do",
                "never",
            ],
            Self::Stalled => ["a person is needed", "none is", "never"],
            Self::AdaptersReady => [
                "enough adapter pods work, and so do certificate and route",
                "one does not",
                "the pods are unseen",
            ],
            Self::ChannelsReady => [
                "every channel can receive and send",
                "one cannot; the worst one's reason",
                "none was tried yet",
            ],
            Self::WorkersReady => [
                "enough worker pods consume messages",
                "they do not",
                "the pods are unseen",
            ],
            Self::MessagingReady => [
                "broker and topics can be used",
                "they cannot",
                "no pod has looked yet",
            ],
            Self::StateReady => [
                "the store can be used and keeps its keys",
                "it cannot, or does not",
                "no pod has looked yet",
            ],
            Self::ModelReady => [
                "the specified model is served",
                "it cannot be",
                "no instance has looked yet",
            ],
            Self::InferenceReady => [
                "enough instances have answered once",
                "they have not",
                "the pods are unseen",
            ],
            Self::ScalingActive => [
                "a signal scales within the bounds",
                "none does",
                "the autoscaler is silent",
            ],
            Self::MonitoringReady => [
                "what offers the pods to be scraped is in place, and the Prometheus that is named answers",
                "that Prometheus does not; the service goes on",
                "not looked yet",
            ],
        }
    }

    /// Whether it is told of every resource, from the first look on. Others are told while their part of the spec is
    /// there.
    #[must_use]
    pub const fn is_always_told(self) -> bool {
        matches!(
            self,
            Self::Ready
                | Self::Available
                | Self::Accepted
                | Self::Reconciling
                | Self::Stalled
                | Self::AdaptersReady
                | Self::ChannelsReady
                | Self::WorkersReady
                | Self::MessagingReady
                | Self::StateReady
                | Self::ModelReady
                | Self::InferenceReady
                | Self::ScalingActive
                | Self::MonitoringReady
        )
    }

    /// Whether false is the good value.
    #[must_use]
    pub const fn is_abnormal_true(self) -> bool {
        matches!(self, Self::Reconciling | Self::Stalled)
    }
}
