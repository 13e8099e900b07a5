//! The whole path: a resource is applied, becomes Ready, and answers people; deleted, it leaves nothing.

#[path = "page/mod.rs"]
mod page;

use chatbot_e2e::conversation::Conversation;
use chatbot_e2e::resource::{CHANNEL, NAME, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use chatbot_e2e::{command, install};
use page::{Browser, Page};
use serde_json::json;

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn an_applied_resource_becomes_ready_and_answers_in_a_browser() {
    let space = scenario::namespace("e2e-chat").unwrap();
    let resource = Resource::apply(space, &json!({})).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();

    // Ready came no earlier than what it stands for.
    let ready = resource.condition("Ready").unwrap().unwrap();
    for (component, minimum) in [("inference", 2), ("adapters", 1)] {
        let pods = resource.pods(component).unwrap();
        let before = pods.iter().filter(|pod| {
            let since = pod.ready_since.as_ref();
            since.is_some_and(|since| *since <= ready.since)
        });
        assert!(
            before.count() >= minimum,
            "{ready:?} came before one of {pods:?}"
        );
    }
    let entrance = resource.open().unwrap();
    let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
    let id = conversation.ask("What is the capital of France?").unwrap();
    let reply = conversation.answer(&id, PATIENCE).unwrap();
    assert!(!reply.fallback && !reply.answer.is_empty(), "{reply:?}");
    assert_eq!(conversation.connections(), 1, "it answers at once");

    let browser = Browser::start().unwrap();
    let address = format!("http://{}/", entrance.address());
    let page = Page::open(&browser, &address, PATIENCE).unwrap();
    page.ask("Tell a story about a lighthouse keeper.").unwrap();
    let preview = page.wait_for_preview(PATIENCE).unwrap();
    let answer = page.wait_for_answer(PATIENCE).unwrap();
    assert!(preview.len() < answer.len(), "{preview} grows to {answer}");
    page.reload().unwrap();
    page.wait_for_connection("Connected", PATIENCE).unwrap();
    let shown = page.turns().unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0].answer.as_ref(), Some(&answer));
}

/// Only with `cargo e2e test --all`.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn a_deleted_resource_leaves_nothing_but_what_the_user_made() {
        let space = scenario::namespace("e2e-deleted").unwrap();
        let resource = Resource::apply(space, &json!({})).unwrap();
        resource.wait_ready(2 * PATIENCE).unwrap();
        let space = &resource.space;
        // Whatever kinds the cluster has: a new one is not forgotten here.
        let kinds = space
            .kubectl(&[
                "api-resources",
                "--namespaced",
                "--verbs=list,delete",
                "--output=name",
            ])
            .unwrap();
        let kinds: Vec<&str> = kinds
            .lines()
            .filter(|kind| !kind.starts_with("events"))
            .collect();
        let kinds = kinds.join(",");
        let selector = format!("--selector=chatbot.dev/cluster={NAME}");
        let all = || space.kubectl(&["get", &kinds, &selector, "--output=name"]);
        assert!(all().unwrap().lines().count() > 8, "{}", all().unwrap());

        space.kubectl(&["delete", "chatbotcluster", NAME]).unwrap();
        wait_until("nothing of the resource left", PATIENCE, || {
            Ok(all()?.trim().is_empty())
        })
        .unwrap();
        space
            .kubectl(&["get", "persistentvolumeclaim", "models"])
            .unwrap();
    }

    #[test]
    #[ignore = "needs the cluster: cargo e2e test --all"]
    fn another_up_leaves_an_edited_sample_as_it_is() {
        let cluster = scenario::cluster().unwrap();
        let kubectl = |arguments: &[&str]| {
            let mut kubectl = cluster.kubectl();
            kubectl.args(["--namespace", install::CHAT_NAMESPACE]);
            command::output(kubectl.args(arguments)).unwrap()
        };
        assert!(install::sample(&cluster).unwrap());
        kubectl(&["scale", "cbc/quickstart", "--replicas=3"]);
        assert!(install::sample(&cluster).unwrap());
        let floor = "jsonpath={.spec.inference.autoscaling.minReplicas}";
        assert_eq!(kubectl(&["get", "cbc/quickstart", "--output", floor]), "3");
        kubectl(&["scale", "cbc/quickstart", "--replicas=2"]);
        for (strategy, serves) in [("Halted", false), ("Always", true)] {
            let patch = format!("{{\"spec\":{{\"runStrategy\":\"{strategy}\"}}}}");
            kubectl(&["patch", "cbc/quickstart", "--type=merge", "--patch", &patch]);
            assert_eq!(install::sample(&cluster).unwrap(), serves);
        }
    }
}
