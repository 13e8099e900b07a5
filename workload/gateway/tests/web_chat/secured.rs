//! TLS, where the gateway serves it itself.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chatbot_crds::config::{GatewayConfig, Hop, ServedBy, TlsConfig};
use chatbot_gateway::Limits;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::answerer::Answerer;
use crate::hub::{Backing, Hub, PATIENCE, config};

const HOST: &str = "chat.example.com";

/// A certificate of the host, and the folder that its Secret is mounted at.
struct Secret {
    directory: TempDir,
    certificate: CertificateDer<'static>,
    files: [(&'static str, String); 2],
}

impl Secret {
    fn new() -> Self {
        let mut secret = Self {
            directory: tempfile::tempdir().unwrap(),
            certificate: vec![].into(),
            files: [("tls.crt", String::new()), ("tls.key", String::new())],
        };
        secret.renew();
        secret
    }

    /// Another certificate, not in the folder yet.
    fn renew(&mut self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.certificate = certificate.der().clone();
        self.files[0].1 = certificate.pem();
        self.files[1].1 = key.serialize_pem();
    }

    fn write(&self) {
        for (name, content) in &self.files {
            fs::write(self.directory.path().join(name), content).unwrap();
        }
    }

    async fn hub(&self, backing: &Backing) -> Hub {
        let config = GatewayConfig {
            tls: Some(TlsConfig {
                secret: "chat-tls".to_owned(),
                host: HOST.to_owned(),
                directory: self.directory.path().to_str().unwrap().to_owned(),
                served_by: ServedBy::Pods,
            }),
            ..config()
        };
        let limits = Limits {
            certificate: Duration::from_millis(20),
            probe_first: Duration::from_millis(50),
            probe_again: Duration::from_millis(50),
            ..Limits::default()
        };
        Hub::with(config, limits, backing).await
    }

    /// Opens the chat's socket under TLS, trusting this certificate alone; the answer's status.
    async fn open(&self, address: SocketAddr) -> Result<u16, std::io::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from(HOST).unwrap(), stream)
            .await?;
        let mut request = format!("wss://{HOST}/channels/web/socket")
            .into_client_request()
            .unwrap();
        let origin = format!("https://{HOST}").parse().unwrap();
        request.headers_mut().insert("origin", origin);
        let (_, response) = tokio_tungstenite::client_async(request, stream)
            .await
            .unwrap();
        Ok(response.status().as_u16())
    }
}

#[tokio::test]
async fn a_conversation_goes_through_tls_and_nothing_else_is_served() {
    let backing = Backing::new();
    let _answerer = Answerer::start(&backing).await;
    let secret = Secret::new();
    secret.write();
    let hub = secret.hub(&backing).await;
    let state = hub.reports(|state| state.probe.is_some()).await;
    assert_eq!(state.probe.unwrap().failed_hop, None);
    assert!(state.tls.unwrap().usable);
    assert_eq!(hub.telemetry.unready(), None);
    assert_eq!(secret.open(hub.address).await.unwrap(), 101);

    let mut plain = TcpStream::connect(hub.address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![];
    // The end may be a reset: what counts is that it is the end.
    let read = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection was closed");
    assert!(
        !String::from_utf8_lossy(&answer).contains("HTTP"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_missing_secret_is_told_and_taken_up_when_it_comes() {
    let backing = Backing::new();
    let _answerer = Answerer::start(&backing).await;
    let secret = Secret::new();
    let hub = secret.hub(&backing).await;
    let state = hub
        .reports(|state| state.tls.is_some() && state.probe.is_some())
        .await;
    assert_eq!(state.tls.unwrap().reason, "TLSSecretMissing");
    let probe = state.probe.unwrap();
    assert_eq!(probe.failed_hop, Some(Hop::Adapter));
    assert!(probe.message.contains("chat-tls"), "{probe:?}");
    let unready = hub.telemetry.unready().unwrap();
    assert!(unready.contains("chat-tls"), "{unready}");
    assert!(secret.open(hub.address).await.is_err());

    secret.write();
    hub.reports(|state| {
        let answered = state
            .probe
            .as_ref()
            .is_some_and(|probe| probe.failed_hop.is_none());
        answered && state.tls.as_ref().is_some_and(|tls| tls.usable)
    })
    .await;
    assert_eq!(hub.telemetry.unready(), None);
    assert_eq!(secret.open(hub.address).await.unwrap(), 101);
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let backing = Backing::new();
    let mut secret = Secret::new();
    secret.write();
    let hub = secret.hub(&backing).await;
    hub.reports(|state| state.tls.as_ref().is_some_and(|tls| tls.usable))
        .await;
    assert_eq!(secret.open(hub.address).await.unwrap(), 101);
    secret.renew();
    assert!(
        secret.open(hub.address).await.is_err(),
        "it is not there yet"
    );
    secret.write();
    let renewed = async {
        while secret.open(hub.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
}
