//! What does not get in, and what is not acknowledged.

use std::sync::Arc;
use std::time::Duration;

use chatbot_queue::memory::{self, MemoryLog};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::faulty::Faulty;
use crate::hub::Hub;
use crate::site::{
    KEY, Site, ask, code, config, exchange, head_of, limits, post, read, running, seconds,
    signature, webhook,
};
use crate::stand_in::{StandIn, ok};

/// The largest body of a webhook.
const MOST: usize = 256 << 10;

async fn hub(site: &Site) -> Hub {
    site.secret("chat", "signingKey", KEY);
    let platform = StandIn::start(|_, _| ok()).await;
    running(site, vec![webhook("chat", platform.url("/"))]).await
}

fn body(text: &str) -> Vec<u8> {
    serde_json::json!({ "user": "u-1", "text": text })
        .to_string()
        .into_bytes()
}

/// Posts a signed body.
async fn signed(hub: &Hub, body: &[u8]) -> String {
    let head = head_of("chat", KEY, "q-1", seconds(), body);
    post(hub.address, &head, body).await
}

#[tokio::test]
async fn what_is_not_signed_is_refused_and_reaches_no_queue() {
    let site = Site::new();
    let hub = hub(&site).await;
    let body = body("hello");
    let unsigned = "POST /channels/chat HTTP/1.1\r\nhost: x\r\n";
    assert_eq!(code(&post(hub.address, unsigned, &body).await), 400);
    let forged = head_of("chat", "another key", "q-1", seconds(), &body);
    assert_eq!(code(&post(hub.address, &forged, &body).await), 401);
    let other = head_of("chat", KEY, "q-1", seconds(), b"another body");
    assert_eq!(code(&post(hub.address, &other, &body).await), 401);
    let get = "GET /channels/chat HTTP/1.1\r\nhost: x\r\n";
    assert_eq!(code(&post(hub.address, get, b"").await), 405);
    let nowhere = "POST /channels/nowhere HTTP/1.1\r\nhost: x\r\n";
    assert_eq!(code(&post(hub.address, nowhere, &body).await), 404);
    assert_eq!(site.enqueued().await, 0);
}

