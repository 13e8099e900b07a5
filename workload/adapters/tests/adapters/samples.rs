//! The fixtures, and adapters for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chatbot_adapters::{
    Delivery, Me, Parsed, ProtocolAdapter, Refusal, Secrets, Transport, find, named,
};
use http::HeaderMap;

/// Platforms whose formats are others'.
pub const FOREIGN: [&str; 5] = ["whatsApp", "telegram", "slack", "discord", "feishu"];
/// When every delivery of these tests arrives, milliseconds.
pub const NOW: i64 = 1_760_000_060_000;

/// An adapter with these values in its Secret.
pub fn adapter(platform: &str, secrets: &[(&str, &str)]) -> Arc<dyn ProtocolAdapter> {
    let values = secrets
        .iter()
        .map(|(key, value)| (*key, value.as_bytes().to_vec()));
    find(&(named(platform).unwrap().example)(), &Secrets::new(values)).unwrap()
}

/// The bot in the fixtures.
pub fn me(platform: &str) -> Me {
    let id = match platform {
        "telegram" => "42",
        "slack" => "U0BOT",
        "discord" => "110000000000000001",
        "feishu" => "ou_bot",
        _ => "555000111222333",
    };
    Me {
        id: id.to_owned(),
        name: Some("garden_bot".to_owned()),
    }
}

/// Reads a body as if it had been verified.
pub fn read(platform: &str, body: &[u8]) -> Result<Parsed, Refusal> {
    let headers = headers(&[("webhook-id", "q-1")]);
    adapter(platform, &[]).read(&Delivery {
        via: Transport::Webhook,
        me: Some(&me(platform)),
        request: Some("r-1"),
        received_at: NOW,
        ..Delivery::of("garden", &headers, body)
    })
}

pub fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

/// The fixtures of a platform, by name.
pub fn fixtures(platform: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(platform);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    found.sort();
    found
}
