//! Several operators: one leads, the others are ready, and whoever does not lead writes nothing.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod operators;

use std::thread;
use std::time::Duration;

use anyhow::ensure;
use chatbot_e2e::resource::Resource;
use chatbot_e2e::scenario::wait_until;
use operators::{Installation, Operator, Operators, SOON, children, now};
use rustix::process::Signal;
use serde_json::{Value, json};

/// For how long a Lease that nobody renews is respected.
const LEASE: Duration = Duration::from_secs(15);
/// Longer than a leader counts on a renewal.
const TERM: Duration = Duration::from_secs(11);

/// Waits until everything is made that needs no node.
fn wait_made(resource: &Resource) {
    wait_until("everything made", SOON, || {
        let children = children_of(resource);
        let autoscaler = "HorizontalPodAutoscaler chat-inference";
        ensure!(children.iter().any(|(name, _)| name == autoscaler));
        ensure!(resource.condition("Ready")?.is_some());
        Ok(true)
    })
    .unwrap();
}

fn children_of(resource: &Resource) -> Vec<(String, Value)> {
    let cluster = &resource.space.cluster;
    let mut kubectl = cluster.kubectl();
    children(&mut kubectl, &resource.space.name).unwrap()
}

/// A child that is deleted and there again has been made by whoever leads.
fn is_mended(resource: &Resource) {
    is_mended_after(resource, || ());
}

/// The same, with something between the child's end and the look for another.
fn is_mended_after(resource: &Resource, between: impl FnOnce()) {
    let budget = ["poddisruptionbudget", "chat-inference"];
    let uid = |child: Value| child["metadata"]["uid"].as_str().map(str::to_owned);
    let before = uid(resource.child(budget[0], budget[1]).unwrap());
    let space = &resource.space;
    space
        .kubectl(&["delete", budget[0], budget[1], "--wait=false"])
        .unwrap();
    between();
    wait_until("the deleted child there again", SOON, || {
        Ok(uid(resource.child(budget[0], budget[1])?) != before)
    })
    .unwrap();
}

