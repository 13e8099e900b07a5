//! `chatbot parse`: what is in one delivery of a chat platform.

use std::process::ExitCode;

use anyhow::Result;
use chatbot_adapters::{Delivery, Me, Parsed, Refusal, Secrets, find};
use clap::Args;
use serde_json::{Value, json};

use crate::delivery::{Source, Via};
use crate::verify::secrets;

/// The exit codes, for the help text.
pub const CODES: &str = "\
The JSON has `messages`, `events`, and `acknowledgement` where the platform is told more than that it was received; \
or `refused`.

Exit codes:
  0  it holds messages
  1  it could not be read at all, such as a file that is not there
  2  an option is wrong
  3  it holds events that are no messages, and nothing else
  4  it is refused";

/// Looks at a delivery without verifying it: for that there is `chatbot verify`.
#[derive(Args)]
pub struct Parse {
    #[command(flatten)]
    source: Source,
    /// How it came
    #[arg(long, value_enum, default_value = "webhook")]
    via: Via,
    /// The bot's own id, and its name behind a comma; without it, less is known of what groups say to the bot
    #[arg(long, value_name = "ID[,NAME]")]
    bot: Option<String>,
    /// A value of the channel's Secret, for deliveries that are encrypted (as in `chatbot verify`)
    #[arg(long, value_name = "[KEY=]FILE")]
    secret_file: Vec<String>,
}

/// Prints what a delivery holds, as JSON.
pub fn parse(options: &Parse) -> Result<ExitCode> {
    let platform = options.source.platform;
    let secrets = if options.secret_file.is_empty() {
        Secrets::default()
    } else {
        secrets(platform, &options.secret_file)?
    };
    let Some(adapter) = find(&(platform.example)(), &secrets) else {
        anyhow::bail!("--platform: {} has no adapter", platform.name);
    };
    let read = options.source.read()?;
    let me = options.bot.as_deref().map(bot);
    let outcome = if read.body.len() > adapter.max_body() {
        Err(Refusal {
            fault: chatbot_adapters::Fault::TooLong,
            message: format!(
                "the body has {} bytes, at most {} are read",
                read.body.len(),
                adapter.max_body()
            ),
            event: None,
        })
    } else {
        adapter.read(&Delivery {
            via: options.via.into(),
            me: me.as_ref(),
            request: Some("request"),
            peer: Some("00000000000000000000000000000000"),
            ..Delivery::of(&options.source.channel, &read.headers, &read.body)
        })
    };
    let (shown, code) = match &outcome {
        Ok(parsed) => (
            shown(parsed),
            if parsed.messages.is_empty() { 3 } else { 0 },
        ),
        Err(refusal) => (refused(refusal), 4),
    };
    println!("{shown:#}");
    Ok(ExitCode::from(code))
}

fn bot(text: &str) -> Me {
    let (id, name) = text
        .split_once(',')
        .map_or((text, None), |(id, name)| (id, Some(name.to_owned())));
    Me {
        id: id.to_owned(),
        name,
    }
}

fn shown(parsed: &Parsed) -> Value {
    let mut shown = json!({ "messages": parsed.messages, "events": parsed.events });
    if let Some(cursor) = &parsed.cursor {
        shown["cursor"] = cursor.as_str().into();
    }
    if !parsed.acknowledgement.body.is_empty() {
        shown["acknowledgement"] = String::from_utf8_lossy(&parsed.acknowledgement.body).into();
    }
    shown
}

/// A refusal, as JSON.
pub fn refused(refusal: &Refusal) -> Value {
    json!({
        "refused": {
            "status": refusal.fault.status().as_u16(),
            "fault": refusal.fault,
            "message": refusal.message,
            "event": refusal.event,
        },
    })
}
