//! What a person can do about each reason.

use super::Reason;

impl Reason {
    /// What a person can do; empty where there is nothing to do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        [
            Self::of_the_whole,
            Self::of_a_refusal,
            Self::of_a_part,
            Self::of_the_backbone,
            Self::of_the_model,
        ]
        .into_iter()
        .find_map(|of| of(self))
        .unwrap_or_default()
    }

    /// Of the whole.
    const fn of_the_whole(self) -> Option<&'static str> {
        Some(match self {
            Self::Pending => {
                "wait; when it stays, see whether the operator runs: kubectl get pods -A -l app.kubernetes.io/name=chatbot-operator"
            }
            Self::Paused => "set runStrategy to Always to go on",
            Self::Terminating => "wait; of what stays, see the finalizers that the message names",
            Self::Halting => "wait until the pods have ended",
            Self::Halted => "set runStrategy to Always to run it again",
            Self::RollingOut => "wait: kubectl wait --for=condition=Ready",
            Self::Stalled => "see the condition Stalled",
            Self::NotAvailable => "see the condition Available",
            Self::AdaptersNotReady => "see the condition AdaptersReady",
            Self::ChannelsNotReady => "see the condition ChannelsReady",
            Self::WorkersNotReady => "see the condition WorkersReady",
            Self::MessagingNotReady => "see the condition MessagingReady",
            Self::StateNotReady => "see the condition StateReady",
            Self::ModelNotReady => "see the condition ModelReady",
            Self::InferenceNotReady => "see the condition InferenceReady",
            Self::ProgressDeadlineExceeded => {
                "see the conditions of the parts; the pods' events say what holds them up"
            }
            _ => return None,
        })
    }

    /// Of what the API server refuses, and of who stands in the way.
    const fn of_a_refusal(self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidSpec => "edit the field that the message names",
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
            Self::PodsForbidden => {
                "see the message: an admission policy, Pod Security, a LimitRange, or a priorityClassName that is not there"
            }
            Self::ObjectInvalid => {
                "edit the field of the spec that the named one follows from; where there is none, delete the object, and it is made anew; what runs goes on as it was, and it is tried again at once after either"
            }
            Self::Contended => {
                "have whoever the message names leave the object alone, or let the resource ask for what he wants; while somebody works on it by hand, set runStrategy to Paused"
            }
            _ => return None,
        })
    }

    /// Of the parts and their pods.
    const fn of_a_part(self) -> Option<&'static str> {
        Some(match self {
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
            Self::DeploymentPaused => {
                "resume the Deployment that the message names: kubectl rollout resume"
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
            Self::SystemPromptRefused => {
                "shorten conversation.systemPrompt, or raise inference.contextTokens"
            }
            Self::EngineRefused => {
                "correct inference.engine.args or env: requests carry the model's name that MODEL_NAME has, as in --served-model-name=$(MODEL_NAME), and no key, so none may be asked for"
            }
            Self::Evicted => {
                "raise the limit that the message names, or free or add nodes: kubectl describe pod"
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
            Self::Disconnected => "see the message, and whether the adapters' pods run",
            Self::SecretKeyMissing => "add the key that the message names to the Secret",
            Self::RateLimited => "wait; when it stays, ask the platform for more",
            Self::PlatformUnavailable => {
                "see whether the adapters' pods can reach the platform, and its own status page"
            }
            Self::ReferenceMissing => {
                "make the Secret or ConfigMap that the message names, or name another"
            }
            Self::LimitedByMaximum => {
                "raise inference.autoscaling.maxReplicas when answers are slow"
            }
            Self::MetricsUnavailable => {
                "install metrics-server, or see why it has no figures: kubectl top pods"
            }
            Self::AutoscalerMissing => "see the HorizontalPodAutoscaler's events",
            Self::AnnotationsOnly => {
                "let Prometheus go by the annotations, or install the Prometheus operator: https://prometheus-operator.dev"
            }
            Self::MonitorsOff => "set monitoring.podMonitors to Auto to have the pods scraped",
            Self::PrometheusUnreachable => {
                "correct monitoring.prometheus.url, or see why the Prometheus does not answer the operator there"
            }
            _ => return None,
        })
    }

    /// Of the model and where it is.
    const fn of_the_model(self) -> Option<&'static str> {
        Some(match self {
            Self::SourceNotFound => "correct inference.model.source, or put the file on the volume",
            Self::SourceUnreadable => {
                "let user 65532 read the file, and see whether the volume works"
            }
            Self::SourceTruncated => "wait until the file is copied, or copy or fetch it again",
            Self::SourceDamaged => "copy or fetch the file again",
            Self::LimitExceeded => "lower the field that the message names",
            Self::UnsupportedFormat => "give a GGUF file of a model that llama.cpp knows",
            Self::DoesNotFit => {
                "lower contextTokens, maxConcurrentRequests or instancesPerNode, raise resources, or take a smaller model"
            }
            Self::StoreUnbound => {
                "make the PersistentVolumeClaim that inference.model.source names; of one that stays Pending for a minute, or is Lost, see the events: kubectl describe pvc"
            }
            _ => return None,
        })
    }

    /// What to do about the broker and the store.
    const fn of_the_backbone(self) -> Option<&'static str> {
        Some(match self {
            Self::DevelopmentBroker => "for production name a Kafka in messaging.kafka",
            Self::DevelopmentStore => "for production name a Redis in state.redis",
            Self::BrokerUnreachable => {
                "correct messaging.kafka.bootstrapServers, or see why the brokers do not answer"
            }
            Self::StoreUnreachable => {
                "correct state.redis.addresses, or see why the servers do not answer"
            }
            Self::StoreRefusesWrites => {
                "do as the message says: give a full store more memory, let one that cannot save do so, name the master of a replica; where none is named, name a Redis in state.redis"
            }
            Self::SecretMissing => "make the Secret, with the key, that the message names",
            Self::CredentialsRejected => {
                "correct the user name and the password in the Secret that the message names; they are read again by themselves. Of a Redis that lets in and forbids: give the user the rights that the message lists. Of monitoring: name an address that asks for none"
            }
            Self::TLSFailed => {
                "name the authority that signed the server's certificate in tls.caSecretRef; the certificate must be for the address that is named"
            }
            Self::TopicForbidden => {
                "let the user create, read and write the topics that the message names, or create them with as many partitions"
            }
            Self::TooFewBrokers => "add brokers, or lower messaging.kafka.replicationFactor",
            Self::EvictionEnabled => "set maxmemory-policy to noeviction",
            Self::TopicUnusable => {
                "do as the message says; a topic with other partitions is deleted, or another topicPrefix chosen"
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_all_is_well_there_is_nothing_to_do() {
        let nothing_to_do = Reason::ALL
            .iter()
            .filter(|reason| reason.remedy().is_empty());
        let well = [
            Reason::AllReady,
            Reason::Answering,
            Reason::Valid,
            Reason::Settled,
            Reason::NotStalled,
            Reason::MinimumReplicasAvailable,
            Reason::Listening,
            Reason::Connected,
            Reason::BrokerReady,
            Reason::StoreReady,
            Reason::Published,
            Reason::WithinBounds,
            Reason::Installed,
        ];
        let nothing_to_do: Vec<Reason> = nothing_to_do.copied().collect();
        assert_eq!(nothing_to_do.len(), well.len(), "{nothing_to_do:?}");
        assert!(well.iter().all(|reason| nothing_to_do.contains(reason)));
    }
}
