//! TLS that the pods serve themselves: a Secret that is missing is told and taken up when it comes, people talk over
//! wss, and a renewed certificate is served without a restart.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chatbot_e2e::resource::{CHANNEL, Resource};
use chatbot_e2e::scenario::{self, PATIENCE, wait_until};
use chatbot_e2e::web_chat::random_id;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::header::ORIGIN;
use tungstenite::{Message, WebSocket};

const HOST: &str = "chat.example.com";
const SECRET: &str = "chat-tls";
/// Longest time without a frame: the gateway sends one at least every 15 s.
const SILENCE: Duration = Duration::from_mins(1);

/// Replaces the Secret by a new certificate, and gives that.
fn renew(resource: &Resource) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET }, "type": "kubernetes.io/tls",
        "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() },
    });
    resource.space.apply(&secret.to_string()).unwrap();
    certificate.der().clone()
}

type Socket = WebSocket<StreamOwned<ClientConnection, TcpStream>>;

/// Opens the chat's socket, trusting one certificate alone.
fn open(address: SocketAddr, trusted: &CertificateDer<'static>) -> Result<Socket> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(HOST)?)?;
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let mut request = format!("wss://{HOST}/channels/{CHANNEL}/socket").into_client_request()?;
    request
        .headers_mut()
        .insert(ORIGIN, format!("https://{HOST}").parse()?);
    let stream = StreamOwned::new(connection, stream);
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(error) => bail!("there is no socket: {error}"),
    }
}

fn send(socket: &mut Socket, frame: &Value) -> Result<()> {
    Ok(socket.send(Message::text(frame.to_string()))?)
}

/// Reads until there is a frame of this type.
fn receive(socket: &mut Socket, kind: &str) -> Result<Value> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Message::Text(text) = socket.read()? {
            let frame: Value = serde_json::from_str(&text)?;
            if frame["type"] == kind {
                return Ok(frame);
            }
            ensure!(frame["type"] != "refused", "{frame}");
        }
    }
    bail!("no frame {kind} came")
}

fn talks(address: SocketAddr, trusted: &CertificateDer<'static>) {
    let mut socket = open(address, trusted).unwrap();
    let hello =
        json!({ "type": "hello", "version": 1, "user": random_id().unwrap(), "history": false });
    send(&mut socket, &hello).unwrap();
    receive(&mut socket, "ready").unwrap();
    let ask = json!({ "type": "ask", "id": random_id().unwrap(), "text": "Say a word." });
    send(&mut socket, &ask).unwrap();
    let reply = receive(&mut socket, "reply").unwrap();
    assert!(
        reply["fallback"] == false && reply["answer"] != "",
        "{reply}"
    );
}

mod long {
    use super::*;

    #[test]
    #[ignore = "needs the cluster: cargo e2e test"]
    fn tls_is_served_by_the_pods_and_follows_its_secret() {
        let space = scenario::namespace("e2e-tls").unwrap();
        let tls = json!({ "secretRef": { "name": SECRET } });
        let exposure = json!({ "spec": { "exposure": { "host": HOST, "tls": tls } } });
        let resource = Resource::apply(space, &exposure).unwrap();

        wait_until("the missing Secret told", 2 * PATIENCE, || {
            let condition = resource.condition("AdaptersReady")?.context("not told")?;
            let told = condition.reason == "TLSSecretMissing" && condition.message.contains(SECRET);
            ensure!(told, "{condition:?}");
            Ok(true)
        })
        .unwrap();
        let waiting = resource.pods("adapters").unwrap().remove(0);
        assert_eq!(waiting.ready_since, None);

        let first = renew(&resource);
        resource.wait_ready(3 * PATIENCE).unwrap();
        let gateway = resource.gateway().unwrap();
        assert_eq!((&gateway.uid, gateway.restarts), (&waiting.uid, 0));
        assert_eq!(
            resource.object().unwrap()["status"]["url"],
            format!("https://{HOST}")
        );
        let entrance = resource.open().unwrap();
        talks(entrance.address(), &first);

        let second = renew(&resource);
        wait_until("the renewed certificate served", 3 * PATIENCE, || {
            open(entrance.address(), &second)?;
            Ok(true)
        })
        .unwrap();
        talks(entrance.address(), &second);
        assert!(open(entrance.address(), &first).is_err());
        let after = resource.gateway().unwrap();
        assert_eq!((after.uid, after.restarts), (gateway.uid, 0));
    }
}
