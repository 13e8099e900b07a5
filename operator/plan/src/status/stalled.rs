//! Whether a person is needed.

use chatbot_crds::{ConditionType, Reason};
use jiff::Timestamp;

use super::{Outcome, find, ready::CAUSES, shortened};
use crate::claim;
use crate::proposal::{Component, Condition, Plan};
use crate::world::World;

/// The most of the API server's words, in characters.
const WORDS_LIMIT: usize = 700;

/// Whether a person is needed: what the API server refuses, what a part lacks that time does not bring, what takes too
/// long.
pub(super) fn stalled(
    world: &World,
    plan: &Plan,
    outcome: &Outcome,
    conditions: &[Condition],
) -> Condition {
    if world.observed.leaving.is_some() {
        return at_the_end();
    }
    let over_quota = conditions
        .iter()
        .filter(|condition| condition.reason == Reason::QuotaExceeded)
        .map(|condition| without_remedy(condition).to_owned());
    let over_quota: Vec<String> = outcome
        .over_quota
        .iter()
        .cloned()
        .chain(over_quota)
        .collect();
    let overdue = match &plan.rollout.overdue[..] {
        [] => None,
        [one] => Some(format!("Deployment {one} makes no progress")),
        several => Some(format!(
            "Deployments {} make no progress",
            several.join(", ")
        )),
    };
    let (reason, message) = if !outcome.not_owned.is_empty() {
        let (belongs, them) = match outcome.not_owned[..] {
            [_] => ("belongs", "it"),
            _ => ("belong", "them"),
        };
        let message = format!(
            "{} {belongs} to somebody else: delete or rename {them}, or rename the resource",
            outcome.not_owned.join(", ")
        );
        (Reason::ObjectNotOwned, message)
    } else if !over_quota.is_empty() {
        let reason = Reason::QuotaExceeded;
        (reason, with_remedy(&over_quota, reason))
    } else if let Some((reason, message)) = refused(outcome) {
        (reason, message)
    } else if !outcome.contended.is_empty() {
        let reason = Reason::Contended;
        (reason, with_remedy(&outcome.contended, reason))
    } else if let Some((reason, message)) = lacking(world, conditions) {
        (reason, message)
    } else if let Some(message) = overdue {
        (Reason::ProgressDeadlineExceeded, message)
    } else {
        return nobody("no person is needed yet");
    };
    Condition {
        kind: ConditionType::Stalled,
        status: Some(true),
        reason,
        message,
    }
}

/// Of what is being deleted nothing is stalled.
pub(super) fn at_the_end() -> Condition {
    nobody("no person is needed: nothing is to be done any more")
}

fn nobody(message: &str) -> Condition {
    Condition {
        kind: ConditionType::Stalled,
        status: Some(false),
        reason: Reason::NotStalled,
        message: message.to_owned(),
    }
}

/// What the API server, or whom it asks, refuses the operator.
fn refused(outcome: &Outcome) -> Option<(Reason, String)> {
    let refusals = [
        (&outcome.forbidden, Reason::Forbidden),
        (&outcome.denied, Reason::AdmissionDenied),
        (&outcome.unasked, Reason::WebhookUnavailable),
        (&outcome.invalid, Reason::ObjectInvalid),
    ];
    let (refused, reason) = refusals
        .into_iter()
        .find(|(refused, _)| !refused.is_empty())?;
    Some((reason, with_remedy(refused, reason)))
}

/// The API server quotes whatever it refuses: the remedy is to be read all the same.
pub(crate) fn with_remedy(refused: &[String], reason: Reason) -> String {
    let words = shortened(&refused.join("; "), WORDS_LIMIT);
    format!("{words}: {}", reason.remedy())
}

/// What a condition says beside its remedy, which is said once of several.
fn without_remedy(condition: &Condition) -> &str {
    let message = condition.message.as_str();
    let words = message.strip_suffix(condition.reason.remedy());
    words
        .and_then(|words| words.strip_suffix(": "))
        .unwrap_or(message)
}

