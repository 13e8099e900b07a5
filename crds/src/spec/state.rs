//! The store of sessions and routes.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaSecretRef, SecretRef, shapes};
use crate::rules::backbone as rules;

/// The store of sessions and routes. It holds no truth: what it loses is read from `messaging` again.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// A Redis of version 6 or later, or a store that speaks its protocol.
    pub redis: Redis,
}

/// A Redis.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("(self.mode == 'Sentinel') == has(self.masterName)")
        .message(rules::MASTER_NAME)
        .field_path(".masterName"),
    validation = Rule::new("self.mode != 'Standalone' || self.addresses.size() == 1")
        .message(rules::ONE_ADDRESS)
        .field_path(".addresses"),
    validation = Rule::new(
        "has(self.keyPrefix) == has(oldSelf.keyPrefix) && (!has(self.keyPrefix) || self.keyPrefix == oldSelf.keyPrefix)"
    )
    .message(rules::KEY_PREFIX_IMMUTABLE)
)]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// `Standalone` (one server), `Sentinel` (a master found by sentinels) or `Cluster`.
    #[serde(default)]
    pub mode: RedisMode,

    /// Where it is, as `host:port`: the server, the sentinels, or some of the cluster's nodes.
    #[schemars(schema_with = "shapes::addresses")]
    pub addresses: Vec<String>,

    /// What the sentinels call the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(rules::MASTER))]
    pub master_name: Option<String>,

    /// What every key begins with. Absent: `<namespace>.<name>:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new("self.matches('^[-._:a-zA-Z0-9]+$')").message(rules::KEY_PREFIX))]
    pub key_prefix: Option<String>,

    /// A Secret with the key `password`, and `username` and `sentinelPassword` where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// Talks TLS to the store. `{}` trusts the certification authorities that the image has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackboneTls>,
}

/// How the servers of a Redis belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RedisMode {
    /// One server.
    #[default]
    Standalone,
    /// A master and its replicas, watched by sentinels.
    Sentinel,
    /// Several masters that share the keys.
    Cluster,
}

/// TLS to the broker or to the store.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackboneTls {
    /// The certificate of the authority to be trusted, PEM, in a Secret. Absent: the authorities that the image has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,

    /// The certificate that the pods show, in a Secret of type `kubernetes.io/tls`. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_secret_ref: Option<SecretRef>,
}
