//! The certificate of the host that users reach: read from the mounted Secret, and read again when it changes.
//!
//! Where the gateway itself serves it, nothing but TLS is served: without a certificate no connection is taken. One that
//! was read goes on being served until there is a better one, whatever becomes of the Secret.

#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbot_crds::Reason;
use chatbot_crds::config::{ServedBy, TLS_CERTIFICATE, TLS_KEY, TlsConfig, TlsState};
use chatbot_telemetry::Health;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::locked;

/// What the gateway knows of the certificate.
pub(crate) struct Certificate {
    config: TlsConfig,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What was read last, as it is in the files; absent before the first look.
    files: Option<Files>,
    served: Option<Arc<Served>>,
    /// Why what is in the files cannot be used, if it cannot.
    flaw: Option<Flaw>,
}

/// The content of the files; absent what is not there.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

/// What connections are accepted with.
pub(crate) struct Served {
    pub(crate) acceptor: TlsAcceptor,
    /// By which the synthetic conversation knows its own gateway.
    pub(crate) leaf: CertificateDer<'static>,
}

/// What keeps a certificate from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flaw {
    reason: Reason,
    message: String,
}

impl Certificate {
    /// Nothing is known yet.
    pub(crate) fn new(config: TlsConfig) -> Self {
        Self {
            config,
            known: Mutex::default(),
        }
    }

    /// Whether the gateway serves it, and nothing but TLS.
    pub(crate) fn is_served(&self) -> bool {
        self.config.served_by == ServedBy::Pods
    }

    /// The host that it is for.
    pub(crate) fn host(&self) -> &str {
        &self.config.host
    }

    /// What connections are accepted with; none before there was a certificate.
    pub(crate) fn served(&self) -> Option<Arc<Served>> {
        locked(&self.known).served.clone()
    }

    /// What is told of it; nothing before the first look.
    pub(crate) fn state(&self) -> Option<TlsState> {
        let known = locked(&self.known);
        known.files.as_ref()?;
        let flaw = known.flaw.clone();
        Some(TlsState {
            usable: flaw.is_none(),
            reason: flaw
                .as_ref()
                .map_or_else(String::new, |flaw| flaw.reason.as_str().to_owned()),
            message: flaw.map_or_else(String::new, |flaw| flaw.message),
        })
    }