#[tokio::test]
async fn a_recorded_request_is_refused_later_and_a_copy_has_no_effect() {
    let site = Site::new();
    let hub = hub(&site).await;
    let body = body("hello");
    let old = head_of("chat", KEY, "q-1", seconds() - 301, &body);
    assert_eq!(code(&post(hub.address, &old, &body).await), 401);
    let early = head_of("chat", KEY, "q-1", seconds() + 310, &body);
    assert_eq!(code(&post(hub.address, &early, &body).await), 401);
    let now = head_of("chat", KEY, "q-1", seconds(), &body);
    for _ in 0..3 {
        assert_eq!(code(&post(hub.address, &now, &body).await), 200);
    }
    // The same message under another signature, and beside a second one that holds nothing.
    let again = now.replace(
        &signature(KEY, "q-1", seconds(), &body),
        &format!(
            "v1,{} {}",
            "A".repeat(43) + "=",
            signature(KEY, "q-1", seconds(), &body)
        ),
    );
    let status = code(&post(hub.address, &again, &body).await);
    assert!(
        status == 200 || status == 401,
        "the clock may have moved on"
    );
    assert_eq!(site.enqueued().await, 1);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_however_its_length_is_told() {
    let site = Site::new();
    let hub = hub(&site).await;
    let long = vec![b' '; MOST + 1];
    assert_eq!(code(&signed(&hub, &long).await), 413);
    // Announced, and not sent: it is not waited for.
    let head = head_of("chat", KEY, "q-1", seconds(), b"");
    let announced = format!("{head}content-length: 50000000\r\n\r\n");
    assert_eq!(
        code(&exchange(hub.address, announced.as_bytes()).await),
        413
    );
    // Not announced: counted as it comes.
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..9 {
        chunked.extend_from_slice(b"8000\r\n");
        chunked.extend_from_slice(&vec![b' '; 0x8000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(code(&exchange(hub.address, &chunked).await), 413);
    assert_eq!(site.enqueued().await, 0);
}

#[tokio::test]
async fn a_length_that_is_false_ends_in_a_refusal() {
    let site = Site::new();
    let mut limits = limits();
    limits.body = Duration::from_millis(300);
    site.secret("chat", "signingKey", KEY);
    let platform = StandIn::start(|_, _| ok()).await;
    let channels = vec![webhook("chat", platform.url("/"))];
    let hub = Hub::with(config(channels), limits, &site.backing).await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    let body = body("hello");
    let head = head_of("chat", KEY, "q-1", seconds(), &body);
    // More is announced than comes.
    let mut short = format!("{head}content-length: {}\r\n\r\n", body.len() + 10).into_bytes();
    short.extend_from_slice(&body);
    assert_eq!(code(&exchange(hub.address, &short).await), 408);
    // Less is announced than comes: what was announced does not verify.
    let mut more = format!("{head}content-length: 5\r\nconnection: close\r\n\r\n").into_bytes();
    more.extend_from_slice(&body);
    assert_eq!(code(&exchange(hub.address, &more).await), 401);
    // Two lengths, or a length and chunks, are no request.
    let mut both = format!(
        "{head}content-length: {}\r\ncontent-length: 3\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    both.extend_from_slice(&body);
    assert_eq!(code(&exchange(hub.address, &both).await), 400);
    assert_eq!(site.enqueued().await, 0);
}

#[tokio::test]
async fn a_client_that_sends_slowly_is_let_go_and_others_are_served_meanwhile() {
    let site = Site::new();
    let mut limits = limits();
    limits.body = Duration::from_millis(500);
    site.secret("chat", "signingKey", KEY);
    let platform = StandIn::start(|_, _| ok()).await;
    let channels = vec![webhook("chat", platform.url("/"))];
    let hub = Hub::with(config(channels), limits, &site.backing).await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    let body = body("hello");
    let head = head_of("chat", KEY, "q-1", seconds(), &body);
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(hub.address).await.unwrap();
        let begun = format!("{head}content-length: {}\r\n\r\n{{", body.len());
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(ask(&hub, "chat", "q-2", "u-2", "hello").await, 200);
    for mut stream in slow {
        assert_eq!(code(&read(&mut stream).await), 408);
    }
}

#[tokio::test]
async fn bodies_share_one_store_of_bytes() {
    let site = Site::new();
    let mut limits = limits();
    limits.bodies = 1_000;
    site.secret("chat", "signingKey", KEY);
    let platform = StandIn::start(|_, _| ok()).await;
    let channels = vec![webhook("chat", platform.url("/"))];
    let hub = Hub::with(config(channels), limits, &site.backing).await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    let answer = signed(&hub, &body(&"x".repeat(1_000))).await;
    assert_eq!(code(&answer), 503);
    assert!(answer.contains("retry-after: 2\r\n"), "{answer}");
    // What was held is given back.
    for number in 0..10 {
        let text = "x".repeat(500);
        assert_eq!(
            ask(&hub, "chat", &format!("q-{number}"), "u-1", &text).await,
            200
        );
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused_unread() {
    let site = Site::new();
    let hub = hub(&site).await;
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for encoding in ["gzip", "br", "identity, gzip", "zstd"] {
        let head = head_of("chat", KEY, "q-1", seconds(), &bomb);
        let head = format!("{head}content-encoding: {encoding}\r\n");
        assert_eq!(
            code(&post(hub.address, &head, &bomb).await),
            415,
            "{encoding}"
        );
    }
    assert_eq!(site.enqueued().await, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_reason() {
    let site = Site::new();
    let hub = hub(&site).await;
    let deep = "[".repeat(100_000).into_bytes();
    let deep_field = format!(r#"{{"user":"u","text":{}"#, "{\"a\":".repeat(20_000)).into_bytes();
    let bad_utf8 = b"{\"user\":\"u-1\",\"text\":\"\xff\xfe\"}".to_vec();
    let lone_surrogate = br#"{"user":"u-1","text":"\ud800"}"#.to_vec();
    let nul_in_user = br#"{"user":"u\u0000","text":"hello"}"#.to_vec();
    for body in [
        deep,
        deep_field,
        bad_utf8,
        lone_surrogate,
        nul_in_user,
        vec![],
    ] {
        let answer = signed(&hub, &body).await;
        assert_eq!(code(&answer), 400, "{answer}");
        assert!(!answer.contains(char::REPLACEMENT_CHARACTER), "{answer}");
    }
    assert_eq!(site.enqueued().await, 0);
    // A million combining marks are too long, and marks that turn the text around are a text.
    let marks = body(&"\u{301}".repeat(100_000));
    assert_eq!(code(&signed(&hub, &marks).await), 413);
    let bidi = body("\u{202e}hello\u{202c}\u{0}");
    assert_eq!(code(&signed(&hub, &bidi).await), 200);
    assert_eq!(site.enqueued().await, 1);
}

#[tokio::test]
async fn what_the_log_does_not_take_is_not_acknowledged() {
    let full = memory::Limits {
        kept_bytes: 0,
        full_bytes: 0,
    };
    let site = Site::on(MemoryLog::with_limits(3, full));
    let hub = hub(&site).await;
    let answer = signed(&hub, &body("hello")).await;
    assert_eq!(code(&answer), 503);
    assert!(answer.contains("retry-after: "), "{answer}");
}

#[tokio::test]
async fn a_user_who_sends_too_much_is_asked_to_wait() {
    let site = Site::new();
    site.secret("chat", "signingKey", KEY);
    let platform = StandIn::start(|_, _| ok()).await;
    let mut config = config(vec![webhook("chat", platform.url("/"))]);
    config.messages_per_user_per_minute = 2;
    let hub = Hub::with(config, limits(), &site.backing).await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    for (number, wanted) in [(0, 200), (1, 200), (2, 429), (1, 200)] {
        let id = format!("q-{number}");
        assert_eq!(ask(&hub, "chat", &id, "u-1", "hello").await, wanted);
    }
    assert_eq!(ask(&hub, "chat", "q-9", "u-2", "hello").await, 200);
}

#[tokio::test]
async fn a_request_that_goes_before_the_log_has_its_message_is_not_counted_against_its_user() {
    let memory = Arc::new(MemoryLog::new(1));
    let log = Arc::new(Faulty::on(memory.clone()));
    let site = Site::behind(log.clone(), memory);
    site.secret("chat", "signingKey", KEY);
    let platform = StandIn::start(|_, _| ok()).await;
    let mut config = config(vec![webhook("chat", platform.url("/"))]);
    config.messages_per_user_per_minute = 1;
    let hub = Hub::with(config, limits(), &site.backing).await;
    hub.reports(|state| state.channels[0].ready == Some(true))
        .await;
    log.inbound.close();
    let body = br#"{"user":"u-1","text":"hello"}"#;
    let head = head_of("chat", KEY, "q-1", seconds(), body);
    tokio::select! {
        answer = post(hub.address, &head, body) => panic!("answered and not stored: {answer}"),
        () = log.inbound.holds(true) => {}
    }
    log.inbound.holds(false).await;
    log.inbound.open();
    assert_eq!(ask(&hub, "chat", "q-2", "u-1", "hello").await, 200);
    assert_eq!(ask(&hub, "chat", "q-3", "u-1", "hello").await, 429);
}
