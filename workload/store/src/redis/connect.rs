//! One attempt to connect, whatever the mode.

use std::num::NonZeroUsize;
use std::path::Path;

use ::redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use ::redis::caching::{CacheConfig, CacheMode};
use ::redis::cluster::ClusterClientBuilder;
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use ::redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, RedisFuture,
    RedisResult, TlsCertificates, TlsMode, Value,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::options::{Mode, Options};
use super::state::State;

/// A connection to the server or to the whole Cluster.
#[derive(Clone)]
pub(crate) enum Wire {
    /// To the one server, or to the master.
    One(MultiplexedConnection),
    /// To every master of a Cluster; finds new ones by itself.
    Many(ClusterConnection),
}

impl Wire {
    /// Whether every master still answers.
    pub(crate) async fn check(&self) -> RedisResult<()> {
        self.ask_all(&::redis::cmd("PING")).await.map(drop)
    }

    /// The policy by which the server evicts keys, if it does; nothing when that cannot be told.
    pub(crate) async fn eviction(&self) -> Option<String> {
        let mut info = ::redis::cmd("INFO");
        info.arg("memory");
        let text = self.ask_all(&info).await.ok()?;
        let text: String = ::redis::from_redis_value(text).ok()?;
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let policy = field("maxmemory_policy")?;
        let is_limited = field("maxmemory")? != "0";
        (is_limited && policy != "noeviction").then(|| policy.to_owned())
    }

    /// Every master; the answer of one of them.
    async fn ask_all(&self, command: &Cmd) -> RedisResult<Value> {
        match self.clone() {
            Self::One(mut one) => one.req_packed_command(command).await,
            Self::Many(mut many) => {
                let all = MultipleNodeRoutingInfo::AllMasters;
                let routing = RoutingInfo::MultiNode((all, Some(ResponsePolicy::AllSucceeded)));
                many.route_command(command.clone(), routing).await
            }
        }
    }
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Many(many) => many.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Many(many) => many.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// What is read anew before every attempt.
struct Secrets {
    user: RedisConnectionInfo,
    sentinel_password: Option<String>,
    certificates: Option<TlsCertificates>,
}

/// Connects. The caller bounds the time.
pub(crate) async fn connect(options: &Options) -> Result<Wire, State> {
    let secrets = read(options).await?;
    let at = |error: RedisError| State::of(&error, options);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(options.timeouts.connect))
        .set_response_timeout(Some(options.timeouts.write));
    let config = match near(options) {
        Some(near) => config.set_cache_config(near),
        None => config,
    };
    if options.mode == Mode::Cluster {
        // Any node: what is wrong with credentials or TLS is told plainly by one, not by the Cluster's connection.
        any(options, &secrets).await.map(drop)?;
        let mut builder = ClusterClientBuilder::new(seeds(options, &secrets).map_err(at)?)
            .connection_timeout(options.timeouts.connect)
            .response_timeout(options.timeouts.write)
            .max_retry_wait(500);
        if let Some(certificates) = &secrets.certificates {
            builder = builder.certs(certificates.clone());
        }
        if let Some(near) = near(options) {
            builder = builder.cache_config(near);
        }
        let client = builder.build().map_err(at)?;
        return client
            .get_async_connection()
            .await
            .map(Wire::Many)
            .map_err(at);
    }
    let client = master(options, &secrets).await?;
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connection.await.map_err(at)?;
    // A user that may not ask is taken at the word of whoever named the address.
    let role = ::redis::cmd("ROLE")
        .query_async::<Vec<Value>>(&mut connection)
        .await;
    if role.is_ok_and(|role| is_replica(&role)) {
        return Err(State::replica(options));
    }
    Ok(Wire::One(connection))
}

/// What `ROLE` says of a server.
pub(crate) fn is_replica(role: &[Value]) -> bool {
    matches!(role.first(), Some(Value::BulkString(name)) if name == b"slave")
}

/// A connection of its own to receive what is published; in a Cluster any node has all of it.
pub(crate) async fn listen(options: &Options) -> Result<PubSub, State> {
    let secrets = read(options).await?;
    let client = match options.mode {
        Mode::Cluster => any(options, &secrets).await?,
        _ => master(options, &secrets).await?,
    };
    let listening = client.get_async_pubsub().await;
    listening.map_err(|error| State::of(&error, options))
}

fn near(options: &Options) -> Option<CacheConfig> {
    let size = NonZeroUsize::new(options.near_routes)?;
    let config = CacheConfig::new().set_mode(CacheMode::OptIn);
    Some(config.set_size(size))
}

