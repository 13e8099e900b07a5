//! What every pod's process does around its work.

use std::path::Path;

use anyhow::{Context, Result};
use chatbot_telemetry::{Telemetry, admin, log, shutdown};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Reads a configuration; a field that is not known is an error, since it would change nothing.
pub fn configuration<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "failed to read the configuration `{}`: name it with --config",
            path.display()
        )
    })?;
    serde_yaml::from_str(&text).with_context(|| {
        format!(
            "`{}` is no configuration of this component and release",
            path.display()
        )
    })
}

/// Listens on a port of every address.
pub async fn listen(port: u16, option: &str) -> Result<TcpListener> {
    admin::listen_everywhere(port)
        .await
        .with_context(|| format!("failed to listen on port {port}: end the process that has it, or choose another with {option}"))
}

/// Does a pod's work, with logs, the admin port and an orderly end at SIGTERM around it.
pub async fn pod<W, F>(admin_port: u16, work: W) -> Result<()>
where
    W: FnOnce(Telemetry, CancellationToken) -> F,
    F: Future<Output = Result<()>>,
{
    log::init("info")?;
    let telemetry = Telemetry::new();
    let shutdown = shutdown::on_signal()?;
    let listener = listen(admin_port, "--admin-port").await?;
    with_admin(listener, telemetry.clone(), work(telemetry, shutdown)).await
}

/// Does the work with the admin port beside it, which ends last: a process that drains must still say so.
pub async fn with_admin(
    listener: TcpListener,
    telemetry: Telemetry,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::select! {
        outcome = work => outcome,
        outcome = admin::serve(listener, telemetry, CancellationToken::new()) => outcome,
    }
}
