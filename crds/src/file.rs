//! The resource in a file.

use serde::Deserialize;
use serde_json::Value;

use crate::{ChatBotCluster, Fault, Faults, check};

const API_VERSION: &str = "chatbot.dev/v1alpha1";
const KIND: &str = "ChatBotCluster";

/// The fields that an object's metadata may have.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Why a file is no `ChatBotCluster`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The file is not YAML.
    #[error("not YAML: {0}")]
    NotYaml(String),
    /// The file holds nothing.
    #[error("the file is empty; it must hold a {KIND} ({API_VERSION})")]
    Empty,
    /// The file holds several documents.
    #[error("the file holds {0} documents; it must hold one, a {KIND} ({API_VERSION})")]
    Several(usize),
    /// The file holds something else.
    #[error("{found}; it must hold a {KIND} ({API_VERSION})")]
    NotOurs {
        /// What it holds.
        found: String,
    },
    /// The resource has faults.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Reads one `ChatBotCluster` from YAML or JSON. As on an API server, nulls are the same as absence and defaults are
/// filled in; what the schema does not know is refused.
///
/// # Errors
/// When it is not YAML, is something else, or has fields or values that the schema does not know.
pub fn parse(yaml: &str) -> Result<ChatBotCluster, ParseError> {
    let mut value = document(yaml)?;
    identify(&value)?;
    prune_nulls(&mut value);

    let mut faults = Vec::new();
    let empty = Value::Null;
    let part = |name: &str| value.get(name).unwrap_or(&empty);
    for name in value
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&name.as_str()) {
            faults.push(check::fault(
                name,
                None,
                "unknown field; known here: metadata, spec",
            ));
        }
    }
    match part("metadata") {
        Value::Object(fields) => {
            for name in fields
                .keys()
                .filter(|name| !METADATA.contains(&name.as_str()))
            {
                let remedy = format!("unknown field; known here: {}", METADATA.join(", "));
                faults.push(check::fault(&format!("metadata.{name}"), None, remedy));
            }
        }
        Value::Null => faults.push(check::fault("metadata", None, "must be set")),
        other => faults.push(check::fault("metadata", Some(other), "must be an object")),
    }
    match part("spec") {
        Value::Null => faults.push(check::fault("spec", None, "must be set")),
        spec => faults.extend(check::spec_faults(spec)),
    }
    if !faults.is_empty() {
        return Err(Faults(faults).into());
    }
    // What an API server keeps for itself has no place in a file's resource.
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    serde_json::from_value(value).map_err(|error| {
        let fault = Fault {
            path: KIND.to_owned(),
            value: String::new(),
            remedy: error.to_string(),
        };
        Faults(vec![fault]).into()
    })
}

/// The one document of a file.
fn document(yaml: &str) -> Result<Value, ParseError> {
    let not_yaml = |error: serde_yaml::Error| ParseError::NotYaml(error.to_string());
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(yaml) {
        // By way of a YAML value, which refuses a key that is there twice.
        let mut document = serde_yaml::Value::deserialize(document).map_err(not_yaml)?;
        document.apply_merge().map_err(not_yaml)?;
        if !document.is_null() {
            documents.push(document);
        }
    }
    match (documents.pop(), documents.len()) {
        (None, _) => Err(ParseError::Empty),
        (Some(document), 0) => {
            serde_json::to_value(document).map_err(|error| ParseError::NotYaml(error.to_string()))
        }
        (Some(_), others) => Err(ParseError::Several(others + 1)),
    }
}

/// Refuses what does not say that it is a `ChatBotCluster` of this version.
fn identify(value: &Value) -> Result<(), ParseError> {
    let not_ours = |found: String| Err(ParseError::NotOurs { found });
    let Some(fields) = value.as_object() else {
        let found = match value {
            Value::Array(_) => "the file holds a list",
            _ => "the file holds plain text",
        };
        return not_ours(found.to_owned());
    };
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    match (text("kind"), text("apiVersion")) {
        (Some(KIND), Some(API_VERSION)) => Ok(()),
        (None, None) => not_ours("the file names neither `kind` nor `apiVersion`".to_owned()),
        (None, Some(version)) => not_ours(format!(
            "the file names no `kind`, and the apiVersion {version}"
        )),
        (Some(kind), None) => not_ours(format!("the file holds a {kind} without an `apiVersion`")),
        (Some(kind), Some(version)) => not_ours(format!("the file holds a {kind} ({version})")),
    }
}

/// Takes null fields out, as an API server does.
fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(prune_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}
