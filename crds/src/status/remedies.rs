//! What a person can do about each reason.

use super::Reason;

impl Reason {
    /// What a person can do; empty where there is nothing to do.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AllReady
            | Self::Answering
            | Self::Valid
            | Self::Settled
            | Self::NotStalled
            | Self::MinimumReplicasAvailable
            | Self::Listening
            | Self::Published
            | Self::WithinBounds => "",
            Self::Pending => {
                "wait; when it stays, see whether the operator runs: kubectl get pods -A -l app.kubernetes.io/name=chatbot-operator"
            }
            Self::InvalidSpec => "edit the field that the message names",
            Self::Paused => "set runStrategy to Always to go on",
            Self::Halting => "wait until the pods have ended",
            Self::Halted => "set runStrategy to Always to run it again",
            Self::RollingOut => "wait: kubectl wait --for=condition=Ready",
            Self::Stalled => "see the condition Stalled",
            Self::NotAvailable => "see the condition Available",
            Self::AdaptersNotReady => "see the condition AdaptersReady",
            Self::ChannelsNotReady => "see the condition ChannelsReady",
            Self::ModelNotReady => "see the condition ModelReady",
            Self::InferenceNotReady => "see the condition InferenceReady",
            Self::AdapterHopFailed
            | Self::QueueHopFailed
            | Self::WorkerHopFailed
            | Self::ReplyHopFailed => "see the log of the adapters' pod",
            Self::InferenceHopFailed => {
                "see the condition InferenceReady and the log of an inference pod"
            }
            Self::ProbeOverdue => {
                "see whether the adapters' pod runs and the operator can reach its port 9090"
            }
            Self::ObjectNotOwned => {
                "delete or rename the object that the message names, or rename the resource"
            }
            Self::Forbidden => {
                "compare the operator's ClusterRole with its chart's; kubectl auth can-i says what is missing"
            }
            Self::AdmissionDenied => {
                "do as the policy that the message names asks, or have it leave out this namespace"
            }
            Self::WebhookUnavailable => {
                "bring back the webhook that the message names, or let its failurePolicy be Ignore"
            }
            Self::QuotaExceeded => {
                "raise the namespace's ResourceQuota, or lower resources or autoscaling.minReplicas"
            }
            Self::ProgressDeadlineExceeded => {
                "see the conditions of the parts; the pods' events say what holds them up"
            }
            Self::InsufficientReplicas => "see the pods' events: kubectl describe pod",
            Self::Unschedulable => {
                "free or add nodes, lower resources, raise instancesPerNode, or widen nodeSelector and tolerations"
            }
            Self::ImagePullFailed => "correct image, or name a Secret in imagePullSecrets",
            Self::CrashLooping => "see the log of the last run: kubectl logs --previous",
            Self::SystemPromptMissing => {
                "make the ConfigMap with the key that conversation.systemPromptFrom names"
            }
            Self::TLSSecretMissing => {
                "make the Secret that exposure.tls.secretRef names: kubectl create secret tls NAME --cert=FILE --key=FILE"
            }
            Self::TLSSecretInvalid => {
                "give the Secret that exposure.tls.secretRef names a certificate and its own key, both PEM"
            }
            Self::RouteNotAccepted => {
                "do as the message says; the Gateway's listeners must allow routes of the resource's namespace and host"
            }
            Self::Disconnected => "see whether the adapters' pod runs",
            Self::SourceNotFound => "correct inference.model.source, or put the file on the volume",
            Self::SourceUnreadable => {
                "let user 65532 read the file, and see whether the volume works"
            }
            Self::SourceTruncated => "wait until the file is copied, or copy or fetch it again",
            Self::SourceDamaged => "copy or fetch the file again",
            Self::LimitExceeded => "lower the field that the message names",
            Self::ReferenceMissing => {
                "make the Secret or ConfigMap that the message names, or name another"
            }
            Self::PodsForbidden => {
                "see the message: an admission policy, Pod Security, a LimitRange, or a priorityClassName that is not there"
            }
            Self::UnsupportedFormat => "give a GGUF file of a model that llama.cpp knows",
            Self::DoesNotFit => {
                "lower contextTokens, maxConcurrentRequests or instancesPerNode, raise resources, or take a smaller model"
            }
            Self::StoreUnbound => {
                "make the PersistentVolumeClaim that inference.model.source names; of one that stays Pending for a minute, or is Lost, see the events: kubectl describe pvc"
            }
            Self::LimitedByMaximum => {
                "raise inference.autoscaling.maxReplicas when answers are slow"
            }
            Self::MetricsUnavailable => {
                "install metrics-server, or see why it has no figures: kubectl top pods"
            }
            Self::AutoscalerMissing => "see the HorizontalPodAutoscaler's events",
        }
    }
}
