//! The broker that messages go through.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackboneTls, Duration, SecretRef, duration, shapes};
use crate::rules::backbone as rules;

/// The broker that messages and answers go through.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Messaging {
    /// An Apache Kafka cluster of version 2.5 or later, or a broker that speaks its protocol.
    pub kafka: Kafka,
}

/// A Kafka cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(
        "has(self.topicPrefix) == has(oldSelf.topicPrefix) && \
         (!has(self.topicPrefix) || self.topicPrefix == oldSelf.topicPrefix)"
    )
    .message(rules::TOPIC_PREFIX_IMMUTABLE)
)]
#[serde(rename_all = "camelCase")]
pub struct Kafka {
    /// Where the brokers are found, as `host:port`. One that answers is enough. Another Kafka begins empty: adapters and
    /// workers go there together, and what the last adapters that leave the one of before have not delivered is given up.
    #[schemars(schema_with = "shapes::addresses")]
    pub bootstrap_servers: Vec<String>,

    /// What the names of the topics and of the consumer groups begin with. Absent: `<namespace>.<name>.`. Topics that
    /// exist are used as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(rules::TOPIC_PREFIX))]
    pub topic_prefix: Option<String>,

    /// Partitions of each topic: the most workers that can share the work. Users of different partitions never wait for
    /// each other's owner.
    #[serde(default = "partitions")]
    #[schemars(range(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(rules::PARTITIONS_IMMUTABLE))]
    pub partitions: i32,

    /// Brokers that hold a copy of each message, where the operator's pods create the topics. Of 3, 2 must have a message
    /// before it is acknowledged.
    #[serde(default = "replication_factor")]
    #[schemars(range(min = 1, max = 9))]
    pub replication_factor: i32,

    /// How long messages are kept, and with them the memory of what was answered: a platform that repeats a message later
    /// gets a second answer. A worker has about 100 bytes of memory for each of them: where it is millions, raise
    /// `workers.resources.limits.memory`, or keep them for less long.
    #[serde(default = "retention")]
    #[x_kube(validation = duration::syntax(), validation = duration::between("1h", "8760h"))]
    pub retention: Duration,

    /// How the pods sign in. Absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,

    /// Talks TLS to the brokers. `{}` trusts the certification authorities that the image has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackboneTls>,
}

/// How the pods sign in at the brokers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// The mechanism. `PLAIN` sends the password as it is: use it with `tls`.
    #[serde(default)]
    pub mechanism: SaslMechanism,

    /// A Secret with the keys `username` and `password`.
    pub secret_ref: SecretRef,
}

/// A mechanism of SASL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// Salted challenge and response, SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// Salted challenge and response, SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// User name and password.
    #[serde(rename = "PLAIN")]
    Plain,
}

fn partitions() -> i32 {
    crate::config::DEFAULT_PARTITIONS
}

fn replication_factor() -> i32 {
    3
}

fn retention() -> Duration {
    "168h".into()
}
