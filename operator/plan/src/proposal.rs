//! What a capability proposes, and what comes of all proposals together.

use std::collections::BTreeMap;

use chatbot_crds::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodSpec;

use crate::decision::{Decision, Finding};
use crate::memory::Memory;
use crate::recollection::Note;
use crate::render::Rendered;
use crate::status::Section;
use crate::votes::Settled;
use crate::world::{Identity, ObjectKey};

pub use crate::manifest::{Manifest, Object};

/// A part of the product that has pods of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The pods that talk to the chat platforms.
    Adapters,
    /// The pods that answer messages.
    Workers,
    /// The pods that run the model.
    Inference,
    /// The broker for development.
    Broker,
    /// The store for development.
    Store,
}

impl Component {
    /// Every component, in the order of a message's way.
    pub const ALL: [Self; 5] = [
        Self::Adapters,
        Self::Workers,
        Self::Inference,
        Self::Broker,
        Self::Store,
    ];

    /// Its name in labels, and in the names of its objects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adapters => "adapters",
            Self::Workers => "workers",
            Self::Inference => "inference",
            Self::Broker => "broker",
            Self::Store => "store",
        }
    }

    /// The component of a label's value.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|component| component.as_str() == name)
    }
}

/// One opinion on a number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whose replicas.
    pub component: Component,
    /// At least so many.
    pub floor: Option<u32>,
    /// At most so many.
    pub ceiling: Option<u32>,
    /// Who says so: the source shown in `status.inference.bounds`.
    pub by: &'static str,
    /// Why, for a person.
    pub because: String,
}

/// A condition that a capability has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which.
    pub kind: ConditionType,
    /// `Some(true)` is True, `None` Unknown.
    pub status: Option<bool>,
    /// One of the closed list.
    pub reason: Reason,
    /// For a person; names field, value and remedy where a person must act.
    pub message: String,
}

/// How a capability's condition comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is decided.
    Decided(Condition),
    /// It follows from a component's pods, once the plan's hashes and the settled votes are known: readiness counts
    /// only for what carries the current plan.
    Pods {
        /// Which condition.
        kind: ConditionType,
        /// Whose pods.
        component: Component,
        /// The fewest that must be ready when nobody votes on their number.
        minimum: u32,
        /// What keeps them from it, when that is known without them.
        hindrance: Option<Hindrance>,
    },
    /// It is decided, and stands when a ready pod of a component carries the current plan; else it is the other: what
    /// pods of before serve says nothing of what is asked for now.
    Current {
        /// Whose pods.
        component: Component,
        /// What is decided.
        condition: Condition,
        /// What is true without such a pod.
        otherwise: Condition,
    },
    /// It is decided, and stands once a component's one pod works: before that, what keeps the pod from it is told.
    Behind {
        /// Whose pod.
        component: Component,
        /// What is decided.
        condition: Condition,
    },
}

/// What keeps pods from starting that they cannot tell themselves, such as a volume that cannot be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// One of the closed list.
    pub reason: Reason,
    /// Field, value and remedy.
    pub message: String,
}

/// Something to be done beside applying objects. Each names exactly what was looked at, so that it is refused when
/// that is no longer so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Sets a Deployment's replicas through the `scale` subresource.
    Scale {
        /// Name of the Deployment.
        deployment: String,
        /// The version that was looked at.
        resource_version: String,
        /// The new number.
        replicas: u32,
    },
}

/// What one capability wants.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// Opinions on numbers of replicas.
    pub votes: Vec<Vote>,
    /// Fragments of pods, joined by name with everybody else's.
    pub pods: BTreeMap<Component, PodSpec>,
    /// Objects; each has one author.
    pub objects: Vec<Object>,
    /// Objects that are to stay as they are, because what they would be is not known.
    pub held: Vec<ObjectKey>,
    /// Things to do.
    pub actions: Vec<Action>,
    /// Components whose replicas are raised to the settled floor at once, without waiting for an autoscaler.
    pub raise: Vec<Component>,
    /// What is wrong with a component whether or not its pods work.
    pub impairments: Vec<(Component, Hindrance)>,
    /// Its condition.
    pub verdict: Option<Verdict>,
    /// Its parts of the status; each has one author.
    pub sections: Vec<Section>,
    /// What it decides beside votes.
    pub decisions: Vec<Decision>,
    /// What it found.
    pub findings: Vec<Finding>,
    /// What is to be remembered of it.
    pub notes: Vec<Note>,
    /// When it wants to be asked again at the latest; always later than now.
    pub wake_at: Option<Timestamp>,
}

/// An object to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Surplus {
    /// Which.
    pub key: ObjectKey,
    /// Of this identity.
    pub uid: String,
}

/// What is to be done, and what is to be told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose plan it is.
    pub cluster: Identity,
    /// Objects in the order in which they are applied.
    pub objects: Vec<Rendered>,
    /// Children that nothing needs any more.
    pub prune: Vec<Surplus>,
    /// Things to do once the objects are applied.
    pub actions: Vec<Action>,
    /// What is decided beside objects and replicas.
    pub decisions: Vec<Decision>,
    /// What the capabilities found.
    pub findings: Vec<Finding>,
    /// The votes, settled and kept whole.
    pub settled: BTreeMap<Component, Settled>,
    /// The capabilities' conditions.
    pub conditions: Vec<Condition>,
    /// The capabilities' parts of the status.
    pub sections: Vec<Section>,
    /// How far this plan is rolled out.
    pub rollout: crate::rollout::Rollout,
    /// What must be remembered.
    pub memory: Memory,
    /// When to look again at the latest.
    pub wake_at: Timestamp,
}
