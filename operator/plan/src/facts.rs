//! What is computed once, before anybody proposes.

use std::collections::BTreeMap;

use chatbot_crds::config::{
    AdaptersConfig, Backbone, GatewayConfig, INFERENCE_PORT, InferenceConfig, WorkerConfig,
    WorkersConfig, model_path,
};
use chatbot_crds::settings::{NodeCapacity, Resources};
use chatbot_crds::spec::Quantity;
use chatbot_crds::{ChatBotClusterStatus, Reason, Settings};

use crate::memory::{Memory, TakenCapacity};
use crate::names;
use crate::nodes::{Candidates, NodeUse, uses};
use crate::outlook::Outlook;
use crate::proposal::{Component, Proposal};
use crate::recollection::Recollection;
use crate::world::{Signal, World};

/// The part of a node that is left to others: the system's pods and what every node runs.
const RESERVE_PERCENT: u64 = 10;
const MEBIBYTE: u64 = 1 << 20;
/// The candidates of a capacity that the spec says.
const SAID: &str = "spec";

/// What is known before anybody proposes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What a node has for instances.
    pub node_capacity: Signal<NodeCapacity>,
    /// What is to be remembered of it; nothing when the spec says it.
    pub taken_capacity: Option<TakenCapacity>,
    /// The configuration of the adapters.
    pub adapters_config: Configuration,
    /// The configuration of the workers.
    pub workers_config: Configuration,
    /// The broker and the store, as both are told of them.
    pub backbone: Backbone,
    /// The configuration of the instances; unknown while their share of a node is.
    pub inference_config: Option<Configuration>,
    /// What is in it.
    pub instance: Option<InferenceConfig>,
    /// The most memory that an instance may have; unknown while its share of a node is.
    pub instance_memory: Option<Quantity>,
    /// What the next minutes will need.
    pub outlook: Outlook,
    /// What each node is for; `None` while the nodes are not known.
    pub uses: Option<BTreeMap<String, NodeUse>>,
}

/// A component's configuration: the ConfigMap's name and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The name, which says the content.
    pub name: String,
    /// The content, YAML.
    pub content: String,
}

/// What one instance has of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// CPU, in thousandths.
    pub cpu_milli: u64,
    /// Memory, in bytes, a whole number of mebibytes.
    pub memory_bytes: u64,
}

impl Facts {
    /// Computes them.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let (node_capacity, taken_capacity) = node_capacity(world);
        let url = format!(
            "http://{}:{INFERENCE_PORT}",
            names::workload(&world.cluster, Component::Inference)
        );
        let of = |component| names::workload(&world.cluster, component);
        let backbone = Backbone::of(
            &world.settings,
            &of(Component::Broker),
            &of(Component::Store),
        );
        let adapters = AdaptersConfig {
            gateway: GatewayConfig::of(&world.settings),
            backbone: backbone.clone(),
        };
        let workers = WorkersConfig {
            worker: WorkerConfig::of(&world.settings, &url),
            backbone: backbone.clone(),
        };
        let instance = node_capacity.known().map(|capacity| {
            let share = share(capacity, world.settings.inference.instances_per_node);
            let threads = threads(world, share);
            InferenceConfig::of(&world.settings, &model_path(&world.settings), threads)
        });
        let instance_memory = node_capacity.known().and_then(|capacity| {
            let mut resources = instance_resources(world, capacity);
            resources.limits.remove("memory")
        });
        let inference_config = instance
            .as_ref()
            .map(|config| configuration(world, Component::Inference, config));
        Self {
            node_capacity,
            taken_capacity,
            adapters_config: configuration(world, Component::Adapters, &adapters),
            workers_config: configuration(world, Component::Workers, &workers),
            backbone,
            inference_config,
            instance,
            instance_memory,
            outlook: Outlook::of(world),
            uses: uses(world),
        }
    }

    /// What the capabilities that look ahead remember. What nobody proposes again is forgotten.
    #[must_use]
    pub fn recollection(&self, proposals: &[Proposal]) -> Box<Recollection> {
        let mut recollection = Box::new(Recollection {
            learned: self.outlook.learned.clone(),
            ..Recollection::default()
        });
        for note in proposals.iter().flat_map(|proposal| &proposal.notes) {
            recollection.note(note.clone());
        }
        recollection
    }
}

/// What one of `instances` has of a node, less the reserve.
#[must_use]
pub fn share(capacity: &NodeCapacity, instances: u32) -> Share {
    let part = |whole: u64| whole / 100 * (100 - RESERVE_PERCENT) / u64::from(instances.max(1));
    Share {
        cpu_milli: part(capacity.cpu_milli).max(1),
        memory_bytes: (part(capacity.memory_bytes) / MEBIBYTE).max(1) * MEBIBYTE,
    }
}

