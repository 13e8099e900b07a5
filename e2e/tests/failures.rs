//! What fails in the middle of an answer costs time, never the answer.
#![allow(clippy::unwrap_used, clippy::panic)] // A step of a scenario fails as the scenario does.

use std::time::Duration;

use anyhow::Result;
use chatbot_e2e::conversation::{Conversation, Reply};
use chatbot_e2e::resource::{CHANNEL, Pod, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use serde_json::json;

/// The model goes on and on, so that there is a middle.
const LONG: &str =
    "Tell a very long story about a lighthouse keeper. Describe every day of a whole year.";
/// How often a question is asked anew because its answer was whole before anything could fail.
const TRIES: usize = 8;

fn ready_resource(namespace: &str) -> Resource {
    let space = scenario::namespace(namespace).unwrap();
    let long_answers = json!({ "spec": { "conversation": { "maxAnswerTokens": 400 } } });
    let resource = Resource::apply(space, &long_answers).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    resource
}

/// Everything on one node, whose name is given, but for further instances on the others.
fn ready_resource_on_one_node(namespace: &str) -> (Resource, String) {
    let space = scenario::namespace(namespace).unwrap();
    let cluster = scenario::cluster().unwrap();
    let nodes = cluster.nodes();
    let closed = scenario::close_nodes(&cluster, &nodes[1..]).unwrap();
    let spec = json!({ "spec": {
        "conversation": { "maxAnswerTokens": 400 },
        "inference": { "autoscaling": { "minReplicas": 1 } },
    } });
    let resource = Resource::apply(space, &spec).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    drop(closed);
    let more = json!({ "spec": { "inference": { "autoscaling": { "minReplicas": 3 } } } });
    resource.edit(&more).unwrap();
    resource
        .wait_replicas("three instances", |count| count >= 3)
        .unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    (resource, nodes[0].name())
}

/// The instance that is answering now, if one is.
fn answering(resource: &Resource) -> Option<Pod> {
    let pods = resource.pods("inference").unwrap();
    let busy = |pod: &Pod| {
        resource
            .requests_in_work(pod)
            .is_ok_and(|requests| requests > 0)
    };
    pods.into_iter()
        .find(|pod| pod.ready_since.is_some() && busy(pod))
}

/// Lets the instance fail that is answering, once the answer has begun. Gives the instance and the answer, which must
/// have been begun anew by another one: else the failure has missed it, and it is tried again.
fn fail_in_the_middle<T>(
    resource: &Resource,
    conversation: &mut Conversation,
    mut fail: impl FnMut(&Pod) -> Option<T>,
) -> (Pod, T, Reply) {
    for _ in 0..TRIES {
        let id = conversation.ask(LONG).unwrap();
        let begun = conversation.begun(&id, PATIENCE).unwrap();
        let failed = answering(resource)
            .filter(|_| begun)
            .and_then(|victim| Some((fail(&victim)?, victim)));
        let reply = conversation.answer(&id, 2 * PATIENCE).unwrap();
        assert!(!reply.fallback, "the model did not answer: {reply:?}");
        if let Some((failure, victim)) = failed
            && reply.beginnings > 1
        {
            return (victim, failure, reply);
        }
    }
    panic!("no answer was caught in the middle in {TRIES} tries");
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn an_instance_dies_in_the_middle_of_an_answer_and_another_one_answers() {
    let resource = ready_resource("e2e-instance-dies");
    let entrance = resource.open().unwrap();
    let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();

    let (victim, (), _) = fail_in_the_middle(&resource, &mut conversation, |victim| {
        resource.kill_process(victim).unwrap();
        Some(())
    });
    wait_until("the killed process started again", PATIENCE, || {
        let pods = resource.pods("inference")?;
        let again = |pod: &Pod| pod.uid == victim.uid && pod.container != victim.container;
        Ok(pods.iter().any(again))
    })
    .unwrap();
    resource
        .wait_replicas("every instance ready again", |count| count >= 2)
        .unwrap();

    let (victim, (), _) = fail_in_the_middle(&resource, &mut conversation, |victim| {
        let now = ["--grace-period=0", "--force", "--wait=false"];
        let delete = [&["delete", "pod", victim.name.as_str()], &now[..]].concat();
        resource.space.kubectl(&delete).unwrap();
        Some(())
    });
    let endpoints = resource.endpoints().unwrap();
    assert!(
        !endpoints.contains(&victim.address),
        "{endpoints:?} has {victim:?}"
    );
    assert_eq!(
        conversation.connections(),
        1,
        "the page was to notice nothing"
    );
    conversation.check_history().unwrap();
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn a_node_is_cut_off_in_the_middle_of_an_answer_and_another_one_answers() {
    let (resource, home) = ready_resource_on_one_node("e2e-node-cut-off");
    let cluster = &resource.space.cluster;
    let entrance = resource.open().unwrap();
    let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();

    let (victim, cut, _) = fail_in_the_middle(&resource, &mut conversation, |victim| {
        let nodes = cluster.nodes();
        let node = nodes
            .iter()
            .find(|node| node.name() == victim.node && node.name() != home)?;
        Some(scenario::cut_link(cluster, node.number()).unwrap())
    });

    wait_until("the lost instance out of the endpoints", PATIENCE, || {
        let endpoints = resource.endpoints()?;
        Ok(!endpoints.contains(&victim.address) && endpoints.len() >= 2)
    })
    .unwrap();
    // Nothing goes there any more: no question has to be put to a second instance.
    let retries = resource.retries().unwrap();
    for _ in 0..6 {
        let reply = answer(
            &mut conversation,
            "What is a lighthouse for? Answer briefly.",
        )
        .unwrap();
        assert!(!reply.fallback && reply.beginnings <= 1, "{reply:?}");
    }
    assert_eq!(
        resource.retries().unwrap(),
        retries,
        "a question went to the lost instance"
    );

    cut.end().unwrap();
    wait_until("the lost node's old instance gone", PATIENCE, || {
        let pods = resource.pods("inference")?;
        Ok(pods.iter().all(|pod| !pod.leaving))
    })
    .unwrap();
    resource.wait_ready(PATIENCE).unwrap();
    answer(&mut conversation, "And is the keeper well?").unwrap();
    assert_eq!(
        conversation.connections(),
        1,
        "the page was to notice nothing"
    );
    conversation.check_history().unwrap();
}

fn answer(conversation: &mut Conversation, question: &str) -> Result<Reply> {
    let id = conversation.ask(question)?;
    conversation.answer(&id, PATIENCE)
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn the_broker_for_development_is_lost_with_all_that_it_held_and_the_chat_comes_back() {
    let resource = ready_resource("e2e-broker-lost");
    let entrance = resource.open().unwrap();
    let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
    let answered = |conversation: &mut Conversation| {
        let id = conversation.ask("What is the capital of France?").unwrap();
        let reply = conversation.answer(&id, 2 * PATIENCE).unwrap();
        assert!(!reply.fallback, "{reply:?}");
    };
    answered(&mut conversation);
    let broker = resource.pods("broker").unwrap().remove(0);
    let delete = ["delete", "pod", broker.name.as_str()];
    resource.space.kubectl(&delete).unwrap();
    answered(&mut conversation);
    resource.wait_ready(2 * PATIENCE).unwrap();
    answered(&mut conversation);
}

/// Only with `cargo e2e test --all`.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn an_instance_that_is_told_to_go_finishes_its_answer() {
        let resource = ready_resource("e2e-instance-goes");
        let entrance = resource.open().unwrap();
        let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
        let mut told = 0;
        while told < 3 {
            let id = conversation.ask(LONG).unwrap();
            let begun = conversation.begun(&id, PATIENCE).unwrap();
            if let Some(going) = answering(&resource).filter(|_| begun) {
                let delete = ["delete", "pod", going.name.as_str(), "--wait=false"];
                resource.space.kubectl(&delete).unwrap();
                told += usize::from(conversation.is_waiting(&id).unwrap());
            }
            let reply = conversation.answer(&id, PATIENCE).unwrap();
            assert!(!reply.fallback && reply.beginnings == 1, "{reply:?}");
            resource
                .wait_replicas("another instance in its place", |count| count >= 2)
                .unwrap();
        }
    }

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn a_worker_dies_in_the_middle_of_an_answer_and_the_page_notices_nothing() {
        let resource = ready_resource("e2e-worker-dies");
        let entrance = resource.open().unwrap();
        let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
        let id = conversation.ask(LONG).unwrap();
        assert!(conversation.begun(&id, PATIENCE).unwrap());
        resource.kill_process(&resource.worker().unwrap()).unwrap();
        let reply = conversation.answer(&id, 2 * PATIENCE).unwrap();
        assert!(!reply.fallback, "{reply:?}");
        assert_eq!(conversation.connections(), 1);
        conversation.check_history().unwrap();
    }

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn a_gateway_dies_in_the_middle_of_an_answer_and_the_page_gets_it_from_another_one() {
        let resource = ready_resource("e2e-gateway-dies");
        let entrance = resource.open().unwrap();
        let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
        let id = conversation.ask(LONG).unwrap();
        assert!(conversation.begun(&id, PATIENCE).unwrap());
        resource.kill_process(&resource.gateway().unwrap()).unwrap();
        let reply = conversation.answer(&id, 2 * PATIENCE).unwrap();
        assert!(!reply.fallback, "{reply:?}");
        assert!(
            conversation.connections() > 1,
            "the gateway's connections end with it"
        );
        let after = Duration::from_secs(5);
        assert!(
            conversation.begun(&id, after).is_ok_and(|begun| !begun),
            "it is answered once"
        );
        conversation.check_history().unwrap();
    }
}
