//! Where Redis is and how it is reached.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Where Redis is and how it is reached: `spec.state.redis`, its Secrets mounted as files.
///
/// Files are read before every attempt to connect, so a Secret that is made or changed later is taken without a restart.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the servers are arranged.
    pub mode: Mode,
    /// `host:port` of the server; of the sentinels; of some of a Cluster's nodes. 1 to 16, of the first mode exactly one.
    pub addresses: Vec<String>,
    /// What every key begins with, such as `chat.support:`. Without braces, which would move keys to other slots.
    pub key_prefix: String,
    /// The folder of a mounted Secret with the keys `password` and, for a user of an ACL, `username`; for sentinels that
    /// ask for one, `sentinelPassword`. Absent: no password is given.
    pub credentials: Option<PathBuf>,
    /// Absent: no TLS.
    pub tls: Option<Tls>,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Routes kept near, at most, and dropped as the server says that they have changed; 0 keeps none, as is best for
    /// a process that never asks for routes.
    pub near_routes: usize,
}

/// How the servers are arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server.
    Standalone,
    /// A master and its replicas; sentinels say which is which.
    Sentinel {
        /// The name that the sentinels know the master by.
        master_name: String,
    },
    /// Redis Cluster.
    Cluster,
}

/// TLS. Host names and IP addresses are verified, also those that sentinels and cluster nodes give.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The certificates that are trusted, PEM; absent: the system's.
    pub ca: Option<PathBuf>,
    /// The folder of a mounted Secret with a client certificate: `tls.crt` and `tls.key`, PEM; absent: none is shown.
    pub certificate: Option<PathBuf>,
}

/// How long is waited, set on purpose: the client's own default is 500 ms for whatever is asked.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, TLS and credentials included; with Sentinel, for finding the master too.
    pub connect: Duration,
    /// For what a user waits for: a session, a route. Below the 2 s that a context may take.
    pub read: Duration,
    /// For an update of a partition, which may bring hundreds of turns after a flush.
    pub write: Duration,
    /// Between two looks whether the server still answers, and for its answer: a server that hangs is noticed after at
    /// most twice as long, a connection that breaks at once.
    pub check: Duration,
    /// Before a second attempt to connect; doubled from then on.
    pub retry_first: Duration,
    /// Before a further attempt, at most.
    pub retry_cap: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_millis(500),
            write: Duration::from_secs(10),
            check: Duration::from_secs(1),
            retry_first: Duration::from_millis(100),
            retry_cap: Duration::from_secs(5),
        }
    }
}

/// Options that nothing can be reached with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// None, or more than one where there can be only one.
    #[error(
        "spec.state.redis.addresses has {count} entries: mode Standalone needs exactly one, Sentinel and Cluster at least one"
    )]
    AddressCount {
        /// How many there are.
        count: usize,
    },
    /// Not `host:port`.
    #[error(
        "spec.state.redis.addresses: `{address}` is no address: write host and port, such as redis.example.com:6379"
    )]
    Address {
        /// What was written.
        address: String,
    },
    /// Braces in the prefix.
    #[error(
        "spec.state.redis.keyPrefix: `{prefix}` has a brace, which would move keys to other slots: leave it out"
    )]
    KeyPrefix {
        /// What was written.
        prefix: String,
    },
}

impl Options {
    /// One server without password and TLS.
    #[must_use]
    pub fn standalone(address: impl Into<String>, key_prefix: impl Into<String>) -> Self {
        Self {
            mode: Mode::Standalone,
            addresses: vec![address.into()],
            key_prefix: key_prefix.into(),
            credentials: None,
            tls: None,
            timeouts: Timeouts::default(),
            near_routes: 10_000,
        }
    }

    /// The addresses as they are written, for messages.
    pub(crate) fn shown(&self) -> String {
        self.addresses.join(", ")
    }

    /// Host and port of every address, or what is wrong.
    pub(crate) fn check(&self) -> Result<Vec<(String, u16)>, Invalid> {
        let count = self.addresses.len();
        if count == 0 || (self.mode == Mode::Standalone && count > 1) {
            return Err(Invalid::AddressCount { count });
        }
        if self.key_prefix.contains(['{', '}']) {
            let prefix = self.key_prefix.clone();
            return Err(Invalid::KeyPrefix { prefix });
        }
        let places = self.addresses.iter().map(|address| {
            place(address).ok_or_else(|| Invalid::Address {
                address: address.clone(),
            })
        });
        places.collect()
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn place(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    let strange = |char: char| char.is_whitespace() || char == '/' || char == '@';
    if host.is_empty() || host.contains(strange) || (bracketed.is_none() && host.contains(':')) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port > 0)?;
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        let options = |address: &str| Options::standalone(address, "p:").check();
        assert_eq!(options("redis:6379"), Ok(vec![("redis".to_owned(), 6379)]));
        assert_eq!(options("[::1]:1"), Ok(vec![("::1".to_owned(), 1)]));
        for wrong in [
            "redis",
            ":6379",
            "redis:0",
            "redis:65536",
            "::1:6379",
            "redis://redis:6379",
            "user@redis:6379",
            "",
        ] {
            assert!(options(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_names_field_value_and_remedy() {
        let mut options = Options::standalone("a:1", "p{1}");
        assert_eq!(
            options.check().unwrap_err().to_string(),
            "spec.state.redis.keyPrefix: `p{1}` has a brace, which would move keys to other slots: leave it out"
        );
        options.addresses.push("b:2".to_owned());
        assert_eq!(
            options.check(),
            Err(Invalid::AddressCount { count: 2 }),
            "one server is one"
        );
        options.mode = Mode::Cluster;
        options.key_prefix = "p:".to_owned();
        assert!(options.check().is_ok());
    }
}
