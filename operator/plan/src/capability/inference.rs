//! The pods that run the model.

mod engine;

use std::collections::{BTreeMap, BTreeSet};

use chatbot_crds::config::INFERENCE_PORT;
use chatbot_crds::settings::ModelSource;
use chatbot_crds::{ConditionType, Reason};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::{Facts, instance_resources};
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{budget, config_map, named, service};
use crate::pod::{PodOf, rolling};
use crate::proposal::{Component, Hindrance, Proposal, Verdict};
use crate::status::Section;
use crate::world::{ObjectKey, World};

/// The port's name: by it the Service finds the port, whatever its number is.
const PORT: &str = "http";

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let verdict = Some(Verdict::Pods {
        kind: ConditionType::InferenceReady,
        component: Component::Inference,
        minimum: world.settings.inference.min_replicas,
        hindrance: unreachable_claim(world),
    });
    let mut objects = vec![
        Object {
            component: Some(Component::Inference),
            manifest: Manifest::Service(Box::new(service(
                world,
                Component::Inference,
                PORT,
                INFERENCE_PORT,
            ))),
        },
        budget(
            &world.cluster,
            Component::Inference,
            IntOrString::String("10%".to_owned()),
        ),
    ];
    let (Some(capacity), Some(config)) = (facts.node_capacity.known(), &facts.inference_config)
    else {
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
    let mut pod = PodOf {
        component: Component::Inference,
        command: "inference",
        port: Some((PORT, INFERENCE_PORT)),
        config: &config.name,
        resources: instance_resources(world, capacity),
        node_selector: &inference.node_selector,
        tolerations: &inference.tolerations,
    }
    .spec(world);
    if let (Some(engine), Some(config)) = (&inference.engine, &facts.instance) {
        engine::put_in(&mut pod, engine, PORT, config);
    }
    Proposal {
        pods: BTreeMap::from([(Component::Inference, pod)]),
        objects,
        verdict,
        sections: vec![Section::NodeCapacity(capacity.clone())],
        ..Proposal::default()
    }
}

