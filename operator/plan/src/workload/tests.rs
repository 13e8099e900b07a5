use super::*;
use crate::example::{world, world_with};
use crate::status::find;
use crate::world::{EvictedPod, Signal};

#[test]
fn pods_that_nodes_throw_out_are_told_while_they_are_missed() {
    let mut world = world().passed().rolled_out(2);
    let instances = world.observed.pods.iter();
    let mut instances = instances.filter(|pod| pod.component == Component::Inference);
    let mut evicted = EvictedPod {
        component: Component::Inference,
        revision: instances.next().unwrap().revision.clone(),
        message: "The node was low on resource: memory".to_owned(),
        at: world.now,
    };
    world.observed.evicted.push(evicted.clone());
    let reason = |world: &World| told(world, ConditionType::InferenceReady).0;
    assert_eq!(reason(&world), "MinimumReplicasAvailable");
    world
        .observed
        .pods
        .retain(|pod| pod.component != Component::Inference);
    assert_eq!(reason(&world), "Evicted");
    let (_, message) = told(&world, ConditionType::InferenceReady);
    assert!(message.contains("low on resource: memory") && message.contains("raise the limit"));
    evicted.at = world.now - SignedDuration::from_mins(11);
    world.observed.evicted = vec![evicted.clone()];
    assert_eq!(reason(&world), "InsufficientReplicas", "long ago");
    evicted.at = world.now;
    evicted.revision = "before".to_owned();
    world.observed.evicted = vec![evicted];
    assert_eq!(reason(&world), "InsufficientReplicas", "of another plan");
}

#[test]
fn what_a_quota_wants_stated_is_told_with_the_field_that_states_it() {
    let mut world = world().passed().rolled_out(2);
    world.observed.pods.clear();
    for seen in world.observed.deployments.values_mut() {
        let failure =
            "pods \"x\" is forbidden: failed quota: all: must specify limits.cpu for: chatbot";
        seen.failure = Some(failure.to_owned());
    }
    for (kind, remedy) in [
        (ConditionType::InferenceReady, "inference.resources"),
        (ConditionType::MessagingReady, "LimitRange with a default"),
    ] {
        let (reason, message) = told(&world, kind);
        assert_eq!(reason, "PodsForbidden");
        assert!(message.contains(remedy), "{message}");
    }
}

/// A world whose instances are in this trouble.
fn troubled(trouble: &Trouble, last_words: Option<&str>) -> World {
    let mut world = world().passed().rolled_out(2);
    let instances = world.observed.pods.iter_mut();
    for pod in instances.filter(|pod| pod.component == Component::Inference) {
        pod.ready = false;
        pod.state = Signal::Unknown(Reason::Pending);
        pod.trouble = Some(trouble.clone());
        pod.last_words = last_words.map(str::to_owned);
    }
    world
}

fn told(world: &World, kind: ConditionType) -> (String, String) {
    let status = world.status();
    let condition = find(&status, kind).unwrap();
    (condition.reason.clone(), condition.message.clone())
}

#[test]
fn a_model_that_needs_more_memory_than_an_instance_has_is_told_with_what_decides_on_it() {
    let trouble = Trouble::OutOfMemory(Some("460Mi".to_owned()));
    let mut world = troubled(&trouble, Some("the last line of its log"));
    for (kind, reason) in [
        (ConditionType::ModelReady, "DoesNotFit"),
        (ConditionType::InferenceReady, "CrashLooping"),
        (ConditionType::Ready, "Stalled"),
        (ConditionType::Stalled, "DoesNotFit"),
    ] {
        let (said, message) = told(&world, kind);
        assert_eq!(said, reason, "{kind}");
        for word in [
            "460Mi",
            "inference.nodeCapacity",
            "inference.instancesPerNode",
            "inference.contextTokens",
            "inference.maxConcurrentRequests",
        ] {
            assert!(message.contains(word), "{kind}: {message}");
        }
    }
    // The model fits when one instance serves it: the other one's end is its own affair.
    let serving = world.instance();
    let instances = world.observed.pods.iter_mut();
    for pod in instances.filter(|pod| pod.name == serving.name) {
        *pod = serving.clone();
    }
    assert_eq!(told(&world, ConditionType::ModelReady).0, "Published");
    assert_eq!(
        told(&world, ConditionType::InferenceReady).0,
        "CrashLooping"
    );
}

