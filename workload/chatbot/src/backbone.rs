//! The broker and the store that a pod's configuration names: connected, and how they are told of.
//!
//! While one cannot be used, `/state` says why, and it is tried again. Secrets are files that Kubernetes replaces. The
//! store's are read at every attempt to connect; when the broker's have changed and the broker takes them, or its topics are
//! gone or others than they were, the process ends in order, and the one that takes its place begins with what there is
//! then.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use chatbot_crds::config::{
    self, BackboneState, BackboneTlsConfig, CA_FILE, KafkaConfig, MountedSecret, RedisConfig,
    TLS_CERTIFICATE, TLS_KEY,
};
use chatbot_crds::spec::{RedisMode, SaslMechanism};
use chatbot_queue::kafka::{self, ClientCertificate, KafkaLog, Mechanism, Sasl, Unusable};
use chatbot_store::Keep;
use chatbot_store::redis::{self, Connection, Mode, Reason, RedisPreviews, RedisView};
use chatbot_telemetry::{Health, Telemetry};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Pause before the broker is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two looks at the broker and at its Secrets.
const LOOK: Duration = Duration::from_secs(5);
/// For how long an append is tried: a worker rides out a broker's restart, at a gateway somebody waits.
const WORKER_APPENDS: Duration = Duration::from_mins(5);
const GATEWAY_APPENDS: Duration = Duration::from_secs(10);

/// Who uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An adapters pod.
    Gateway,
    /// A workers pod.
    Worker,
}

/// The broker and the store, connected.
pub struct Backbone {
    /// Both logs.
    pub log: Arc<KafkaLog>,
    /// Sessions and routes.
    pub view: Arc<RedisView>,
    /// Answers under way.
    pub previews: Arc<RedisPreviews>,
}

/// Waits for the broker, as long as it takes; the store may come later, and only makes the pod ready. At most `near_sessions` bytes of sessions are kept
/// in this process' memory. None when `shutdown` comes first, which is
/// cancelled when the broker's Secrets or topics are others than they were.
pub async fn connect(
    config: config::Backbone,
    role: Role,
    near_sessions: u64,
    telemetry: &Telemetry,
    shutdown: &CancellationToken,
) -> Result<Option<Backbone>> {
    let connection = Connection::open(store_options(&config.redis, role))
        .context("failed to set up the store's client")?;
    let store = connection.clone();
    telemetry.report(move |state| state.store = Some(store_state(&store)));
    tokio::spawn(first_use(connection.states(), telemetry.part("store")));
    let timeout = Duration::from_secs(config.session_timeout_seconds);
    let broker = Broker::begin(config.kafka, timeout, role, telemetry);
    let Some((log, secrets)) = shutdown.run_until_cancelled(broker.connect()).await else {
        return Ok(None);
    };
    let following = broker.follow(Arc::clone(&log), secrets, shutdown.clone());
    tokio::spawn(following);
    let keep = Keep {
        timeout,
        turns: usize::try_from(config.session_turns).unwrap_or(usize::MAX),
    };
    Ok(Some(Backbone {
        log,
        previews: Arc::new(RedisPreviews::new(&connection)),
        view: Arc::new(RedisView::new(connection, keep).with_near(near_sessions)),
    }))
}

/// The broker alone, for who looks once; fails when it cannot be used.
pub async fn broker(config: &KafkaConfig) -> Result<KafkaLog> {
    let options = options(config, Role::Gateway).map_err(|state| anyhow!(state.message))?;
    KafkaLog::connect(options)
        .await
        .map_err(|unusable| anyhow!("{}: {}", unusable.reason.as_str(), unusable.message))
}

/// A broker, and what is told of it.
struct Broker {
    config: KafkaConfig,
    session_timeout: Duration,
    role: Role,
    told: Arc<Mutex<BackboneState>>,
    health: Health,
}

