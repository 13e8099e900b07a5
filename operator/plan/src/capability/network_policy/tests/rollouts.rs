//! Who is let through while pods of several plans are there.

use super::*;

/// A world that had settled before an edit.
fn edited(before: impl FnOnce(String) -> String, edit: impl FnOnce(String) -> String) -> World {
    again(world_with(before).settled(), edit)
}

#[test]
fn until_an_edit_is_rolled_out_the_pods_of_before_are_let_through_too() {
    use Component::{Adapters, Inference, Workers};
    let hook = |yaml: String| {
        let url = "http://bot.test:8088/";
        let channel = format!(
            "{{ name: bot, webhook: {{ replyURL: \"{url}\", secretRef: {{ name: s }} }} }}"
        );
        yaml.replace("channels:\n", &format!("channels:\n    - {channel}\n"))
    };
    let same = |yaml: String| yaml;
    let called = edited(same, engine);
    for port in [INFERENCE_PORT, 9000] {
        assert!(lets_in(&called, Inference, &part(Workers), port));
        assert!(lets_out(&called, Workers, &part(Inference), ("TCP", port)));
    }
    let called = called.settled();
    assert!(!lets_in(&called, Inference, &part(Workers), INFERENCE_PORT));
    for (edited, port) in [(edited(kafka, same), 9093), (edited(hook, same), 8088)] {
        assert!(lets_out(&edited, Adapters, &Peer::Outside, ("TCP", port)));
        let edited = edited.settled().passed();
        assert!(!lets_out(&edited, Adapters, &Peer::Outside, ("TCP", port)));
    }
}

fn engine(yaml: String) -> String {
    yaml + "    engine: { image: e, port: 9000 }\n"
}

fn kafka(yaml: String) -> String {
    yaml + "  messaging: { kafka: { bootstrapServers: [\"kafka:9093\"] } }\n"
}

/// The same resource after another edit.
fn again(before: World, edit: impl FnOnce(String) -> String) -> World {
    let mut after = world_with(edit);
    after.observed = before.observed;
    after.memory = before.memory;
    after
}

#[test]
fn pods_of_an_edit_that_was_taken_back_are_let_through_until_they_are_gone() {
    let half_out = edited(|yaml| yaml, engine).passed();
    let back = again(half_out, |yaml| yaml);
    let calls = |world: &World, port: u16| {
        let (workers, inference) = (Component::Workers, Component::Inference);
        lets_out(world, workers, &part(inference), ("TCP", port))
            && lets_in(world, inference, &part(workers), port)
    };
    assert!(calls(&back, 9000) && calls(&back, INFERENCE_PORT));
    let back = back.settled();
    assert!(!calls(&back, 9000) && calls(&back, INFERENCE_PORT));
    // Nor is a first rollout that never ended shut out.
    let edited = again(world().passed(), engine);
    assert!(calls(&edited, 9000) && calls(&edited, INFERENCE_PORT));
}

#[test]
fn however_often_it_is_edited_what_was_rolled_out_last_is_let_through() {
    let mut world = world().settled();
    for port in 9000..9020 {
        let engine = |yaml: String| format!("{yaml}    engine: {{ image: e, port: {port} }}\n");
        world = again(world, engine).passed();
    }
    let (workers, inference) = (Component::Workers, Component::Inference);
    let open = [INFERENCE_PORT, 9000, 9018, 9019]
        .map(|port| lets_out(&world, workers, &part(inference), ("TCP", port)));
    assert_eq!(open, [true, false, true, true]);
}

#[test]
fn a_pod_of_before_that_is_ending_keeps_what_it_needs() {
    let before = world().settled();
    let mut ending = before.observed.pods.clone();
    ending.retain(|pod| pod.component == Component::Workers);
    ending.truncate(1);
    ending[0].ending = true;
    let rolled_out = |world: World| world.passed().rolled_out(2).passed().passed();
    let mut rolled = rolled_out(again(before, kafka));
    // Back to the operator's own broker, so that it is the other one that must stay in reach.
    let mut back = rolled_out(again(world_with(kafka).settled(), |yaml| yaml));
    for world in [&mut rolled, &mut back] {
        world.observed.pods.extend(ending.clone());
        for pod in world.observed.pods.iter_mut().filter(|pod| pod.ending) {
            "of before".clone_into(&mut pod.revision);
        }
    }
    let goes = |world: &World| pruned(world).contains(&"NetworkPolicy");
    assert!(!goes(&rolled));
    let leaves = |world: &World| lets_out(world, Component::Workers, &Peer::Outside, ("TCP", 9093));
    let back = back.probed(100).passed().later(5).probed(105);
    assert!(leaves(&back));
    assert!(
        back.status()
            .conditions
            .iter()
            .any(|told| { told.type_ == "Ready" && told.message.contains("last pods of before") })
    );
    let gone = |mut world: World| {
        world.observed.pods.retain(|pod| !pod.ending);
        world.passed()
    };
    assert!(goes(&gone(rolled)));
    assert!(!leaves(&gone(back)));
}

#[test]
fn a_rollout_is_told_complete_once_the_pods_of_before_are_shut_out() {
    let rolled = edited(|yaml| yaml, engine).passed().rolled_out(2);
    let plan = crate::plan(&rolled);
    assert!(!plan.rollout.unapplied.is_empty(), "{:?}", plan.rollout);
    let passed = rolled.passed();
    assert!(crate::plan(&passed).rollout.is_complete());
}
