//! What the pods tell of the broker and of the store.

use chatbot_crds::Reason;
use chatbot_crds::config::{BackboneState, State};

use crate::facts::Facts;
use crate::proposal::Component;
use crate::world::{Signal, World};

/// What is known of a broker or a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Every pod that has told can use it.
    Usable,
    /// A pod cannot: why, if this release knows the reason, and in words.
    Unusable(Option<Reason>, String),
    /// No pod has told.
    Unknown,
}

/// The worst that a pod of the planned configuration tells; of several that cannot use it, the first by name.
pub fn found(world: &World, facts: &Facts, of: impl Fn(&State) -> Option<BackboneState>) -> Found {
    let planned = [&facts.adapters_config.name, &facts.workers_config.name];
    let mut pods: Vec<_> = [Component::Adapters, Component::Workers]
        .into_iter()
        .flat_map(|component| world.observed.pods_of(component))
        .filter(|pod| planned.iter().any(|name| pod.config_maps.contains(name)))
        .collect();
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    let told = pods.iter().filter_map(|pod| match &pod.state {
        Signal::Known { value, .. } => of(value),
        Signal::Unknown(_) => None,
    });
    let mut found = Found::Unknown;
    for state in told {
        match state.usable {
            Some(false) => return Found::Unusable(state.reason.parse().ok(), state.message),
            Some(true) => found = Found::Usable,
            None => {}
        }
    }
    found
}
