//! The rules of the broker and of the store.

use std::time::Duration;

use super::text::{is_key, is_object_name, is_server, is_word};
use super::{Broken, DURATION, OBJECT_NAME, between, engine::SECRET_KEY};
use crate::config::DEFAULT_PARTITIONS;
use crate::spec::{BackboneTls, ChatBotClusterSpec, Kafka, Redis, RedisMode};

pub(crate) const ADDRESS: &str =
    "must be 'host:port' with a port from 1 to 65535, without a scheme or credentials";
pub(crate) const TOPIC_PREFIX: &str =
    "must be the beginning of a topic's name: letters, digits, '-', '_' and '.'";
pub(crate) const KEY_PREFIX: &str =
    "must be the beginning of a key: letters, digits, '-', '_', '.' and ':'";
pub(crate) const MASTER: &str = "must be a master's name: letters, digits, '-', '_' and '.'";
pub(crate) const TOPIC_PREFIX_IMMUTABLE: &str =
    "`topicPrefix` is immutable: messages under way are in the topics it names";
pub(crate) const KEY_PREFIX_IMMUTABLE: &str =
    "`keyPrefix` is immutable: routes and sessions are under it";
pub(crate) const PARTITIONS_IMMUTABLE: &str = "`partitions` is immutable: a user's messages must stay in one partition; \
                                               make a new resource or new topics";
pub(crate) const MASTER_NAME: &str =
    "`masterName` must be set when `mode` is 'Sentinel', and may not be set otherwise";
pub(crate) const ONE_ADDRESS: &str = "`addresses` must have exactly one entry when `mode` is 'Standalone'; several need \
                                      'Sentinel' or 'Cluster'";
pub(crate) const WORKERS_HAVE_PARTITIONS: &str = "`workers.autoscaling.maxReplicas` must be less than or equal to \
                                                  `messaging.kafka.partitions` (24 when unset): a worker without a \
                                                  partition is idle";

impl Broken {
    pub(super) fn backbone(&mut self, spec: &ChatBotClusterSpec) {
        let partitions = spec
            .messaging
            .as_ref()
            .map_or(DEFAULT_PARTITIONS, |messaging| messaging.kafka.partitions);
        let most = spec.workers.autoscaling.max_replicas;
        self.unless(
            most <= partitions,
            "spec.workers.autoscaling.maxReplicas",
            &most.to_string(),
            WORKERS_HAVE_PARTITIONS,
        );
        if let Some(messaging) = &spec.messaging {
            self.kafka(&messaging.kafka);
        }
        if let Some(state) = &spec.state {
            self.redis(&state.redis);
        }
    }

    fn kafka(&mut self, kafka: &Kafka) {
        let path = "spec.messaging.kafka";
        self.addresses(
            &format!("{path}.bootstrapServers"),
            &kafka.bootstrap_servers,
        );
        if let Some(prefix) = &kafka.topic_prefix {
            let good = prefix.chars().all(is_word);
            self.unless(good, &format!("{path}.topicPrefix"), prefix, TOPIC_PREFIX);
        }
        let retention = &kafka.retention;
        let remedy = match retention.length() {
            None => Some(DURATION.to_owned()),
            Some(length) => {
                let within =
                    (Duration::from_hours(1)..=Duration::from_hours(8760)).contains(&length);
                (!within).then(|| between("1h", "8760h"))
            }
        };
        if let Some(remedy) = remedy {
            let path = format!("{path}.retention");
            self.unless(false, &path, retention.as_str(), &remedy);
        }
        if let Some(sasl) = &kafka.sasl {
            self.name(
                &format!("{path}.sasl.secretRef.name"),
                &sasl.secret_ref.name,
            );
        }
        self.tls(&format!("{path}.tls"), kafka.tls.as_ref());
    }

    fn redis(&mut self, redis: &Redis) {
        let path = "spec.state.redis";
        self.addresses(&format!("{path}.addresses"), &redis.addresses);
        self.unless(
            (redis.mode == RedisMode::Sentinel) == redis.master_name.is_some(),
            &format!("{path}.masterName"),
            redis.master_name.as_deref().unwrap_or_default(),
            MASTER_NAME,
        );
        self.unless(
            redis.mode != RedisMode::Standalone || redis.addresses.len() == 1,
            &format!("{path}.addresses"),
            &redis.addresses.join(", "),
            ONE_ADDRESS,
        );
        if let Some(master) = &redis.master_name {
            let good = master.chars().all(is_word);
            self.unless(good, &format!("{path}.masterName"), master, MASTER);
        }
        if let Some(prefix) = &redis.key_prefix {
            let good = prefix
                .chars()
                .all(|character| is_word(character) || character == ':');
            self.unless(good, &format!("{path}.keyPrefix"), prefix, KEY_PREFIX);
        }
        if let Some(secret) = &redis.secret_ref {
            self.name(&format!("{path}.secretRef.name"), &secret.name);
        }
        self.tls(&format!("{path}.tls"), redis.tls.as_ref());
    }

    fn addresses(&mut self, path: &str, addresses: &[String]) {
        for (index, address) in addresses.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.unless(is_server(address), &path, address, ADDRESS);
        }
    }

    fn name(&mut self, path: &str, name: &str) {
        self.unless(is_object_name(name), path, name, OBJECT_NAME);
    }

    fn tls(&mut self, path: &str, tls: Option<&BackboneTls>) {
        let Some(tls) = tls else { return };
        if let Some(ca) = &tls.ca_secret_ref {
            let path = format!("{path}.caSecretRef");
            self.name(&format!("{path}.name"), &ca.name);
            self.unless(is_key(&ca.key), &format!("{path}.key"), &ca.key, SECRET_KEY);
        }
        if let Some(certificate) = &tls.certificate_secret_ref {
            self.name(
                &format!("{path}.certificateSecretRef.name"),
                &certificate.name,
            );
        }
    }
}
