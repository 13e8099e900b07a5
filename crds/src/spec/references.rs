//! References to other objects, always in the resource's own namespace.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes;

/// A Secret, by name.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub name: String,
}

/// A key of a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub name: String,

    /// The key.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::key(crate::rules::engine::SECRET_KEY))]
    pub key: String,
}

/// A certification authority's certificate in a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub name: String,

    /// The key.
    #[serde(default = "ca_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::key(crate::rules::engine::SECRET_KEY))]
    pub key: String,
}

fn ca_key() -> String {
    "ca.crt".to_owned()
}

/// A key of a `ConfigMap`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// The `ConfigMap`'s name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::object_name())]
    pub name: String,

    /// The key.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = shapes::key(crate::rules::CONFIG_MAP_KEY))]
    pub key: String,
}
