//! The resource validated, in plain values: defaults filled in, quantities and durations parsed, unions as enums.

mod backbone;
mod engine;
mod exposure;
mod monitoring;
mod plain;

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource;

use crate::spec::{
    ChatBotCluster, ConfigMapKeyRef, ImagePullPolicy, NetworkPolicyMode, Quantity, RunStrategy,
    ServiceType, SessionAffinity,
};
use crate::{Faults, check, rules, spec};

pub use backbone::{Kafka, Redis, prefix};
pub use engine::{Engine, Rollout};
pub use exposure::{Exposure, Route};
pub use monitoring::{Monitoring, Prometheus};

/// A resource that can be acted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `default` in a file that names none.
    pub namespace: String,
    /// `metadata.uid`; empty in a file.
    pub uid: String,
    /// `metadata.generation`; 0 in a file.
    pub generation: i64,
    /// Whether it runs.
    pub run: RunStrategy,
    /// Image of the pods; absent: the release's.
    pub image: Option<String>,
    /// When a node pulls the image.
    pub image_pull_policy: ImagePullPolicy,
    /// Secrets to pull the image with, by name.
    pub image_pull_secrets: Vec<String>,
    /// Class of priority of every pod but the development servers'; absent: the installation's.
    pub priority_class: Option<String>,
    /// Labels for every pod.
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations for every pod.
    pub pod_annotations: BTreeMap<String, String>,
    /// Whether `NetworkPolicy` objects are kept.
    pub network_policy: NetworkPolicyMode,
    /// The ways in.
    pub channels: Vec<Channel>,
    /// How it is reached from outside the cluster.
    pub exposure: Option<Exposure>,
    /// How the assistant talks.
    pub conversation: Conversation,
    /// The pods that talk to the chat platforms.
    pub adapters: Adapters,
    /// The pods that answer messages.
    pub workers: Workers,
    /// What the workers keep to be used again.
    pub cache: Cache,
    /// The pods that run the model.
    pub inference: Inference,
    /// The broker; absent: one for development, run by the operator.
    pub kafka: Option<Kafka>,
    /// The store; absent: one for development, run by the operator.
    pub redis: Option<Redis>,
    /// How the service is watched.
    pub monitoring: Monitoring,
}

/// A way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Unique in the resource.
    pub name: String,
    /// The chat platform.
    pub platform: Platform,
}

/// A chat platform and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// The web chat.
    WebChat {
        /// Origins whose pages may open it; empty: its own only.
        allowed_origins: Vec<String>,
    },
    /// The `WhatsApp` Cloud API.
    WhatsApp(spec::WhatsApp),
    /// A Telegram bot.
    Telegram(spec::Telegram),
    /// A Slack app.
    Slack(spec::Slack),
    /// A Discord application.
    Discord(spec::Discord),
    /// A Feishu or Lark app.
    Feishu(spec::Feishu),
    /// A program of the user's own.
    Webhook(spec::Webhook),
    /// Clients of the `OpenAI` API.
    OpenAi(spec::OpenAi),
}

impl Platform {
    /// The platform's name, as the resource writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::WebChat { .. } => "webChat",
            Self::WhatsApp(_) => "whatsApp",
            Self::Telegram(_) => "telegram",
            Self::Slack(_) => "slack",
            Self::Discord(_) => "discord",
            Self::Feishu(_) => "feishu",
            Self::Webhook(_) => "webhook",
            Self::OpenAi(_) => "openAI",
        }
    }

    /// The Secret that the channel needs, if it needs one.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        let secret = match self {
            Self::WebChat { .. } => return None,
            Self::WhatsApp(one) => &one.secret_ref,
            Self::Telegram(one) => &one.secret_ref,
            Self::Slack(one) => &one.secret_ref,
            Self::Discord(one) => &one.secret_ref,
            Self::Feishu(one) => &one.secret_ref,
            Self::Webhook(one) => &one.secret_ref,
            Self::OpenAi(one) => &one.secret_ref,
        };
        Some(&secret.name)
    }
}

/// What the workers keep to be used again; 0 switches each of them off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How long answers are kept in the store.
    pub answers: Duration,
    /// Bytes of sessions in a worker's memory.
    pub context_bytes: u64,
    /// Bytes of answers in a worker's memory.
    pub results_bytes: u64,
}

/// How the assistant talks.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// The instruction that precedes every conversation.
    pub system_prompt: Option<SystemPrompt>,
    /// Turns given to the model again.
    pub history_turns: u32,
    /// Time without a message after which a conversation starts anew.
    pub session_timeout: Duration,
    /// Longest answer, tokens.
    pub max_answer_tokens: u32,
    /// Sampling temperature, 0 to 2.
    pub temperature: f64,
    /// What users read when there is no answer.
    pub fallback_message: String,
    /// Messages one user may send in a minute; 0 is no limit.
    pub messages_per_user_per_minute: u32,
}

