//! Schemas and rules that several fields share and no derive can write.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::rules;

/// The rule that a string can be the name of an object.
pub(crate) fn object_name() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message(rules::OBJECT_NAME)
}

/// The rule that a pod asks for no more than it may use.
pub(crate) fn requests_within_limits() -> Rule {
    Rule::new(
        "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || \
         !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) || \
         !quantity(string(self.requests[k])).isGreaterThan(quantity(string(self.limits[k]))))",
    )
    .message(rules::WITHIN_LIMITS)
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
                { "rule": "self.matches('^https?://[^/@?#* ]+$')", "message": rules::ORIGIN },
            ],
        },
    })
}

pub(super) fn node_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": label_value(),
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
        }],
    })
}

pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": [
            { "rule": "self.all(k, !k.startsWith('chatbot.dev/'))", "message": rules::ANNOTATION_KEYS },
        ],
    })
}

pub(super) fn requests(_: &mut SchemaGenerator) -> Schema {
    quantities(
        "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'])",
        rules::REQUEST_KEYS,
    )
}

pub(super) fn limits(_: &mut SchemaGenerator) -> Schema {
    quantities(
        "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || (k.contains('/') && \
         (!isQuantity(string(self[k])) || quantity(string(self[k])).isInteger())))",
        rules::LIMIT_KEYS,
    )
}

fn quantities(keys: &str, keys_message: &str) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "x-kubernetes-int-or-string": true, "maxLength": 32 },
        "x-kubernetes-validations": [
            { "rule": keys, "message": keys_message },
            {
                "rule": "self.all(k, isQuantity(string(self[k])) && \
                         !quantity(string(self[k])).isLessThan(quantity('0')))",
                "message": rules::QUANTITIES,
            },
        ],
    })
}

fn label_value() -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$')",
            "message": rules::LABEL_VALUE,
        }],
    })
}
