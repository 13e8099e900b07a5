//! Whole plans: worlds named for a behaviour, and what must hold in every world.

use proptest::prelude::*;
use serde_json::Value;

use crate::capability::ALL;
use crate::example::{node, world, world_with};
use crate::proposal::{Action, Plan};
use crate::world::{Signal, World};
use crate::{plan, plan_with};

/// A plan as it reads: every object in full, and what else is done.
fn readable(plan: &Plan) -> Value {
    serde_json::json!({
        "objects": plan.objects.iter().map(|object| &object.manifest).collect::<Vec<_>>(),
        "prune": plan.prune.iter().map(|surplus| format!("{} {}", surplus.key.kind, surplus.key.name)).collect::<Vec<_>>(),
        "actions": plan.actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>(),
        "conditions": plan.conditions.iter().map(|condition| {
            format!("{}={:?} {}: {}", condition.kind, condition.status, condition.reason, condition.message)
        }).collect::<Vec<_>>(),
    })
}

fn names(plan: &Plan, kind: &str) -> Vec<String> {
    plan.objects
        .iter()
        .filter(|object| object.key.kind == kind)
        .map(|object| object.key.name.clone())
        .collect()
}

#[test]
fn what_goes_by_a_name_alone_says_by_which() {
    let world = world();
    let plan = plan(&world);
    let relied_on = |kind: &str, name: &str| -> Vec<String> {
        let mut objects = plan.objects.iter();
        let object = objects.find(|object| object.key.kind == kind && object.key.name == name);
        let keys = object.unwrap().relies_on(&world.cluster).into_iter();
        keys.map(|key| format!("{} {}", key.kind, key.name))
            .collect()
    };
    let workers = relied_on("Deployment", "support-workers");
    let services = ["broker", "store", "inference"].map(|one| format!("Service support-{one}"));
    assert_eq!(workers[..3], services);
    assert_eq!(workers.len(), 4);
    assert!(workers[3].starts_with("ConfigMap support-workers-"));
    let scaled = relied_on("HorizontalPodAutoscaler", "support-workers");
    assert_eq!(scaled, ["Deployment support-workers"]);
    assert_eq!(relied_on("Service", "support-inference"), [""; 0]);
}

fn template(world: &World, deployment: &str) -> Value {
    plan(world)
        .objects
        .iter()
        .find(|object| object.key.kind == "Deployment" && object.key.name == deployment)
        .unwrap()
        .manifest["spec"]["template"]
        .clone()
}

#[test]
fn a_settled_cluster_is_left_alone() {
    let world = world().settled();
    let plan = plan(&world);
    assert_eq!(plan.prune, []);
    assert_eq!(plan.actions, []);
    assert!(plan.rollout.is_complete(), "{:?}", plan.rollout);
    assert_eq!(plan.memory, world.memory);
    assert_eq!(world.status(), world.observed.status);
    let later = world.later(7200).probed(7200);
    assert_eq!(
        later.status(),
        later.observed.status,
        "nothing in the status ticks"
    );
}

#[test]
fn no_deployment_carries_replicas() {
    for object in plan(&world()).objects {
        assert_eq!(
            object.manifest.pointer("/spec/replicas"),
            None,
            "{:?}",
            object.key
        );
    }
}

#[test]
fn an_edited_prompt_rolls_the_workers_and_nothing_else() {
    let edited =
        world_with(|yaml| format!("{yaml}\n  conversation: {{ systemPrompt: Be brief. }}\n"));
    let is_rolled = |name: &str| template(&world(), name) != template(&edited, name);
    assert!(is_rolled("support-workers"));
    for same in ["adapters", "inference", "broker", "store"] {
        assert!(!is_rolled(&format!("support-{same}")), "{same}");
    }
}

#[test]
fn edited_bounds_roll_nothing() {
    let edited = world_with(|yaml| {
        yaml.replace(
            "minReplicas: 2, maxReplicas: 4",
            "minReplicas: 3, maxReplicas: 9",
        )
    });
    for deployment in ["support-adapters", "support-inference"] {
        assert_eq!(
            template(&world(), deployment),
            template(&edited, deployment)
        );
    }
}

#[test]
fn replicas_below_the_floor_are_raised_at_once() {
    let mut world = world().settled();
    world
        .observed
        .deployments
        .get_mut("support-inference")
        .unwrap()
        .desired = 0;
    assert_eq!(
        plan(&world).actions,
        [Action::Scale {
            deployment: "support-inference".to_owned(),
            resource_version: "1".to_owned(),
            replicas: 2,
        }]
    );
}