fn deployment(world: &World) -> Object {
    let rollout = &world.settings.inference.rollout;
    Object {
        component: Some(Component::Inference),
        manifest: Manifest::Deployment(Box::new(Deployment {
            metadata: named(names::workload(&world.cluster, Component::Inference)),
            spec: Some(DeploymentSpec {
                strategy: Some(rolling(
                    rollout.max_surge.clone(),
                    rollout.max_unavailable.clone(),
                )),
                revision_history_limit: Some(2),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        })),
    }
}

/// A volume that one node alone can mount lets the pods on other nodes wait without a word.
fn unreachable_claim(world: &World) -> Option<Hindrance> {
    let ModelSource::PersistentVolumeClaim { claim_name, .. } = &world.settings.inference.model;
    let claim = world.observed.claim.known()?.as_ref()?;
    if claim
        .access_modes
        .iter()
        .any(|mode| mode == "ReadOnlyMany" || mode == "ReadWriteMany")
    {
        return None;
    }
    let nodes: BTreeSet<&str> = world
        .observed
        .pods_of(Component::Inference)
        .filter_map(|pod| pod.node.as_deref())
        .collect();
    (nodes.len() > 1).then(|| Hindrance {
        reason: Reason::InsufficientReplicas,
        message: format!(
            "inference.model.source.persistentVolumeClaim.claimName: one node alone can mount claim \
             {claim_name:?} ({}), and the instances are on {}; name one that is ReadOnlyMany or \
             ReadWriteMany",
            claim.access_modes.join(", "),
            nodes.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

fn held(world: &World) -> Vec<ObjectKey> {
    world
        .observed
        .children
        .keys()
        .filter(|key| {
            key.name
                .starts_with(&names::workload(&world.cluster, Component::Inference))
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_crds::settings::NodeCapacity;

    use crate::example::{world, world_with};
    use crate::world::{ClaimSeen, Signal};
    use k8s_openapi::api::apps::v1::RollingUpdateDeployment;

    fn strategy(world: &World) -> RollingUpdateDeployment {
        let objects = propose(world, &Facts::of(world)).objects.into_iter();
        let mut strategies = objects.filter_map(|object| match object.manifest {
            Manifest::Deployment(deployment) => deployment.spec?.strategy?.rolling_update,
            _ => None,
        });
        strategies.next().unwrap()
    }

    /// The model as the status shows it.
    pub(super) fn shown_model() -> Option<chatbot_crds::status::ModelStatus> {
        world().settled().observed.status.model
    }

    #[test]
    fn no_answer_is_lost_by_a_rollout() {
        let strategy = strategy(&world());
        assert_eq!(strategy.max_unavailable, Some(IntOrString::Int(0)));
        assert_eq!(
            strategy.max_surge,
            Some(IntOrString::String("25%".to_owned()))
        );
    }

    #[test]
    fn a_full_cluster_s_rollout_takes_before_it_gives() {
        let full = world_with(|yaml| {
            format!("{yaml}    rollout: {{ maxSurge: 0, maxUnavailable: 25% }}\n")
        });
        let strategy = strategy(&full);
        assert_eq!(strategy.max_surge, Some(IntOrString::Int(0)));
        assert_eq!(
            strategy.max_unavailable,
            Some(IntOrString::String("25%".to_owned()))
        );
    }

    #[test]
    fn a_claim_that_one_node_alone_can_mount_is_told_when_instances_wait_on_others() {
        let told = |modes: &[&str], nodes: [&str; 2]| {
            let mut world = world().passed().rolled_out(2);
            let claim = ClaimSeen {
                phase: "Bound".to_owned(),
                access_modes: modes.iter().map(|mode| (*mode).to_owned()).collect(),
                created: None,
            };
            world.observed.claim = Signal::Known {
                value: Some(claim),
                at: world.now,
            };
            let instances = world.observed.pods.iter_mut();
            let instances = instances.filter(|pod| pod.component == Component::Inference);
            for (pod, node) in instances.zip(nodes) {
                pod.node = Some(node.to_owned());
                pod.ready = node == "a";
            }
            let conditions = crate::plan(&world).conditions;
            let inference = conditions
                .into_iter()
                .find(|condition| condition.kind == ConditionType::InferenceReady);
            let inference = inference.unwrap();
            (inference.reason, inference.message.contains("a, b"))
        };
        let (few, enough) = (
            Reason::InsufficientReplicas,
            Reason::MinimumReplicasAvailable,
        );
        for (modes, nodes, expected) in [
            (&["ReadWriteOnce"][..], ["a", "b"], (few, true)),
            (&["ReadWriteOnce"], ["a", "a"], (enough, false)),
            (&["ReadWriteOnce"], ["b", "b"], (few, false)),
            (&["ReadWriteOnce", "ReadOnlyMany"], ["a", "b"], (few, false)),
            (&["ReadWriteMany"], ["a", "b"], (few, false)),
        ] {
            assert_eq!(told(modes, nodes), expected, "{modes:?} {nodes:?}");
        }
    }

    #[test]
    fn a_user_s_resources_go_over_an_instance_s_share_key_by_key() {
        let capacity = NodeCapacity {
            cpu_milli: 8000,
            memory_bytes: 32 << 30,
        };
        let of = |asked: &str| {
            instance_resources(
                &world_with(|yaml| format!("{yaml}\n    resources: {{ {asked} }}\n")),
                &capacity,
            )
        };
        let share = of("");
        assert_eq!(share.requests["cpu"].milli(), Some(1800));
        assert_eq!(share.requests["memory"], share.limits["memory"]);
        let less = of("limits: { memory: 1Gi }");
        assert_eq!(
            less.requests["memory"].units(),
            Some(1 << 30),
            "a request above its limit gives way"
        );
        let more = of("requests: { memory: 20Gi }");
        assert_eq!(
            more.limits["memory"].units(),
            Some(20 << 30),
            "a limit below its request gives way"
        );
    }
}
