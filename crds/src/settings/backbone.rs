//! The broker and the store in plain values.

use std::time::Duration;

use super::plain::{count, unset};
use crate::spec::{BackboneTls, RedisMode, SaslMechanism};
use crate::{Fault, rules, spec};

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// Where the brokers are found.
    pub bootstrap_servers: Vec<String>,
    /// What topics and groups begin with.
    pub topic_prefix: String,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Copies of each message.
    pub replication_factor: u32,
    /// How long messages are kept.
    pub retention: Duration,
    /// How the pods sign in: the mechanism and the Secret.
    pub sasl: Option<(SaslMechanism, String)>,
    /// TLS to the brokers.
    pub tls: Option<BackboneTls>,
}

/// A Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// How its servers belong together.
    pub mode: RedisMode,
    /// Where it is.
    pub addresses: Vec<String>,
    /// What sentinels call the master.
    pub master_name: Option<String>,
    /// What every key begins with.
    pub key_prefix: String,
    /// The Secret with the password.
    pub secret: Option<String>,
    /// TLS to the store.
    pub tls: Option<BackboneTls>,
}

/// What names of this resource begin with, where nothing else is asked for.
#[must_use]
pub fn prefix(namespace: &str, name: &str, end: char) -> String {
    format!("{namespace}.{name}{end}")
}

pub(super) fn plain_kafka(
    kafka: &spec::Kafka,
    namespace: &str,
    name: &str,
) -> Result<Kafka, Fault> {
    let at = |field: &str| format!("spec.messaging.kafka.{field}");
    Ok(Kafka {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        topic_prefix: kafka
            .topic_prefix
            .clone()
            .unwrap_or_else(|| prefix(namespace, name, '.')),
        partitions: count(&at("partitions"), kafka.partitions)?,
        replication_factor: count(&at("replicationFactor"), kafka.replication_factor)?,
        retention: kafka
            .retention
            .length()
            .ok_or_else(|| unset(&at("retention"), rules::DURATION))?,
        sasl: kafka
            .sasl
            .as_ref()
            .map(|sasl| (sasl.mechanism, sasl.secret_ref.name.clone())),
        tls: kafka.tls.clone(),
    })
}

pub(super) fn plain_redis(redis: &spec::Redis, namespace: &str, name: &str) -> Redis {
    Redis {
        mode: redis.mode,
        addresses: redis.addresses.clone(),
        master_name: redis.master_name.clone(),
        key_prefix: redis
            .key_prefix
            .clone()
            .unwrap_or_else(|| prefix(namespace, name, ':')),
        secret: redis.secret_ref.as_ref().map(|secret| secret.name.clone()),
        tls: redis.tls.clone(),
    }
}
