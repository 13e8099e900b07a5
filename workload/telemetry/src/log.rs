//! Logs: lines for a person at a terminal, JSON in the shape of the Elastic Common Schema for everything else, always on
//! standard error. What a message says is in no line.

mod ecs;

use std::fmt::Display;
use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing::{Span, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The variable that sets what is logged: `debug`, or `info,chatbot_worker=debug`.
pub const VARIABLE: &str = "CHATBOT_LOG";

/// Starts logging. `default` applies where [`VARIABLE`] is not set, such as `info`.
pub fn init(default: &str) -> Result<()> {
    let chosen = std::env::var(VARIABLE).unwrap_or_else(|_| default.to_owned());
    let filter = EnvFilter::try_new(&chosen).with_context(|| {
        format!("{VARIABLE}: `{chosen}` is no log filter; use a level such as `info` or `debug`")
    })?;
    let started = if std::io::stderr().is_terminal() {
        let logs = tracing_subscriber::fmt().with_env_filter(filter);
        let logs = logs.with_writer(std::io::stderr).with_target(false);
        tracing::subscriber::set_global_default(logs.finish())
    } else {
        tracing::subscriber::set_global_default(json(filter, std::io::stderr))
    };
    started
        .map_err(|error| anyhow::anyhow!(error))
        .context("failed to start logging")
}

/// One line of JSON for each event.
pub fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .fmt_fields(ecs::fields())
        .event_format(ecs::Lines)
        .finish()
}

/// What is done for one message: every line in it carries the ids of trace and message. Of the highest level, so that no
/// filter takes the ids from a line that it lets through.
pub fn message(trace: impl Display, message: impl Display) -> Span {
    tracing::error_span!("message", trace.id = %trace, event.id = %message)
}

/// What is done in one trace, where the message is not known.
pub fn trace(trace: impl Display) -> Span {
    tracing::error_span!("trace", trace.id = %trace)
}
