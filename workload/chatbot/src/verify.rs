//! `chatbot verify`: whether one delivery of a chat platform is authentic.

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use chatbot_adapters::{Delivery, Platform, Secrets, Transport, find};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::delivery::{self, Source};
use crate::parse::refused;

/// The exit codes, for the help text.
pub const CODES: &str = "\
Prints `{\"verified\": true}`, or `{\"refused\": …}` with what is wrong.

Exit codes:
  0  it is authentic
  1  it could not be read at all, such as a file that is not there
  2  an option is wrong
  4  it is refused";

/// Verifies a delivery with the channel's Secret.
#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    source: Source,
    /// A file with a value of the channel's Secret: by itself that which signatures are made with (appSecret,
    /// webhookSecret, signingSecret, encryptKey, signingKey; for discord its interactionsPublicKey; for openAI any token),
    /// another with its key in front, such as `verificationToken=FILE`. White space around a value is not part of it
    #[arg(long, value_name = "[KEY=]FILE", required = true)]
    secret_file: Vec<String>,
    /// When it arrived, seconds since 1970; absent: now. Some platforms' signatures hold for minutes only
    #[arg(long, value_name = "SECONDS")]
    at: Option<i64>,
}

/// Prints whether a delivery is authentic, as JSON.
pub fn verify(options: &Verify) -> Result<ExitCode> {
    let platform = options.source.platform;
    let secrets = secrets(platform, &options.secret_file)?;
    let Some(adapter) = find(&(platform.example)(), &secrets) else {
        bail!("--platform: {} has no adapter", platform.name);
    };
    let read = options.source.read()?;
    let via = match adapter.transports().first() {
        Some(via @ (Transport::Exchange | Transport::Socket)) => *via,
        _ => Transport::Webhook,
    };
    let received_at = match options.at {
        Some(seconds) => seconds.saturating_mul(1_000),
        None => Timestamp::now().as_millisecond(),
    };
    let outcome = adapter.verify(&Delivery {
        via,
        received_at,
        ..Delivery::of(&options.source.channel, &read.headers, &read.body)
    });
    let (shown, code) = match &outcome {
        Ok(()) => (json!({ "verified": true }), 0),
        Err(refusal) => (refused(refusal), 4),
    };
    println!("{shown:#}");
    Ok(ExitCode::from(code))
}

/// The Secret, out of files: `FILE` for the key that signatures are made with, or `KEY=FILE`.
pub fn secrets(platform: &Platform, files: &[String]) -> Result<Secrets> {
    let mut values = Vec::new();
    for option in files {
        let named = option
            .split_once('=')
            .filter(|(key, _)| key.chars().all(|letter| letter.is_ascii_alphanumeric()));
        let (key, file) = match named {
            Some((key, file)) => (key.to_owned(), file),
            None => (signing_key(platform)?.to_owned(), option.as_str()),
        };
        values.push((key, delivery::bytes(file.as_ref(), "--secret-file")?));
    }
    Ok(Secrets::new(values))
}

fn signing_key(platform: &Platform) -> Result<&'static str> {
    Ok(match platform.name {
        "whatsApp" => "appSecret",
        "telegram" => "webhookSecret",
        "slack" => "signingSecret",
        "discord" => "interactionsPublicKey",
        "feishu" => "encryptKey",
        "webhook" => "signingKey",
        "openAI" => "client",
        name => {
            return Err(anyhow!(
                "--platform: deliveries of {name} are not signed: its connections say whose they are"
            ));
        }
    })
}
