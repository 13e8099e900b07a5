//! The operator's clock is set while it runs, or it moves to a node with another one. What a pod reports is dated by its
//! age, so it moves along.

use chatbot_crds::{ChatBotClusterStatus, ConditionType};
use jiff::{SignedDuration, Timestamp};

use super::find;
use crate::example::world;
use crate::plan;
use crate::proposal::Component;
use crate::world::{Signal, World};

/// By how many seconds the clock is set.
const SET: [i64; 5] = [-7200, -600, -1, 600, 7200];

/// The same moment, told by another clock.
fn set(world: &World, seconds: i64) -> World {
    let by = SignedDuration::from_secs(seconds);
    let mut world = world.clone().later(seconds);
    for pod in &mut world.observed.pods {
        if let Signal::Known { at, .. } = &mut pod.state {
            *at = at.checked_add(by).unwrap();
        }
    }
    world
}

#[test]
fn a_clock_that_is_set_changes_nothing_that_is_said() {
    let before = world().settled();
    for seconds in SET {
        let after = set(&before, seconds);
        assert_eq!(after.status(), before.observed.status, "{seconds}");
        let (one, other) = (plan(&before), plan(&after));
        assert_eq!(one.objects, other.objects, "{seconds}");
        assert_eq!(one.actions, other.actions, "{seconds}");
        assert_eq!(one.memory, other.memory, "{seconds}");
    }
}

#[test]
fn the_next_look_lies_ahead_whatever_the_clock_says() {
    for seconds in SET {
        let after = set(&world().settled(), seconds);
        let plan = plan(&after);
        assert!(plan.wake_at > after.now, "{seconds}");
        assert!(
            plan.wake_at.duration_since(after.now) <= SignedDuration::from_mins(1),
            "{seconds}"
        );
    }
}

#[test]
fn what_changes_after_the_clock_was_set_is_dated_by_it_and_the_rest_keeps_its_date() {
    let before = world().settled();
    for seconds in SET {
        let mut after = set(&before, seconds);
        let instances = after.observed.pods.iter_mut();
        for pod in instances.filter(|pod| pod.component == Component::Inference) {
            pod.ready = false;
        }
        let said = after.status();
        let since = |of: &ChatBotClusterStatus, kind| -> Timestamp {
            find(of, kind).unwrap().last_transition_time.0
        };
        let changed = since(&said, ConditionType::InferenceReady);
        assert_eq!(changed.as_second(), after.now.as_second(), "{seconds}");
        for kind in [ConditionType::Accepted, ConditionType::AdaptersReady] {
            let kept = since(&before.observed.status, kind);
            assert_eq!(since(&said, kind), kept, "{seconds} {kind}");
        }
    }
}

#[test]
fn a_pod_that_falls_silent_is_overdue_as_soon_as_ever_though_the_clock_was_set_back() {
    for seconds in SET {
        let after = set(&world().settled(), seconds);
        for (later, expected) in [(60, "Answering"), (120, "ProbeOverdue")] {
            let said = after.clone().later(later).status();
            let available = find(&said, ConditionType::Available).unwrap();
            assert_eq!(available.reason, expected, "{seconds}, {later} s later");
        }
    }
}