/// What Secrets hold; equal as long as nobody has changed them.
#[derive(PartialEq, Eq)]
struct Secrets(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Broker {
    fn begin(
        config: KafkaConfig,
        session_timeout: Duration,
        role: Role,
        telemetry: &Telemetry,
    ) -> Self {
        let told = Arc::new(Mutex::new(BackboneState {
            usable: None,
            reason: "Pending".to_owned(),
            message: "the broker has not been asked yet".to_owned(),
        }));
        let reported = Arc::clone(&told);
        telemetry.report(move |state| state.broker = Some(locked(&reported).clone()));
        Self {
            config,
            session_timeout,
            role,
            told,
            health: telemetry.part("broker"),
        }
    }

    /// The log, and what the Secrets held that it was reached with.
    async fn connect(&self) -> (Arc<KafkaLog>, Secrets) {
        loop {
            let secrets = secrets(&self.config);
            let connected = match self.options() {
                Ok(options) => KafkaLog::connect(options).await.map_err(of_broker),
                Err(missing) => Err(missing),
            };
            match connected {
                Ok(log) => {
                    self.tell(usable());
                    self.health.ready();
                    return (Arc::new(log), secrets);
                }
                Err(state) => {
                    self.health.unready(state.message.clone());
                    self.tell(state);
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Looks again whenever a client was hindered, until all is well. A pod that has been of use stays ready: its users
    /// are told more by it than by nobody.
    async fn follow(self, log: Arc<KafkaLog>, before: Secrets, shutdown: CancellationToken) {
        let mut well = true;
        loop {
            if shutdown
                .run_until_cancelled(tokio::time::sleep(LOOK))
                .await
                .is_none()
            {
                return;
            }
            let is_renewed = secrets(&self.config) != before;
            let forbidden = log.forbidden();
            if !is_renewed && log.hindrance().is_none() && forbidden.is_none() && well {
                continue;
            }
            let found = match self.options() {
                Ok(options) => log.is_there(options).await.map_err(of_broker),
                Err(missing) => Err(missing),
            };
            // Until the new ones have been of use it goes on with what it signed in with.
            if is_renewed && found.is_ok() {
                info!(
                    "the broker's Secrets have changed: this process ends, and the next one signs in with them"
                );
                shutdown.cancel();
                return;
            }
            if matches!(found, Ok(false)) {
                warn!(
                    "the broker has lost its topics, with all that this process knows of them: it ends, and the next one \
                     begins with those there are then"
                );
                shutdown.cancel();
                return;
            }
            let state = found.err().or_else(|| forbidden.map(of_broker));
            well = state.is_none();
            self.tell(state.unwrap_or_else(usable));
        }
    }

    fn options(&self) -> Result<kafka::Options, BackboneState> {
        Ok(kafka::Options {
            session_timeout: self.session_timeout,
            ..options(&self.config, self.role)?
        })
    }

    fn tell(&self, state: BackboneState) {
        let mut told = locked(&self.told);
        if told.reason != state.reason {
            if state.usable == Some(false) {
                warn!(reason = state.reason, "{}", state.message);
            } else {
                info!("the broker can be used");
            }
        }
        *told = state;
    }
}

fn usable() -> BackboneState {
    BackboneState {
        usable: Some(true),
        reason: "BrokerReady".to_owned(),
        message: "broker and topics can be used".to_owned(),
    }
}

fn of_broker(unusable: Unusable) -> BackboneState {
    BackboneState {
        usable: Some(false),
        reason: unusable.reason.as_str().to_owned(),
        message: unusable.message,
    }
}

/// How the broker is reached; fails when a Secret is not there.
fn options(kafka: &KafkaConfig, role: Role) -> Result<kafka::Options, BackboneState> {
    let sasl = kafka.sasl.as_ref().map(|sasl| {
        Ok(Sasl {
            mechanism: match sasl.mechanism {
                SaslMechanism::Plain => Mechanism::Plain,
                SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
                SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
            },
            username: line(&sasl.secret, "username")?,
            password: line(&sasl.secret, "password")?,
        })
    });
    Ok(kafka::Options {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        topic_prefix: kafka.topic_prefix.clone(),
        partitions: kafka.partitions,
        replication_factor: u16::try_from(kafka.replication_factor).unwrap_or(u16::MAX),
        retention: Duration::from_secs(kafka.retention_seconds),
        append_timeout: match role {
            Role::Gateway => GATEWAY_APPENDS,
            Role::Worker => WORKER_APPENDS,
        },
        sasl: sasl.transpose()?,
        tls: kafka.tls.as_ref().map(broker_tls).transpose()?,
        ..kafka::Options::default()
    })
}

fn broker_tls(tls: &BackboneTlsConfig) -> Result<kafka::Tls, BackboneState> {
    let client = tls.certificate.as_ref().map(|secret| {
        Ok(ClientCertificate {
            certificate: text(secret, TLS_CERTIFICATE)?,
            key: text(secret, TLS_KEY)?,
        })
    });
    Ok(kafka::Tls {
        ca: tls.ca.as_ref().map(|ca| text(ca, CA_FILE)).transpose()?,
        client: client.transpose()?,
    })
}

/// A Secret's value without the line break that editors end a file with.
fn line(secret: &MountedSecret, key: &str) -> Result<String, BackboneState> {
    text(secret, key).map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
}

fn text(secret: &MountedSecret, key: &str) -> Result<String, BackboneState> {
    std::fs::read_to_string(Path::new(&secret.directory).join(key))
        .map_err(|_| missing(secret, key))
}

fn missing(secret: &MountedSecret, key: &str) -> BackboneState {
    let (name, key) = (&secret.name, secret.key.as_deref().unwrap_or(key));
    BackboneState {
        usable: Some(false),
        reason: "SecretMissing".to_owned(),
        message: format!(
            "there is no Secret `{name}` with the key `{key}`: make it, or name another"
        ),
    }
}

fn secrets(kafka: &KafkaConfig) -> Secrets {
    let tls = kafka.tls.as_ref();
    let certificate = tls.and_then(|tls| tls.certificate.as_ref());
    let named = [
        (kafka.sasl.as_ref().map(|sasl| &sasl.secret), "username"),
        (kafka.sasl.as_ref().map(|sasl| &sasl.secret), "password"),
        (tls.and_then(|tls| tls.ca.as_ref()), CA_FILE),
        (certificate, TLS_CERTIFICATE),
        (certificate, TLS_KEY),
    ];
    let files = named
        .into_iter()
        .filter_map(|(secret, key)| Some(Path::new(&secret?.directory).join(key)));
    Secrets(
        files
            .map(|file| {
                let content = std::fs::read(&file).ok();
                (file, content)
            })
            .collect(),
    )
}

/// How the store is reached. Its Secrets are read by its client.
fn store_options(redis: &RedisConfig, role: Role) -> redis::Options {
    let own = redis::Options::standalone("", redis.key_prefix.clone());
    let folder = |secret: &MountedSecret| PathBuf::from(&secret.directory);
    redis::Options {
        mode: match (redis.mode, &redis.master_name) {
            (RedisMode::Standalone, _) => Mode::Standalone,
            (RedisMode::Cluster, _) => Mode::Cluster,
            (RedisMode::Sentinel, name) => Mode::Sentinel {
                master_name: name.clone().unwrap_or_default(),
            },
        },
        addresses: redis.addresses.clone(),
        credentials: redis.credentials.as_ref().map(folder),
        tls: redis.tls.as_ref().map(|tls| redis::Tls {
            ca: tls.ca.as_ref().map(|ca| folder(ca).join(CA_FILE)),
            certificate: tls.certificate.as_ref().map(folder),
        }),
        near_routes: match role {
            Role::Gateway => own.near_routes,
            // A worker looks no route up.
            Role::Worker => 0,
        },
        ..own
    }
}

/// A pod that cannot use its store replaces none that can. One that has been of use stays ready: without the store it
/// still answers.
async fn first_use(mut states: watch::Receiver<redis::State>, health: Health) {
    loop {
        let state = states.borrow_and_update().clone();
        if state.reason.is_usable() {
            health.ready();
            return;
        }
        health.unready(state.message);
        if states.changed().await.is_err() {
            return;
        }
    }
}

fn store_state(connection: &Connection) -> BackboneState {
    let state = connection.state();
    BackboneState {
        usable: match state.reason {
            Reason::Pending => None,
            Reason::StoreReady => Some(true),
            _ => Some(false),
        },
        reason: state.reason.as_str().to_owned(),
        message: state.message,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbot_crds::config::SaslConfig;

    fn secret(directory: &Path) -> MountedSecret {
        MountedSecret {
            name: "kafka".to_owned(),
            directory: directory.to_string_lossy().into_owned(),
            key: None,
        }
    }

    fn kafka(directory: &Path) -> KafkaConfig {
        KafkaConfig {
            bootstrap_servers: vec!["kafka:9092".to_owned()],
            topic_prefix: "chat.support.".to_owned(),
            partitions: 24,
            replication_factor: 3,
            retention_seconds: 3600,
            sasl: Some(SaslConfig {
                mechanism: SaslMechanism::ScramSha512,
                secret: secret(directory),
            }),
            tls: None,
        }
    }

    #[test]
    fn a_secret_that_is_missing_is_named_with_its_key_and_nobody_signs_in_without() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("username"), "chat\n").unwrap();
        let missing = options(&kafka(folder.path()), Role::Worker).unwrap_err();
        assert_eq!(missing.reason, "SecretMissing");
        assert!(missing.message.contains("`kafka`") && missing.message.contains("`password`"));
        std::fs::write(folder.path().join("password"), "secret\n").unwrap();
        let sasl = options(&kafka(folder.path()), Role::Worker)
            .unwrap()
            .sasl
            .unwrap();
        assert_eq!(
            (sasl.username.as_str(), sasl.password.as_str()),
            ("chat", "secret")
        );
    }

    #[test]
    fn a_secret_that_changes_or_comes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let before = secrets(&kafka(folder.path()));
        assert!(secrets(&kafka(folder.path())) == before);
        std::fs::write(folder.path().join("password"), "secret").unwrap();
        assert!(secrets(&kafka(folder.path())) != before);
    }

    #[tokio::test]
    async fn a_pod_is_ready_from_the_first_use_of_its_store_on() {
        let of = |reason| redis::State {
            reason,
            message: "OOM command not allowed".to_owned(),
        };
        let states = watch::Sender::new(of(Reason::StoreRefusesWrites));
        let telemetry = Telemetry::new();
        let following = tokio::spawn(first_use(states.subscribe(), telemetry.part("store")));
        tokio::task::yield_now().await;
        let unready = telemetry.unready();
        assert_eq!(unready.as_deref(), Some("store: OOM command not allowed"));
        states.send_replace(of(Reason::StoreReady));
        following.await.unwrap();
        states.send_replace(of(Reason::StoreRefusesWrites));
        assert_eq!(telemetry.unready(), None);
    }
}
