//! The host that people reach, and its certificate, as the gateway is told of them and tells of them.

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::settings::Exposure;

/// The folder that the Secret with the certificate is mounted at.
pub const TLS_DIRECTORY: &str = "/tls";
/// The certificate and its chain in that folder: the key of a Secret of type `kubernetes.io/tls`.
pub const TLS_CERTIFICATE: &str = "tls.crt";
/// The certificate's key in that folder.
pub const TLS_KEY: &str = "tls.key";

/// A certificate, mounted from the user's Secret and read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TlsConfig {
    /// The Secret's name, for messages.
    pub secret: String,
    /// The host that the certificate is for.
    pub host: String,
    /// The folder that the Secret is mounted at.
    pub directory: String,
    /// Who serves it.
    pub served_by: ServedBy,
}

/// Who serves a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServedBy {
    /// The pods: they serve nothing but TLS.
    Pods,
    /// An Ingress: the pods only tell whether the certificate is there, and never see its key.
    Ingress,
}

/// The certificate as a gateway finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsState {
    /// Whether the Secret holds one that can be served.
    pub usable: bool,
    /// One of the reasons of the condition `AdaptersReady`, such as `TLSSecretMissing`; empty when it is usable.
    pub reason: String,
    /// For a person; empty when it is usable.
    pub message: String,
}

impl TlsConfig {
    /// What the gateway has to do with the certificate, if there is to be one.
    #[must_use]
    pub fn of(settings: &Settings) -> Option<Self> {
        let exposure = settings.exposure.as_ref()?;
        Some(Self {
            secret: exposure.tls.clone()?,
            host: exposure.host.clone(),
            directory: TLS_DIRECTORY.to_owned(),
            served_by: if exposure.served_by_pods().is_some() {
                ServedBy::Pods
            } else {
                ServedBy::Ingress
            },
        })
    }
}

/// The origins that are asked for, and those of the host that people reach.
pub(super) fn with_host(allowed: &[String], settings: &Settings) -> Vec<String> {
    let mut origins = allowed.to_vec();
    let own = settings.exposure.as_ref().map(Exposure::origins);
    for origin in own.into_iter().flatten() {
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    origins
}
