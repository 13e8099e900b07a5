//! What synthetic conversations say of the whole, pod by pod.

use super::*;

#[test]
fn pods_that_disagree_are_told_in_the_same_words_whoever_has_spoken_last() {
    let settled = world().settled();
    let probing = |failing: i64, other: i64| {
        let mut world = settled.clone();
        let pods = world.observed.pods.iter_mut();
        for pod in pods.filter(|pod| pod.component == Component::Adapters) {
            let fails = pod.name.ends_with("-1");
            let Signal::Known { value, .. } = &mut pod.state else {
                continue;
            };
            value.probe = Some(ProbeState {
                at: if fails { failing } else { other },
                failed_hop: fails.then_some(Hop::Queue),
                message: String::new(),
            });
        }
        world
    };
    for world in [probing(200, 201), probing(202, 201)] {
        let available = is(&world, ConditionType::Available);
        assert_eq!(available, said("False", "QueueHopFailed"));
    }
    // A pod that is silent says nothing, however late its last words were by its own clock.
    let mut silent = probing(9_000, 201).later(120);
    let now = silent.now;
    for pod in &mut silent.observed.pods {
        if let Signal::Known { at, .. } = &mut pod.state
            && !pod.name.ends_with("-1")
        {
            *at = now;
        }
    }
    let available = is(&silent, ConditionType::Available);
    assert_eq!(available, said("True", "Answering"));
}

#[test]
fn what_is_proven_stays_so_when_a_pod_begins_anew_or_its_clock_is_set_back() {
    let proven = world().settled();
    for at in [3, 107] {
        let world = proven.clone().later(5).probed(at);
        assert_eq!(is(&world, ConditionType::Ready), said("True", "AllReady"));
    }
    let mut anew = proven.clone();
    for pod in &mut anew.observed.pods {
        if let Signal::Known { value, .. } = &mut pod.state {
            value.probe = None;
        }
    }
    let reconciling = is(&anew, ConditionType::Reconciling);
    assert_eq!(reconciling, said("False", "Settled"));
}
