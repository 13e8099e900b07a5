//! How the store is doing, in the words of the condition `StateReady`.

use std::path::Path;

use ::redis::{ErrorKind, RedisError};

use super::options::{Mode, Options};

/// Why the store can or cannot be used: reasons of the condition `StateReady`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not looked yet.
    Pending,
    /// It is usable.
    StoreReady,
    /// It is usable, but would evict keys when its memory is full: sessions would be forgotten.
    EvictionEnabled,
    /// It does not answer, or not as a master does.
    StoreUnreachable,
    /// It refuses the user or the password, or forbids the user something that is needed.
    CredentialsRejected,
    /// No TLS connection comes about.
    TLSFailed,
    /// A file of a mounted Secret is not there.
    SecretMissing,
}

impl Reason {
    /// As it is written in status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::StoreReady => "StoreReady",
            Self::EvictionEnabled => "EvictionEnabled",
            Self::StoreUnreachable => "StoreUnreachable",
            Self::CredentialsRejected => "CredentialsRejected",
            Self::TLSFailed => "TLSFailed",
            Self::SecretMissing => "SecretMissing",
        }
    }

    /// Whether sessions and routes can be read and written.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::StoreReady | Self::EvictionEnabled)
    }
}

/// How the store is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// One of the condition's reasons.
    pub reason: Reason,
    /// For a person: the address, what is wrong, and the remedy. Never a password.
    pub message: String,
}

impl State {
    pub(crate) fn pending(options: &Options) -> Self {
        let message = format!("Redis at {} has not been asked yet", options.shown());
        Self {
            reason: Reason::Pending,
            message,
        }
    }

    pub(crate) fn ready(options: &Options) -> Self {
        let message = format!("Redis at {} answers", options.shown());
        Self {
            reason: Reason::StoreReady,
            message,
        }
    }

    pub(crate) fn evicts(options: &Options, policy: &str) -> Self {
        let message = format!(
            "Redis at {} evicts keys when its memory is full ({policy}), and users' sessions with them: set its \
             maxmemory-policy to noeviction",
            options.shown()
        );
        Self {
            reason: Reason::EvictionEnabled,
            message,
        }
    }

    pub(crate) fn missing(file: &Path, field: &str) -> Self {
        let key = file.file_name().unwrap_or_default().to_string_lossy();
        let message = format!(
            "{} is not there: make the Secret of spec.state.redis.{field}, with the key {key}",
            file.display()
        );
        Self {
            reason: Reason::SecretMissing,
            message,
        }
    }

    /// A file of a Secret is no certificate or no key.
    pub(crate) fn unusable(file: &Path, why: &str, field: &str) -> Self {
        let message = format!(
            "{} cannot be used: {why}: put PEM into the Secret of spec.state.redis.{field}",
            file.display()
        );
        Self {
            reason: Reason::TLSFailed,
            message,
        }
    }

    pub(crate) fn silent(options: &Options, waited: std::time::Duration) -> Self {
        Self::unreachable(options, &format!("no answer within {waited:?}"))
    }

    pub(crate) fn replica(options: &Options) -> Self {
        Self::unreachable(
            options,
            "it is a read-only replica, name its master or use mode Sentinel",
        )
    }

    fn unreachable(options: &Options, why: &str) -> Self {
        let message = match options.mode {
            Mode::Sentinel { .. } => format!(
                "no Redis master can be reached through the sentinels {}: {why}: see that sentinels and master run, that \
                 spec.state.redis.addresses and masterName are theirs, and that no network policy is in the way",
                options.shown()
            ),
            _ => format!(
                "Redis at {} cannot be reached: {why}: see that it runs, that spec.state.redis.addresses is right, and \
                 that no network policy is in the way",
                options.shown()
            ),
        };
        Self {
            reason: Reason::StoreUnreachable,
            message,
        }
    }

    /// What an error says of the store.
    pub(crate) fn of(error: &RedisError, options: &Options) -> Self {
        let (at, text) = (options.shown(), error.to_string());
        if is_about_credentials(error) {
            let remedy = if error.code() == Some("NOPERM") {
                "allow the user what chatbot_store::redis::COMMANDS lists, on keys and channels with the prefix"
            } else if options.credentials.is_none() {
                "name a Secret with the password in spec.state.redis.secretRef"
            } else {
                "correct username and password in the Secret of spec.state.redis.secretRef"
            };
            let message = format!("Redis at {at} refuses the credentials: {text}: {remedy}");
            return Self {
                reason: Reason::CredentialsRejected,
                message,
            };
        }
        if options.tls.is_some() && is_about_tls(&text) {
            let message = format!(
                "TLS with Redis at {at} fails: {text}: see that it speaks TLS there, that its certificate is for this \
                 address and signed by the CA of spec.state.redis.tls.caSecretRef (absent: one of the system's), and \
                 that it accepts the one of certificateSecretRef"
            );
            return Self {
                reason: Reason::TLSFailed,
                message,
            };
        }
        match error.kind() {
            ErrorKind::MasterNameNotFoundBySentinel => {
                Self::unreachable(options, "the sentinels know no living master of that name")
            }
            _ => Self::unreachable(options, &text),
        }
    }
}

fn is_about_credentials(error: &RedisError) -> bool {
    // The client wraps what the first node of a Cluster said.
    let wrapped = |code: &str| error.detail().is_some_and(|detail| detail.contains(code));
    error.kind() == ErrorKind::AuthenticationFailed
        || ["WRONGPASS", "NOAUTH", "NOPERM"]
            .into_iter()
            .any(|code| error.code() == Some(code) || wrapped(code))
}

/// The client tells failures of TLS from other failures of a connection by their text alone.
fn is_about_tls(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "certificate",
        "fatal alert",
        "corrupt message",
        "handshake",
        "peer ",
        "inappropriate",
        "tls",
    ]
    .into_iter()
    .any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Tls;

    fn error(kind: ErrorKind, text: &'static str) -> RedisError {
        RedisError::from((kind, text))
    }

    #[test]
    fn a_message_names_address_and_remedy() {
        let mut options = Options::standalone("redis:6379", "p:");
        let refused = error(ErrorKind::AuthenticationFailed, "no");
        let state = State::of(&refused, &options);
        assert_eq!(state.reason, Reason::CredentialsRejected);
        assert!(state.message.starts_with("Redis at redis:6379 refuses"));
        assert!(state.message.ends_with("spec.state.redis.secretRef"));

        let alert = error(ErrorKind::Io, "received fatal alert: CertificateRequired");
        assert_eq!(
            State::of(&alert, &options).reason,
            Reason::StoreUnreachable,
            "TLS was not asked for"
        );
        options.tls = Some(Tls::default());
        assert_eq!(State::of(&alert, &options).reason, Reason::TLSFailed);
        let name = error(ErrorKind::Io, "failed to lookup address information");
        assert_eq!(State::of(&name, &options).reason, Reason::StoreUnreachable);
    }

    #[test]
    fn a_missing_file_names_secret_and_key() {
        let state = State::missing(Path::new("/secrets/redis/password"), "secretRef");
        assert_eq!(
            state.message,
            "/secrets/redis/password is not there: make the Secret of spec.state.redis.secretRef, with the key password"
        );
    }
}
