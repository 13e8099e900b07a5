//! What there is of a resource before a control plane alone, and what is said of it.

use std::collections::BTreeMap;

use anyhow::Result;
use chatbot_e2e::resource::{NAME, Resource};
use chatbot_e2e::scenario::wait_until;
use serde_json::Value;

use super::{Operators, SOON, children};

pub fn children_of(resource: &Resource) -> Result<BTreeMap<String, Value>> {
    let mut kubectl = resource.space.cluster.kubectl();
    Ok(children(&mut kubectl, &resource.space.name)?
        .into_iter()
        .collect())
}

/// A resource in a namespace of its own, with everything made that needs no node, and at rest.
pub fn made(operators: &Operators, namespace: &str, edit: &Value) -> Resource {
    let space = operators.plane.namespace(namespace).unwrap();
    let resource = Resource::apply_unclaimed(space, edit).unwrap();
    wait_made(&resource);
    resource
}

/// Waits until everything is made, and looked at once more without a change.
pub fn wait_made(resource: &Resource) {
    let mut last = None;
    wait_until("everything made", SOON, || {
        let now = versions(resource)?;
        let complete = now.contains_key("HorizontalPodAutoscaler chat-inference");
        let same = last.replace(now.clone()) == Some(now);
        Ok(complete && same && resource.condition("Ready")?.is_some())
    })
    .unwrap();
}

/// The version of the resource's every child.
pub fn versions(resource: &Resource) -> Result<BTreeMap<String, String>> {
    let children = children_of(resource)?.into_iter();
    Ok(children
        .map(|(name, child)| (name, child["metadata"]["resourceVersion"].to_string()))
        .collect())
}

/// What is said, whatever generation it is said of.
pub fn said(resource: &Resource) -> Result<Value> {
    let mut status = resource.object()?["status"].clone();
    status["observedGeneration"].take();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["observedGeneration"].take();
    }
    Ok(status)
}

pub fn events(resource: &Resource) -> Result<Vec<Value>> {
    let of = format!("--field-selector=involvedObject.name={NAME}");
    let list = resource
        .space
        .kubectl(&["get", "events", &of, "--output=json"])?;
    let list: Value = serde_json::from_str(&list)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Waits until a generation was looked at.
pub fn wait_observed(resource: &Resource, generation: u64) {
    wait_until("the new generation looked at", SOON, || {
        Ok(resource.object()?["status"]["observedGeneration"] == generation)
    })
    .unwrap();
}