/// The server, or the master that the sentinels name.
async fn master(options: &Options, secrets: &Secrets) -> Result<Client, State> {
    let at = |error: RedisError| State::of(&error, options);
    let Mode::Sentinel { master_name } = &options.mode else {
        let mut seeds = seeds(options, secrets).map_err(at)?;
        let seed = seeds.pop().ok_or_else(|| State::pending(options))?;
        return Client::open(seed).map_err(at);
    };
    let addresses = seeds(options, secrets).map_err(at)?;
    let addresses = addresses.into_iter().map(|seed| seed.addr().clone());
    let building = || -> RedisResult<_> {
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new(addresses, master_name, kind)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if let Some(username) = secrets.user.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = secrets.user.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(password) = &secrets.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(certificates) = &secrets.certificates {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        builder.build()
    };
    let mut sentinel = building().map_err(at)?;
    sentinel.async_get_client().await.map_err(at)
}

/// The first node of a Cluster that lets us in; what the last one said when none does.
async fn any(options: &Options, secrets: &Secrets) -> Result<Client, State> {
    let at = |error: RedisError| State::of(&error, options);
    let mut refused = State::pending(options);
    for seed in seeds(options, secrets).map_err(at)? {
        let client = Client::open(seed).map_err(at)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.timeouts.check))
            .set_response_timeout(Some(options.timeouts.check));
        match client
            .get_multiplexed_async_connection_with_config(&config)
            .await
        {
            Ok(_) => return Ok(client),
            Err(error) => refused = at(error),
        }
    }
    Err(refused)
}

/// Every address, with user and TLS.
fn seeds(options: &Options, secrets: &Secrets) -> RedisResult<Vec<ConnectionInfo>> {
    // They were checked when the connection was made.
    let places = options.check().unwrap_or_default();
    let seed = |(host, port): (String, u16)| {
        let user = secrets.user.clone();
        let Some(certificates) = &secrets.certificates else {
            let address = ConnectionAddr::Tcp(host, port);
            return Ok(address.into_connection_info()?.set_redis_settings(user));
        };
        let address = ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        };
        let plain = address.into_connection_info()?.set_redis_settings(user);
        let client = Client::build_with_tls(plain, certificates.clone())?;
        Ok(client.get_connection_info().clone())
    };
    places.into_iter().map(seed).collect()
}

async fn read(options: &Options) -> Result<Secrets, State> {
    let mut user = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    let mut sentinel_password = None;
    if let Some(folder) = &options.credentials {
        let field = "secretRef";
        user = user.set_password(text(&folder.join("password"), field).await?);
        if let Some(username) = optional(&folder.join("username")).await {
            user = user.set_username(username);
        }
        sentinel_password = optional(&folder.join("sentinelPassword")).await;
    }
    let certificates = match &options.tls {
        None => None,
        Some(tls) => {
            let root_cert = match &tls.ca {
                Some(path) => Some(trusted(path).await?),
                None => None,
            };
            let client_tls = match &tls.certificate {
                Some(folder) => Some(shown(folder).await?),
                None => None,
            };
            Some(TlsCertificates {
                client_tls,
                root_cert,
            })
        }
    };
    Ok(Secrets {
        user,
        sentinel_password,
        certificates,
    })
}

async fn trusted(path: &Path) -> Result<Vec<u8>, State> {
    let field = "tls.caSecretRef";
    let pem = bytes(path, field).await?;
    if CertificateDer::pem_slice_iter(&pem)
        .flatten()
        .next()
        .is_none()
    {
        return Err(State::unusable(path, "it holds no certificate", field));
    }
    Ok(pem)
}

async fn shown(folder: &Path) -> Result<ClientTlsConfig, State> {
    let field = "tls.certificateSecretRef";
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let client_cert = bytes(&certificate, field).await?;
    let client_key = bytes(&key, field).await?;
    if let Err(error) = CertificateDer::from_pem_slice(&client_cert) {
        let why = format!("it holds no certificate ({error})");
        return Err(State::unusable(&certificate, &why, field));
    }
    if let Err(error) = PrivateKeyDer::from_pem_slice(&client_key) {
        let why = format!("it holds no private key ({error})");
        return Err(State::unusable(&key, &why, field));
    }
    Ok(ClientTlsConfig {
        client_cert,
        client_key,
    })
}

async fn bytes(path: &Path, field: &str) -> Result<Vec<u8>, State> {
    let read = tokio::fs::read(path).await;
    read.map_err(|_| State::missing(path, field))
}

/// Without the line end that editors and `kubectl create secret --from-file` leave.
async fn text(path: &Path, field: &str) -> Result<String, State> {
    let bytes = bytes(path, field).await?;
    Ok(String::from_utf8_lossy(&bytes)
        .trim_end_matches(['\r', '\n'])
        .to_owned())
}

async fn optional(path: &Path) -> Option<String> {
    text(path, "").await.ok()
}
