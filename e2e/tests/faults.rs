//! Whatever the network and the API server do: once they stop, everything is as on a good day, and little more was
//! written.
#![allow(clippy::unwrap_used, clippy::panic)] // A step of a scenario fails as the scenario does.

mod proxy;

use std::time::{Duration, Instant};

use anyhow::ensure;
use chatbot_e2e::resource::Resource;
use chatbot_e2e::scenario::wait_until;
use proxy::rules::{Event, Fault, Rule, Verb, first};
use proxy::subject::{Installed, SOON, settled, state, wait_for, writes};
use serde_json::{Value, json};

/// Whatever is drawn by chance is drawn from this.
const SEED: u64 = 20_261_124;
/// Longer than a test takes: no list mends what it looks at.
const NEVER: u64 = 3600;

/// How long anything may be stale after the last fault.
const LIMIT: Duration = Duration::from_mins(1);

/// What a resource is like when nothing goes wrong, and how many writes that takes.
fn good_day(installed: &Installed) -> (Resource, Value, usize) {
    let since = Instant::now();
    let resource = installed.resource("good-day").unwrap();
    let expected = settled(&resource).unwrap();
    let writes = writes(&installed.proxy, &resource, since);
    (resource, expected, writes.len())
}

/// The faults of a test, each in a namespace of its own.
fn faults(of: &[(&str, Vec<Rule>)]) -> Vec<Rule> {
    of.iter()
        .flat_map(|(namespace, rules)| {
            rules.iter().cloned().map(|mut rule| {
                (*namespace).clone_into(&mut rule.namespace);
                rule
            })
        })
        .collect()
}

