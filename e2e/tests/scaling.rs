//! The number of instances follows the load, and costs nobody an answer.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use chatbot_e2e::conversation::{Conversation, Stop};
use chatbot_e2e::resource::{CHANNEL, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use serde_json::json;

const QUESTION: &str = "Tell a story about a lighthouse keeper";
/// As many as keep the instances busy.
const CROWD: usize = 8;
/// Between two questions of somebody who reads the answers.
const READING: Duration = Duration::from_secs(4);

/// Mean CPU use of the instances in percent of what they request, as the autoscaler sees it.
fn cpu_use(resource: &Resource) -> anyhow::Result<Option<u64>> {
    let autoscaler = resource.child("horizontalpodautoscaler", "chat-inference")?;
    let metric = &autoscaler["status"]["currentMetrics"][0]["resource"];
    Ok(metric["current"]["averageUtilization"].as_u64())
}

#[test]
#[ignore = "needs the cluster: cargo e2e test"]
fn load_adds_instances_and_its_end_removes_them_and_no_answer_is_cut_off() {
    let space = scenario::namespace("e2e-scaling").unwrap();
    let quick_fall = json!({ "spec": { "inference": { "autoscaling": {
        "behavior": { "scaleDown": { "stabilizationWindowSeconds": 10 } },
    } } } });
    let resource = Resource::apply(space, &quick_fall).unwrap();
    resource.wait_ready(2 * PATIENCE).unwrap();
    let entrance = resource.open().unwrap();
    let settled = resource.condition("Reconciling").unwrap().unwrap();

    let (crowd_goes, reader_goes) = (AtomicBool::new(false), AtomicBool::new(false));
    let talk = |pause: Duration, stop: &AtomicBool| {
        let mut conversation = Conversation::new(entrance.address(), CHANNEL).unwrap();
        conversation
            .keep_asking(QUESTION, pause, 2 * PATIENCE, stop)
            .unwrap();
        conversation
    };
    let conversations = thread::scope(|scope| {
        let _stopping = (Stop(&crowd_goes), Stop(&reader_goes));
        let reader = scope.spawn(|| talk(READING, &reader_goes));
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| scope.spawn(|| talk(Duration::ZERO, &crowd_goes)))
            .collect();
        wait_until("the instances busier than they should be", PATIENCE, || {
            Ok(cpu_use(&resource)?.is_some_and(|percent| percent > 70))
        })
        .unwrap();
        resource
            .wait_replicas("more instances than the floor", |count| count > 2)
            .unwrap();

        crowd_goes.store(true, Ordering::SeqCst);
        let mut conversations: Vec<Conversation> = crowd
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        resource
            .wait_replicas("as few instances as before", |count| count == 2)
            .unwrap();
        reader_goes.store(true, Ordering::SeqCst);
        conversations.push(reader.join().unwrap());
        conversations
    });

    let after = resource.condition("Reconciling").unwrap().unwrap();
    assert_eq!(
        (after.status.as_str(), after.since),
        ("False", settled.since),
        "scaling is no rollout: {}",
        after.message
    );
    for conversation in &conversations {
        for reply in conversation.replies().values() {
            assert!(!reply.fallback, "the model did not answer: {reply:?}");
            assert!(reply.beginnings <= 1, "an answer was cut off: {reply:?}");
        }
        conversation.check_history().unwrap();
        assert_eq!(
            conversation.connections(),
            1,
            "a page was to notice nothing"
        );
    }
}