#[test]
fn of_a_broker_or_a_store_a_second_pod_is_taken_back_and_of_the_others_it_is_the_autoscaler_s() {
    let scaled = |name: &str| {
        let mut world = world().settled();
        let seen = world.observed.deployments.get_mut(name);
        seen.unwrap().desired = 3;
        plan(&world).actions
    };
    for name in ["support-broker", "support-store"] {
        assert!(matches!(
            &scaled(name)[..],
            [Action::Scale { replicas: 1, .. }]
        ));
    }
    for name in ["support-adapters", "support-workers", "support-inference"] {
        assert_eq!(scaled(name), []);
    }
}

#[test]
fn an_old_configuration_stays_until_its_pods_are_gone() {
    let world = world().settled();
    let old = names(&plan(&world), "ConfigMap");
    let mut edited = world_with(|yaml| yaml.replace("cpu: 8", "cpu: 64"));
    edited.observed = world.observed.clone();
    edited.memory = world.memory.clone();
    let threads_changed = names(&plan(&edited), "ConfigMap") != old;
    assert!(
        threads_changed,
        "the instances' configuration has another name"
    );
    let edited = edited.passed();
    assert_eq!(plan(&edited).prune, [], "old pods still mount it");
    let edited = edited.rolled_out(2);
    let pruned = plan(&edited).prune;
    assert_eq!(pruned.len(), 1);
    assert!(old.contains(&pruned[0].key.name));
}

#[test]
fn of_edits_that_never_work_the_last_configurations_are_kept_and_the_one_that_works() {
    let mut world = world().settled();
    let deployments = world.observed.deployments.values_mut();
    deployments.for_each(|deployment| deployment.updated = 0);
    let name = |edit: usize| format!("support-workers-{edit:02}");
    for edit in 0..12 {
        let created = jiff::SignedDuration::from_secs(i64::try_from(edit).unwrap());
        let key = crate::world::ObjectKey {
            kind: "ConfigMap",
            name: name(edit),
        };
        let child = crate::world::Child {
            uid: name(edit),
            owned: true,
            hash: None,
            created: Some(world.now + created),
        };
        world.observed.children.insert(key, child);
    }
    world.observed.pods[0].config_maps.push(name(2));
    let pruned: Vec<_> = plan(&world)
        .prune
        .into_iter()
        .map(|one| one.key.name)
        .collect();
    assert_eq!(pruned, [name(1), name(3)]);
}

#[test]
fn what_is_not_ours_is_never_pruned() {
    let mut world = world().settled();
    let key = crate::world::ObjectKey {
        kind: "Service",
        name: "support-other".to_owned(),
    };
    let child = crate::world::Child {
        uid: "x".to_owned(),
        owned: false,
        hash: None,
        created: None,
    };
    world.observed.children.insert(key.clone(), child.clone());
    assert_eq!(plan(&world).prune, []);
    world.observed.children.insert(
        key,
        crate::world::Child {
            owned: true,
            ..child
        },
    );
    assert_eq!(plan(&world).prune.len(), 1);
}

#[test]
fn instances_whose_size_became_unknown_are_left_as_they_are() {
    let mut world = world_with(|yaml| yaml.replace("nodeCapacity: { cpu: 8, memory: 32Gi }", ""));
    world.observed.nodes = Signal::Known {
        value: vec![node("a", 4000, 16 << 30), node("b", 8000, 8 << 30)],
        at: world.now,
    };
    let mut world = world.settled();
    let capacity = world.memory.node_capacity.clone().unwrap();
    assert_eq!((capacity.cpu_milli, capacity.memory_bytes), (4000, 8 << 30));
    // Nodes come and go: the figure is held.
    world.observed.nodes = Signal::Known {
        value: vec![node("c", 100, 1 << 30)],
        at: world.now,
    };
    assert_eq!(plan(&world).memory.node_capacity, Some(capacity));
    // Memory and status lost, and no node to be seen.
    world.memory = crate::memory::Memory::default();
    world.observed.status.inference = None;
    world.observed.nodes = Signal::Known {
        value: Vec::new(),
        at: world.now,
    };
    let plan = plan(&world);
    assert_eq!(
        names(&plan, "Deployment"),
        [
            "support-adapters",
            "support-broker",
            "support-store",
            "support-workers"
        ]
    );
    assert_eq!(plan.prune, []);
}