fn leader_first<'a>(one: &'a mut Operator, other: &'a mut Operator) -> [&'a mut Operator; 2] {
    if one.leads().unwrap() {
        [one, other]
    } else {
        [other, one]
    }
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn one_operator_leads_and_the_next_one_takes_over() {
    let operators = Operators::install(&["one", "other"]).unwrap();
    let [mut one, mut other] = ["one", "other"].map(|name| operators.start(name).unwrap());
    let (plane, pause) = (&operators.plane, Duration::from_millis(200));
    wait_until("a leader", SOON, || Ok(one.leads()? || other.leads()?)).unwrap();
    // Who waits is as ready as who leads: its caches are filled.
    one.wait_ready().unwrap();
    other.wait_ready().unwrap();
    let space = plane.namespace("leadership").unwrap();
    let start = now().unwrap();
    let resource = Resource::apply_unclaimed(space, &json!({})).unwrap();
    wait_made(&resource);
    let [leader, standby] = leader_first(&mut one, &mut other);
    assert!(!standby.leads().unwrap());
    assert!(!operators.writes(leader.name, &start).unwrap().is_empty());
    assert_eq!(operators.writes(standby.name, &start).unwrap(), [""; 0]);

    // Told to end, it gives the Lease back: nobody waits until it runs out.
    leader.signal(Signal::TERM).unwrap();
    assert!(leader.wait_end().unwrap().success());
    let took = standby.wait_leads().unwrap();
    println!("after a graceful end the next one leads within {took:?}");
    assert!(took < LEASE / 2, "{took:?}");
    is_mended(&resource);

    // Killed, it leaves everything as it is, and the next one goes on where it was.
    let name = leader.name;
    let mut next = operators.start(name).unwrap();
    next.wait_ready().unwrap();
    let before = children_of(&resource);
    standby.signal(Signal::KILL).unwrap();
    standby.wait_end().unwrap();
    let took = next.wait_leads().unwrap();
    println!("after a kill the next one leads within {took:?}");
    assert!(took + pause > LEASE / 2, "{took:?}: it did not wait");
    is_mended(&resource);
    let spec = |of: Vec<(String, Value)>| {
        let specs = of
            .into_iter()
            .filter(|(name, _)| name.starts_with("Deployment"));
        specs
            .map(|(name, child)| {
                (
                    name,
                    child["metadata"]["uid"].clone(),
                    child["spec"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(spec(children_of(&resource)), spec(before));
    next.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_leader_that_was_paused_and_goes_on_writes_nothing() {
    let operators = Operators::install(&["paused", "awake"]).unwrap();
    let space = operators.plane.namespace("paused").unwrap();
    let mut paused = operators.start("paused").unwrap();
    paused.wait_leads().unwrap();
    let resource = Resource::apply_unclaimed(space, &json!({})).unwrap();
    wait_made(&resource);
    // Without a rival it leads again, and does what it could not while it was not sure to lead.
    paused.signal(Signal::STOP).unwrap();
    is_mended_after(&resource, || {
        thread::sleep(TERM);
        paused.signal(Signal::CONT).unwrap();
    });
    let mut awake = operators.start("awake").unwrap();
    awake.wait_ready().unwrap();

    // It is stopped with work under way, and finds as much when it goes on: everything has changed meanwhile.
    let prompt = |text: &str| json!({ "spec": { "conversation": { "systemPrompt": text } } });
    resource.edit(&prompt("You are brief.")).unwrap();
    paused.signal(Signal::STOP).unwrap();
    awake.wait_leads().unwrap();
    is_mended(&resource);
    let generation = resource.edit(&prompt("You are a sailor.")).unwrap();
    wait_until("the edit seen by the next leader", SOON, || {
        Ok(resource.object()?["status"]["observedGeneration"] == generation)
    })
    .unwrap();

    let since = now().unwrap();
    paused.signal(Signal::CONT).unwrap();
    wait_until("the paused one knows that it does not lead", SOON, || {
        Ok(!paused.leads()? && paused.log()?.contains("not leading any more"))
    })
    .unwrap();
    // Whatever it had in hand it has had time for: the one that leads has done as much.
    is_mended(&resource);
    is_mended(&resource);
    assert_eq!(operators.writes("paused", &since).unwrap(), [""; 0]);
    assert!(awake.leads().unwrap());
    paused.check().unwrap();
    awake.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn of_two_installations_in_two_namespaces_one_leads_and_the_other_says_that_it_stands_by() {
    let first = Installation::at("first", "first-system");
    let second = Installation::at("second", "second-system");
    let operators = Operators::install_at(&[first, second]).unwrap();
    let mut leader = operators.start_inside("first").unwrap();
    leader.wait_leads().unwrap();
    let mut standby = operators.start_inside("second").unwrap();
    standby.wait_ready().unwrap();
    let space = operators.plane.namespace("served-once").unwrap();
    let start = now().unwrap();
    let resource = Resource::apply_unclaimed(space, &json!({})).unwrap();
    wait_made(&resource);
    is_mended(&resource);
    assert!(!operators.writes("first", &start).unwrap().is_empty());
    assert_eq!(operators.writes("second", &start).unwrap(), [""; 0]);
    let said = "another installation, in namespace first-system, leads";
    wait_until("that it stands by", SOON, || {
        let ready = standby.readiness()?;
        ensure!(
            ready.contains(said) && ready.starts_with("HTTP/1.1 200"),
            "{ready}"
        );
        Ok(standby.log()?.contains("another installation leads"))
    })
    .unwrap();
    assert!(leader.readiness().unwrap().ends_with("ok: leading"));
    assert_eq!(let_in(&resource), "first-system");

    // The first one uninstalled, the other one serves what there is, and is let in to ask the pods.
    leader.signal(Signal::TERM).unwrap();
    assert!(leader.wait_end().unwrap().success());
    standby.wait_leads().unwrap();
    wait_until("the policies of the one that leads", SOON, || {
        Ok(let_in(&resource) == "second-system")
    })
    .unwrap();
    standby.check().unwrap();
}

/// The namespace from which the adapters let an operator in.
fn let_in(resource: &Resource) -> String {
    let policy = resource.child("networkpolicy", "chat-adapters").unwrap();
    let rules = policy["spec"]["ingress"].as_array().unwrap().iter();
    let namespaces = rules.filter_map(|rule| {
        let selector = &rule["from"][0]["namespaceSelector"]["matchLabels"];
        selector["kubernetes.io/metadata.name"].as_str()
    });
    namespaces.collect()
}
