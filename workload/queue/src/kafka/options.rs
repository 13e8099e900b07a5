//! How brokers are reached, and what the topics are like.

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::Topic;

/// How brokers are reached, and what the topics are like. The default is one broker without authentication on this
/// machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Some of the brokers, each `host:port`; at least one.
    pub bootstrap_servers: Vec<String>,
    /// Before the name of every topic and group, such as `shop.support.`: several resources can share brokers.
    pub topic_prefix: String,
    /// Partitions of each topic, at least 1. Topics that exist with more are left as they are, and so many of them used.
    pub partitions: u32,
    /// Copies of each record, for topics that are created.
    pub replication_factor: u16,
    /// How long messages are kept, for topics that are created. Replies are kept a day longer.
    pub retention: Duration,
    /// How long replies are kept at least: a session is made of them.
    pub session_timeout: Duration,
    /// How long an append is tried, before nobody knows what has become of it. A worker rides out a broker's restart; a
    /// gateway has somebody waiting.
    pub append_timeout: Duration,
    /// Bytes appended and not acknowledged yet; at more an append is refused at once.
    pub unacknowledged: usize,
    /// Authentication by name and password; none when absent.
    pub sasl: Option<Sasl>,
    /// Encryption; none when absent.
    pub tls: Option<Tls>,
}

/// A name and a password.
#[derive(Clone)]
pub struct Sasl {
    /// How they are shown to the broker.
    pub mechanism: Mechanism,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

/// How a name and a password are shown to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// As they are: only over TLS.
    Plain,
    /// RFC 5802 with SHA-256.
    ScramSha256,
    /// RFC 5802 with SHA-512.
    ScramSha512,
}

/// Encryption, and with a certificate authentication.
#[derive(Clone, Default)]
pub struct Tls {
    /// PEM of the certificates by which the brokers are known; absent: those of the system.
    pub ca: Option<String>,
    /// The client's own certificate, if it has one.
    pub client: Option<ClientCertificate>,
}

/// By which a client is known.
#[derive(Clone)]
pub struct ClientCertificate {
    /// PEM of the certificate, and of those up to the authority's.
    pub certificate: String,
    /// PEM of its private key, not encrypted.
    pub key: String,
}

impl Debug for Sasl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} as {}", self.mechanism, self.username)
    }
}

impl Debug for Tls {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

/// Seven days: as long as any platform may repeat a message.
const RETENTION: Duration = Duration::from_hours(7 * 24);

impl Default for Options {
    fn default() -> Self {
        Self {
            bootstrap_servers: vec!["127.0.0.1:9092".to_owned()],
            topic_prefix: String::new(),
            partitions: 24,
            replication_factor: 3,
            retention: RETENTION,
            session_timeout: Duration::ZERO,
            append_timeout: Duration::from_mins(5),
            unacknowledged: 4 << 20,
            sasl: None,
            tls: None,
        }
    }
}

/// How long the broker believes in a member from which nothing comes.
pub(super) const SESSION: Duration = Duration::from_secs(6);
/// How long a member may take to let partitions go; the broker gives it up after this.
pub(super) const MAX_POLL: Duration = Duration::from_secs(30);

impl Options {
    /// The name of a topic.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> String {
        let name = match topic {
            Topic::Inbound => "inbound",
            Topic::Response => "response",
            Topic::DeadLetter => "dead-letter",
            Topic::Cursor => "cursor",
            Topic::Identity => "identity",
        };
        format!("{}{name}", self.topic_prefix)
    }

    /// The name of a group.
    #[must_use]
    pub fn group(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }

    /// What every client is told.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Warning);
        let tls = self.tls.as_ref();
        let protocol = match (&self.sasl, tls) {
            (None, None) => "plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config
            .set("bootstrap.servers", self.bootstrap_servers.join(","))
            .set("client.id", "chatbot")
            .set("security.protocol", protocol)
            .set("socket.keepalive.enable", "true")
            // A broker that comes back is found within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "60000");
        if let Some(sasl) = &self.sasl {
            let mechanism = match sasl.mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            config
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
        if let Some(tls) = tls {
            match &tls.ca {
                Some(ca) => config.set("ssl.ca.pem", ca),
                None => config.set("ssl.ca.location", "probe"),
            };
            if let Some(client) = &tls.client {
                config
                    .set("ssl.certificate.pem", &client.certificate)
                    .set("ssl.key.pem", &client.key);
            }
        }
        config
    }

    /// What the producer is told.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("compression.type", "lz4")
            .set("message.timeout.ms", millis(self.append_timeout));
        config
    }

    /// What a consumer is told. One that reads by hand names a group, too, since the client insists on it, and never
    /// joins it.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.group(group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_uncommitted")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(SESSION))
            .set("heartbeat.interval.ms", "1500")
            .set("max.poll.interval.ms", millis(MAX_POLL))
            .set("fetch.wait.max.ms", "100")
            // Of each partition that is read, since each has a queue of its own.
            .set("queued.max.messages.kbytes", "512")
            .set("fetch.message.max.bytes", "262144");
        config
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