/// Where the system prompt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemPrompt {
    /// In the resource.
    Text(String),
    /// In a `ConfigMap`.
    ConfigMap(ConfigMapKeyRef),
}

/// The pods that talk to the chat platforms.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapters {
    /// How many pods there are.
    pub autoscaling: Autoscaling,
    /// What the user asks for a pod.
    pub resources: Resources,
    /// Labels of the nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerated taints.
    pub tolerations: Vec<Toleration>,
    /// The Service in front.
    pub service: Service,
}

/// The pods that answer messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    /// How many pods there are.
    pub autoscaling: Autoscaling,
    /// What the user asks for a pod.
    pub resources: Resources,
    /// Labels of the nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerated taints.
    pub tolerations: Vec<Toleration>,
}

/// How many pods there are, by load.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaling {
    /// Fewest.
    pub min_replicas: u32,
    /// Most.
    pub max_replicas: u32,
    /// Mean CPU use to steer to, percent of the requests.
    pub target_cpu_utilization_percentage: u32,
    /// How fast they are added and removed; absent: as Kubernetes does.
    pub behavior: Option<spec::Behavior>,
}

/// The Service in front of the adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How it is reached.
    pub type_: ServiceType,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether a user stays on one pod.
    pub session_affinity: SessionAffinity,
}

/// The pods that run the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// Where the model is.
    pub model: ModelSource,
    /// What runs it; absent: the built-in server.
    pub engine: Option<Engine>,
    /// Tokens the model sees.
    pub context_tokens: u32,
    /// Requests answered at once.
    pub max_concurrent_requests: u32,
    /// Instances that share a node.
    pub instances_per_node: u32,
    /// What a node has; absent: to be looked up.
    pub node_capacity: Option<NodeCapacity>,
    /// What the user asks for an instance.
    pub resources: Resources,
    /// Labels of the nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerated taints.
    pub tolerations: Vec<Toleration>,
    /// Fewest instances.
    pub min_replicas: u32,
    /// Most instances.
    pub max_replicas: u32,
    /// Mean CPU use to steer to, percent of the requests.
    pub target_cpu_utilization_percentage: u32,
    /// How fast instances are added and removed; absent: as Kubernetes does.
    pub behavior: Option<spec::Behavior>,
    /// How instances are replaced.
    pub rollout: Rollout,
}

/// Where the model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A file on a volume.
    PersistentVolumeClaim {
        /// The claim.
        claim_name: String,
        /// The file, inside the volume.
        path: String,
    },
}

/// CPU and memory of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCapacity {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

/// Requests and limits that a user asks for; what is not named is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Set aside for the pod, by resource.
    pub requests: BTreeMap<String, Quantity>,
    /// At most, by resource.
    pub limits: BTreeMap<String, Quantity>,
}

impl Settings {
    /// Whether the adapters' pods serve TLS themselves.
    #[must_use]
    pub fn serves_tls(&self) -> bool {
        let exposure = self.exposure.as_ref();
        exposure.is_some_and(|exposure| exposure.served_by_pods().is_some())
    }

    /// Validates a resource and fills in its defaults.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn of(cluster: &ChatBotCluster) -> Result<Self, Faults> {
        let mut faults = check::faults(cluster);
        faults.extend(rules::faults(cluster));
        if faults.is_empty() {
            plain::plain(cluster).map_err(|fault| Faults(vec![fault]))
        } else {
            Err(Faults(faults))
        }
    }
}

impl Resources {
    /// What is asked for over what is implied, key by key. Where a limit is asked for and no request, an implied request
    /// above that limit gives way to it, and an implied limit below a request that is asked for gives way to that: a pod
    /// may not request more than its limit.
    #[must_use]
    pub fn over(&self, implied: &Self) -> Self {
        let mut resources = Self {
            requests: over(&self.requests, &implied.requests),
            limits: over(&self.limits, &implied.limits),
        };
        for (key, request) in &mut resources.requests {
            let Some(limit) = resources.limits.get_mut(key) else {
                continue;
            };
            if request.milli() > limit.milli() {
                if self.limits.contains_key(key) {
                    *request = limit.clone();
                } else {
                    *limit = request.clone();
                }
            }
        }
        resources
    }

    /// As a container has them; absent when nothing is asked for.
    #[must_use]
    pub fn requirements(&self) -> Option<ResourceRequirements> {
        let quantities = |map: &BTreeMap<String, Quantity>| {
            (!map.is_empty()).then(|| {
                map.iter()
                    .map(|(key, value)| (key.clone(), resource::Quantity::from(value)))
                    .collect()
            })
        };
        (self != &Self::default()).then(|| ResourceRequirements {
            requests: quantities(&self.requests),
            limits: quantities(&self.limits),
            claims: None,
        })
    }
}

fn over(
    asked: &BTreeMap<String, Quantity>,
    implied: &BTreeMap<String, Quantity>,
) -> BTreeMap<String, Quantity> {
    let mut merged = implied.clone();
    merged.extend(asked.clone());
    merged
}
