//! How long a claim that is there and not bound is waited for. Most are bound by themselves, and one that waits for its
//! first consumer begins so with the first pod.

use chatbot_crds::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp};

use crate::status::find;
use crate::world::World;

/// The time in which a claim is bound, a volume made for it included.
const BINDING: SignedDuration = SignedDuration::from_secs(60);

/// Until when the model's claim is waited for, later than now; none when there is none, when it is bound or lost, or
/// when it has been waited for long enough.
///
/// The time begins when the claim was made or when its wait was first told, whichever is later: one that waits for its
/// first consumer may have been there for days. An age that is not known, or that another clock puts into the future,
/// is neither none nor great: then what was told counts alone.
#[must_use]
pub fn waited_for(world: &World) -> Option<Timestamp> {
    let claim = world.observed.claim.known()?.as_ref()?;
    if ["Bound", "Lost"].contains(&claim.phase.as_str()) {
        return None;
    }
    let told = find(&world.observed.status, ConditionType::ModelReady)
        .filter(|told| told.status == "False" && told.reason == Reason::StoreUnbound.as_str())
        .map(|told| told.last_transition_time.0)
        // The schema's default is of no time at all.
        .filter(|since| *since > Timestamp::UNIX_EPOCH)
        .unwrap_or(world.now);
    let made = claim.created.filter(|created| *created <= world.now);
    let since = made.map_or(told, |made| made.max(told));
    let until = since.saturating_add(BINDING).unwrap_or(since);
    (until > world.now).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::world;
    use crate::plan;
    use crate::proposal::Component;
    use crate::world::{ClaimSeen, Signal};

    /// A claim in this phase, made so many seconds ago.
    fn claimed(mut world: World, phase: &str, age: Option<i64>) -> World {
        let created = age.map(|age| {
            let age = SignedDuration::from_secs(age);
            world.now.checked_sub(age).unwrap()
        });
        let claim = ClaimSeen {
            phase: phase.to_owned(),
            access_modes: Vec::new(),
            created,
        };
        world.observed.claim = Signal::Known {
            value: Some(claim),
            at: world.now,
        };
        world
    }

    /// Instances are there, and none has read the model.
    fn waiting() -> World {
        let mut world = world().passed().rolled_out(2);
        let pods = world.observed.pods.iter_mut();
        for pod in pods.filter(|pod| pod.component == Component::Inference) {
            pod.ready = false;
            pod.state = Signal::Unknown(Reason::Pending);
        }
        world
    }

    fn said(world: &World, kind: ConditionType) -> (String, String) {
        let status = world.status();
        let condition = find(&status, kind).unwrap();
        (condition.status.clone(), condition.reason.clone())
    }

    fn needs_a_person(world: &World) -> bool {
        match said(world, ConditionType::Stalled) {
            (status, _) if status == "False" => false,
            (_, reason) => {
                assert_eq!(reason, "StoreUnbound");
                true
            }
        }
    }

    #[test]
    fn a_claim_that_is_pending_needs_a_person_when_it_has_been_for_a_while() {
        // Made just now, a day ago for its first consumer, at a time not known, or by a clock that is an hour ahead.
        for age in [Some(0), Some(86_400), None, Some(-3600)] {
            let first_seen = claimed(waiting(), "Pending", age);
            assert!(!needs_a_person(&first_seen), "{age:?}");
            let told = first_seen.passed();
            for (seconds, expected) in [(1, false), (59, false), (60, true), (600, true)] {
                let later = told.clone().later(seconds);
                assert_eq!(needs_a_person(&later), expected, "{age:?}, {seconds} s");
            }
        }
    }

    #[test]
    fn what_no_time_brings_needs_a_person_at_once() {
        assert!(needs_a_person(&claimed(waiting(), "Lost", Some(0))));
        let mut none = waiting();
        none.observed.claim = Signal::Known {
            value: None,
            at: none.now,
        };
        assert!(needs_a_person(&none));
        // Once it is made, it has its own time.
        let made = claimed(none.passed().later(300), "Pending", Some(0)).passed();
        for (seconds, expected) in [(0, false), (59, false), (60, true)] {
            let later = made.clone().later(seconds);
            assert_eq!(needs_a_person(&later), expected, "{seconds} s");
        }
    }

    #[test]
    fn a_claim_that_is_waited_for_is_told_as_a_rollout_and_why() {
        let world = claimed(waiting(), "Pending", Some(1)).passed();
        for (kind, status, reason) in [
            (ConditionType::ModelReady, "False", "StoreUnbound"),
            (ConditionType::Reconciling, "True", "RollingOut"),
            (ConditionType::Ready, "False", "RollingOut"),
        ] {
            let expected = (status.to_owned(), reason.to_owned());
            assert_eq!(said(&world, kind), expected, "{kind}");
        }
        let status = world.status();
        let ready = find(&status, ConditionType::Ready).unwrap();
        assert!(ready.message.contains("Pending"), "{}", ready.message);
    }

    #[test]
    fn the_next_look_is_when_the_wait_is_over() {
        let told = claimed(waiting(), "Pending", Some(1)).passed();
        for (seconds, ahead) in [(50, 10), (59, 1), (60, 15)] {
            let later = told.clone().later(seconds);
            let next = plan(&later).wake_at.duration_since(later.now);
            assert_eq!(next.as_secs(), ahead, "{seconds} s");
        }
    }
}
