//! `chatbot gateway`: the channels, with broker and store outside.

use std::path::Path;

use anyhow::Result;
use chatbot_crds::config::AdaptersConfig;

use crate::backbone::{self, Backbone, Role};
use crate::process;

/// Serves the configured channels until SIGTERM.
pub async fn gateway(path: &Path, port: u16, admin_port: u16) -> Result<()> {
    let AdaptersConfig { gateway, backbone } = process::configuration(path)?;
    let port = ("--port", port);
    process::pod(Some(port), admin_port, async |telemetry, shutdown| {
        let listener = process::listen(port.1, port.0).await?;
        // What a gateway looks up are histories, once for each page.
        let connecting = backbone::connect(backbone, Role::Gateway, 0, &telemetry, &shutdown);
        let Some(Backbone {
            log,
            view,
            previews,
        }) = connecting.await?
        else {
            return Ok(());
        };
        chatbot_gateway::run(gateway, log, view, previews, listener, telemetry, shutdown).await
    })
    .await
}
