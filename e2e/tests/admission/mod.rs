//! Whom the API server asks before it lets anything in: a policy that refuses, a webhook that does not answer.

use serde_json::json;

/// A webhook at an address where nobody is, asked about Deployments of one namespace.
pub fn webhook(namespace: &str) -> String {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "nobody" },
        "webhooks": [{
            "name": "nobody.example.com", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
            "clientConfig": { "url": "https://127.0.0.1:9/" },
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "rules": [{ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"] }],
        }],
    })
    .to_string()
}

/// A policy that refuses the instances' Deployment in one namespace.
pub fn policy(namespace: &str) -> String {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "house-rules" },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["deployments"],
            }] },
            "validations": [{
                "expression": "object.metadata.name != 'chat-adapters'", "message": "no chats on weekdays",
            }],
        },
    });
    let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "house-rules" },
        "spec": { "policyName": "house-rules", "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": selector } },
    });
    format!("{policy}\n---\n{binding}")
}
