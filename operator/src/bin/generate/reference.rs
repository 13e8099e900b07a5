//! The reference: every field with its type, default, bounds and rules; every condition and reason; every label.

use std::fmt::Write as _;

use chatbot_crds::{ConditionType, Reason, schema};
use chatbot_plan::names;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

const HEAD: &str = "\
# Reference: `ChatBotCluster`

`chatbot.dev/v1alpha1`, short name `cbc`, category `chatbot`. Written by `cargo generate` from the code; `kubectl explain
chatbotcluster.spec` says the same. Durations are such as `90s`, `30m` or `1h30m`; quantities are Kubernetes' own.
Whatever is not listed here is unknown to the schema: `kubectl`, which asks for strict validation, refuses it, and so does
`chatbot run -f`; a client that asks for less (`--validate=warn` or `false`; none asked for means `Warn`) has it dropped,
with a warning or without a word. A null is the same as absence.
";

const SCALE: &str = "\
## Scale

`kubectl scale chatbotcluster NAME --replicas=N` sets `spec.inference.autoscaling.minReplicas`, the fewest instances; the
autoscaler goes on above it.
";

pub fn render() -> String {
    let definition = schema::definition();
    let mut text = HEAD.to_owned();
    let root = definition.spec.versions.iter().find_map(|version| {
        version
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref())
    });
    let spec = root
        .and_then(|root| root.properties.as_ref())
        .and_then(|fields| fields.get("spec"));
    let rules: Vec<String> = root.into_iter().chain(spec).flat_map(rules_of).collect();
    if !rules.is_empty() {
        let _ = write!(text, "\nThe resource as a whole:\n\n{}", list(&rules));
    }
    for (part, title) in [("spec", "Spec"), ("status", "Status")] {
        let _ = write!(
            text,
            "\n## {title}\n\n| field | type | default | bounds | |\n|---|---|---|---|---|\n"
        );
        if let Some(schema) = root
            .and_then(|root| root.properties.as_ref())
            .and_then(|fields| fields.get(part))
        {
            fields(schema, part, &mut text);
        }
    }
    let _ = write!(text, "\n{SCALE}");
    conditions(&mut text);
    reasons(&mut text);
    labels(&mut text);
    text
}

/// A row for every field inside a schema.
fn fields(schema: &JSONSchemaProps, path: &str, text: &mut String) {
    for (name, field) in schema.properties.iter().flatten() {
        let required = schema
            .required
            .iter()
            .flatten()
            .any(|required| required == name);
        let inner = inner(field);
        let path = format!("{path}.{name}");
        let mut notes = vec![field.description.clone().unwrap_or_default()];
        notes.extend(rules_of(field).into_iter().map(|rule| format!("*{rule}.*")));
        if let Some(inner) = inner {
            notes.extend(
                rules_of(inner)
                    .into_iter()
                    .map(|rule| format!("Each: *{rule}.*")),
            );
        }
        let default = match &field.default {
            Some(default) if !default.0.is_object() => format!("`{}`", default.0),
            Some(_) => "as below".to_owned(),
            None if required => "**required**".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "| `{path}` | {} | {} | {} | {} |",
            type_of(field),
            cell(&default),
            cell(&bounds(field, inner)),
            cell(notes.join(" ").trim()),
        );
        match inner {
            Some(inner) if field.type_.as_deref() == Some("array") => {
                fields(inner, &format!("{path}[]"), text);
            }
            Some(_) => {}
            None => fields(field, &path, text),
        }
    }
}

