//! `chatbot examine`: asks the inference server beside it, which is not the built-in one.

use std::path::Path;

use anyhow::Result;
use chatbot_crds::config::InferenceConfig;
use chatbot_worker::examine;

use crate::process;

/// Asks the server on a port of this machine until it has answered, and tells of it until SIGTERM. Its configuration is
/// the one of an instance: what the server was given in its environment.
pub async fn examine(path: &Path, port: u16, admin_port: u16) -> Result<()> {
    let config: InferenceConfig = process::configuration(path)?;
    // By name: the server may listen on IPv4, on IPv6, or on both.
    let url = format!("http://localhost:{port}");
    process::pod(
        Some(("--port", port)),
        admin_port,
        async |telemetry, shutdown| {
            let limits = examine::limits();
            examine::examine(&url, &config.model_name, &limits, &telemetry, shutdown).await
        },
    )
    .await
}
