//! The resource's definition, as the API server gets it.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::core::crd::v1::CustomResourceExt;
use serde_json::json;

use crate::{ChatBotCluster, rules};

/// The definition of `ChatBotCluster`.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    let mut definition = ChatBotCluster::crd();
    for version in &mut definition.spec.versions {
        let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        tidy(root);
        show_values(root);
        // The rule about the name points at it, so the schema must know that it is there.
        let name = JSONSchemaProps {
            type_: Some("string".to_owned()),
            ..JSONSchemaProps::default()
        };
        let metadata = JSONSchemaProps {
            type_: Some("object".to_owned()),
            properties: Some([("name".to_owned(), name)].into()),
            ..JSONSchemaProps::default()
        };
        root.properties
            .get_or_insert_default()
            .insert("metadata".to_owned(), metadata);
        if let Some(status) = root
            .properties
            .as_mut()
            .and_then(|properties| properties.get_mut("status"))
        {
            status.description = Some("What is.".to_owned());
            status.default = Some(JSON(not_looked_yet()));
        }
    }
    definition
}

/// The schema of the whole resource.
pub(crate) fn root() -> &'static JSONSchemaProps {
    static ROOT: LazyLock<JSONSchemaProps> = LazyLock::new(|| {
        let versions = definition().spec.versions;
        versions
            .into_iter()
            .find_map(|version| version.schema.and_then(|schema| schema.open_api_v3_schema))
            .unwrap_or_default()
    });
    &ROOT
}

/// Every schema directly inside a schema.
pub(crate) fn children(schema: &mut JSONSchemaProps) -> Vec<&mut JSONSchemaProps> {
    let mut children: Vec<&mut JSONSchemaProps> = Vec::new();
    if let Some(properties) = &mut schema.properties {
        children.extend(properties.values_mut());
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => children.push(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => children.extend(items),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        children.push(values);
    }
    children
}

/// Takes `nullable` out, so that a null is pruned and defaulted instead of stored; and joins the lines of descriptions.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    for child in children(schema) {
        tidy(child);
    }
}

/// Rules whose message says what the values are, where the server can: by the message for everybody else. `format` is
/// cheap by the server's estimate; a number turned into a string and added to another is of unknown length, and refused.
const SHOWN: [(&str, &str); 7] = [
    (
        rules::NODE_CPU,
        "'`cpu` (%s) must be a quantity greater than 0 and at most 1P, such as \\'8\\' or \\'7900m\\''.format([self.cpu])",
    ),
    (
        rules::NODE_MEMORY,
        "'`memory` (%s) must be a quantity greater than 0 and at most 1P, such as \\'32Gi\\''.format([self.memory])",
    ),
    (
        rules::WITHIN_LIMITS[0].1,
        "'`requests.cpu` (%s) must be less than or equal to `limits.cpu` (%s)'\
         .format([self.requests.cpu, self.limits.cpu])",
    ),
    (
        rules::WITHIN_LIMITS[1].1,
        "'`requests.memory` (%s) must be less than or equal to `limits.memory` (%s)'\
         .format([self.requests.memory, self.limits.memory])",
    ),
    (
        rules::WITHIN_LIMITS[2].1,
        "'`requests.ephemeral-storage` (%s) must be less than or equal to `limits.ephemeral-storage` (%s)'\
         .format([self.requests['ephemeral-storage'], self.limits['ephemeral-storage']])",
    ),
    (
        rules::MIN_MAX,
        "'`minReplicas` (%d) must be less than or equal to `maxReplicas` (%d)'\
         .format([self.minReplicas, self.maxReplicas])",
    ),
    (
        rules::ANSWER_FITS,
        "'`conversation.maxAnswerTokens` (%d) must be less than `inference.contextTokens` (%d): prompt and answer \
         share the context'.format([self.conversation.maxAnswerTokens, self.inference.contextTokens])",
    ),
];

/// Lets the rules of [`SHOWN`] say the values.
fn show_values(schema: &mut JSONSchemaProps) {
    for rule in schema.x_kubernetes_validations.iter_mut().flatten() {
        let message = rule.message.as_deref();
        let shown = SHOWN.iter().find(|(plain, _)| Some(*plain) == message);
        if let Some((_, expression)) = shown {
            rule.message_expression = Some((*expression).to_owned());
        }
    }
    for child in children(schema) {
        show_values(child);
    }
}

/// The status of a resource that no operator has looked at: `kubectl wait` and the like are right from the first moment.
fn not_looked_yet() -> serde_json::Value {
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_,
            "status": status,
            "reason": "Pending",
            "message": "waiting for the operator",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        })
    };
    json!({ "conditions": [condition("Ready", "Unknown"), condition("Reconciling", "True")] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Client-side `kubectl apply` keeps the object in an annotation, which may have 256 KiB.
    #[test]
    fn the_definition_fits_into_the_annotation_of_kubectl_apply() {
        let size = serde_json::to_string(&definition()).unwrap().len();
        assert!(size < 256 * 1024, "{size} bytes");
    }

    #[test]
    fn every_string_list_and_map_is_bounded_and_nothing_is_nullable() {
        fn bounded(schema: &mut JSONSchemaProps, path: &str) {
            assert_eq!(schema.nullable, None, "{path}");
            let int_or_string = schema.x_kubernetes_int_or_string == Some(true);
            match schema.type_.as_deref() {
                Some("string") => assert!(
                    schema.max_length.is_some()
                        || schema.enum_.is_some()
                        || schema.format.is_some(),
                    "{path} has no maxLength"
                ),
                Some("array") => {
                    assert!(schema.max_items.is_some(), "{path} has no maxItems");
                    assert!(
                        schema.x_kubernetes_list_type.is_some(),
                        "{path} has no list type"
                    );
                }
                Some("integer") => assert!(
                    path.starts_with(".status")
                        || (schema.minimum.is_some() && schema.maximum.is_some()),
                    "{path} has no bounds"
                ),
                Some("object") => assert!(
                    schema.additional_properties.is_none() || schema.max_properties.is_some(),
                    "{path} has no maxProperties"
                ),
                None if int_or_string => {
                    assert!(schema.max_length.is_some(), "{path} has no maxLength");
                }
                other => panic!("{path} is of type {other:?}"),
            }
            assert!(
                schema.one_of.is_none() && schema.any_of.is_none(),
                "{path} has alternatives"
            );
            if let Some(properties) = &mut schema.properties {
                for (name, child) in properties {
                    bounded(child, &format!("{path}.{name}"));
                }
            } else {
                for child in children(schema) {
                    bounded(child, &format!("{path}[]"));
                }
            }
        }
        let mut root = root().clone();
        let properties = root.properties.as_mut().unwrap();
        for part in ["spec", "status"] {
            bounded(properties.get_mut(part).unwrap(), &format!(".{part}"));
        }
    }

    #[test]
    fn every_field_says_what_it_is() {
        fn described(schema: &mut JSONSchemaProps, path: &str) {
            if let Some(properties) = &mut schema.properties {
                for (name, child) in properties {
                    let path = format!("{path}.{name}");
                    assert!(child.description.is_some(), "{path} has no description");
                    described(child, &path);
                }
            } else {
                for child in children(schema) {
                    described(child, path);
                }
            }
        }
        let mut root = root().clone();
        for part in ["spec", "status"] {
            described(
                root.properties.as_mut().unwrap().get_mut(part).unwrap(),
                part,
            );
        }
    }
}
