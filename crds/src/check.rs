//! What the schema says of a value: types, bounds, required and unknown fields. The schema itself is walked, so that
//! nothing is stated twice.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use crate::{ChatBotCluster, Fault, schema};

/// Every fault that the schema finds in a resource's spec.
pub(crate) fn faults(cluster: &ChatBotCluster) -> Vec<Fault> {
    match serde_json::to_value(&cluster.spec) {
        Ok(spec) => spec_faults(&spec),
        Err(error) => vec![fault("spec", None, error.to_string())],
    }
}

/// Every fault that the schema finds in a spec, which need not be readable as one.
#[must_use]
pub fn spec_faults(spec: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(schema) = schema::root()
        .properties
        .as_ref()
        .and_then(|properties| properties.get("spec"))
    {
        check(schema, spec, "spec", &mut faults);
    }
    faults
}

/// A fault of a value.
pub(crate) fn fault(path: &str, value: Option<&Value>, remedy: impl Into<String>) -> Fault {
    const SHOWN: usize = 80;
    let mut value = value.map(Value::to_string).unwrap_or_default();
    if value.chars().count() > SHOWN {
        value = value.chars().take(SHOWN).chain("…".chars()).collect();
    }
    Fault {
        path: path.to_owned(),
        value,
        remedy: remedy.into(),
    }
}

fn check(schema: &JSONSchemaProps, value: &Value, path: &str, faults: &mut Vec<Fault>) {
    let mut say = |remedy: String| faults.push(fault(path, Some(value), remedy));
    if let Some(allowed) = &schema.enum_ {
        if !allowed.iter().any(|allowed| &allowed.0 == value) {
            let allowed: Vec<String> = allowed
                .iter()
                .map(|allowed| allowed.0.to_string().replace('"', "'"))
                .collect();
            say(format!("must be one of {}", allowed.join(", ")));
        }
        return;
    }
    let int_or_string = schema.x_kubernetes_int_or_string == Some(true);
    match (schema.type_.as_deref(), value) {
        (Some("string"), Value::String(text)) => check_length(schema, text, &mut say),
        (None, Value::String(text)) if int_or_string => check_length(schema, text, &mut say),
        (None, Value::Number(number)) if int_or_string && !number.is_f64() => {}
        (None, _) if int_or_string => say("must be an integer or a string".to_owned()),
        (Some("integer"), Value::Number(number)) if !number.is_f64() => {
            check_range(schema, number.as_f64(), &mut say);
        }
        (Some("array"), Value::Array(items)) => check_list(schema, items, path, faults),
        (Some("object"), Value::Object(fields)) => check_object(schema, fields, path, faults),
        (Some("string"), Value::Number(_) | Value::Bool(_)) => {
            say("must be a string: put it in quotes".to_owned());
        }
        (Some("string"), _) => say("must be a string".to_owned()),
        (Some("integer"), _) => say("must be an integer".to_owned()),
        (Some("array"), _) => say("must be a list".to_owned()),
        (Some("object"), _) => say("must be an object".to_owned()),
        _ => {}
    }
}

fn check_length(schema: &JSONSchemaProps, text: &str, say: &mut impl FnMut(String)) {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if schema.min_length.is_some_and(|least| length < least) {
        say("may not be empty".to_owned());
    }
    if let Some(most) = schema.max_length.filter(|most| length > *most) {
        say(format!("must have at most {most} characters"));
    }
}

fn check_range(schema: &JSONSchemaProps, number: Option<f64>, say: &mut impl FnMut(String)) {
    let (Some(number), Some(least), Some(most)) = (number, schema.minimum, schema.maximum) else {
        return;
    };
    if !(least..=most).contains(&number) {
        say(format!("must be between {least} and {most}"));
    }
}

fn check_list(schema: &JSONSchemaProps, items: &[Value], path: &str, faults: &mut Vec<Fault>) {
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if let Some(least) = schema.min_items.filter(|least| count < *least) {
        faults.push(fault(
            path,
            None,
            format!("must have at least {least} entry"),
        ));
    }
    if let Some(most) = schema.max_items.filter(|most| count > *most) {
        faults.push(fault(
            path,
            None,
            format!("must have at most {most} entries"),
        ));
    }
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
            check(schema, item, &path, faults);
        }
        let (twice, key) = match schema.x_kubernetes_list_type.as_deref() {
            Some("set") => (items[..index].contains(item), item),
            Some("map") => {
                let keys = schema
                    .x_kubernetes_list_map_keys
                    .as_deref()
                    .unwrap_or_default();
                let same = |other: &Value| keys.iter().all(|key| item.get(key) == other.get(key));
                (
                    items[..index].iter().any(same),
                    keys.first().and_then(|key| item.get(key)).unwrap_or(item),
                )
            }
            _ => continue,
        };
        if twice {
            faults.push(fault(&path, Some(key), "must be unique in the list"));
        }
    }
}

fn check_object(
    schema: &JSONSchemaProps,
    fields: &serde_json::Map<String, Value>,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    for name in schema
        .required
        .iter()
        .flatten()
        .filter(|name| !fields.contains_key(*name))
    {
        faults.push(fault(&format!("{path}.{name}"), None, "must be set"));
    }
    let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    if let Some(most) = schema.max_properties.filter(|most| count > *most) {
        faults.push(fault(
            path,
            None,
            format!("must have at most {most} entries"),
        ));
    }
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        let property = schema
            .properties
            .as_ref()
            .and_then(|properties| properties.get(name));
        match (property, &schema.additional_properties) {
            (Some(property), _) => check(property, value, &path, faults),
            (None, Some(JSONSchemaPropsOrBool::Schema(values))) => {
                check(values, value, &path, faults);
            }
            (None, _) => {
                let known: Vec<&str> = schema
                    .properties
                    .iter()
                    .flat_map(|properties| properties.keys())
                    .map(String::as_str)
                    .collect();
                faults.push(fault(
                    &path,
                    None,
                    format!("unknown field; known here: {}", known.join(", ")),
                ));
            }
        }
    }
}
