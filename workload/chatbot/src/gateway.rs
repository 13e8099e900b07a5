//! `chatbot gateway`: the channels, with broker and store outside.

use std::path::Path;

use anyhow::Result;
use chatbot_crds::config::AdaptersConfig;
use chatbot_gateway::Surroundings;

use crate::backbone::{self, Backbone, Role};
use crate::{Entrance, process};

/// Serves the configured channels until SIGTERM.
pub async fn gateway(path: &Path, entrance: Entrance, admin_port: u16) -> Result<()> {
    let AdaptersConfig { gateway, backbone } = process::configuration(path)?;
    let port = ("--port", entrance.port);
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
        let surroundings = Surroundings {
            log,
            view,
            previews,
            telemetry,
            secrets: entrance.channels,
        };
        Box::pin(chatbot_gateway::run(
            gateway,
            surroundings,
            listener,
            shutdown,
        ))
        .await
    })
    .await
}
