//! The page, as it is embedded: no build step, no inline script, nothing from elsewhere.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

const INDEX: &str = include_str!("../page/index.html");
const STYLE: &str = include_str!("../page/chat.css");
const CHAT: &str = include_str!("../page/chat.js");
const KEPT: &str = include_str!("../page/kept.js");
const TURNS: &str = include_str!("../page/turns.js");
const ICON: &str = include_str!("../page/icon.svg");

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The chat of a cluster, `<namespace>/<name>`.
pub(crate) fn chat(cluster: &str, request: &HeaderMap) -> Response {
    let title = escape(name_of(cluster));
    respond(HTML, INDEX.replace("{{cluster}}", &title), request)
}

/// Links to the chats of a cluster with several.
pub(crate) fn list(cluster: &str, channels: &[&str], request: &HeaderMap) -> Response {
    let title = escape(name_of(cluster));
    let links: Vec<_> = channels
        .iter()
        .map(|channel| {
            let channel = escape(channel);
            format!("<li><a href=\"/channels/{channel}/\">{channel}</a></li>")
        })
        .collect();
    let links = links.concat();
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title}</title><h1>{title}</h1><ul>{links}</ul></html>\n"
    );
    respond(HTML, page, request)
}

/// A file that the page needs.
pub(crate) fn asset(name: &str, request: &HeaderMap) -> Option<Response> {
    let (kind, content) = match name {
        "chat.css" => ("text/css; charset=utf-8", STYLE),
        "chat.js" => (JAVASCRIPT, CHAT),
        "kept.js" => (JAVASCRIPT, KEPT),
        "turns.js" => (JAVASCRIPT, TURNS),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return None,
    };
    Some(respond(kind, content.to_owned(), request))
}

fn respond(kind: &'static str, content: String, request: &HeaderMap) -> Response {
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, content.as_bytes());
    let tag = format!("\"{}\"", digest.simple());
    let headers: [(HeaderName, &str); 7] = [
        (header::CONTENT_TYPE, kind),
        (header::ETAG, &tag),
        // Kept, but never used without asking: page and script of one release belong together.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=()",
        ),
    ];
    let known = request
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| {
            known
                .split(',')
                .any(|known| known.trim().trim_start_matches("W/") == tag)
        });
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, content).into_response()
}

fn name_of(cluster: &str) -> &str {
    cluster.rsplit('/').next().unwrap_or(cluster)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_known_is_not_sent_again() {
        let first = chat("shop/support", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(
            chat("shop/support", &request).status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(chat("shop/sales", &request).status(), StatusCode::OK);
    }

    #[test]
    fn the_page_holds_no_inline_script_or_style() {
        assert!(!INDEX.contains("<style") && !INDEX.contains(" style="));
        let scripts = INDEX.matches("<script").count();
        assert_eq!(scripts, INDEX.matches("<script src=").count());
    }

    #[test]
    fn a_name_cannot_become_markup() {
        assert_eq!(escape("<b>\"&"), "&lt;b&gt;&quot;&amp;");
    }
}
