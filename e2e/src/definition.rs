//! Kinds that are not Kubernetes' own, as far as a control plane needs to know them.

use serde_json::json;

/// As much of a kind that is not Kubernetes' own as the operator needs.
#[must_use]
pub fn definition(group: &str, kind: &str) -> String {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let version = json!({ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
        "schema": { "openAPIV3Schema": schema } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": { "api-approved.kubernetes.io": "unapproved" },
        },
        "spec": {
            "group": group, "scope": "Namespaced", "versions": [version],
            "names": { "kind": kind, "plural": plural, "singular": singular },
        },
    });
    definition.to_string()
}
