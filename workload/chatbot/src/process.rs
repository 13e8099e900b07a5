//! What every pod's process does around its work.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use chatbot_engine::LoadError;
use chatbot_inference::Field;
use chatbot_telemetry::{Telemetry, admin, log, shutdown};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The most threads that an engine is given.
pub const MOST_THREADS: u32 = 256;

/// The resource's fields that an engine can find fault with.
pub const MODEL_FIELD: &str = "spec.inference.model.source.persistentVolumeClaim.path";
pub const CONTEXT_FIELD: &str = "spec.inference.contextTokens";
pub const REQUESTS_FIELD: &str = "spec.inference.maxConcurrentRequests";

/// An error, behind the place of the field that is to be changed for it.
pub fn placed(error: Error, place: impl Fn(Field) -> String) -> Error {
    match error
        .downcast_ref::<LoadError>()
        .and_then(chatbot_inference::field)
    {
        Some(field) => error.context(place(field)),
        None => error,
    }
}

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
    admin::listen_everywhere(port).await.map_err(|error| {
        deaf(
            option,
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            error,
        )
    })
}

/// Listens at one address.
pub async fn listen_at(address: SocketAddr, option: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| deaf(option, address, error))
}

/// Why nobody can listen at an address, and what to do.
fn deaf(option: &str, address: SocketAddr, error: io::Error) -> Error {
    let (shown, port) = if address.ip().is_unspecified() {
        (format!("port {}", address.port()), "port")
    } else {
        (address.to_string(), "address")
    };
    let remedy = match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "it is no address of this machine: choose 127.0.0.1, or 0.0.0.0 for all it has"
                .to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 may be kept for root: choose a higher one".to_owned()
        }
        io::ErrorKind::AddrInUse => {
            format!("end the process that has it, or choose another {port}")
        }
        _ => format!("choose another {port}"),
    };
    Error::new(error).context(format!("{option}: failed to listen on {shown}: {remedy}"))
}

/// Refuses to listen twice on one port.
pub fn apart((option, port): (&str, u16), admin_port: u16) -> Result<()> {
    if port == admin_port && port != 0 {
        bail!("--admin-port: {admin_port} is the port of {option}, too: choose another");
    }
    Ok(())
}

/// Does a pod's work, with logs, the admin port and an orderly end at SIGTERM around it.
pub async fn pod<W, F>(port: Option<(&str, u16)>, admin_port: u16, work: W) -> Result<()>
where
    W: FnOnce(Telemetry, CancellationToken) -> F,
    F: Future<Output = Result<()>>,
{
    if let Some(port) = port {
        apart(port, admin_port)?;
    }
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
