//! The broker and the store, as gateway and worker are told of them and tell of them.
//!
//! Secrets are files: the pod mounts each that is named, as optional, so that a missing one stops what needs it and is
//! told, and not the pod.

use serde::{Deserialize, Serialize};

use crate::settings::{self, Settings};
use crate::spec::{BackboneTls, RedisMode, SaslMechanism};

/// Partitions of each topic where nothing is asked for.
pub const DEFAULT_PARTITIONS: i32 = 24;
/// The port of the broker that the operator runs for development.
pub const DEVELOPMENT_BROKER_PORT: u16 = 9092;
/// The port of the store that the operator runs for development.
pub const DEVELOPMENT_STORE_PORT: u16 = 6379;
/// Where the Secrets of the broker are mounted: `sasl`, `ca`, `certificate`.
pub const KAFKA_DIRECTORY: &str = "/kafka";
/// Where the Secrets of the store are mounted: `credentials`, `ca`, `certificate`.
pub const REDIS_DIRECTORY: &str = "/redis";
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
    /// One of the reasons of the condition `MessagingReady` or `StateReady`, such as `BrokerUnreachable`.
    pub reason: String,
    /// For a person.
    pub message: String,
}

impl Backbone {
    /// The broker and the store of a resource. Where it names none, `broker` and `store` are the hosts of those that the
    /// operator runs for development.
    #[must_use]
    pub fn of(settings: &Settings, broker: &str, store: &str) -> Self {
        let prefix = |end| settings::prefix(&settings.namespace, &settings.name, end);
        let kafka = settings.kafka.as_ref().map_or_else(
            || KafkaConfig {
                bootstrap_servers: vec![format!("{broker}:{DEVELOPMENT_BROKER_PORT}")],
                topic_prefix: prefix('.'),
                partitions: DEFAULT_PARTITIONS.unsigned_abs(),
                replication_factor: 1,
                retention_seconds: 7 * 24 * 3600,
                sasl: None,
                tls: None,
            },
            KafkaConfig::of,
        );
        let redis = settings.redis.as_ref().map_or_else(
            || RedisConfig {
                mode: RedisMode::Standalone,
                addresses: vec![format!("{store}:{DEVELOPMENT_STORE_PORT}")],
                master_name: None,
                key_prefix: prefix(':'),
                credentials: None,
                tls: None,
            },
            RedisConfig::of,
        );
        Self {
            kafka,
            redis,
            session_turns: settings.conversation.history_turns.max(SHOWN_TURNS),
            session_timeout_seconds: settings.conversation.session_timeout.as_secs(),
        }
    }

    /// Every Secret that a pod mounts for them.
    #[must_use]
    pub fn secrets(&self) -> Vec<&MountedSecret> {
        let sasl = self.kafka.sasl.as_ref().map(|sasl| &sasl.secret);
        let tls = [&self.kafka.tls, &self.redis.tls].into_iter().flatten();
        [sasl, self.redis.credentials.as_ref()]
            .into_iter()
            .chain(tls.flat_map(|tls| [tls.ca.as_ref(), tls.certificate.as_ref()]))
            .flatten()
            .collect()
    }
}

impl KafkaConfig {
    fn of(kafka: &settings::Kafka) -> Self {
        Self {
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            topic_prefix: kafka.topic_prefix.clone(),
            partitions: kafka.partitions,
            replication_factor: kafka.replication_factor,
            retention_seconds: kafka.retention.as_secs(),
            sasl: kafka.sasl.as_ref().map(|(mechanism, secret)| SaslConfig {
                mechanism: *mechanism,
                secret: mounted(secret, KAFKA_DIRECTORY, "sasl"),
            }),
            tls: kafka.tls.as_ref().map(|tls| of_tls(tls, KAFKA_DIRECTORY)),
        }
    }
}

impl RedisConfig {
    fn of(redis: &settings::Redis) -> Self {
        Self {
            mode: redis.mode,
            addresses: redis.addresses.clone(),
            master_name: redis.master_name.clone(),
            key_prefix: redis.key_prefix.clone(),
            credentials: redis
                .secret
                .as_ref()
                .map(|secret| mounted(secret, REDIS_DIRECTORY, "credentials")),
            tls: redis.tls.as_ref().map(|tls| of_tls(tls, REDIS_DIRECTORY)),
        }
    }
}

fn of_tls(tls: &BackboneTls, directory: &str) -> BackboneTlsConfig {
    BackboneTlsConfig {
        ca: tls.ca_secret_ref.as_ref().map(|ca| MountedSecret {
            key: Some(ca.key.clone()),
            ..mounted(&ca.name, directory, "ca")
        }),
        certificate: tls
            .certificate_secret_ref
            .as_ref()
            .map(|certificate| mounted(&certificate.name, directory, "certificate")),
    }
}

fn mounted(secret: &str, directory: &str, what: &str) -> MountedSecret {
    MountedSecret {
        name: secret.to_owned(),
        directory: format!("{directory}/{what}"),
        key: None,
    }
}

/// Turns that a page shows again after a reload, even where the model is given fewer.
const SHOWN_TURNS: u32 = 50;
