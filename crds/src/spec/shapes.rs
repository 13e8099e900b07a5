//! Schemas and rules that several fields share and no derive can write.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::rules;

/// A DNS subdomain: labels, with dots between them.
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// The rule that a string can be the key of a Secret or a `ConfigMap`.
pub(crate) fn key(message: &str) -> Rule {
    Rule::new("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')")
        .message(message)
}

/// What is in no text that can be given to a program.
const CONTROL: &str = "[\\\\x00-\\\\x08\\\\x0b\\\\x0c\\\\x0e-\\\\x1f\\\\x7f]";

/// The rule that a string can be given to a program.
pub(crate) fn text() -> Rule {
    Rule::new(format!("!self.matches('{CONTROL}')")).message(rules::TEXT)
}

/// The rule that a string is one line that can be given to a program.
pub(crate) fn line() -> Rule {
    Rule::new("!self.matches('[\\\\x00-\\\\x1f\\\\x7f]')").message(rules::LINE)
}

/// The rule that a string can be the name of an object.
pub(crate) fn object_name() -> Rule {
    Rule::new(format!("self.matches('^{SUBDOMAIN}$')")).message(rules::OBJECT_NAME)
}

/// The rule that a string is an address without credentials.
pub(crate) fn url() -> Rule {
    Rule::new(format!("self.matches('^{}(/[^{UNSEEN}]*)?$')", origin())).message(rules::URL)
}

/// The rule that a string is an address of http alone, without credentials or a question.
pub(crate) fn plain_url() -> Rule {
    let url = format!("'^{}(/[^?#{UNSEEN}]*)?$'", origin());
    Rule::new(format!("self.startsWith('http://') && self.matches({url})"))
}

/// The rule that a string can be the reference of an image.
pub(crate) fn image() -> Rule {
    const LABEL: &str = "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?";
    const COMPONENT: &str = "[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*";
    const TAG: &str = "[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}";
    Rule::new(format!(
        "self.matches('^(({LABEL}([.]{LABEL})*|[[][0-9A-Fa-f:]+[]])(:[0-9]+)?/)?{COMPONENT}(/{COMPONENT})*(:{TAG})?(@sha256:[a-f0-9]{{64}})?$')"
    ))
    .message(rules::IMAGE)
}

/// What can be the value of a label or a taint.
const VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// The rule that a string can be the value of a label.
pub(crate) fn taint_value() -> Rule {
    Rule::new(format!("self.matches('{VALUE}')")).message(rules::LABEL_VALUE)
}

/// Arguments of a program.
pub(super) fn arguments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "string",
            "maxLength": 4096,
            "x-kubernetes-validations": [
                { "rule": format!("!self.matches('{CONTROL}')"), "message": rules::TEXT },
            ],
        },
    })
}

/// A name with an optional prefix, as the key of a label, an annotation or a taint.
const QUALIFIED: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// That a string is such a name, with a prefix no longer than that: a regular expression cannot bound it as a whole.
fn qualified(name: &str, prefix: u32) -> String {
    format!("{name}.matches('{QUALIFIED}') && {name}.indexOf('/') <= {prefix}")
}

/// The rule that a string can be the key of a taint.
pub(crate) fn taint_key() -> Rule {
    Rule::new(qualified("self", 253)).message(rules::TAINT_KEY)
}

/// The rule that every key of a map can be that of a label.
fn map_keys() -> Value {
    let rule = format!("self.all(k, {})", qualified("k", 253));
    json!({ "rule": rule, "message": rules::MAP_KEYS })
}

/// The rule that a pod asks for no more than it may use.
/// No more may be requested of a resource than is its limit.
pub(crate) fn within_limit((key, message): (&str, &str)) -> Rule {
    let [request, limit] = ["requests", "limits"].map(|field| format!("self.{field}['{key}']"));
    Rule::new(format!(
        "!has(self.requests) || !has(self.limits) || !('{key}' in self.requests) || !('{key}' in self.limits) || \
         !isQuantity(string({request})) || !isQuantity(string({limit})) || \
         !quantity(string({request})).isGreaterThan(quantity(string({limit})))"
    ))
    .message(message)
    .field_path(format!(".requests['{key}']"))
}

