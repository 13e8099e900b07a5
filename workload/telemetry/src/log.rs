//! Logs: lines for a person at a terminal, JSON for everything else, always on standard error.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// The variable that sets what is logged: `debug`, or `info,chatbot_worker=debug`.
pub const VARIABLE: &str = "CHATBOT_LOG";

/// Starts logging. `default` applies where [`VARIABLE`] is not set, such as `info`.
pub fn init(default: &str) -> Result<()> {
    let chosen = std::env::var(VARIABLE).unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&chosen).with_context(|| {
        format!("{VARIABLE}: `{chosen}` is no log filter; use a level such as `info` or `debug`")
    })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        logs.with_target(false).try_init()
    } else {
        logs.json().flatten_event(true).with_ansi(false).try_init()
    };
    started
        .map_err(|error| anyhow::anyhow!(error))
        .context("failed to start logging")
}
