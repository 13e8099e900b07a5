//! When a resource is ready, and what is told when it is not.

mod probes;

use chatbot_crds::config::{Hop, ProbeState};
use chatbot_crds::{ChatBotClusterStatus, ConditionType, Reason};

use super::{Outcome, compose, find};
use crate::example::{world, world_with};
use crate::plan;
use crate::proposal::Component;
use crate::world::{Leaving, Signal, Trouble, World};

fn told(status: &ChatBotClusterStatus, kind: ConditionType) -> (String, String) {
    let condition = find(status, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn is(world: &World, kind: ConditionType) -> (String, String) {
    told(&world.status(), kind)
}

fn said(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn every_reason_is_one_of_its_condition() {
    let worlds = [
        world(),
        world().passed(),
        world().passed().rolled_out(0),
        world().settled(),
        world().settled().later(3600),
    ];
    for status in worlds.iter().map(World::status) {
        for kind in ConditionType::ALL {
            let condition = find(&status, *kind).unwrap();
            let reason = condition.reason.parse().unwrap();
            assert!(kind.reasons().contains(&reason), "{kind} {reason}");
            assert_eq!(condition.observed_generation, Some(1));
        }
    }
}

#[test]
fn a_rollout_without_a_conversation_is_not_ready() {
    let world = world().passed().rolled_out(2);
    assert_eq!(
        is(&world, ConditionType::InferenceReady),
        said("True", "MinimumReplicasAvailable")
    );
    assert_eq!(
        is(&world, ConditionType::Ready),
        said("False", "RollingOut")
    );
}

#[test]
fn a_conversation_that_ended_before_the_rollout_does_not_prove_it() {
    let world = world().passed().rolled_out(2).probed(100).passed();
    assert_eq!(
        is(&world, ConditionType::Available),
        said("True", "Answering")
    );
    assert_eq!(
        is(&world, ConditionType::Ready),
        said("False", "RollingOut")
    );
    let world = world.later(5).probed(105);
    assert_eq!(is(&world, ConditionType::Ready), said("True", "AllReady"));
    assert_eq!(
        is(&world, ConditionType::Reconciling),
        said("False", "Settled")
    );
}

#[test]
fn an_edit_is_not_ready_before_its_own_rollout_and_conversation() {
    let before = world().settled();
    let mut edited = world_with(|yaml| {
        yaml.replace("generation: 1", "generation: 2")
            .replace("cpu: 8", "cpu: 4")
    });
    edited.observed = before.observed.clone();
    edited.memory = before.memory.clone();
    assert_eq!(
        is(&edited, ConditionType::Ready),
        said("False", "RollingOut"),
        "nothing is applied yet"
    );
    let edited = edited.passed().later(5).probed(110);
    assert_eq!(
        is(&edited, ConditionType::Ready),
        said("False", "RollingOut"),
        "old pods answer"
    );
    assert_eq!(
        is(&edited, ConditionType::Available),
        said("True", "Answering")
    );
    let edited = edited.rolled_out(2).probed(115).passed();
    assert_eq!(
        is(&edited, ConditionType::Ready),
        said("False", "RollingOut"),
        "not proven"
    );
    let edited = edited.later(5).probed(120).passed();
    assert_eq!(
        told(&edited.observed.status, ConditionType::Ready),
        said("True", "AllReady")
    );
    assert_eq!(
        find(&edited.observed.status, ConditionType::Ready)
            .unwrap()
            .observed_generation,
        Some(2)
    );
}

#[test]
fn scaling_up_does_not_make_it_unready() {
    let world = world().settled().rolled_out(2).probed(200).passed();
    let mut scaled = world.later(5);
    let seen = scaled
        .observed
        .deployments
        .get_mut("support-inference")
        .unwrap();
    (seen.desired, seen.replicas, seen.updated) = (4, 4, 4);
    assert_eq!(is(&scaled, ConditionType::Ready), said("True", "AllReady"));
}

#[test]
fn a_lost_instance_is_told_as_such_and_not_as_a_rollout() {
    let mut world = world().settled();
    world.observed.pods.retain(|pod| pod.name != "inference-1");
    assert_eq!(
        is(&world, ConditionType::InferenceReady),
        said("False", "InsufficientReplicas")
    );
    assert_eq!(
        is(&world, ConditionType::Ready),
        said("False", "InferenceNotReady")
    );
    assert_eq!(
        is(&world, ConditionType::Reconciling),
        said("False", "Settled")
    );
}

#[test]
fn a_failed_conversation_names_its_hop() {
    let world = world().settled().later(5).reporting(&ProbeState {
        at: 200,
        failed_hop: Some(Hop::Inference),
        message: "no instance answered".to_owned(),
    });
    assert_eq!(
        is(&world, ConditionType::Available),
        said("False", "InferenceHopFailed")
    );
    assert_eq!(
        is(&world, ConditionType::Ready),
        said("False", "NotAvailable")
    );
}

#[test]
fn silence_is_not_an_answer() {
    assert_eq!(
        is(&world().settled().later(120), ConditionType::Available),
        said("Unknown", "ProbeOverdue")
    );
    let mut gone = world().settled();
    gone.observed
        .pods
        .retain(|pod| pod.component != Component::Adapters);
    assert_eq!(
        is(&gone, ConditionType::Available),
        said("False", "AdapterHopFailed")
    );
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let mut world = world().passed().rolled_out(2);
    for pod in world
        .observed
        .pods
        .iter_mut()
        .filter(|pod| pod.component == Component::Inference)
    {
        pod.ready = false;
        pod.state = Signal::Unknown(chatbot_crds::Reason::Pending);
        pod.trouble = Some(Trouble::Crash("exit code 1".to_owned()));
        pod.last_words =
            Some(r#"{"reason":"SourceNotFound","message":"m.gguf is not there"}"#.to_owned());
    }
    assert_eq!(
        is(&world, ConditionType::ModelReady),
        said("False", "SourceNotFound")
    );
    assert_eq!(
        is(&world, ConditionType::InferenceReady),
        said("False", "ModelNotReady")
    );
    let status = world.status();
    assert!(
        find(&status, ConditionType::Ready)
            .unwrap()
            .message
            .contains("m.gguf is not there")
    );
}

#[test]
fn a_claim_that_is_not_there_is_named_before_any_pod_runs() {
    let mut world = world().passed();
    world.observed.claim = Signal::Known {
        value: None,
        at: world.now,
    };
    assert_eq!(
        is(&world, ConditionType::ModelReady),
        said("False", "StoreUnbound")
    );
    assert!(
        find(&world.status(), ConditionType::ModelReady)
            .unwrap()
            .message
            .contains("models")
    );
}

#[test]
fn the_trouble_of_pods_is_told_in_a_fixed_order() {
    let mut world = world().passed().rolled_out(2);
    let troubles = [
        Trouble::Unschedulable("0/3 nodes".to_owned()),
        Trouble::ImagePull("no image".to_owned()),
    ];
    let instances = world
        .observed
        .pods
        .iter_mut()
        .filter(|pod| pod.component == Component::Inference);
    for (pod, trouble) in instances.zip(troubles) {
        pod.ready = false;
        pod.trouble = Some(trouble);
    }
    assert_eq!(
        is(&world, ConditionType::InferenceReady),
        said("False", "ImagePullFailed")
    );
    world.observed.pods.reverse();
    assert_eq!(
        is(&world, ConditionType::InferenceReady),
        said("False", "ImagePullFailed")
    );
}

#[test]
fn a_repair_is_no_rollout_unless_it_fails() {
    let mut world = world().settled();
    world.observed.status = world.status();
    world
        .observed
        .children
        .retain(|key, _| key.kind != "Service");
    assert_eq!(is(&world, ConditionType::Ready), said("True", "AllReady"));
    assert_eq!(
        is(&world, ConditionType::Reconciling),
        said("False", "Settled")
    );
    let outcome = Outcome {
        failed: vec!["Service support-adapters: the connection was reset".to_owned()],
        ..Outcome::default()
    };
    let status = compose(&world, &plan(&world), &outcome);
    assert_eq!(
        told(&status, ConditionType::Ready),
        said("False", "RollingOut")
    );
    world.cluster.generation += 1;
    assert_eq!(
        is(&world, ConditionType::Ready),
        said("False", "RollingOut"),
        "an edit is none"
    );
}

#[test]
fn a_quota_stalls_what_is_under_way() {
    let mut world = world().passed().rolled_out(2);
    world
        .observed
        .pods
        .retain(|pod| pod.component == Component::Adapters);
    world
        .observed
        .deployments
        .get_mut("support-inference")
        .unwrap()
        .failure = Some("pods \"x\" is forbidden: exceeded quota: small".to_owned());
    assert_eq!(
        is(&world, ConditionType::InferenceReady),
        said("False", "QuotaExceeded")
    );
    assert_eq!(
        is(&world, ConditionType::Stalled),
        said("True", "QuotaExceeded")
    );
    assert_eq!(
        is(&world, ConditionType::Reconciling),
        said("True", "RollingOut")
    );
    let message = find(&world.status(), ConditionType::Stalled)
        .unwrap()
        .message
        .clone();
    let remedy = Reason::QuotaExceeded.remedy();
    assert_eq!(message.matches(remedy).count(), 1, "{message}");
}

#[test]
fn a_foreign_object_stalls_and_is_named() {
    let world = world().settled();
    let outcome = Outcome {
        not_owned: vec!["Service support-adapters".to_owned()],
        ..Outcome::default()
    };
    let status = compose(&world, &plan(&world), &outcome);
    assert_eq!(
        told(&status, ConditionType::Stalled),
        said("True", "ObjectNotOwned")
    );
    assert_eq!(
        told(&status, ConditionType::Ready),
        said("False", "Stalled")
    );
    assert!(
        find(&status, ConditionType::Stalled)
            .unwrap()
            .message
            .contains("Service support-adapters")
    );
}

#[test]
fn what_needs_a_person_hides_no_rollout_and_is_told_before_it() {
    let mut unclaimed = world().passed().rolled_out(2);
    unclaimed.observed.claim = Signal::Known {
        value: None,
        at: unclaimed.now,
    };
    let inference = unclaimed.observed.pods.iter_mut();
    for pod in inference.filter(|pod| pod.component == Component::Inference) {
        pod.ready = false;
    }
    let seen = unclaimed.observed.deployments.get_mut("support-inference");
    seen.unwrap().progress = "ReplicaSetUpdated".to_owned();
    let unclaimed = unclaimed.passed();
    let foreign = Outcome {
        not_owned: vec!["Service support-adapters".to_owned()],
        ..Outcome::default()
    };
    for (outcome, stalled) in [
        (Outcome::default(), "StoreUnbound"),
        (foreign, "ObjectNotOwned"),
    ] {
        let status = compose(&unclaimed, &plan(&unclaimed), &outcome);
        for (kind, status_and_reason) in [
            (ConditionType::Stalled, said("True", stalled)),
            (ConditionType::Reconciling, said("True", "RollingOut")),
            (ConditionType::Ready, said("False", "Stalled")),
        ] {
            assert_eq!(told(&status, kind), status_and_reason);
        }
        let place = |kind: ConditionType| {
            let mut all = status.conditions.iter();
            all.position(|condition| condition.type_ == kind.as_str())
        };
        assert!(
            place(ConditionType::Stalled) < place(ConditionType::Reconciling),
            "kstatus believes the first that is true"
        );
    }
}

#[test]
fn a_refused_spec_leaves_what_is_told_of_the_rest() {
    let world = world().settled();
    let faults = chatbot_crds::Faults(vec![chatbot_crds::Fault {
        path: "spec.channels".to_owned(),
        value: "[]".to_owned(),
        remedy: "must have at least one".to_owned(),
    }]);
    let mut cluster = world.cluster.clone();
    cluster.generation = 2;
    let status = super::refused(&cluster, &world.observed, &faults, world.now);
    assert_eq!(
        told(&status, ConditionType::Accepted),
        said("False", "InvalidSpec")
    );
    assert_eq!(
        told(&status, ConditionType::Stalled),
        said("True", "InvalidSpec")
    );
    assert_eq!(
        told(&status, ConditionType::Ready),
        said("False", "InvalidSpec")
    );
    assert_eq!(
        told(&status, ConditionType::Available),
        said("True", "Answering")
    );
    assert_eq!(status.workloads, world.observed.status.workloads);
    assert_eq!(status.observed_generation, Some(2));
}

#[test]
fn what_is_being_deleted_is_told_as_it_is_and_left_alone() {
    let held = Leaving::Resource {
        finalizers: vec!["example.com/hold".to_owned()],
    };
    for (leaving, words) in [
        (held, "example.com/hold"),
        (Leaving::Namespace, "its namespace is being deleted"),
    ] {
        let mut world = world().settled();
        world.observed.leaving = Some(leaving);
        // Whatever is gone already is not made anew, and is no rollout.
        world.observed.deployments.clear();
        world.observed.children.clear();
        world.observed.pods.clear();
        let plan = plan(&world);
        assert!(plan.objects.is_empty() && plan.prune.is_empty() && plan.actions.is_empty());
        let status = world.status();
        for (kind, expected) in [
            (ConditionType::Ready, said("False", "Terminating")),
            (ConditionType::Reconciling, said("True", "Terminating")),
            (ConditionType::Stalled, said("False", "NotStalled")),
            (ConditionType::Available, said("False", "AdapterHopFailed")),
        ] {
            assert_eq!(told(&status, kind), expected);
        }
        let ready = find(&status, ConditionType::Ready).unwrap();
        assert!(ready.message.contains(words), "{}", ready.message);
        let faults = chatbot_crds::Faults(Vec::new());
        let refused = super::refused(&world.cluster, &world.observed, &faults, world.now);
        for kind in [ConditionType::Ready, ConditionType::Stalled] {
            assert_eq!(told(&refused, kind), told(&status, kind));
        }
    }
}

#[test]
fn a_message_is_one_line_that_reads_as_it_was_written() {
    let outcome = Outcome {
        denied: vec!["policy \u{202e}sdrawkcab\nand \u{7}on".to_owned()],
        ..Outcome::default()
    };
    let world = world().settled();
    let status = compose(&world, &plan(&world), &outcome);
    let message = &find(&status, ConditionType::Stalled).unwrap().message;
    assert!(
        message.starts_with("policy \\u{202e}sdrawkcab\\nand \\u{7}on: "),
        "{message}"
    );
}

#[test]
fn a_transition_is_dated_once() {
    let world = world().settled();
    let later = world.clone().later(60).probed(160);
    let since = |status: &ChatBotClusterStatus| {
        find(status, ConditionType::Ready)
            .unwrap()
            .last_transition_time
            .clone()
    };
    assert_eq!(since(&later.status()), since(&world.observed.status));
}

#[test]
fn what_a_pod_finds_that_is_only_starting_says_nothing_of_those_that_serve() {
    let mut world = world().settled().later(5);
    let adapters = |pod: &&crate::world::PodSeen| pod.component == Component::Adapters;
    let mut starting = world.observed.pods.iter().find(adapters).unwrap().clone();
    starting.uid = "starting".to_owned();
    starting.name = "starting".to_owned();
    starting.ready = false;
    if let Signal::Known { value, .. } = &mut starting.state {
        value.probe = Some(ProbeState {
            at: 200,
            failed_hop: Some(Hop::Adapter),
            message: "TLS cannot be served".to_owned(),
        });
    }
    world.observed.pods.push(starting);
    let available = |world: &World| is(world, ConditionType::Available);
    assert_eq!(available(&world), said("True", "Answering"));
    // Alone it is all that is known.
    world
        .observed
        .pods
        .retain(|pod| !pod.ready || pod.component != Component::Adapters);
    assert_eq!(available(&world), said("False", "AdapterHopFailed"));
}

#[test]
fn where_no_node_is_a_candidate_that_is_said_and_the_edit_is_under_way() {
    let mut world = world_with(|yaml| yaml.replace("nodeCapacity: { cpu: 8, memory: 32Gi }", ""));
    world.observed.nodes = Signal::Known {
        value: Vec::new(),
        at: world.now,
    };
    let world = world.passed();
    let inference = is(&world, ConditionType::InferenceReady);
    assert_eq!(inference, said("False", "Unschedulable"));
    let reconciling = is(&world, ConditionType::Reconciling);
    assert_eq!(reconciling, said("True", "RollingOut"));
    let stalled = |world: &World| is(world, ConditionType::Stalled);
    assert_eq!(stalled(&world), said("False", "NotStalled"));
    assert_eq!(
        stalled(&world.later(601).passed()),
        said("True", "Unschedulable")
    );
}
