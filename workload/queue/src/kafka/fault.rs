//! Why a broker cannot be used, in the words of a condition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, warn};

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No broker answers at the addresses given.
    BrokerUnreachable,
    /// A broker answers, and the topics cannot be used as they are.
    TopicUnusable,
    /// The topics are to have more copies than there are brokers.
    TooFewBrokers,
    /// The user may not use a topic or a group.
    TopicForbidden,
    /// There is no encrypted connection: an unknown authority, a wrong name, or no TLS on the other side.
    TlsFailed,
    /// The broker does not know the user, or the password is wrong.
    CredentialsRejected,
}

impl Reason {
    /// As a condition has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BrokerUnreachable => "BrokerUnreachable",
            Self::TopicUnusable => "TopicUnusable",
            Self::TooFewBrokers => "TooFewBrokers",
            Self::TopicForbidden => "TopicForbidden",
            Self::TlsFailed => "TLSFailed",
            Self::CredentialsRejected => "CredentialsRejected",
        }
    }
}

/// Why a broker cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// What kind of fault it is.
    pub reason: Reason,
    /// What is wrong with what, and what helps.
    pub message: String,
}

impl Unusable {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// What a code of the client says about the broker; nothing when it is about something else.
pub(super) fn reason(code: RDKafkaErrorCode) -> Option<Reason> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => Reason::CredentialsRejected,
        Code::SSL => Reason::TlsFailed,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::PolicyViolation => Reason::TopicForbidden,
        Code::InvalidReplicationFactor => Reason::TooFewBrokers,
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::MessageTimedOut => Reason::BrokerUnreachable,
        _ => return None,
    })
}

/// The code in an error, if there is one.
pub(super) fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Why there is no client with these options.
pub(super) fn of_options(error: &KafkaError) -> Unusable {
    let message = error.to_string();
    let reason = if message.contains("ssl") || message.contains("SSL") {
        Reason::TlsFailed
    } else {
        Reason::BrokerUnreachable
    };
    Unusable::new(
        reason,
        format!("the options for the broker are refused: {message}"),
    )
}

/// What the clients of a log were told last that hinders them. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Told {
    last: Arc<Mutex<Option<Unusable>>>,
    /// The topics that may not be written, as the last record for each has shown.
    forbidden: Arc<Mutex<BTreeMap<String, Unusable>>>,
}

impl Told {
    /// The most telling since it was last asked for, and of those the first.
    pub(super) fn take(&self) -> Option<Unusable> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Takes in what has become of a record.
    pub(super) fn delivered(&self, topic: &str, error: Option<&KafkaError>) {
        let mut forbidden = self
            .forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(error) = error else {
            forbidden.remove(topic);
            return;
        };
        if code(error).and_then(reason) == Some(Reason::TopicForbidden) {
            let message = format!("topic {topic}: {error}: allow the user to write it");
            let unusable = Unusable::new(Reason::TopicForbidden, message);
            forbidden.insert(topic.to_owned(), unusable);
        }
    }

    /// A topic that may not be written, until it has been.
    pub(super) fn forbidden(&self) -> Option<Unusable> {
        let forbidden = self.forbidden.lock();
        let forbidden = forbidden.unwrap_or_else(PoisonError::into_inner);
        forbidden.values().next().cloned()
    }

    /// That no connection lasts is what follows from a refusal, and does not take its place.
    fn note(&self, unusable: Unusable) {
        let mut told = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if told
            .as_ref()
            .is_none_or(|before| before.reason < unusable.reason)
        {
            *told = Some(unusable);
        }
    }
}

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Of a handshake that failed, the log may be all that tells why.
        if facility == "SSL" && level as i32 <= RDKafkaLogLevel::Error as i32 {
            self.note(Unusable::new(Reason::TlsFailed, message));
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => warn!(target: "kafka", facility, "{message}"),
            _ => debug!(target: "kafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, message: &str) {
        debug!(target: "kafka", "{error}: {message}");
        let Some(code) = code(&error) else {
            return;
        };
        // One side speaks TLS and the other does not, or misses a certificate: the broker hangs up at the first word.
        let is_of_tls = code == RDKafkaErrorCode::BrokerTransportFailure
            && ["requesting ApiVersion", "SSL"]
                .iter()
                .any(|words| message.contains(words));
        let reason = if is_of_tls {
            Some(Reason::TlsFailed)
        } else {
            reason(code)
        };
        if let Some(reason) = reason {
            self.note(Unusable::new(reason, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_not_forgotten_for_the_broken_connection_that_follows_from_it() {
        let told = Told::default();
        let say = |code, message: &str| told.error(KafkaError::Global(code), message);
        say(RDKafkaErrorCode::BrokerTransportFailure, "connecting");
        say(RDKafkaErrorCode::Authentication, "wrong password");
        say(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let unusable = told.take().unwrap();
        assert_eq!(unusable.reason, Reason::CredentialsRejected);
        assert_eq!(unusable.message, "wrong password");
        assert_eq!(told.take(), None);
    }

    #[test]
    fn what_may_not_be_written_is_told_until_it_has_been() {
        let told = Told::default();
        let failed = |code| KafkaError::MessageProduction(code);
        told.delivered("a", Some(&failed(RDKafkaErrorCode::MessageTimedOut)));
        assert_eq!(told.forbidden(), None);
        let refused = failed(RDKafkaErrorCode::TopicAuthorizationFailed);
        told.delivered("a", Some(&refused));
        told.delivered("b", None);
        told.delivered("a", Some(&failed(RDKafkaErrorCode::MessageTimedOut)));
        let unusable = told.forbidden().unwrap();
        assert_eq!(unusable.reason, Reason::TopicForbidden);
        assert!(unusable.message.starts_with("topic a: "), "{unusable}");
        told.delivered("a", None);
        assert_eq!(told.forbidden(), None);
    }
}
