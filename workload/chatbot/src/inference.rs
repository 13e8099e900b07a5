//! `chatbot inference`

use std::path::Path;

use anyhow::Result;
use chatbot_crds::config::InferenceConfig;

use crate::process;

/// Serves the configured model until SIGTERM.
pub async fn inference(config: &Path, port: u16, admin_port: u16) -> Result<()> {
    let config: InferenceConfig = process::configuration(config)?;
    process::pod(admin_port, async |telemetry, shutdown| {
        let listener = process::listen(port, "--port").await?;
        chatbot_inference::run(config, listener, &telemetry, shutdown).await
    })
    .await
}
