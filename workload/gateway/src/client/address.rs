//! Where a request may go: never to what a machine or a cloud tells only to itself. Looked at when the connection is
//! made, so that a name which leads elsewhere a moment later leads nowhere.
//!
//! Private addresses are allowed: a program of the user's own is often in the same cluster.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

/// Metadata services of clouds that are not at a link-local address: Alibaba's, Azure's, and Amazon's by IPv6.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address that is written as one may be connected to. Names are looked at when they are resolved.
pub(super) fn allowed(uri: &Uri) -> Result<(), String> {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        Ok(address) if is_forbidden(address) => Err(refused(address)),
        _ => Ok(()),
    }
}

fn refused(address: IpAddr) -> String {
    format!("{address} is an address that a machine keeps to itself: nothing is sent there")
}

fn is_forbidden(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(six) => embedded(six).map_or(address, IpAddr::V4),
        four @ IpAddr::V4(_) => four,
    };
    if address.is_unspecified() || address.is_multicast() || METADATA.contains(&address) {
        return true;
    }
    match address {
        IpAddr::V4(four) => four.is_link_local() || four.is_broadcast(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

/// The IPv4 address within one of IPv6: mapped, or behind a translator (RFC 6052).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let translated = || match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    };
    address.to_ipv4_mapped().or_else(translated)
}

/// Resolves names to addresses that may be connected to.
#[derive(Clone)]
pub(super) struct Guarded(GaiResolver);

impl Default for Guarded {
    fn default() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move {
            let (forbidden, allowed): (Vec<_>, Vec<_>) = resolving
                .await?
                .partition(|address| is_forbidden(address.ip()));
            match forbidden.first() {
                Some(address) if allowed.is_empty() => Err(io::Error::other(refused(address.ip()))),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(address: &str) -> bool {
        allowed(&address.parse().unwrap()).is_ok()
    }

    #[test]
    fn what_a_machine_keeps_to_itself_is_refused_however_it_is_written() {
        for address in [
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://0.0.0.0/",
            "http://[::]/",
        ] {
            assert!(!is_allowed(address), "{address}");
        }
    }

    #[test]
    fn a_program_in_the_same_cluster_is_allowed() {
        for address in [
            "http://127.0.0.1:8080/",
            "http://10.0.0.7/",
            "http://replies.shop.svc:80/",
            "https://[fd00::1]/",
            "https://api.example.com/",
        ] {
            assert!(is_allowed(address), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_addresses_of_this_machine_s_own_is_resolved() {
        let mut resolver = Guarded::default();
        let found = resolver.call("localhost".parse().unwrap()).await.unwrap();
        assert!(found.count() > 0);
    }
}