#[test]
fn a_deployment_that_somebody_paused_is_told_only_when_something_is_to_be_rolled_out() {
    let pause = |mut world: World| {
        for seen in world.observed.deployments.values_mut() {
            seen.paused = true;
            seen.progress = "DeploymentPaused".to_owned();
        }
        world
    };
    let still = pause(world().settled());
    let (reason, message) = told(&still, ConditionType::Ready);
    assert_eq!(reason, "AllReady", "{message}");
    let mut edited = world_with(|yaml| yaml.replace("cpu: 8", "cpu: 4"));
    edited.observed = still.observed.clone();
    edited.memory = still.memory.clone();
    let mut edited = edited.passed();
    let inference = edited.observed.deployments.get_mut("support-inference");
    inference.unwrap().updated = 0;
    for (kind, reason) in [
        (ConditionType::InferenceReady, "DeploymentPaused"),
        (ConditionType::Stalled, "DeploymentPaused"),
        (ConditionType::Ready, "Stalled"),
        (ConditionType::AdaptersReady, "MinimumReplicasAvailable"),
    ] {
        let (said, message) = told(&edited, kind);
        assert_eq!(said, reason, "{kind}: {message}");
        let names = message.contains("kubectl rollout resume deployment/support-inference");
        assert_eq!(names, kind != ConditionType::AdaptersReady, "{message}");
    }
}

#[test]
fn what_keeps_pods_from_starting_is_told_with_what_to_do() {
    for (trouble, words) in [
        (
            Trouble::ImagePull("image \"x:1\" cannot be pulled".to_owned()),
            "x:1\" cannot be pulled: correct spec.image or inference.engine.image",
        ),
        (
            Trouble::Unschedulable("0/3 nodes".to_owned()),
            "0/3 nodes: free or add nodes",
        ),
        (
            Trouble::Reference("secret \"s\" not found".to_owned()),
            "not found: make the Secret",
        ),
    ] {
        let (_, message) = told(&troubled(&trouble, None), ConditionType::InferenceReady);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_claim_that_is_not_there_is_not_told_as_a_want_of_nodes() {
    let message = "0/3 nodes are available: persistentvolumeclaim \"models\" not found.";
    let trouble = Trouble::Unschedulable(message.to_owned());
    let (reason, message) = told(&troubled(&trouble, None), ConditionType::InferenceReady);
    assert_eq!(reason, "ModelNotReady");
    assert!(
        message.contains("\"models\" not found") && message.ends_with("ModelReady"),
        "{message}"
    );
}

#[test]
fn a_pod_that_stops_again_and_again_is_told_in_its_own_words() {
    let trouble = Trouble::Crash("exit code 1".to_owned());
    let taken = r#"{"reason":"Other","message":"the port is taken"}"#;
    let log = "see the log of the last run: kubectl logs --previous";
    for (last_words, words) in [
        (Some(taken), "the port is taken".to_owned()),
        (
            Some("first line\nits last line\n"),
            format!("its last line: {log}"),
        ),
        (
            Some("2026-12-01T16:50:30.123456Z ERROR no such option"),
            format!(": ERROR no such option: {log}"),
        ),
        (
            Some("[2026-12-01 16:50:30,123] no such option"),
            format!(": no such option: {log}"),
        ),
        (
            Some("2026/12/01 16:50:30 no such option"),
            format!(": no such option: {log}"),
        ),
        (Some("7 12 tries"), format!(": 7 12 tries: {log}")),
        (None, format!("exit code 1: {log}")),
    ] {
        let (reason, message) = told(
            &troubled(&trouble, last_words),
            ConditionType::InferenceReady,
        );
        assert_eq!(reason, "CrashLooping");
        assert!(message.ends_with(&words), "{message}");
    }
}