/// A quantity in a field of an object is more than nothing.
pub(crate) fn positive(field: &str, message: &str) -> Rule {
    Rule::new(format!(
        "isQuantity(string(self.{field})) && quantity(string(self.{field})).isGreaterThan(quantity('0')) && \
         !quantity(string(self.{field})).isGreaterThan(quantity('1P'))"
    ))
    .message(message)
    .field_path(format!(".{field}"))
}

/// A quantity in a field of an object is no less than nothing.
pub(crate) fn not_negative(field: &str, message: &str) -> Rule {
    Rule::new(format!(
        "isQuantity(string(self.{field})) && !quantity(string(self.{field})).isLessThan(quantity('0')) && \
         !quantity(string(self.{field})).isGreaterThan(quantity('1P'))"
    ))
    .message(message)
    .field_path(format!(".{field}"))
}

/// A port from 1 to 65535.
const PORT: &str =
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// What is in no address, in a class of characters: control characters and spaces.
const UNSEEN: &str = "\\\\x00-\\\\x20\\\\x7f";

/// A server in an address: its name, or its address of version 4.
fn server() -> String {
    format!("[^][:/@?#*{UNSEEN}]+")
}

/// An address without a path; one of version 6 is in brackets.
fn origin() -> String {
    format!("https?://({}|[[][0-9A-Fa-f:.]+[]])(:{PORT})?", server())
}

pub(super) fn origins(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 255,
            "x-kubernetes-validations": [
                { "rule": format!("self.matches('^{}$')", origin()), "message": rules::ORIGIN },
            ],
        },
    })
}

/// Addresses of servers.
pub(super) fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 255,
            "x-kubernetes-validations": [
                { "rule": format!("self.matches('^{}:{PORT}$')", server()), "message": rules::backbone::ADDRESS },
            ],
        },
    })
}

pub(super) fn node_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": label_value(),
        "x-kubernetes-validations": [map_keys()],
    })
}

pub(super) fn pod_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": label_value(),
        "x-kubernetes-validations": [{
            "rule": "self.all(k, !k.startsWith('chatbot.dev/') && !k.startsWith('app.kubernetes.io/'))",
            "message": rules::LABEL_KEYS,
        }, map_keys()],
    })
}

pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": [
            { "rule": "self.all(k, !k.startsWith('chatbot.dev/'))", "message": rules::ANNOTATION_KEYS },
            map_keys(),
        ],
    })
}

pub(super) fn requests(_: &mut SchemaGenerator) -> Schema {
    quantities(vec![
        rule(
            "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'])",
            rules::REQUEST_KEYS,
        ),
        rule(
            "self.all(k, k != 'cpu' || !isQuantity(string(self[k])) || \
             quantity(string(self[k])).compareTo(quantity('0')) != 0)",
            rules::REQUEST_OF_CPU,
        ),
    ])
}

pub(super) fn limits(_: &mut SchemaGenerator) -> Schema {
    quantities(vec![
        rule(
            &format!(
                "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || (k.contains('/') && {} && \
                 (!isQuantity(string(self[k])) || quantity(string(self[k])).isInteger())))",
                qualified("k", 244) // quotas put `requests.` before it
            ),
            rules::LIMIT_KEYS,
        ),
        rule(
            "self.all(k, k.contains('/') || !isQuantity(string(self[k])) || \
             quantity(string(self[k])).compareTo(quantity('0')) != 0)",
            rules::LIMITS_ABOVE_0,
        ),
        rule(
            "self.all(k, k != 'memory' || !isQuantity(string(self[k])) || \
             !quantity(string(self[k])).isGreaterThan(quantity('0')) || \
             !quantity(string(self[k])).isLessThan(quantity('1Mi')))",
            rules::LIMIT_OF_MEMORY,
        ),
    ])
}

fn rule(rule: &str, message: &str) -> Value {
    json!({ "rule": rule, "message": message })
}

fn quantities(mut validations: Vec<Value>) -> Schema {
    validations.push(rule(
        "self.all(k, isQuantity(string(self[k])) && !quantity(string(self[k])).isLessThan(quantity('0')) && \
         !quantity(string(self[k])).isGreaterThan(quantity('1P')))",
        rules::QUANTITIES,
    ));
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "x-kubernetes-int-or-string": true, "maxLength": 32 },
        "x-kubernetes-validations": validations,
    })
}

fn label_value() -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{VALUE}')"),
            "message": rules::LABEL_VALUE,
        }],
    })
}
