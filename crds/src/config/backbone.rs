//! The broker and the store, as gateway and worker are told of them and tell of them.
//!
//! Secrets are mounted as files; one that is missing stops what needs it and is told, and not the process.

use serde::{Deserialize, Serialize};

/// The certificate of the trusted authority in its folder, whatever its key is called.
pub const CA_FILE: &str = "ca.crt";

/// The broker and the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Backbone {
    /// The broker.
    pub kafka: KafkaConfig,
    /// The store.
    pub redis: RedisConfig,
    /// Turns that a session keeps.
    pub session_turns: u32,
    /// Seconds without a message after which a session starts anew.
    pub session_timeout_seconds: u64,
}

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KafkaConfig {
    /// Where the brokers are found, `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// What topics and groups begin with.
    pub topic_prefix: String,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Copies of each message.
    pub replication_factor: u32,
    /// Seconds that messages are kept.
    pub retention_seconds: u64,
    /// How to sign in; absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslConfig>,
    /// TLS; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackboneTlsConfig>,
}

/// How to sign in at the brokers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SaslConfig {
    /// The mechanism.
    pub mechanism: SaslMechanism,
    /// The Secret with `username` and `password`.
    pub secret: MountedSecret,
}

/// A mechanism of SASL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// Salted challenge and response, SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// Salted challenge and response, SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// User name and password as they are.
    #[serde(rename = "PLAIN")]
    Plain,
}

/// How the servers of a Redis belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedisMode {
    /// One server.
    Standalone,
    /// A master and its replicas, watched by sentinels.
    Sentinel,
    /// Several masters that share the keys.
    Cluster,
}

/// A Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RedisConfig {
    /// How its servers belong together.
    pub mode: RedisMode,
    /// Where it is, `host:port`.
    pub addresses: Vec<String>,
    /// What sentinels call the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_name: Option<String>,
    /// What every key begins with.
    pub key_prefix: String,
    /// The Secret with `password`, and `username` and `sentinelPassword` where there are any; absent: none is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<MountedSecret>,
    /// TLS; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackboneTlsConfig>,
}

/// TLS to a broker or a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BackboneTlsConfig {
    /// The Secret with the trusted authority's certificate, [`CA_FILE`]; absent: the authorities that the system has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<MountedSecret>,
    /// The Secret with the certificate to show, `tls.crt` and `tls.key`; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<MountedSecret>,
}

/// A Secret of the user's as a pod sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MountedSecret {
    /// The Secret's name, for messages.
    pub name: String,
    /// Where it is mounted.
    pub directory: String,
    /// Its key that is mounted, as [`CA_FILE`]; absent: every key, under its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A broker or a store as a pod finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackboneState {
    /// Whether it can be used; absent while it was not tried yet.
    pub usable: Option<bool>,
    /// Why, in one word, such as `BrokerUnreachable`.
    pub reason: String,
    /// For a person.
    pub message: String,
}
