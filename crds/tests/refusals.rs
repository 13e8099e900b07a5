//! What is refused in a file, with which words. The API server is asked the same in `e2e/tests/crd.rs`.
#![allow(clippy::unwrap_used, clippy::panic)] // A sample that cannot be read fails the test.

use chatbot_crds::{Fault, ParseError, Settings, parse};
use serde_json::Value;

struct Sample {
    document: Value,
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