/// An instance's share of a node. Memory is limited to what is requested, since a node that runs out of it kills
/// somebody else's pod; CPU is not, since a limit would slow answers down while CPUs are idle.
#[must_use]
pub fn instance_resources(world: &World, capacity: &NodeCapacity) -> Resources {
    let inference = &world.settings.inference;
    let share = share(capacity, inference.instances_per_node);
    let memory = Quantity::from(format!("{}Mi", share.memory_bytes >> 20).as_str());
    let cpu = Quantity::from(format!("{}m", share.cpu_milli).as_str());
    inference.resources.over(&Resources {
        requests: BTreeMap::from([
            ("cpu".to_owned(), cpu),
            ("memory".to_owned(), memory.clone()),
        ]),
        limits: BTreeMap::from([("memory".to_owned(), memory)]),
    })
}

/// Threads of an instance: as many as it has whole CPUs, since more would only wait for each other.
fn threads(world: &World, share: Share) -> u32 {
    let resources = &world.settings.inference.resources;
    let asked = resources
        .limits
        .get("cpu")
        .or_else(|| resources.requests.get("cpu"));
    let cpu_milli = asked.and_then(Quantity::milli).unwrap_or(share.cpu_milli);
    u32::try_from(cpu_milli / 1000).unwrap_or(1).clamp(1, 64)
}

/// The spec's; else what was looked up for the same candidates; else what the status shows, when the memory is gone;
/// else what the nodes say now.
fn node_capacity(world: &World) -> (Signal<NodeCapacity>, Option<TakenCapacity>) {
    let inference = &world.settings.inference;
    let known = |value| Signal::Known {
        value,
        at: world.now,
    };
    if let Some(capacity) = &inference.node_capacity {
        // Remembered as nobody's answer: when the spec says it no longer, the nodes are asked.
        let said = TakenCapacity {
            cpu_milli: capacity.cpu_milli,
            memory_bytes: capacity.memory_bytes,
            candidates: SAID.to_owned(),
        };
        return (known(capacity.clone()), Some(said));
    }
    let candidates = Candidates {
        selector: &inference.node_selector,
        tolerations: &inference.tolerations,
    };
    let hash = candidates.hash();
    let remembered = world.memory.node_capacity.as_ref();
    if let Some(taken) = remembered.filter(|taken| taken.candidates == hash) {
        let capacity = NodeCapacity {
            cpu_milli: taken.cpu_milli,
            memory_bytes: taken.memory_bytes,
        };
        return (known(capacity), Some(taken.clone()));
    }
    let shown = || {
        let shown = world
            .observed
            .status
            .inference
            .as_ref()?
            .node_capacity
            .as_ref()?;
        Some(NodeCapacity {
            cpu_milli: shown.cpu.milli()?,
            memory_bytes: shown.memory.units()?,
        })
    };
    let seen = || candidates.smallest(world.observed.nodes.known()?);
    let capacity = if remembered.is_none() {
        shown().or_else(seen)
    } else {
        seen()
    };
    match capacity {
        Some(capacity) => {
            let taken = TakenCapacity {
                cpu_milli: capacity.cpu_milli,
                memory_bytes: capacity.memory_bytes,
                candidates: hash,
            };
            (known(capacity), Some(taken))
        }
        None => (Signal::Unknown(Reason::Pending), remembered.cloned()),
    }
}

fn configuration(
    world: &World,
    component: Component,
    config: &impl serde::Serialize,
) -> Configuration {
    // Structs of numbers and strings cannot fail to serialise.
    let content = serde_yaml::to_string(config).unwrap_or_default();
    Configuration {
        name: names::config(&world.cluster, component, &content),
        content,
    }
}

/// Whether the nodes must be looked up: the spec says nothing of them, and nothing was looked up for such candidates.
#[must_use]
pub fn asks_for_nodes(settings: &Settings, memory: &Memory, status: &ChatBotClusterStatus) -> bool {
    let inference = &settings.inference;
    let hash = Candidates {
        selector: &inference.node_selector,
        tolerations: &inference.tolerations,
    }
    .hash();
    let shown = status
        .inference
        .as_ref()
        .is_some_and(|inference| inference.node_capacity.is_some());
    inference.node_capacity.is_none()
        && match &memory.node_capacity {
            Some(taken) => taken.candidates != hash,
            None => !shown,
        }
}
