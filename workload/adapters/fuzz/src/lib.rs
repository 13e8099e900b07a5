//! Whatever a stranger sends, every platform's format says something of it, and the same each time.
//!
//! The platform is named by the variable `PLATFORM`, as the resource writes it. `run.sh` runs every target for every
//! platform that it concerns, beginning with the fixtures.

use std::env;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chatbot_adapters::{
    Answer, Delivery, Head, Heard, Link, Me, Platform, ProtocolAdapter, Request, Response, Secrets,
    Step, Transport, find, named,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// When everything arrives, milliseconds since the epoch.
const NOW: i64 = 1_760_000_060_000;
/// Of every secret; also long enough to sign with.
const SECRET: &[u8] = b"a secret of at least 24 bytes";
/// A public key of RFC 8032, section 7.1, test 1.
const PUBLIC_KEY: &[u8] = b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const TRANSPORTS: [Transport; 5] = [
    Transport::Webhook,
    Transport::LongConnection,
    Transport::Polling,
    Transport::Exchange,
    Transport::Socket,
];

static PLATFORM: LazyLock<&Platform> = LazyLock::new(|| {
    let name = env::var("PLATFORM").unwrap_or_default();
    named(&name).unwrap_or_else(|| panic!("PLATFORM: no platform is called `{name}`"))
});

static ADAPTER: LazyLock<Arc<dyn ProtocolAdapter>> = LazyLock::new(|| {
    let config = (PLATFORM.example)();
    let keys = find(&config, &Secrets::default()).map_or(&[][..], |bare| bare.secrets());
    let mut secrets: Vec<_> = keys.iter().map(|key| (*key, SECRET.to_vec())).collect();
    secrets.push(("interactionsPublicKey", PUBLIC_KEY.to_vec()));
    secrets.push(("client", SECRET.to_vec()));
    find(&config, &Secrets::new(secrets)).expect("every platform has an adapter")
});

/// A body, read as if it had been verified.
pub fn delivery(body: &[u8]) {
    let (headers, me) = (HeaderMap::new(), Me::default());
    for via in TRANSPORTS {
        let delivery = Delivery {
            via,
            peer: Some("00000000000000000000000000000000"),
            request: Some("request"),
            me: Some(&me),
            received_at: NOW,
            ..Delivery::of("channel", &headers, body)
        };
        let read = ADAPTER.read(&delivery);
        assert_eq!(read, ADAPTER.read(&delivery), "{via:?}");
        for message in read.iter().flat_map(|parsed| &parsed.messages) {
            assert_eq!(message.account.channel, "channel");
            assert!(!message.account.user.is_empty());
            let _ = ADAPTER.chat(&message.origin);
            let _ = ADAPTER.typing(&message.origin);
        }
    }
}

/// A request: a line for each header that the platform signs with, then the body.
pub fn signature(data: &[u8]) {
    let names: &[&'static str] = match PLATFORM.name {
        "whatsApp" => &["x-hub-signature-256"],
        "telegram" => &["x-telegram-bot-api-secret-token"],
        "slack" => &["x-slack-request-timestamp", "x-slack-signature"],
        "discord" => &["x-signature-timestamp", "x-signature-ed25519"],
        "feishu" => &[
            "x-lark-request-timestamp",
            "x-lark-request-nonce",
            "x-lark-signature",
        ],
        "webhook" => &["webhook-id", "webhook-timestamp", "webhook-signature"],
        _ => &["authorization"],
    };
    let mut body = data;
    let mut headers = HeaderMap::new();
    for name in names {
        let end = body.iter().position(|byte| *byte == b'\n');
        let (line, rest) = body.split_at(end.unwrap_or(body.len()));
        body = rest.get(1..).unwrap_or_default();
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let head = Head {
        method: &Method::POST,
        path: "",
        query: "",
        headers: &headers,
        received_at: NOW,
    };
    let _ = ADAPTER.check_headers(&head);
    let delivery = Delivery {
        received_at: NOW,
        ..Delivery::of("channel", &headers, body)
    };
    // A token can be guessed by whoever may look, a signature cannot.
    let signs = matches!(PLATFORM.name, "whatsApp" | "slack" | "discord" | "webhook");
    assert!(ADAPTER.verify(&delivery).is_err() || !signs);
}

/// What is said on a connection: a frame a line.
pub fn connection(data: &[u8]) {
    let Some(mut link) = ADAPTER.link(None, 0.5) else {
        panic!("PLATFORM: {} opens no connection", PLATFORM.name);
    };
    let mut now = Instant::now();
    let opened = link.opened("wss://platform.example.com", now);
    take(link.as_ref(), &opened);
    for frame in data.split(|byte| *byte == b'\n') {
        let heard = match std::str::from_utf8(frame) {
            Ok(text) if PLATFORM.name != "feishu" => Heard::Text(text),
            _ => Heard::Binary(frame),
        };
        now += Duration::from_secs(1);
        let steps = link.heard(heard, now);
        take(link.as_ref(), &steps);
        if let Some(due) = link.due().filter(|due| *due <= now) {
            let steps = link.elapsed(due);
            take(link.as_ref(), &steps);
        }
    }
}

/// Takes the deliveries that came.
fn take(link: &dyn Link, steps: &[Step]) {
    for step in steps {
        if let Step::Take(parcel) = step {
            delivery(&parcel.body);
            let _ = link.acknowledge(&parcel.receipt, &Answer::default(), Duration::ZERO);
        }
    }
}

/// What the platform responds to a request: the first two bytes are its status, 100 to 599.
pub fn response(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk() else {
        return;
    };
    let headers = HeaderMap::new();
    let response = Response {
        status: StatusCode::from_u16(100 + u16::from_le_bytes(*status) % 500).unwrap_or_default(),
        headers: &headers,
        body,
    };
    let _ = ADAPTER.classify(&response);
    let refused = Request {
        method: Method::POST,
        url: String::new(),
        headers: HeaderMap::new(),
        body: body.to_vec(),
        session: false,
        key: None,
    };
    for origin in ["1", "1/2", "1/2/guild", "1|https://hooks.slack.com/commands/1"] {
        let _ = ADAPTER.instead(origin, &refused, &response);
    }
    let _ = ADAPTER.identified(&response);
    let _ = ADAPTER.session_of(&response);
    let _ = ADAPTER.polled(&response);
    let _ = ADAPTER.address(&response);
    if let Some(link) = ADAPTER.link(None, 0.5) {
        let _ = link.refused(&response);
    }
}