    /// Looks again and again, for ever. `health` is that of serving it.
    pub(crate) async fn follow(&self, every: Duration, health: Option<Health>) {
        loop {
            let files = self.read().await;
            self.take(files, UnixTime::now());
            if let Some(health) = &health {
                match (self.served(), self.state()) {
                    (None, Some(state)) => health.unready(state.message),
                    (None, None) => {}
                    (Some(_), _) => health.ready(),
                }
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Both files of one version: while the Secret is replaced, one may be older than the other.
    async fn read(&self) -> Files {
        let mut certificate = self.file(TLS_CERTIFICATE).await;
        loop {
            let key = if self.is_served() {
                self.file(TLS_KEY).await
            } else {
                None
            };
            let again = self.file(TLS_CERTIFICATE).await;
            if again == certificate {
                return Files { certificate, key };
            }
            certificate = again;
        }
    }

    async fn file(&self, name: &str) -> Option<Vec<u8>> {
        let path = PathBuf::from(&self.config.directory).join(name);
        match tokio::fs::read(&path).await {
            Ok(content) => Some(content),
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    warn!(%error, path = %path.display(), "failed to read a file of the certificate");
                }
                None
            }
        }
    }

    fn take(&self, files: Files, now: UnixTime) {
        let mut known = locked(&self.known);
        // It is judged anew even when nothing was changed: a certificate grows old by itself.
        let judged = self.judge(&files, now);
        let flaw = match judged {
            Ok((served, flaw)) => {
                if known.files.as_ref() != Some(&files) {
                    if let Some(served) = served {
                        known.served = Some(served);
                    }
                    info!(secret = self.config.secret, "read the certificate");
                }
                flaw
            }
            Err(mut flaw) => {
                if known.served.is_some() {
                    flaw.message
                        .push_str("; the certificate that was there before goes on being served");
                }
                Some(flaw)
            }
        };
        if known.flaw != flaw
            && let Some(Flaw { reason, message }) = &flaw
        {
            warn!(%reason, "{message}");
        }
        known.files = Some(files);
        known.flaw = flaw;
    }

    /// What can be served of the files, and what is wrong with it all the same.
    fn judge(
        &self,
        files: &Files,
        now: UnixTime,
    ) -> Result<(Option<Arc<Served>>, Option<Flaw>), Flaw> {
        let secret = &self.config.secret;
        let mut keys = vec![(TLS_CERTIFICATE, &files.certificate)];
        if self.is_served() {
            keys.push((TLS_KEY, &files.key));
        }
        let missing: Vec<&str> = keys
            .iter()
            .filter(|(_, content)| content.is_none())
            .map(|(key, _)| *key)
            .collect();
        if missing.len() == keys.len() {
            return Err(missing_secret(format!(
                "there is no Secret {secret:?} with the keys {TLS_CERTIFICATE} and {TLS_KEY}; create it: \
                 kubectl create secret tls {secret} --cert=FILE --key=FILE"
            )));
        }
        if let [key] = missing[..] {
            return Err(missing_secret(format!(
                "Secret {secret:?} has no key {key}; replace it by one of type kubernetes.io/tls"
            )));
        }
        let chain = chain(files.certificate.as_deref().unwrap_or_default())
            .map_err(|why| self.invalid(&format!("{TLS_CERTIFICATE} {why}")))?;
        let flaw = self.flaw(&chain, now);
        if !self.is_served() {
            return Ok((None, flaw));
        }
        let served = serve(&chain, files.key.as_deref().unwrap_or_default())
            .map_err(|why| self.invalid(&why))?;
        Ok((Some(Arc::new(served)), flaw))
    }

    /// What browsers will find wrong with a certificate, as far as it can be told from here.
    fn flaw(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Option<Flaw> {
        let (leaf, rest) = chain.split_first()?;
        let Ok(parsed) = ParsedCertificate::try_from(leaf) else {
            return Some(self.invalid(&format!("{TLS_CERTIFICATE} cannot be read")));
        };
        let host = &self.config.host;
        let is_for_host = ServerName::try_from(host.as_str())
            .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        if !is_for_host {
            return Some(self.invalid(&format!("the certificate is not for the host {host}")));
        }
        // Whom browsers trust is not known here, so that only what depends on the time is listened to.
        let verified = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &RootCertStore::empty(),
            rest,
            now,
            provider().signature_verification_algorithms.all,
        );
        match verified {
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => Some(self.invalid("the certificate has expired")),
            Err(Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => Some(self.invalid("the certificate is not valid yet")),
            _ => None,
        }
    }

    fn invalid(&self, what: &str) -> Flaw {
        let secret = &self.config.secret;
        Flaw {
            reason: Reason::TLSSecretInvalid,
            message: format!("Secret {secret:?}: {what}; replace it"),
        }
    }
}

fn missing_secret(message: String) -> Flaw {
    Flaw {
        reason: Reason::TLSSecretMissing,
        message,
    }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("holds no certificate in PEM".to_owned());
    }
    Ok(chain)
}

fn serve(chain: &[CertificateDer<'static>], key: &[u8]) -> Result<Served, String> {
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("{TLS_KEY} holds no private key in PEM: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain.to_vec(), key)
        })
        .map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                format!("{TLS_KEY} is not the key of the certificate in {TLS_CERTIFICATE}")
            }
            error => format!("it cannot be served: {error}"),
        })?;
    // WebSockets need HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let leaf = chain.first().cloned().ok_or("it holds no certificate")?;
    Ok(Served {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        leaf,
    })
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
