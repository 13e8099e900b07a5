//! Whoever insists on changing what the operator makes is named, and answered ever more seldom. All of it needs the API
//! server, and no node.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

mod operators;

use std::time::{Duration, Instant};

use chatbot_e2e::resource::Resource;
use chatbot_e2e::scenario::wait_until;
use operators::seen::made;
use operators::{Installation, Operators, SOON, now};
use rustix::process::Signal;
use serde_json::json;

/// For how long who insists does so.
const INSISTENCE: Duration = Duration::from_secs(30);
/// The most that is written to one object in that time: six times at once, then after 1, 2, 4, 8 and 16 seconds.
const WRITES: usize = 12;
/// For how long an object must be left alone, and a look.
const CALM: Duration = Duration::from_secs(150);

fn wait_calm(resource: &Resource) {
    wait_until("that nobody insists", CALM, || {
        let stalled = resource.condition("Stalled")?;
        Ok(stalled.is_some_and(|stalled| stalled.reason != "Contended"))
    })
    .unwrap();
}

/// How often an operator has written to an object since a moment.
fn writes(operators: &Operators, name: &str, since: &str, object: &str) -> usize {
    let writes = operators.writes(name, since).unwrap();
    let of_object = writes.iter().filter(|write| {
        let mut words = write.split_whitespace();
        words
            .nth(2)
            .is_some_and(|of| of.trim_end_matches(':') == object)
    });
    of_object.count()
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn who_insists_on_changing_a_child_is_named_and_answered_ever_more_seldom() {
    let operators = Operators::install(&["patient"]).unwrap();
    let mut operator = operators.start("patient").unwrap();
    let resource = made(&operators, "insisted", &json!({}));
    let (since, start) = (now().unwrap(), Instant::now());
    let space = &resource.space;
    let edit = |value: &str| {
        let edit = json!({ "spec": { "sessionAffinity": value } }).to_string();
        let manager = [
            "patch",
            "service",
            "chat-adapters",
            "--field-manager=insistent",
        ];
        space
            .kubectl(&[&manager[..], &["--patch", &edit]].concat())
            .unwrap();
    };
    let affinity = || {
        let service = resource.child("service", "chat-adapters").unwrap();
        service["spec"]["sessionAffinity"].clone()
    };
    let planned = affinity();
    while start.elapsed() < INSISTENCE {
        if affinity() == planned {
            edit("None");
        }
    }
    let words = [
        "Service chat-adapters",
        "field manager \"insistent\"",
        "Paused",
    ];
    resource
        .wait_told(["Stalled", "True", "Contended"], &words)
        .unwrap();
    let made = writes(&operators, "patient", &since, "insisted/chat-adapters");
    println!("{made} writes in {:?}", start.elapsed());
    // The object's name is that of a Deployment, a policy and a budget, too: nobody touched those.
    assert!((7..=WRITES).contains(&made), "{made} writes");
    // What nobody insists on is repaired at once meanwhile.
    let budget = ["poddisruptionbudget", "chat-inference"];
    space
        .kubectl(&["delete", budget[0], budget[1], "--wait=false"])
        .unwrap();
    wait_until("the budget there again", Duration::from_secs(10), || {
        Ok(resource.child(budget[0], budget[1]).is_ok())
    })
    .unwrap();
    // It is set right a last time, and is over by itself.
    wait_until("what was insisted on set right", SOON, || {
        Ok(affinity() == planned)
    })
    .unwrap();
    wait_calm(&resource);
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn two_operators_that_do_not_see_each_other_say_so_and_hardly_write() {
    let deaf = |name, namespace| Installation {
        leases: namespace,
        ..Installation::at(name, namespace)
    };
    let installed = [deaf("here", "here-system"), deaf("there", "there-system")];
    let operators = Operators::install_at(&installed).unwrap();
    let mut here = operators.start_inside("here").unwrap();
    here.wait_leads().unwrap();
    let resource = made(&operators, "served-twice", &json!({}));
    let (since, start) = (now().unwrap(), Instant::now());
    let mut there = operators.start_inside("there").unwrap();
    there.wait_leads().unwrap();
    let words = ["NetworkPolicy chat-adapters", "another operator"];
    resource
        .wait_told(["Stalled", "True", "Contended"], &words)
        .unwrap();
    let rest = INSISTENCE.saturating_sub(start.elapsed());
    std::thread::sleep(rest); // the quarrel's own time
    for name in ["here", "there"] {
        let policies = operators.writes(name, &since).unwrap();
        let policies = policies
            .iter()
            .filter(|write| write.contains("networkpolicies"));
        let count = policies.count();
        println!("{name}: {count} writes of three policies");
        assert!(count <= 3 * WRITES, "{name}: {count} writes");
    }
    there.signal(Signal::TERM).unwrap();
    assert!(there.wait_end().unwrap().success());
    wait_calm(&resource);
    here.check().unwrap();
}
