//! The pods that run the model.

use std::collections::BTreeMap;

use chatbot_crds::ConditionType;
use chatbot_crds::config::INFERENCE_PORT;
use chatbot_crds::settings::{NodeCapacity, Resources};
use chatbot_crds::spec::Quantity;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::{Facts, share};
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{budget, config_map, named, service};
use crate::pod::PodOf;
use crate::proposal::{Component, Proposal, Verdict};
use crate::status::Section;
use crate::world::{ObjectKey, World};

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let verdict = Some(Verdict::Pods {
        kind: ConditionType::InferenceReady,
        component: Component::Inference,
        minimum: world.settings.inference.min_replicas,
    });
    let mut objects = vec![
        Object {
            component: Some(Component::Inference),
            manifest: Manifest::Service(service(
                world,
                Component::Inference,
                "http",
                INFERENCE_PORT,
            )),
        },
        budget(
            &world.cluster,
            Component::Inference,
            IntOrString::String("10%".to_owned()),
        ),
    ];
    let (Some(capacity), Some(config)) = (facts.node_capacity.known(), &facts.inference_config) else {
        // An instance's size is not known: what runs goes on as it is.
        return Proposal {
            objects,
            held: held(world),
            verdict,
            ..Proposal::default()
        };
    };
    objects.push(config_map(Component::Inference, config));
    objects.push(deployment(world));
    let inference = &world.settings.inference;
    let pod = PodOf {
        component: Component::Inference,
        command: "inference",
        port: ("http", INFERENCE_PORT),
        config: &config.name,
        resources: resources(world, capacity),
        node_selector: &inference.node_selector,
        tolerations: &inference.tolerations,
    };
    Proposal {
        pods: BTreeMap::from([(Component::Inference, pod.spec(world))]),
        objects,
        verdict,
        sections: vec![Section::NodeCapacity(capacity.clone())],
        ..Proposal::default()
    }
}

/// An instance's share of a node. Memory is limited to what is requested, since a node that runs out of it kills
/// somebody else's pod; CPU is not, since a limit would slow answers down while CPUs are idle.
fn resources(world: &World, capacity: &NodeCapacity) -> Resources {
    let inference = &world.settings.inference;
    let share = share(capacity, inference.instances_per_node);
    let memory = Quantity::from(format!("{}Mi", share.memory_bytes >> 20).as_str());
    let cpu = Quantity::from(format!("{}m", share.cpu_milli).as_str());
    inference.resources.over(&Resources {
        requests: BTreeMap::from([("cpu".to_owned(), cpu), ("memory".to_owned(), memory.clone())]),
        limits: BTreeMap::from([("memory".to_owned(), memory)]),
    })
}

fn deployment(world: &World) -> Object {
    Object {
        component: Some(Component::Inference),
        manifest: Manifest::Deployment(Box::new(Deployment {
            metadata: named(names::workload(&world.cluster, Component::Inference)),
            spec: Some(DeploymentSpec {
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(IntOrString::String("25%".to_owned())),
                        max_unavailable: Some(IntOrString::Int(0)),
                    }),
                }),
                revision_history_limit: Some(2),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        })),
    }
}

fn held(world: &World) -> Vec<ObjectKey> {
    world
        .observed
        .children
        .keys()
        .filter(|key| {
            key.name.starts_with(&names::workload(&world.cluster, Component::Inference))
        })
        .cloned()
        .collect()
}
