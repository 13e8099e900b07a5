//! The gateway's connection to its own entrance: as a page would make it, TLS included.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderValue, header};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{CHANNEL, SECRET};
use crate::certificate::{Certificate, provider};

/// Bytes both ways, secured or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

/// A socket to the gateway's own entrance.
pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// TLS was asked for, and there is nothing to serve it with.
    #[error("{0}")]
    NoCertificate(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Host(#[from] InvalidDnsNameError),
    #[error("{0}")]
    Refused(#[from] tungstenite::Error),
}

/// Connects to the gateway's own page, under TLS when the gateway serves nothing else.
pub(super) async fn connect(
    secret: &str,
    address: SocketAddr,
    tls: Option<&Arc<Certificate>>,
) -> Result<Socket, NoConnection> {
    let (stream, scheme, host) = match tls {
        None => {
            let stream: Box<dyn Stream> = Box::new(TcpStream::connect(address).await?);
            (stream, "", address.to_string())
        }
        Some(certificate) => {
            let served = certificate.served().ok_or_else(|| {
                let told = certificate.state().map(|state| state.message);
                let message = told.unwrap_or_else(|| "the certificate was not read yet".to_owned());
                NoConnection::NoCertificate(message)
            })?;
            let connector = TlsConnector::from(Arc::new(trusting(served.leaf.clone())?));
            let name = ServerName::try_from(certificate.host().to_owned())?;
            let stream = TcpStream::connect(address).await?;
            let stream: Box<dyn Stream> = Box::new(connector.connect(name, stream).await?);
            (stream, "s", certificate.host().to_owned())
        }
    };
    let mut request =
        format!("ws{scheme}://{host}/channels/{CHANNEL}/socket").into_client_request()?;
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| tungstenite::Error::HttpFormat(error.into()))
    };
    let origin = value(&format!("http{scheme}://{host}"))?;
    request.headers_mut().insert(header::ORIGIN, origin);
    request.headers_mut().insert(SECRET, value(secret)?);
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(socket)
}

/// Trusts one certificate, the one that this gateway serves, and no other: whom it is signed by is for browsers to
/// judge.
fn trusting(leaf: CertificateDer<'static>) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let own = Own {
        leaf,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(own))
        .with_no_client_auth();
    Ok(config)
}

#[derive(Debug)]
struct Own {
    leaf: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.leaf {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
