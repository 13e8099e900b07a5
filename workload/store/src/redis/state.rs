//! How the store is doing, in the words of the condition `StateReady`.

use std::path::Path;

use ::redis::{ErrorKind, RedisError};

use super::COMMANDS;
use super::keys::Keys;
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
    /// It answers, and refuses every write: it is full, cannot save, or is a replica.
    StoreRefusesWrites,
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
            Self::StoreRefusesWrites => "StoreRefusesWrites",
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

/// What to do about a replica.
const OF_A_REPLICA: &str = "name its master, or use mode Sentinel";

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
        Self::refuses(options, "it is a read-only replica", OF_A_REPLICA)
    }

    /// Nothing can be written: why, and what to do.
    pub(crate) fn refuses(options: &Options, why: &str, remedy: &str) -> Self {
        let message = format!(
            "Redis at {} refuses to be written to: {why}: {remedy}",
            options.shown()
        );
        Self {
            reason: Reason::StoreRefusesWrites,
            message,
        }
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
        if is_about_rights(error) {
            let rights = Keys::rights(&options.key_prefix);
            let message = format!(
                "Redis at {at} forbids the user what is needed: {}: give it the rights: ACL SETUSER NAME {rights} \
                 {COMMANDS}",
                words(error)
            );
            return Self {
                reason: Reason::CredentialsRejected,
                message,
            };
        }
        if let Some(remedy) = of_a_refused_write(error) {
            return Self::refuses(options, &words(error), remedy);
        }
        if is_about_credentials(error) {
            let remedy = if options.credentials.is_none() {
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
    error.kind() == ErrorKind::AuthenticationFailed
        || has_said(error, "WRONGPASS")
        || has_said(error, "NOAUTH")
}

/// Of what a script does, servers say it in words.
fn is_about_rights(error: &RedisError) -> bool {
    [
        "NOPERM",
        "ACL failure in script",
        "The user executing the script can't",
    ]
    .into_iter()
    .any(|words| has_said(error, words))
}

/// What to do when a write is refused that would be taken at another time or place.
fn of_a_refused_write(error: &RedisError) -> Option<&'static str> {
    let known = [
        (
            "OOM",
            "raise its maxmemory, or keep what else is there elsewhere",
        ),
        (
            "MISCONF",
            "let it save to its disk again, its log says why it could not",
        ),
        (
            "NOREPLICAS",
            "bring back its replicas, or lower its min-replicas-to-write",
        ),
        ("READONLY", OF_A_REPLICA),
    ];
    let mut known = known.into_iter();
    known.find_map(|(code, remedy)| (error.code() == Some(code)).then_some(remedy))
}

/// Whether this is the code of an error, or in its text: the client wraps what the first node of a Cluster said.
fn has_said(error: &RedisError, words: &str) -> bool {
    let text = error.detail();
    error.code() == Some(words) || text.is_some_and(|text| text.contains(words))
}

/// What the server said, as it said it.
fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
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
    use ::redis::make_extension_error;

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
    fn what_a_server_refuses_is_told_in_its_words_with_what_to_do() {
        let options = Options::standalone("redis:6379", "p:");
        let of_server = |code: &str, detail: &str| {
            State::of(
                &make_extension_error(code.into(), Some(detail.into())),
                &options,
            )
        };
        for (code, detail, remedy) in [
            ("OOM", "command not allowed", "raise its maxmemory"),
            ("MISCONF", "unable to persist on disk", "let it save"),
            ("NOREPLICAS", "Not enough good replicas", "bring back"),
        ] {
            let state = of_server(code, detail);
            assert_eq!(state.reason, Reason::StoreRefusesWrites);
            assert!(
                state
                    .message
                    .contains(&format!("{code} {detail}: {remedy}"))
            );
        }
        let rights = "ACL SETUSER NAME ~p:* ~{p:* &p:previews +role";
        for (code, detail) in [
            ("NOPERM", "No permissions to access a key"),
            ("ERR", "ACL failure in script: no permissions to run 'hset'"),
            (
                "ERR",
                "@user_script: The user executing the script can't run this",
            ),
        ] {
            let state = of_server(code, detail);
            assert_eq!(state.reason, Reason::CredentialsRejected);
            let says = |part: &str| state.message.contains(part);
            assert!(
                says(&format!("{code} {detail}")) && says(rights),
                "{state:?}"
            );
        }
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
