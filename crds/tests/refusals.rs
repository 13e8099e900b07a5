//! What is refused in a file, with which words. The API server is asked the same in `e2e/tests/crd.rs`.
#![allow(clippy::unwrap_used, clippy::panic)] // A sample that cannot be read fails the test.

use std::collections::BTreeSet;

use chatbot_crds::{Fault, ParseError, Settings, parse, schema};
use serde_json::Value;

struct Sample {
    document: Value,
    /// Refused as a change only, which no file is.
    is_transition: bool,
    path: String,
    message: String,
}

fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            if !target.is_object() {
                *target = Value::Object(serde_json::Map::new());
            }
            for (name, change) in fields {
                if change.is_null() {
                    target.as_object_mut().unwrap().remove(name);
                } else {
                    merge(&mut target[name], change);
                }
            }
        }
        other => *target = other.clone(),
    }
}

fn samples() -> (Value, Vec<Sample>) {
    let table: Value = serde_yaml::from_str(include_str!("refused.yaml")).unwrap();
    let samples = table["refused"].as_array().unwrap().iter().map(|sample| {
        let mut document = table["base"].clone();
        merge(&mut document, &sample["change"]);
        let text = |field: &str| sample[field].as_str().unwrap().to_owned();
        Sample {
            document,
            is_transition: !sample["old"].is_null(),
            path: text("path"),
            message: text("message"),
        }
    });
    (table["base"].clone(), samples.collect())
}

fn faults(document: &Value) -> Vec<Fault> {
    match parse(&document.to_string()) {
        Err(ParseError::Faults(faults)) => faults.0,
        Err(other) => panic!("{other}"),
        Ok(cluster) => match Settings::of(&cluster) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.0,
        },
    }
}

#[test]
fn the_base_of_every_sample_is_accepted() {
    assert_eq!(faults(&samples().0), []);
}

#[test]
fn every_sample_is_refused_at_its_field_and_with_its_message() {
    for sample in samples().1 {
        let faults = faults(&sample.document);
        if sample.is_transition {
            assert_eq!(faults, [], "{}: it is no mere change", sample.path);
            continue;
        }
        assert!(
            faults
                .iter()
                .any(|fault| fault.path == sample.path && fault.remedy == sample.message),
            "{}: {} is not in {faults:#?}",
            sample.path,
            sample.message,
        );
    }
}

#[test]
fn every_fault_is_told_at_once() {
    let (mut document, _) = samples();
    merge(
        &mut document,
        &serde_json::json!({
            "metadata": { "name": "9bot" },
            "spec": {
                "conversation": { "temperature": "3", "sessionTimeout": "0s" },
                "inference": { "autoscaling": { "minReplicas": 9, "maxReplicas": 4 } },
            },
        }),
    );
    let paths: Vec<String> = faults(&document)
        .into_iter()
        .map(|fault| fault.path)
        .collect();
    assert_eq!(
        paths,
        [
            "metadata.name",
            "spec.conversation.sessionTimeout",
            "spec.conversation.temperature",
            "spec.inference.autoscaling.minReplicas",
        ],
    );
}

/// Every rule of a schema: where its fault is, and what it says.
fn rules(schema: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let field = text(&rule["fieldPath"])
            .replace("['", ".")
            .replace("']", "");
        let at = format!("{path}{field}");
        found.insert((
            at.trim_start_matches('.').to_owned(),
            text(&rule["message"]),
        ));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        rules(property, &format!("{path}.{name}"), found);
    }
    for (part, suffix) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[part].is_object() {
            rules(&schema[part], &format!("{path}{suffix}"), found);
        }
    }
}

/// A sample's path without indices, and its message without values.
fn place(sample: &Sample) -> (String, String) {
    let mut path = String::new();
    for part in sample.path.split_inclusive(['[', ']']) {
        let index = part
            .strip_suffix(']')
            .is_some_and(|index| index.parse::<u32>().is_ok());
        path.push_str(if index { "]" } else { part });
    }
    let mut message = String::new();
    for part in sample.message.split_inclusive(" (") {
        match part.split_once(')') {
            Some((value, rest)) if !value.contains(' ') && message.ends_with(" (") => {
                message.truncate(message.len() - 2);
                message.push_str(rest);
            }
            _ => message.push_str(part),
        }
    }
    (path, message)
}

#[test]
fn every_rule_has_a_sample_that_it_refuses() {
    let definition = serde_json::to_value(schema::definition()).unwrap();
    let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = BTreeSet::new();
    rules(root, "", &mut found);
    // The status is the operator's own.
    found.retain(|(path, _)| !path.starts_with("status."));
    assert!(found.len() > 50, "{found:#?}");
    let places: Vec<_> = samples().1.iter().map(place).collect();
    // A fault in a map is told at the map or at its key.
    let is_of = |path: &str, rule: &str| match rule.strip_suffix(".*") {
        Some(map) => path
            .strip_prefix(map)
            .is_some_and(|key| key.starts_with('.')),
        None => {
            path == rule
                || path
                    .strip_prefix(rule)
                    .is_some_and(|key| key.starts_with('.'))
        }
    };
    let without: Vec<_> = found
        .iter()
        .filter(|(rule, message)| {
            let mut places = places.iter();
            !places.any(|(path, said)| said == message && is_of(path, rule))
        })
        .collect();
    assert!(without.is_empty(), "without a sample: {without:#?}");
}

#[test]
fn every_message_says_what_it_is_about() {
    let definition = serde_json::to_value(schema::definition()).unwrap();
    let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = BTreeSet::new();
    rules(root, "", &mut found);
    for (path, message) in found {
        assert!(!message.is_empty(), "{path} has a rule without a message");
    }
}
