use chatbot_crds::{ConditionType, Reason};

use super::*;
use crate::example::{world, world_with};
use crate::plan;
use crate::status::find;
use crate::world::{Trouble, World};

/// Has a pod tell of broker and store.
fn tell(pod: &mut PodSeen, usable: bool) {
    if let Signal::Known { value, .. } = &mut pod.state {
        let states = [&mut value.broker, &mut value.store];
        for state in states.into_iter().flatten() {
            state.usable = Some(usable);
        }
    }
}

#[test]
fn instances_give_way_to_smaller_ones_when_the_workers_have_shown_that_their_prompt_fits() {
    let sized = |tokens: u32| world_with(|yaml| format!("{yaml}    contextTokens: {tokens}\n"));
    let before = sized(4096).settled();
    let edited = |tokens: u32| {
        let mut edited = sized(tokens);
        edited.observed = before.observed.clone();
        edited.memory = before.memory.clone();
        edited
    };
    let replaced = |world: &World| {
        let mut objects = plan(world).objects.into_iter();
        objects
            .any(|object| object.key.kind == "Deployment" && object.key.name == "support-inference")
    };
    assert!(replaced(&edited(8192)), "what fitted fits");
    let smaller = edited(2048);
    assert!(!replaced(&smaller));
    let told = find(&smaller.status(), ConditionType::InferenceReady).cloned();
    assert!(told.unwrap().message.contains("see WorkersReady"));
    let mut shown = smaller.passed();
    let planned = plan(&shown).objects;
    let workers = shown.observed.pods.iter_mut();
    for pod in workers.filter(|pod| pod.component == Component::Workers) {
        revision_of(&planned, Component::Workers)
            .unwrap()
            .clone_into(&mut pod.revision);
    }
    assert!(replaced(&shown), "the workers have begun");
}

/// What is asked for, over what was there before.
fn edited(before: &World, edit: &str) -> World {
    let mut edited = world_with(|yaml| yaml + edit);
    edited.observed = before.observed.clone();
    edited.memory = before.memory.clone();
    edited
}

/// The first worker of the planned revision is ready beside those of before, or an adapter is.
fn with_one_of(component: Component, world: &World) -> World {
    let mut world = world.clone();
    let planned = plan(&world).objects;
    let mut pods = world.observed.pods.iter_mut();
    let pod = pods.find(|pod| pod.component == component).unwrap();
    revision_of(&planned, component)
        .unwrap()
        .clone_into(&mut pod.revision);
    world
}

/// The Deployment of a component as a plan writes it; none when it stays as it is.
fn deployment(world: &World, component: Component) -> Option<serde_json::Value> {
    let objects = plan(world).objects.into_iter();
    let mut objects = objects.filter(|object| object.key.kind == "Deployment");
    let found = objects.find(|object| object.component == Some(component));
    found.map(|object| object.manifest)
}

/// Whether the adapters' Deployment is written, and whether workers of before stay.
fn staged(world: &World) -> (bool, bool) {
    let workers = deployment(world, Component::Workers).unwrap();
    let keeps = workers["spec"]["minReadySeconds"].as_i64().unwrap_or(0) > 0;
    (deployment(world, Component::Adapters).is_some(), keeps)
}

const BROKER: &str =
    "\n  messaging: { kafka: { bootstrapServers: ['b:9092'], replicationFactor: 1 } }\n";

#[test]
fn adapters_and_workers_go_to_another_broker_or_store_together() {
    let store = "\n  state: { redis: { addresses: ['s:6379'] } }\n";
    for elsewhere in [BROKER, store] {
        let edited = edited(&world().settled(), elsewhere).passed();
        assert_eq!(staged(&edited), (false, true), "no worker is there yet");
        let told = |world: &World, kind| find(&world.status(), kind).unwrap().clone();
        let adapters = told(&edited, ConditionType::AdaptersReady);
        assert!(
            adapters.message.contains("see WorkersReady"),
            "{adapters:?}"
        );
        let followed = with_one_of(Component::Workers, &edited).passed();
        assert_eq!(staged(&followed), (true, true), "one of before is left");
        let mut ready = followed.clone();
        let planned = plan(&ready).objects;
        let pods = ready.observed.pods.iter_mut();
        for pod in pods.filter(|pod| pod.component == Component::Workers) {
            let revision = revision_of(&planned, Component::Workers);
            revision.unwrap().clone_into(&mut pod.revision);
        }
        let workers = ready.observed.deployments.get_mut("support-workers");
        workers.unwrap().replicas += 1;
        let workers = told(&ready, ConditionType::WorkersReady);
        assert!(workers.message.contains("see AdaptersReady"), "{workers:?}");
        // Of the adapters one is still of before.
        let half = with_one_of(Component::Adapters, &followed);
        assert_eq!(staged(&half), (true, true));
        assert_eq!(staged(&followed.rolled_out(2)), (true, false));
    }
}

