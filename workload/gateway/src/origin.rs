//! Which pages may open the socket: browsers let any page try, and say in `Origin` which one it is.

use axum::http::{HeaderMap, header};

/// Whether the handshake comes from the page that this host serves, or from one of `allowed`.
pub(crate) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = text(headers, header::ORIGIN) else {
        return false;
    };
    if allowed.iter().any(|allowed| same(allowed, origin)) {
        return true;
    }
    let (Some(host), Some((scheme, authority))) =
        (text(headers, header::HOST), origin.split_once("://"))
    else {
        return false;
    };
    // In front of the gateway TLS may end, so the host counts and the scheme does not.
    without_default_port(scheme, authority).eq_ignore_ascii_case(without_default_port(scheme, host))
}

/// Two origins as they are written: a final slash or a default port make no difference.
fn same(allowed: &str, origin: &str) -> bool {
    let parts = |text: &str| {
        let (scheme, authority) = text.trim_end_matches('/').split_once("://")?;
        let authority = without_default_port(scheme, authority);
        Some((scheme.to_ascii_lowercase(), authority.to_ascii_lowercase()))
    };
    parts(allowed).is_some_and(|allowed| Some(allowed) == parts(origin))
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: &str, host: &str, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::HOST, host.parse().unwrap());
        let allowed: Vec<_> = allowed.iter().map(|origin| (*origin).to_owned()).collect();
        is_allowed(&headers, &allowed)
    }

    #[test]
    fn the_page_s_own_origin_is_allowed_whoever_ends_its_tls() {
        assert!(allowed("http://localhost:8080", "localhost:8080", &[]));
        assert!(allowed("https://chat.example.com", "Chat.example.com", &[]));
        assert!(allowed(
            "https://chat.example.com",
            "chat.example.com:443",
            &[]
        ));
        assert!(allowed("http://[::1]:8080", "[::1]:8080", &[]));
    }

    #[test]
    fn another_page_is_refused() {
        assert!(!allowed("https://evil.example", "chat.example.com", &[]));
        assert!(!allowed("http://localhost:8081", "localhost:8080", &[]));
        assert!(!allowed(
            "https://chat.example.com.evil.example",
            "chat.example.com",
            &[]
        ));
        assert!(!allowed("null", "chat.example.com", &[]));
        assert!(!allowed(
            "https://chat.example.com:80",
            "chat.example.com",
            &[]
        ));
    }

    #[test]
    fn a_listed_origin_is_allowed_exactly() {
        let list = ["https://shop.example.com/"];
        assert!(allowed(
            "https://shop.example.com",
            "chat.example.com",
            &list
        ));
        assert!(allowed(
            "https://shop.example.com:443",
            "chat.example.com",
            &list
        ));
        assert!(!allowed(
            "http://shop.example.com",
            "chat.example.com",
            &list
        ));
        assert!(allowed(
            "https://chat.example.com",
            "chat.example.com",
            &list
        ));
    }

    #[test]
    fn a_handshake_without_one_origin_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "chat.example.com".parse().unwrap());
        assert!(!is_allowed(&headers, &[]));
        for origin in ["https://chat.example.com", "https://evil.example"] {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        assert!(!is_allowed(&headers, &[]));
    }
}