/// The first part, causes before effects, that does not work for want of a person, with its own reason.
fn lacking(world: &World, conditions: &[Condition]) -> Option<(Reason, String)> {
    let parts = CAUSES.into_iter().filter(|kind| kind.needs_persons());
    let mut parts = parts.flat_map(|kind| {
        conditions
            .iter()
            .filter(move |condition| condition.kind == kind && condition.status == Some(false))
    });
    let part = parts.find(|part| {
        let patience = part.reason.needs_person_after().map(i64::from);
        let is_waited_for =
            part.reason == Reason::StoreUnbound && claim::waited_for(world).is_some();
        !is_waited_for && patience.is_some_and(|patience| seconds_so(world, part) >= patience)
    })?;
    Some((part.reason, part.message.clone()))
}

/// For how many seconds a condition has been false, by the status as it was last written; of pods in trouble, not longer
/// than the first of them has been: it may have been false for another reason before.
fn seconds_so(world: &World, part: &Condition) -> i64 {
    let told = find(&world.observed.status, part.kind).filter(|told| told.status == "False");
    told.map_or(0, |told| {
        let since = told
            .last_transition_time
            .0
            .max(in_trouble_since(world, part));
        world.now.as_second() - since.as_second()
    })
}

fn in_trouble_since(world: &World, part: &Condition) -> Timestamp {
    let component = match part.kind {
        ConditionType::AdaptersReady => Component::Adapters,
        ConditionType::WorkersReady => Component::Workers,
        ConditionType::InferenceReady => Component::Inference,
        ConditionType::MessagingReady => Component::Broker,
        ConditionType::StateReady => Component::Store,
        _ => return Timestamp::UNIX_EPOCH,
    };
    let of_pods = matches!(part.reason, Reason::Unschedulable | Reason::CrashLooping);
    let pods = world.observed.pods_of(component).filter(|_| of_pods);
    let troubled = pods.filter(|pod| pod.trouble.is_some());
    let known = troubled.filter_map(|pod| world.observed.in_trouble_since.get(&pod.uid));
    known.min().copied().unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::world;
    use crate::plan;
    use crate::status::compose;
    use crate::world::{Signal, Trouble};

    /// A world whose instances are in this trouble, looked at twice.
    fn troubled(trouble: &Trouble, last_words: Option<&str>) -> World {
        let mut world = world().settled();
        let instances = world.observed.pods.iter_mut();
        for pod in instances.filter(|pod| pod.component == Component::Inference) {
            pod.ready = false;
            pod.state = Signal::Unknown(Reason::Pending);
            pod.trouble = Some(trouble.clone());
            pod.last_words = last_words.map(str::to_owned);
        }
        world.passed()
    }

    fn told(world: &World) -> (String, String) {
        let status = world.status();
        let stalled = find(&status, ConditionType::Stalled).unwrap();
        (stalled.status.clone(), stalled.reason.clone())
    }

    #[test]
    fn what_only_a_person_can_mend_is_told_at_once_with_its_own_reason() {
        let crash = Trouble::Crash("exit code 1".to_owned());
        for reason in [
            "SourceNotFound",
            "SourceUnreadable",
            "SourceTruncated",
            "SourceDamaged",
            "UnsupportedFormat",
            "LimitExceeded",
        ] {
            let words = format!(r#"{{"reason":"{reason}","message":"as it is"}}"#);
            let world = troubled(&crash, Some(&words));
            assert_eq!(told(&world), ("True".to_owned(), reason.to_owned()));
        }
        for (trouble, reason) in [
            (Trouble::OutOfMemory(None), "DoesNotFit"),
            (Trouble::ImagePull("no".to_owned()), "ImagePullFailed"),
            (Trouble::Reference("no".to_owned()), "ReferenceMissing"),
        ] {
            let world = troubled(&trouble, None);
            assert_eq!(told(&world), ("True".to_owned(), reason.to_owned()));
        }
    }

    #[test]
    fn what_time_may_mend_is_given_time() {
        for (trouble, patience, reason) in [
            (
                Trouble::Crash("exit code 1".to_owned()),
                120,
                "CrashLooping",
            ),
            (
                Trouble::Unschedulable("0/3 nodes".to_owned()),
                600,
                "Unschedulable",
            ),
        ] {
            let world = troubled(&trouble, None);
            let waiting = world.clone().later(patience - 1);
            assert_eq!(
                told(&waiting),
                ("False".to_owned(), "NotStalled".to_owned())
            );
            let over = world.later(patience);
            assert_eq!(told(&over), ("True".to_owned(), reason.to_owned()));
        }
    }

    #[test]
    fn a_trouble_that_has_just_begun_is_given_time_however_long_something_else_lasted() {
        let trouble = Trouble::Unschedulable("0/3 nodes".to_owned());
        let mut world = troubled(&trouble, None).later(900);
        let begun = world.clone().later(-5).now;
        for pod in &world.observed.pods {
            let uid = pod.uid.clone();
            world.observed.in_trouble_since.insert(uid, begun);
        }
        let so = |world: &World| told(world).1;
        assert_eq!(so(&world), "NotStalled");
        assert_eq!(so(&world.clone().later(594)), "NotStalled");
        assert_eq!(so(&world.later(595)), "Unschedulable");
    }

    #[test]
    fn an_object_that_the_api_server_calls_invalid_needs_a_person_however_much_it_quotes() {
        let world = world().settled();
        let field = "spec.template.spec.priorityClassName: Invalid value: \"a..b\"";
        for quoted in ["", &"x".repeat(5000)] {
            let outcome = Outcome {
                invalid: vec![format!("Deployment support-inference: {field}: {quoted}")],
                ..Outcome::default()
            };
            assert!(outcome.is_refused(), "it is tried ever more seldom");
            let status = compose(&world, &plan(&world), &outcome);
            let stalled = find(&status, ConditionType::Stalled).unwrap();
            let said = (stalled.status.as_str(), stalled.reason.as_str());
            assert_eq!(said, ("True", "ObjectInvalid"));
            for words in [
                "Deployment support-inference",
                field,
                Reason::ObjectInvalid.remedy(),
            ] {
                assert!(stalled.message.contains(words), "{}", stalled.message);
            }
            // What runs goes on.
            let available = find(&status, ConditionType::Available).unwrap();
            assert_eq!(available.status, "True");
        }
    }

    #[test]
    fn one_and_several_are_told_in_whole_sentences() {
        let world = world().settled();
        let message = |objects: &[&str]| {
            let outcome = Outcome {
                not_owned: objects.iter().map(|object| (*object).to_owned()).collect(),
                ..Outcome::default()
            };
            // What follows from the memory is not done without it, also when it is somebody else's.
            assert!(outcome.is_refused());
            let status = compose(&world, &plan(&world), &outcome);
            find(&status, ConditionType::Stalled)
                .unwrap()
                .message
                .clone()
        };
        assert!(
            message(&["Service a"])
                .starts_with("Service a belongs to somebody else: delete or rename it,")
        );
        let several = message(&["Service a", "Service b"]);
        assert!(
            several.starts_with(
                "Service a, Service b belong to somebody else: delete or rename them,"
            )
        );
    }

    #[test]
    fn who_insists_is_named_with_what_to_do() {
        let world = world().settled();
        let outcome = Outcome {
            contended: vec!["Service a is changed again and again by somebody".to_owned()],
            ..Outcome::default()
        };
        let status = compose(&world, &plan(&world), &outcome);
        let stalled = find(&status, ConditionType::Stalled).unwrap();
        assert_eq!(stalled.reason, "Contended");
        assert!(stalled.message.starts_with("Service a is changed"));
        assert!(stalled.message.ends_with(Reason::Contended.remedy()));
    }

    #[test]
    fn one_instance_of_several_in_trouble_needs_nobody_while_enough_work() {
        let mut world = world().settled();
        let mut third = world.observed.pods[1].clone();
        third.name = "inference-9".to_owned();
        third.ready = false;
        third.trouble = Some(Trouble::ImagePull("no".to_owned()));
        world.observed.pods.push(third);
        assert_eq!(told(&world), ("False".to_owned(), "NotStalled".to_owned()));
    }
}
