//! Everything a decision may depend on. It is gathered before anybody decides, and nothing else is looked at.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_crds::config::State;
use chatbot_crds::{ChatBotClusterStatus, Reason, Settings};
use jiff::Timestamp;

use crate::foresight::Foresight;
use crate::http_route::RouteSeen;
use crate::memory::Memory;
use crate::names;
use crate::proposal::Component;
use crate::signals::Signals;

/// The world as one pass sees it.
#[derive(Clone, Debug)]
pub struct World {
    /// The time; there is no other clock.
    pub now: Timestamp,
    /// Which resource.
    pub cluster: Identity,
    /// The operator's own release.
    pub release: Release,
    /// What is wanted.
    pub settings: Settings,
    /// What is wanted of the capabilities that look ahead.
    pub foresight: Foresight,
    /// What is there.
    pub observed: Observed,
    /// What was remembered.
    pub memory: Memory,
}

impl World {
    /// Instances that stand beside the autoscaled ones, always on on-demand nodes. An autoscaler has at least one, and
    /// together they are never more than the ceiling.
    #[must_use]
    pub fn base(&self) -> u32 {
        let spot = self.foresight.spot.as_ref();
        let most = self.settings.inference.max_replicas.saturating_sub(1);
        spot.map_or(0, |spot| spot.on_demand_replicas.min(most))
    }

    /// Instances that are wanted, the base included. Not known where their Deployment is not seen.
    #[must_use]
    pub fn wanted(&self) -> Option<u32> {
        let name = names::workload(&self.cluster, Component::Inference);
        let seen = self.observed.deployments.get(&name)?;
        Some(seen.desired.saturating_add(self.base()))
    }
}

/// Which resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity: a resource of the same name made later has another.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
}

/// The operator's release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The image of the pods when the resource names none.
    pub image: String,
    /// The image of the broker for development.
    pub broker_image: String,
    /// The image of the store for development.
    pub store_image: String,
    /// The class of priority of the pods when the resource names none; absent: the cluster's default.
    pub priority_class: Option<String>,
    /// The operator's own pods; absent when it runs outside the cluster.
    pub pods: Option<PodPeer>,
}

/// Pods that can be told by their namespace and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPeer {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub labels: BTreeMap<String, String>,
}

/// Something looked up. Unknown is never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal<T> {
    /// It is known.
    Known {
        /// What.
        value: T,
        /// Since when, by the operator's clock.
        at: Timestamp,
    },
    /// It is not.
    Unknown(Reason),
}

impl<T> Signal<T> {
    /// The value, when it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// A kind and a name, in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The kind, one of [`crate::kinds::KINDS`].
    pub kind: &'static str,
    /// The name.
    pub name: String,
}

/// What is there.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Children of the resource, and other objects that claim by label to be.
    pub children: BTreeMap<ObjectKey, Child>,
    /// Deployments among the children, by name.
    pub deployments: BTreeMap<String, DeploymentSeen>,
    /// Autoscalers among the children, by name.
    pub autoscalers: BTreeMap<String, AutoscalerSeen>,
    /// Ingresses among the children that somebody serves at an address.
    pub served_ingresses: BTreeSet<String>,
    /// HTTPRoutes among the children, by name.
    pub routes: BTreeMap<String, RouteSeen>,
    /// Kinds of [`crate::kinds::KINDS`] that the cluster does not have.
    pub absent_kinds: BTreeSet<&'static str>,
    /// Pods, by name.
    pub pods: Vec<PodSeen>,
    /// Pods that nodes have thrown out.
    pub evicted: Vec<EvictedPod>,
    /// Since when pods are in trouble, by their identity, as far as the cluster tells.
    pub in_trouble_since: BTreeMap<String, Timestamp>,
    /// Nodes; looked up only when their capacity is asked for.
    pub nodes: Signal<Vec<NodeSeen>>,
    /// The claim with the model; `None` inside means that it does not exist.
    pub claim: Signal<Option<ClaimSeen>>,
    /// The keys of the ConfigMap with the system prompt; `None` inside means that it does not exist. Looked up only
    /// when the spec names one.
    pub system_prompt: Signal<Option<BTreeSet<String>>>,
    /// What the Prometheus that is named says to a question. Looked up only when one is named.
    pub prometheus: Signal<PrometheusSeen>,
    /// What is measured.
    pub signals: Box<Signals>,
    /// Whether it is on its way out.
    pub leaving: Option<Leaving>,
    /// The status as it was last written.
    pub status: ChatBotClusterStatus,
}

/// How a Prometheus takes a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrometheusSeen {
    /// It answers.
    Answers,
    /// It wants to know who asks; in its words.
    Rejects(String),
    /// It does not answer, or not as one does; why.
    Unreachable(String),
}

/// What is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The resource; what holds it back until then.
    Resource {
        /// Others' finalizers.
        finalizers: Vec<String>,
    },
    /// Its namespace, with everything in it.
    Namespace,
}