/// The statuses that the operator has reported of a resource.
fn reported(installed: &Installed, namespace: &str, since: Instant) -> Vec<Value> {
    let records = installed.proxy.records(namespace, since);
    let of_status = |resource: &str| resource == "chatbotclusters/status";
    records
        .into_iter()
        .filter(|record| of_status(&record.asked.resource))
        .map(|record| record.body["status"].clone())
        .collect()
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn however_a_request_is_answered_the_end_is_that_of_a_good_day() {
    let installed = Installed::new(SEED).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let (_, expected, least) = good_day(&installed);
    let writes_four = |fault: Fault| vec![first(4, Verb::Write, "", fault)];
    let chance = |fault: Fault| first(60, Verb::Write, "", fault).one_in(4);
    let tables = [
        ("conflict", writes_four(Fault::Answer(409))),
        ("internal-error", writes_four(Fault::Answer(500))),
        ("not-now", writes_four(Fault::Answer(503))),
        ("reset", writes_four(Fault::Reset)),
        ("reset-after", writes_four(Fault::ResetAfter)),
        ("timeout-after", writes_four(Fault::AnswerAfter(504))),
        (
            "reads",
            vec![
                first(2, Verb::Get, "", Fault::Answer(500)),
                first(4, Verb::Get, "", Fault::Reset),
            ],
        ),
        (
            "by-chance",
            vec![
                chance(Fault::AnswerAfter(504)),
                chance(Fault::ResetAfter),
                chance(Fault::Answer(500)),
                first(30, Verb::Get, "", Fault::Reset).one_in(6),
            ],
        ),
    ];
    installed.proxy.set(faults(&tables));
    let since = Instant::now();
    let resources = tables.each_ref().map(|(name, _)| {
        let resource = installed.resource(name).unwrap();
        (name, resource)
    });
    let [counted @ .., (name, by_chance)] = &resources;
    for (name, resource) in counted {
        wait_for(name, resource, &expected, SOON);
    }
    wait_until("every fault", SOON, || {
        let applied = installed.proxy.applied();
        ensure!(applied.iter().all(|times| *times > 0), "{applied:?}");
        Ok(true)
    })
    .unwrap();
    // Those by chance would go on for as long as anything is asked: it counts from their end.
    installed.proxy.set(Vec::new());
    wait_for(name, by_chance, &expected, LIMIT);
    for (name, resource) in &resources {
        let writes = writes(&installed.proxy, resource, since);
        let most = 2 * least + 8;
        assert!(writes.len() <= most, "{name}: not {least}: {writes:#?}");
    }
    // Somebody was faster: that is nobody's business.
    for status in reported(&installed, "conflict", since) {
        let said = status["conditions"].to_string();
        let stalled = r#""status":"True","type":"Stalled""#;
        // The autoscaler has failures of its own to tell.
        let told = ["modified", "failed to apply", "failed to report", stalled];
        assert!(!told.iter().any(|told| said.contains(told)), "{said}");
    }
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_server_that_asks_for_patience_gets_it_and_other_resources_go_on() {
    const SECONDS: u32 = 40;
    let installed = Installed::new(SEED).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let (_, expected, _) = good_day(&installed);
    let busy = first(1, Verb::Write, "busy", Fault::Busy(SECONDS)).of("deployments");
    let watches = first(1, Verb::Watch, "", Fault::Busy(2)).of("services");
    installed.proxy.set(vec![busy, watches]);
    let since = Instant::now();
    let waiting = installed.resource("busy").unwrap();
    wait_until(
        "the refusal",
        SOON,
        || Ok(installed.proxy.applied()[0] == 1),
    )
    .unwrap();
    let other = installed.resource("not-busy").unwrap();
    wait_for("the other resource", &other, &expected, SOON);
    wait_for("the one that waited", &waiting, &expected, SOON);

    let records = installed.proxy.records("busy", since);
    let refused = records.iter().find(|record| record.code == Some(429));
    let refused = refused.unwrap().at;
    let again = records
        .iter()
        .find(|record| record.asked.resource == "deployments" && record.at > refused);
    let rest = again.unwrap().at - refused;
    let asked = Duration::from_secs(SECONDS.into());
    // It is told once, and that is all.
    let meanwhile = records.iter().filter(|record| {
        let between = record.at > refused && record.at < refused + asked;
        between && record.asked.resource != "events"
    });
    assert!(meanwhile.count() <= 1, "asked for something meanwhile");
    assert!(rest >= asked && rest < asked * 3, "{rest:?}");
    let others = installed.proxy.records("not-busy", since);
    let last = others
        .iter()
        .rfind(|record| record.asked.resource == "horizontalpodautoscalers")
        .unwrap();
    assert!(last.at < again.unwrap().at, "the other one had to wait");
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn who_has_not_seen_what_there_is_takes_no_lease() {
    const REFUSED: u32 = 3;
    let installed = Installed::new(SEED).unwrap();
    let refused = first(REFUSED, Verb::List, "", Fault::Answer(500)).of("deployments");
    installed.proxy.set(vec![refused]);
    let since = Instant::now();
    let mut operator = installed.operator(NEVER).unwrap();
    good_day(&installed);
    assert_eq!(installed.proxy.applied(), [REFUSED]);
    let first_of = |namespace: &str, verb: Verb, resource: &str| {
        let mut records = installed.proxy.records(namespace, since).into_iter();
        let found = records.find(|record| {
            let done = record.code.is_some_and(|code| code < 300);
            done && record.asked.verb == verb && record.asked.resource == resource
        });
        found.unwrap().at
    };
    let seen = first_of("", Verb::List, "deployments");
    assert!(seen < first_of("kube-system", Verb::Write, "leases"));
    operator.check().unwrap();
}

/// What people and programs do to a resource and its children.
fn disturb(resource: &Resource) {
    let space = &resource.space;
    space
        .kubectl(&["delete", "service", "chat-inference", "--wait=false"])
        .unwrap();
    let edit = json!({ "spec": { "revisionHistoryLimit": 9 } }).to_string();
    let patch = ["patch", "deployment", "chat-adapters", "--patch", &edit];
    space.kubectl(&patch).unwrap();
    let prompt = json!({ "spec": { "conversation": { "systemPrompt": "You are brief." } } });
    resource.edit(&prompt).unwrap();
    space
        .kubectl(&[
            "delete",
            "poddisruptionbudget",
            "chat-inference",
            "--wait=false",
        ])
        .unwrap();
}

fn disturbed(resource: &Resource, before: &Value) -> Value {
    disturb(resource);
    wait_until("the edit applied", SOON, || {
        let now = state(resource)?.to_string();
        Ok(now.contains("You are brief."))
    })
    .unwrap();
    let after = settled(resource).unwrap();
    assert_ne!(after, *before);
    after
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn events_that_come_twice_late_in_disorder_or_never_end_as_on_a_good_day() {
    let installed = Installed::new(SEED).unwrap();
    let mut operator = installed.operator(6).unwrap();
    let (calm, at_first, _) = good_day(&installed);
    let expected = disturbed(&calm, &at_first);
    let event = |event: Event| vec![first(60, Verb::Watch, "", Fault::Event(event))];
    let chance = |event: Event| first(200, Verb::Watch, "", Fault::Event(event)).one_in(4);
    let late = Duration::from_millis(300);
    let tables = [
        ("twice", event(Event::Twice)),
        ("never", event(Event::Drop)),
        ("late", event(Event::Delay(late))),
        ("in-disorder", event(Event::Swap)),
        (
            "anyhow",
            vec![
                chance(Event::Swap),
                chance(Event::Drop),
                chance(Event::Twice),
                chance(Event::Delay(late)),
            ],
        ),
    ];
    let since = Instant::now();
    installed.proxy.set(faults(&tables));
    let resources = tables.each_ref().map(|(name, _)| {
        let resource = installed.resource(name).unwrap();
        (name, resource)
    });
    for (name, resource) in &resources {
        wait_for(name, resource, &at_first, SOON);
    }
    installed.proxy.set(faults(&tables));
    for (_, resource) in &resources {
        disturb(resource);
    }
    for (name, resource) in &resources {
        wait_for(name, resource, &expected, SOON);
        let writes = writes(&installed.proxy, resource, since);
        assert!(writes.len() <= 120, "{name}: {writes:#?}");
    }
    let applied = installed.proxy.applied();
    let (certain, by_chance) = applied.split_at(4);
    assert!(certain.iter().all(|times| *times > 0), "{applied:?}");
    assert!(by_chance.iter().any(|times| *times > 0), "{applied:?}");
    operator.check().unwrap();
}

/// Every watch of these kinds is told at its next event that it is too old.
fn gone(kinds: &[&'static str]) -> Vec<Rule> {
    let gone = first(1, Verb::Watch, "", Fault::Event(Event::Gone));
    kinds.iter().map(|kind| gone.clone().of(kind)).collect()
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_watch_that_is_cut_or_too_old_misses_nothing() {
    let installed = Installed::new(SEED).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let (calm, at_first, _) = good_day(&installed);
    let expected = disturbed(&calm, &at_first);
    let proxy = &installed.proxy;

    // What happens while nothing is watched is found out afterwards.
    let cut = installed.resource("cut").unwrap();
    wait_for("before the cut", &cut, &at_first, SOON);
    proxy.set(vec![first(14, Verb::Watch, "", Fault::Answer(503))]);
    proxy.cut_watches();
    disturb(&cut);
    wait_for("cut watches", &cut, &expected, SOON);

    proxy.set(gone(&["deployments", "services", "configmaps"]));
    let too_old = installed.resource("too-old").unwrap();
    wait_for("410 in the stream", &too_old, &at_first, SOON);
    let applied = proxy.applied();
    assert!(applied.iter().all(|times| *times > 0), "{applied:?}");
    proxy.set(vec![first(20, Verb::Watch, "", Fault::Answer(410))]);
    proxy.cut_watches();
    disturb(&too_old);
    wait_for("410 at once", &too_old, &expected, SOON);
    operator.check().unwrap();
}

/// The memory is written first, so a watch that lags tells of what follows from it and not of the memory itself: taken for
/// lost, it would be written anew, with less in it.
#[test]
#[ignore = "needs the programs of Kubernetes"]
fn what_is_remembered_is_known_although_no_watch_tells_of_it() {
    let installed = Installed::new(SEED).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let (_, at_first, _) = good_day(&installed);
    let proxy = &installed.proxy;
    let silent = first(1000, Verb::Watch, "", Fault::Event(Event::Drop)).of("configmaps");
    proxy.set(vec![silent]);
    let resource = installed.resource("forgetful").unwrap();
    // Other configurations are out of sight as well, which is told: it is not a status of a good day.
    let children = |what: &str| {
        wait_until(what, SOON, || {
            let found = state(&resource)?;
            Ok(found["children"] == at_first["children"])
        })
        .unwrap();
    };
    children("a memory out of sight");
    let remembered = || resource.child("configmap", "chat-memory");
    let before = remembered().unwrap();
    assert!(before["data"]["memory.json"].is_string(), "{before}");
    resource
        .space
        .kubectl(&["label", "configmap", "chat-memory", "chatbot.dev/cluster-"])
        .unwrap();
    resource
        .space
        .kubectl(&["delete", "service", "chat-adapters"])
        .unwrap();
    children("a memory without its label");
    assert_eq!(remembered().unwrap()["data"], before["data"]);
    assert!(proxy.applied().iter().all(|times| *times > 0));
    operator.check().unwrap();
}

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn a_list_of_yesterday_makes_nobody_go_back_to_yesterday() {
    let installed = Installed::new(SEED).unwrap();
    let mut operator = installed.operator(NEVER).unwrap();
    let (resource, at_first, _) = good_day(&installed);
    let proxy = &installed.proxy;
    let kinds = ["chatbotclusters", "services", "deployments", "configmaps"];
    let touch = |how: &str| {
        let touched = format!("example.com/touched={how}");
        for object in [
            "chatbotcluster/chat",
            "service/chat-adapters",
            "deployment/chat-adapters",
        ] {
            let annotate = ["annotate", "--overwrite", object, &touched];
            resource.space.kubectl(&annotate).unwrap();
        }
    };
    // A list of the first generation is kept for later.
    proxy.forget_lists();
    proxy.set(gone(&kinds));
    touch("once");
    wait_until("lists of the first generation", SOON, || {
        let kept = proxy.kept_lists();
        Ok(kinds[..3]
            .iter()
            .all(|kind| kept.iter().any(|of| of == kind)))
    })
    .unwrap();
    let expected = disturbed(&resource, &at_first);

    let since = Instant::now();
    let mut rules = gone(&kinds);
    let stale = |kind| first(1, Verb::List, "", Fault::Stale).of(kind);
    rules.extend(kinds.map(stale));
    proxy.set(rules);
    touch("twice");
    wait_until("stale lists", SOON, || {
        let applied = proxy.applied();
        Ok(applied[4..7].iter().all(|times| *times > 0))
    })
    .unwrap();
    wait_for("after stale lists", &resource, &expected, SOON);
    for record in proxy.records("good-day", since) {
        let old = record.body.to_string().contains("a friendly assistant");
        assert!(!old, "an older generation was applied: {record:?}");
    }
    operator.check().unwrap();
}

/// Up to a minute each.
mod long {
    use super::*;

    #[test]
    #[ignore = "needs the programs of Kubernetes: cargo e2e test --all"]
    fn connections_that_have_gone_silent_are_noticed_within_a_minute() {
        let installed = Installed::new(SEED).unwrap();
        let mut operator = installed.operator(NEVER).unwrap();
        let (calm, at_first, _) = good_day(&installed);
        let expected = disturbed(&calm, &at_first);
        let frozen = installed.resource("frozen").unwrap();
        wait_for("before the freeze", &frozen, &at_first, SOON);
        installed.proxy.freeze_connections();
        disturb(&frozen);
        wait_for("silent connections", &frozen, &expected, LIMIT);

        // A stopped server: nothing answers, and whoever connects waits as well.
        let stopped = installed.resource("stopped").unwrap();
        wait_for("before the stop", &stopped, &at_first, SOON);
        installed.proxy.freeze_all();
        disturb(&stopped);
        let until = Instant::now() + Duration::from_secs(20);
        std::thread::sleep(until - Instant::now()); // It is the fault that lasts so long.
        installed.proxy.thaw();
        wait_for("a stopped server", &stopped, &expected, LIMIT);
        operator.check().unwrap();
    }
}

#[test]
fn requests_are_told_apart_by_their_paths() {
    use proxy::rules::Asked;
    for (method, path, query, expected) in [
        (
            "GET",
            "/api/v1/services",
            "limit=500",
            (Verb::List, "services", ""),
        ),
        (
            "GET",
            "/api/v1/pods",
            "watch=true",
            (Verb::Watch, "pods", ""),
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            "",
            (Verb::Write, "deployments/scale", "a"),
        ),
        (
            "GET",
            "/apis/policy/v1/namespaces/a/poddisruptionbudgets/b",
            "",
            (Verb::Get, "poddisruptionbudgets", "a"),
        ),
    ] {
        let asked = Asked::of(method, path, query);
        let found = (asked.verb, &*asked.resource, &*asked.namespace);
        assert_eq!(found, expected, "{method} {path}");
    }
}