#[test]
fn who_meets_where_they_met_waits_for_nobody() {
    let settled = world().settled();
    let labelled = "\n  podMetadata: { labels: { team: a } }\n";
    assert_eq!(staged(&edited(&settled, labelled).passed()), (true, false));
    assert_eq!(
        staged(&world_with(|yaml| yaml + BROKER)),
        (true, false),
        "a first start"
    );
    // What does not serve has nothing to lose.
    let mut broken = edited(&settled, BROKER).passed();
    for pod in &mut broken.observed.pods {
        pod.ready = pod.component != Component::Adapters;
    }
    assert_eq!(staged(&broken), (true, true));
    // An edit that is taken back before the adapters have gone changes nothing for them.
    let back = edited(&edited(&settled, BROKER).passed(), "");
    assert_eq!(staged(&back.passed()), (true, false));
}

#[test]
fn what_nobody_remembers_may_meet_elsewhere() {
    let mut forgotten = edited(&world().settled(), BROKER).passed();
    forgotten.memory = crate::memory::Memory::default();
    assert_eq!(staged(&forgotten), (false, true));
    let followed = with_one_of(Component::Workers, &forgotten).passed();
    assert_eq!(staged(&followed), (true, true));
    assert_eq!(staged(&followed.rolled_out(2)), (true, false));
}

#[test]
fn what_cannot_be_replaced_without_loss_is_replaced_last() {
    let before = world().settled();
    let mut edited =
        world_with(|yaml| format!("{yaml}\n  podMetadata: {{ labels: {{ team: a }} }}\n"));
    edited.observed = before.observed;
    edited.memory = before.memory;
    let replaced = |world: &World| {
        let single = ["support-broker", "support-store"];
        let objects = plan(world).objects.into_iter();
        let deployments = objects.filter(|object| object.key.kind == "Deployment");
        deployments
            .filter(|object| single.contains(&object.key.name.as_str()))
            .count()
    };
    assert_eq!(replaced(&edited), 0);
    let told = |world: &World| {
        let conditions = plan(world).conditions.into_iter();
        let mut told = conditions.filter(|told| told.kind == ConditionType::MessagingReady);
        told.next().unwrap().reason
    };
    assert_eq!(told(&edited), Reason::DevelopmentBroker, "it goes on");
    let mut rolled = edited.clone().passed();
    let plans = plan(&rolled);
    for pod in &mut rolled.observed.pods {
        if let Some(revision) = revision_of(&plans.objects, pod.component) {
            pod.revision = revision.to_owned();
        }
    }
    assert_eq!(replaced(&rolled), 2, "the others are rolled out");
    // What is not ready for a moment is not lost.
    let with = |change: fn(&mut PodSeen)| {
        let mut world = edited.clone();
        world.observed.pods.iter_mut().for_each(change);
        replaced(&world)
    };
    assert_eq!(with(|pod| pod.ready = false), 0);
    // What does not work has nothing to lose, and who waits for it would wait for ever.
    let crash = |pod: &mut PodSeen| pod.trouble = Some(Trouble::Crash("exit code 1".to_owned()));
    assert_eq!(with(crash), 2);
    assert_eq!(with(|pod| tell(pod, false)), 2);
    assert_eq!(
        with(|pod| tell(pod, pod.name.ends_with("-0"))),
        0,
        "one can use it"
    );
    edited.observed.pods.clear();
    assert_eq!(replaced(&edited), 2);
}
