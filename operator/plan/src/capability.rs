//! What the product can do, one file each. They never import each other: they meet in votes, in fragments of pods, in
//! what the nodes are for and in the data plane's configuration.

mod adapters;
mod autoscaling;
mod channels;
mod cost;
mod error_rate;
mod exposure;
mod inference;
mod messaging;
mod model_store;
mod monitoring;
mod network_policy;
mod prewarm;
mod spot;
mod standby;
mod state;
mod training;
mod workers;

use crate::facts::Facts;
use crate::proposal::Proposal;
use crate::world::World;

/// Something that the product can do.
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    /// Its name, unique.
    pub name: &'static str,
    /// What it wants in a world.
    pub propose: fn(&World, &Facts) -> Proposal,
}

/// Every capability. Any order gives the same plan.
pub const ALL: &[Capability] = &[
    Capability {
        name: "adapters",
        propose: adapters::propose,
    },
    Capability {
        name: "autoscaling",
        propose: autoscaling::propose,
    },
    Capability {
        name: "channels",
        propose: channels::propose,
    },
    Capability {
        name: "exposure",
        propose: exposure::propose,
    },
    Capability {
        name: "inference",
        propose: inference::propose,
    },
    Capability {
        name: "messaging",
        propose: messaging::propose,
    },
    Capability {
        name: "state",
        propose: state::propose,
    },
    Capability {
        name: "workers",
        propose: workers::propose,
    },
    Capability {
        name: "model_store",
        propose: model_store::propose,
    },
    Capability {
        name: "monitoring",
        propose: monitoring::propose,
    },
    Capability {
        name: "network_policy",
        propose: network_policy::propose,
    },
    Capability {
        name: "prewarm",
        propose: prewarm::propose,
    },
    Capability {
        name: "standby",
        propose: standby::propose,
    },
    Capability {
        name: "spot",
        propose: spot::propose,
    },
    Capability {
        name: "training",
        propose: training::propose,
    },
    Capability {
        name: "cost",
        propose: cost::propose,
    },
    Capability {
        name: "error_rate",
        propose: error_rate::propose,
    },
];

/// Those that look ahead, and the autoscaler's bounds that their floors meet: all that a replay in virtual time needs.
/// Without the others they decide the same, since none depends on what another proposes.
pub const AHEAD: &[Capability] = &[
    Capability {
        name: "autoscaling",
        propose: autoscaling::propose,
    },
    Capability {
        name: "cost",
        propose: cost::propose,
    },
    Capability {
        name: "error_rate",
        propose: error_rate::propose,
    },
    Capability {
        name: "prewarm",
        propose: prewarm::propose,
    },
    Capability {
        name: "spot",
        propose: spot::propose,
    },
    Capability {
        name: "standby",
        propose: standby::propose,
    },
    Capability {
        name: "training",
        propose: training::propose,
    },
];