impl Leaving {
    /// It in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Resource { finalizers } if finalizers.is_empty() => {
                "it is being deleted".to_owned()
            }
            Self::Resource { finalizers } => format!(
                "it is being deleted, and held by its finalizers {}: whoever set them has yet to remove them",
                finalizers.join(", ")
            ),
            Self::Namespace => "its namespace is being deleted".to_owned(),
        }
    }
}

/// A child as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its identity.
    pub uid: String,
    /// Whether the resource is its owner.
    pub owned: bool,
    /// The hash of the plan that it was applied from.
    pub hash: Option<String>,
    /// When it was made, by the API server's clock.
    pub created: Option<Timestamp>,
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentSeen {
    /// The version that was looked at.
    pub resource_version: String,
    /// Whether the controller has seen the last change.
    pub current: bool,
    /// Replicas that are wanted.
    pub desired: u32,
    /// Replicas that exist.
    pub replicas: u32,
    /// Of these, made from the current template.
    pub updated: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Whether somebody has stopped its rollouts.
    pub paused: bool,
    /// The reason of the condition `Progressing`.
    pub progress: String,
    /// The message of the condition `ReplicaFailure`.
    pub failure: Option<String>,
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoscalerSeen {
    /// Its condition `ScalingActive`: status, reason and message.
    pub active: Option<AutoscalerCondition>,
    /// Its condition `ScalingLimited`.
    pub limited: Option<AutoscalerCondition>,
}

/// A condition of an autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoscalerCondition {
    /// Whether its status is `True`.
    pub status: bool,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// The version that was looked at.
    pub resource_version: String,
    /// Whether its Deployment has let go of it, and another stands in.
    pub leaving: bool,
    /// Its component.
    pub component: Component,
    /// The hash of the template that it was made from.
    pub revision: String,
    /// Every ConfigMap that it mounts.
    pub config_maps: Vec<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is on its way out.
    pub ending: bool,
    /// The node that it is on.
    pub node: Option<String>,
    /// The address at which it reports, when it does.
    pub ip: Option<String>,
    /// What keeps it from working, when something does.
    pub trouble: Option<Trouble>,
    /// What its last container wrote before it ended in failure.
    pub last_words: Option<String>,
    /// What it reports; `at` is when the operator first heard this report's synthetic conversation.
    pub state: Signal<State>,
}

/// A pod that its node has thrown out; its Deployment makes another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvictedPod {
    /// Its component.
    pub component: Component,
    /// The hash of the template that it was made from.
    pub revision: String,
    /// Why; the node's message.
    pub message: String,
    /// When, by the node's clock.
    pub at: Timestamp,
}

/// What keeps a pod from working.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Its image cannot be pulled; the node's message.
    ImagePull(String),
    /// A Secret or ConfigMap that it reads is not there; the node's message.
    Reference(String),
    /// It was ended because it needs more memory than it may have; its limit, when it has one.
    OutOfMemory(Option<String>),
    /// It ends again and again; the reason of the last end.
    Crash(String),
    /// It fits on no node; the scheduler's message.
    Unschedulable(String),
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations: what its agent says of it.
    pub annotations: BTreeMap<String, String>,
    /// Taints that keep pods away, as key, value and effect.
    pub taints: Vec<Taint>,
    /// Whether it is ready and takes new pods.
    pub open: bool,
    /// CPU that pods may request, in thousandths.
    pub cpu_milli: u64,
    /// Memory that pods may request, in bytes.
    pub memory_bytes: u64,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Its effect.
    pub effect: String,
}

/// A claim on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSeen {
    /// Its phase, such as `Bound`.
    pub phase: String,
    /// Its access modes, such as `ReadWriteMany`.
    pub access_modes: Vec<String>,
    /// When it was made, by the API server's clock.
    pub created: Option<Timestamp>,
}

impl Observed {
    /// Nothing has been looked at yet.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            children: BTreeMap::new(),
            deployments: BTreeMap::new(),
            autoscalers: BTreeMap::new(),
            served_ingresses: BTreeSet::new(),
            routes: BTreeMap::new(),
            absent_kinds: BTreeSet::new(),
            pods: Vec::new(),
            evicted: Vec::new(),
            in_trouble_since: BTreeMap::new(),
            nodes: Signal::Unknown(Reason::Pending),
            claim: Signal::Unknown(Reason::Pending),
            system_prompt: Signal::Unknown(Reason::Pending),
            prometheus: Signal::Unknown(Reason::Pending),
            signals: Box::default(),
            leaving: None,
            status: ChatBotClusterStatus::default(),
        }
    }

    /// The pods of a component that are not on their way out.
    pub fn pods_of(&self, component: Component) -> impl Iterator<Item = &PodSeen> {
        self.pods
            .iter()
            .filter(move |pod| pod.component == component && !pod.ending)
    }
}
