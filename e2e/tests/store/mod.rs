//! Connections to Redis servers of the tests' own.

// Not every program uses all of it.
#![allow(dead_code)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use chatbot_e2e::redis::{Cluster, Server};
use chatbot_store::contract::{KEEP, Subject};
use chatbot_store::redis::{Connection, Mode, Options, Reason, RedisView, State, Tls};
use chatbot_store::{Routes, View};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

/// Every wait in these tests is for a condition, and at most this long.
pub const GENEROUS: Duration = Duration::from_secs(30);
/// What every key begins with.
pub const PREFIX: &str = "chat.support:";

/// Options for one server.
pub fn of(server: &Server) -> Options {
    Options::standalone(server.address(), PREFIX)
}

/// Options for a Cluster, of which only one node is named.
pub fn of_cluster(cluster: &Cluster) -> Options {
    Options {
        mode: Mode::Cluster,
        ..of(&cluster.nodes[0])
    }
}

/// A view whose clock is set by hand.
pub struct Put<F> {
    view: RedisView,
    clock: Arc<AtomicI64>,
    flush: F,
}

impl<F: Fn() -> Result<()>> Put<F> {
    pub fn new(options: Options, flush: F) -> Self {
        let clock = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&clock);
        let connection = Connection::open(options).unwrap();
        let view = RedisView::with_clock(connection, KEEP, move || told.load(Ordering::SeqCst))
            .with_near(1 << 20);
        Self { view, clock, flush }
    }
}

#[async_trait]
impl<F: Fn() -> Result<()> + Sync> Subject for Put<F> {
    fn view(&self) -> &dyn View {
        &self.view
    }

    fn routes(&self) -> &dyn Routes {
        &self.view
    }

    fn set_clock(&self, now: i64) {
        self.clock.store(now, Ordering::SeqCst);
    }

    async fn flush(&self) {
        (self.flush)().unwrap();
    }
}

/// Waits until the store is as it is to be, and gives what is told then.
pub async fn becomes(connection: &Connection, reason: Reason) -> State {
    let mut states = connection.states();
    let becoming = states.wait_for(|state| state.reason == reason);
    let became = tokio::time::timeout(GENEROUS, becoming).await;
    let became = became.map_err(|_| format!("stayed {:?}", connection.state()));
    became.unwrap().unwrap().clone()
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Writes the files of a Secret, as they are mounted.
pub fn secret(folder: &Path, keys: &[(&str, &str)]) {
    fs::create_dir_all(folder).unwrap();
    for (key, value) in keys {
        fs::write(folder.join(key), value).unwrap();
    }
}

/// A certificate with the name of its issuer is taken for one that signs itself.
fn named(params: &mut CertificateParams, name: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
}

/// A CA and what it has signed, as files.
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        named(&mut params, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key)?;
        fs::write(folder.path().join("ca.crt"), ca.pem())?;
        let issuer = Issuer::new(params, key);
        for name in ["server", "client"] {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
            named(&mut params, name);
            let certificate = params.signed_by(&key, &issuer)?;
            let (certificate, key) = (certificate.pem(), key.serialize_pem());
            secret(
                &folder.path().join(name),
                &[("tls.crt", &certificate), ("tls.key", &key)],
            );
        }
        Ok(Self { folder })
    }

    pub fn path(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_string_lossy().into_owned()
    }

    /// A server that speaks TLS alone, and asks for a client's certificate.
    pub fn server(&self) -> Result<Server> {
        let of_server = ["server/tls.crt", "server/tls.key", "ca.crt"].map(|name| self.path(name));
        let of_client = ["client/tls.crt", "client/tls.key"].map(|name| self.path(name));
        let arguments = [
            "--tls-port",
            "{port}",
            "--tls-cert-file",
            &of_server[0],
            "--tls-key-file",
            &of_server[1],
            "--tls-ca-cert-file",
            &of_server[2],
            "--tls-auth-clients",
            "yes",
        ];
        let credentials = [
            "--tls",
            "--cacert",
            &of_server[2],
            "--cert",
            &of_client[0],
            "--key",
            &of_client[1],
        ];
        Server::start_with(&arguments, &credentials)
    }

    /// As the client must be configured.
    pub fn tls(&self) -> Tls {
        Tls {
            ca: Some(self.path("ca.crt").into()),
            certificate: Some(self.path("client").into()),
        }
    }
}