/// The schema of a list's or map's entries.
fn inner(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match (&schema.items, &schema.additional_properties) {
        (Some(JSONSchemaPropsOrArray::Schema(items)), _) => Some(items),
        (_, Some(JSONSchemaPropsOrBool::Schema(values))) => Some(values),
        _ => None,
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    let simple = |schema: &JSONSchemaProps| match schema.type_.as_deref() {
        None if rules_of(schema)
            .iter()
            .any(|rule| rule.contains("percentage")) =>
        {
            "number or percentage".to_owned()
        }
        None => "quantity".to_owned(),
        Some("string") if schema.format.as_deref() == Some("date-time") => "time".to_owned(),
        Some(type_) => type_.to_owned(),
    };
    let Some(inner) = inner(schema) else {
        return simple(schema);
    };
    match (
        schema.type_.as_deref(),
        schema.x_kubernetes_list_type.as_deref(),
    ) {
        (Some("array"), Some("map")) => {
            let keys = schema
                .x_kubernetes_list_map_keys
                .as_deref()
                .unwrap_or_default();
            format!("list of {}s by `{}`", simple(inner), keys.join("`, `"))
        }
        (Some("array"), Some("set")) => format!("set of {}s", simple(inner)),
        (Some("array"), _) => format!("list of {}s", simple(inner)),
        _ => format!(
            "map of {}",
            if simple(inner) == "quantity" {
                "quantities"
            } else {
                "strings"
            }
        ),
    }
}

fn bounds(schema: &JSONSchemaProps, inner: Option<&JSONSchemaProps>) -> String {
    let mut bounds = Vec::new();
    if let Some(values) = &schema.enum_ {
        bounds.push(
            values
                .iter()
                .map(|value| format!("`{}`", value.0.as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    if let (Some(least), Some(most)) = (schema.minimum, schema.maximum) {
        bounds.push(format!("{least}–{most}"));
    }
    for (least, most, what) in [
        (schema.min_length, schema.max_length, "characters"),
        (schema.min_items, schema.max_items, "entries"),
        (None, schema.max_properties, "entries"),
    ] {
        match (least, most) {
            (Some(least), Some(most)) => bounds.push(format!("{least}–{most} {what}")),
            (None, Some(most)) => bounds.push(format!("≤ {most} {what}")),
            _ => {}
        }
    }
    if let Some(most) = inner.and_then(|inner| inner.max_length) {
        bounds.push(format!("each ≤ {most} characters"));
    }
    bounds.join(", ")
}

fn rules_of(schema: &JSONSchemaProps) -> Vec<String> {
    schema
        .x_kubernetes_validations
        .iter()
        .flatten()
        .filter_map(|rule| rule.message.clone())
        .collect()
}

fn list(lines: &[String]) -> String {
    lines
        .iter()
        .flat_map(|line| {
            [
                "- ", line, "
",
            ]
        })
        .collect()
}

/// A text that does not end its cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn conditions(text: &mut String) {
    text.push_str("\n## Conditions\n\n| condition | True | False | Unknown | reasons |\n|---|---|---|---|---|\n");
    for condition in ConditionType::ALL {
        let [yes, no, unknown] = condition.meaning();
        let name = if condition.is_abnormal_true() {
            format!("{condition} (good when False)")
        } else {
            condition.to_string()
        };
        let reasons: Vec<String> = condition
            .reasons()
            .iter()
            .map(|reason| format!("`{reason}`"))
            .collect();
        let _ = writeln!(
            text,
            "| {name} | {yes} | {no} | {unknown} | {} |",
            reasons.join(" ")
        );
    }
}

fn reasons(text: &mut String) {
    text.push_str("\n## Reasons\n\n| reason | what it says | what to do | a person is needed |\n|---|---|---|---|\n");
    for reason in Reason::ALL {
        let remedy = if reason.remedy().is_empty() {
            "nothing"
        } else {
            reason.remedy()
        };
        let person = match reason.needs_person_after() {
            None => String::new(),
            // A claim that is there is given the time in which most are bound.
            Some(0) if *reason == Reason::StoreUnbound => {
                "at once; of a claim that is Pending, after 1 minute".to_owned()
            }
            Some(0) => "at once".to_owned(),
            Some(seconds) => format!("after {} minutes", seconds / 60),
        };
        let _ = writeln!(
            text,
            "| `{reason}` | {} | {} | {person} |",
            reason.says(),
            cell(remedy)
        );
    }
}

fn labels(text: &mut String) {
    text.push_str("\n## Labels and annotations\n\n| on every child | |\n|---|---|\n");
    for (name, meaning) in [
        (names::CLUSTER_LABEL, "label: the resource it belongs to"),
        (
            names::COMPONENT_LABEL,
            "label: its part, `adapters`, `workers`, `inference`, `broker` or `store`",
        ),
        (
            names::SLOT_LABEL,
            "label of pods: `active`, or `leaving` when it serves on but is being replaced",
        ),
        (names::MANAGED_BY_LABEL, "label: `chatbot-operator`"),
        ("app.kubernetes.io/name", "label: `chatbot`"),
        (
            "app.kubernetes.io/instance",
            "label: the resource it belongs to",
        ),
        ("app.kubernetes.io/component", "label: its part"),
        (
            names::HASH_ANNOTATION,
            "annotation: the hash of what was planned",
        ),
        (
            names::REVISION_ANNOTATION,
            "annotation of pods: the hash of the template it was made from",
        ),
    ] {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_belongs_to_a_condition_and_is_explained() {
        for reason in Reason::ALL {
            let used = ConditionType::ALL
                .iter()
                .any(|condition| condition.reasons().contains(reason));
            assert!(used, "{reason} is the reason of no condition");
            assert!(!reason.says().is_empty(), "{reason}");
        }
    }

    #[test]
    fn the_reference_has_every_field_of_the_spec() {
        let text = render();
        for field in [
            "spec.channels[].webChat.allowedOrigins",
            "spec.conversation.systemPromptFrom.configMapKeyRef.key",
            "spec.inference.autoscaling.behavior.scaleUp.policies[].periodSeconds",
            "status.inference.bounds[].reason",
        ] {
            assert!(text.contains(&format!("| `{field}` |")), "{field}");
        }
    }
}