#[test]
fn a_lost_memory_is_rebuilt_from_the_status() {
    let mut world = world_with(|yaml| yaml.replace("nodeCapacity: { cpu: 8, memory: 32Gi }", ""));
    world.observed.nodes = Signal::Known {
        value: vec![node("a", 4000, 16 << 30)],
        at: world.now,
    };
    let mut world = world.settled();
    let before = template(&world, "support-inference");
    world.memory = crate::memory::Memory::default();
    world.observed.nodes = Signal::Unknown(chatbot_crds::Reason::Pending);
    assert_eq!(template(&world, "support-inference"), before);
}

#[test]
fn an_instance_has_its_share_of_a_node() {
    let resources = |world: &World| {
        template(world, "support-inference")
            .pointer("/spec/containers/0/resources")
            .unwrap()
            .clone()
    };
    let plain = resources(&world());
    assert_eq!(plain["requests"]["cpu"], "1800m");
    assert_eq!(plain["requests"]["memory"], plain["limits"]["memory"]);
    assert_eq!(
        plain["limits"].get("cpu"),
        None,
        "a limit would slow answers down"
    );
    let asked = resources(&world_with(|yaml| {
        format!("{yaml}\n    resources: {{ limits: {{ cpu: 2, nvidia.com/gpu: 1 }} }}\n")
    }));
    assert_eq!(asked["limits"]["cpu"], "2");
    assert_eq!(asked["limits"]["nvidia.com/gpu"], "1");
    assert_eq!(asked["requests"], plain["requests"]);
}

#[test]
fn every_container_meets_pod_security_restricted() {
    for deployment in ["support-adapters", "support-inference"] {
        let pod = &template(&world(), deployment)["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        assert_eq!(pod["automountServiceAccountToken"], false);
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["capabilities"]["drop"][0], "ALL");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_order_of_capabilities_does_not_matter(
        order in Just(ALL.to_vec()).prop_shuffle(),
        is_settled: bool,
        instances in 0u32..6,
    ) {
        let world = if is_settled { world().settled() } else { world() }.rolled_out(instances);
        let (one, other) = (plan(&world), plan_with(&world, &order));
        prop_assert_eq!(readable(&one), readable(&other));
        prop_assert_eq!(one.settled, other.settled);
        prop_assert_eq!(one.sections, other.sections);
        prop_assert_eq!(one.memory, other.memory);
    }

    #[test]
    fn the_next_look_is_later_than_now(seconds in 0i64..4_000_000_000) {
        let mut world = world();
        world.now = jiff::Timestamp::from_second(seconds).unwrap();
        prop_assert!(plan(&world).wake_at > world.now);
    }
}

#[test]
fn a_scaling_is_no_rollout() {
    let mut world = world().passed().rolled_out(2).probed(10).passed();
    assert!(world.memory.completed.is_some());
    for deployment in world.observed.deployments.values_mut() {
        // The autoscaler has just written, and the Deployment's controller has not looked yet.
        deployment.current = false;
    }
    assert!(plan(&world).rollout.is_complete());
    world.memory.completed = None;
    assert!(
        !plan(&world).rollout.is_complete(),
        "nothing tells it from an edit"
    );
}

#[test]
fn a_capacity_that_the_spec_no_longer_says_is_looked_up() {
    let said = world().settled();
    let mut edited = world_with(|yaml| yaml.replace("nodeCapacity: { cpu: 8, memory: 32Gi }", ""));
    edited.observed = said.observed.clone();
    edited.memory = said.memory.clone();
    let asks =
        crate::facts::asks_for_nodes(&edited.settings, &edited.memory, &edited.observed.status);
    assert!(asks);
    edited.observed.nodes = Signal::Known {
        value: vec![node("a", 4000, 16 << 30)],
        at: edited.now,
    };
    let capacity = plan(&edited).memory.node_capacity.unwrap();
    assert_eq!(
        (capacity.cpu_milli, capacity.memory_bytes),
        (4000, 16 << 30)
    );
}

#[test]
fn another_priority_class_leaves_the_development_servers_alone() {
    let other = world_with(|yaml| yaml + "\n  priorityClassName: gold\n");
    let class = |world: &World, of: &str| template(world, of)["spec"]["priorityClassName"].clone();
    assert_eq!(class(&other, "support-workers"), "gold");
    for server in ["support-broker", "support-store"] {
        assert_eq!(
            template(&other, server),
            template(&world(), server),
            "{server}"
        );
    }
}
