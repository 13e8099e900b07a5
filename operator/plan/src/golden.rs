//! Golden worlds: for each, the whole plan as it reads. `INSTA_UPDATE=always cargo test -p chatbot-plan` records them
//! anew; what changes is to be read line by line.

mod exposure;

use chatbot_crds::Reason;
use serde_json::{Value, json};

use crate::example::{pod, world, world_with};
use crate::names;
use crate::plan;
use crate::proposal::Component;
use crate::rollout::carries_plan;
use crate::status::{Outcome, compose};
use crate::world::{AutoscalerCondition, AutoscalerSeen, Signal, Trouble, World};

/// A world's plan: objects in full where the cluster has them differently, and by name where it has them as planned.
fn planned(world: &World) -> Value {
    let plan = plan(world);
    let objects = plan.objects.iter().map(|object| {
        if carries_plan(object, &world.observed) {
            json!(format!("{} {} as it is", object.key.kind, object.key.name))
        } else {
            object.manifest.clone()
        }
    });
    let prune = plan
        .prune
        .iter()
        .map(|surplus| format!("{} {}", surplus.key.kind, surplus.key.name));
    let bounds = plan.settled.iter().map(|(component, settled)| {
        format!(
            "{}: {} to {}",
            component.as_str(),
            settled.floor,
            settled.ceiling
        )
    });
    let conditions = compose(world, &plan, &Outcome::default()).conditions;
    let conditions = conditions.iter().map(|condition| {
        let (kind, status, reason) = (&condition.type_, &condition.status, &condition.reason);
        format!("{kind}={status} {reason}: {}", condition.message)
    });
    json!({
        "objects": objects.collect::<Vec<_>>(),
        "prune": prune.collect::<Vec<_>>(),
        "actions": plan.actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>(),
        "bounds": bounds.collect::<Vec<_>>(),
        "conditions": conditions.collect::<Vec<_>>(),
        "next look": format!("in {} s", plan.wake_at.as_second() - world.now.as_second()),
    })
}

/// Ready for a while, the autoscaler at work.
fn at_rest() -> World {
    let mut world = world().settled().later(60).probed(160);
    let scaling = AutoscalerCondition {
        status: true,
        reason: "ValidMetricFound".to_owned(),
        message: String::new(),
    };
    let seen = AutoscalerSeen {
        active: Some(scaling),
        limited: None,
    };
    let autoscalers = &mut world.observed.autoscalers;
    autoscalers.insert("support-inference".to_owned(), seen);
    world
}

/// What a cluster at rest becomes when its resource is edited.
fn edited(edit: impl FnOnce(String) -> String) -> World {
    let before = at_rest();
    let mut edited = world_with(|yaml| edit(yaml.replace("generation: 1", "generation: 2")));
    edited.observed = before.observed;
    edited.memory = before.memory;
    edited.later(120).probed(220)
}

/// A Deployment's pods are being replaced: one of the new revision is there, and starts.
fn half_way(world: World, component: Component) -> World {
    let mut world = world.passed();
    let plan = plan(&world);
    let mut starting = pod(&plan, component, 9);
    starting.ready = false;
    starting.state = Signal::Unknown(Reason::Pending);
    world.observed.pods.push(starting);
    let name = names::workload(&world.cluster, component);
    let seen = world.observed.deployments.get_mut(&name).unwrap();
    (seen.replicas, seen.updated) = (seen.replicas + 1, 1);
    seen.progress = "ReplicaSetUpdated".to_owned();
    world
}

#[test]
fn a_first_look_plans_everything() {
    insta::assert_yaml_snapshot!(planned(&world()));
}

#[test]
fn at_rest_everything_is_as_it_is() {
    insta::assert_yaml_snapshot!(planned(&at_rest()));
}

#[test]
fn larger_nodes_give_the_instances_another_configuration_and_other_requests() {
    let larger = edited(|yaml| yaml.replace("cpu: 8", "cpu: 64"));
    insta::assert_yaml_snapshot!(planned(&larger));
}

#[test]
fn half_way_through_a_rollout_the_old_configuration_stays() {
    let larger = edited(|yaml| yaml.replace("cpu: 8", "cpu: 64"));
    insta::assert_yaml_snapshot!(planned(&half_way(larger, Component::Inference)));
}

#[test]
fn an_edited_prompt_replaces_the_workers_alone() {
    let brief = edited(|yaml| format!("{yaml}\n  conversation: {{ systemPrompt: Be brief. }}\n"));
    insta::assert_yaml_snapshot!(planned(&brief));
}

#[test]
fn while_it_is_paused_nothing_is_written_and_what_differs_is_told() {
    let paused = edited(|yaml| {
        yaml.replace("cpu: 8", "cpu: 64")
            .replace("spec:\n", "spec:\n  runStrategy: Paused\n")
    });
    insta::assert_yaml_snapshot!(planned(&paused));
}

#[test]
fn at_a_halt_whoever_takes_messages_ends_first() {
    let halting = edited(|yaml| yaml.replace("spec:\n", "spec:\n  runStrategy: Halted\n"));
    insta::assert_yaml_snapshot!(planned(&halting));
}

#[test]
fn another_server_takes_the_place_of_the_built_in_one() {
    let other = edited(|yaml| {
        format!(
            "{yaml}    engine: {{ image: 'server:1', args: ['--model=$(MODEL_PATH)'], port: 8080, \
             env: [{{ name: KEY, valueFrom: {{ secretKeyRef: {{ name: engine, key: key }} }} }}] }}\n"
        )
    });
    insta::assert_yaml_snapshot!(planned(&other));
}

#[test]
fn a_model_that_is_not_there_is_told_and_nothing_is_undone() {
    let mut world = world().passed().rolled_out(2);
    let deployments = &mut world.observed.deployments;
    let seen = deployments.get_mut("support-inference").unwrap();
    (seen.ready, seen.progress) = (0, "ReplicaSetUpdated".to_owned());
    let instances = world.observed.pods.iter_mut();
    for pod in instances.filter(|pod| pod.component == Component::Inference) {
        pod.ready = false;
        pod.state = Signal::Unknown(Reason::Pending);
        pod.trouble = Some(Trouble::Crash("exit code 1".to_owned()));
        pod.last_words = Some(
            r#"{"reason":"SourceNotFound","message":"there is no file \"m.gguf\" on the volume"}"#
                .to_owned(),
        );
    }
    insta::assert_yaml_snapshot!(planned(&world));
}
