//! Another engine that answers no question, as the container beside it has heard.

use chatbot_crds::Reason;

use crate::proposal::Component;
use crate::status::with_remedy;
use crate::world::{PodSeen, World};

/// What one of a component's pods was told instead of an answer, and who answers meanwhile.
#[must_use]
pub fn refusal(component: Component, world: &World, pods: &[&PodSeen]) -> Option<String> {
    let engine = world.settings.inference.engine.as_ref();
    let engine = engine.filter(|_| component == Component::Inference)?;
    let waiting = pods.iter().filter(|pod| !pod.ready);
    // One of them, the same at every look.
    let said = waiting
        .filter_map(|pod| pod.state.known()?.engine_refused.as_ref())
        .min()?;
    let mut instances = world.observed.pods_of(component);
    let meanwhile = if instances.any(|pod| pod.ready && !pod.ending) {
        "the instances that have answered go on"
    } else {
        "no instance answers"
    };
    let words = format!(
        "inference.engine: {} refuses every question, and {meanwhile}: {said}",
        engine.image
    );
    Some(with_remedy(&[words], Reason::EngineRefused))
}

#[cfg(test)]
mod tests {
    use chatbot_crds::config::State;
    use chatbot_crds::{ConditionType, Reason};

    use crate::example::{pod, world, world_with};
    use crate::proposal::Component;
    use crate::status::find;
    use crate::world::{Signal, Trouble, World};

    /// An edit to another engine, whose first pod waits with these words; with or without the instances of before.
    fn waiting(said: Option<&str>, before: bool) -> World {
        let settled = world().settled();
        let mut edited = world_with(|yaml| {
            yaml.replace("generation: 1", "generation: 2") + "    engine: { image: 'server:1' }\n"
        });
        edited.observed = settled.observed.clone();
        edited.memory = settled.memory.clone();
        let mut edited = edited.passed();
        if !before {
            let pods = &mut edited.observed.pods;
            pods.retain(|pod| pod.component != Component::Inference);
        }
        let mut starting = pod(&crate::plan(&edited), Component::Inference, 9);
        starting.ready = false;
        starting.state = Signal::Known {
            value: State {
                engine_refused: said.map(str::to_owned),
                ..State::default()
            },
            at: edited.now,
        };
        edited.observed.pods.push(starting);
        let seen = edited.observed.deployments.get_mut("support-inference");
        seen.unwrap().updated = 1;
        edited.later(1).probed(205)
    }

    fn told(world: &World, kind: ConditionType) -> [String; 3] {
        let status = world.status();
        let told = find(&status, kind).unwrap();
        [&told.status, &told.reason, &told.message].map(Clone::clone)
    }

    #[test]
    fn an_engine_that_refuses_every_question_is_told_in_its_words_with_who_answers_meanwhile() {
        let words = "inference said 404 Not Found: there is no model \"support\"";
        for (before, meanwhile) in [
            (true, "the instances that have answered go on"),
            (false, "no instance answers"),
        ] {
            let world = waiting(Some(words), before);
            let [status, reason, message] = told(&world, ConditionType::InferenceReady);
            assert_eq!(
                (status.as_str(), reason.as_str()),
                ("False", "EngineRefused")
            );
            let said = format!(
                "inference.engine: server:1 refuses every question, and {meanwhile}: {words}: {}",
                Reason::EngineRefused.remedy()
            );
            assert_eq!(message, said);
            let [status, reason, message] = told(&world, ConditionType::ModelReady);
            assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "Pending"));
            assert!(message.contains("server:1 answers yet"), "{message}");
            let [_, reason, message] = told(&world, ConditionType::Ready);
            assert_eq!(reason, "RollingOut");
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_person_is_needed_when_it_goes_on_refusing() {
        let world = waiting(Some("401 Unauthorized"), true).passed();
        let stalled = |world: &World| told(world, ConditionType::Stalled)[1].clone();
        assert_eq!(stalled(&world), "NotStalled");
        let later = world.later(601).probed(806);
        assert_eq!(stalled(&later), "EngineRefused");
    }

    #[test]
    fn only_a_pod_of_the_plan_that_waits_tells_of_the_engine() {
        let reason = |world: &World| told(world, ConditionType::InferenceReady)[1].clone();
        assert_eq!(reason(&waiting(None, true)), "RollingOut");
        let refused = || waiting(Some("404"), true);
        let last = |world: &mut World, change: fn(&mut crate::world::PodSeen)| {
            change(world.observed.pods.last_mut().unwrap());
        };
        let mut of_before = refused();
        last(&mut of_before, |pod| pod.revision = "before".to_owned());
        assert_eq!(reason(&of_before), "RollingOut");
        let mut ready = refused();
        last(&mut ready, |pod| pod.ready = true);
        assert_eq!(reason(&ready), "RollingOut");
        let mut crashed = refused();
        last(&mut crashed, |pod| {
            pod.trouble = Some(Trouble::Crash("exit code 1".to_owned()));
        });
        assert_eq!(reason(&crashed), "EngineRefused", "it has run since");
        let answered = waiting(None, true).rolled_out(2);
        assert_eq!(reason(&answered), "MinimumReplicasAvailable");
        let model = told(&answered, ConditionType::ModelReady);
        assert_eq!(model[1], "Published");
    }
}
