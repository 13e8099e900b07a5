//! `chatbot inference`

use std::path::Path;

use anyhow::{Result, bail};
use chatbot_crds::config::{CONFIG_FILE, InferenceConfig};
use chatbot_inference::Field;

use crate::process;

/// Serves the configured model until SIGTERM.
pub async fn inference(path: &Path, port: u16, admin_port: u16) -> Result<()> {
    let config: InferenceConfig = process::configuration(path)?;
    check(&config, path)?;
    process::pod(
        Some(("--port", port)),
        admin_port,
        async |telemetry, shutdown| {
            let listener = process::listen(port, "--port").await?;
            chatbot_inference::run(config, listener, &telemetry, shutdown)
                .await
                .map_err(|error| process::placed(error, |field| place(path, field)))
        },
    )
    .await
}

/// What no resource can ask for, and a configuration written by hand can. The engine's own limits it tells itself.
fn check(config: &InferenceConfig, path: &Path) -> Result<()> {
    let file = path.display();
    for (field, value) in [
        ("contextTokens", config.context_tokens),
        ("maxConcurrentRequests", config.max_concurrent_requests),
        ("threads", config.threads),
    ] {
        if value == 0 {
            bail!("{file}: {field}: 0 would answer nobody: set it to 1 or more");
        }
    }
    let (threads, most) = (config.threads, process::MOST_THREADS);
    if threads > most {
        bail!("{file}: threads: {threads} is more than an engine takes: set it to {most} or less");
    }
    Ok(())
}

/// A field as whoever wrote it knows it: an operator's configuration is a resource's.
fn place(path: &Path, field: Field) -> String {
    let of_resource = path == Path::new(CONFIG_FILE);
    let name = match field {
        Field::Model if of_resource => process::MODEL_FIELD,
        Field::Model => "modelPath",
        Field::ContextTokens if of_resource => process::CONTEXT_FIELD,
        Field::ContextTokens => "contextTokens",
        Field::MaxConcurrentRequests if of_resource => process::REQUESTS_FIELD,
        Field::MaxConcurrentRequests => "maxConcurrentRequests",
    };
    if of_resource {
        name.to_owned()
    } else {
        format!("{}: {name}", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_whoever_wrote_it_knows_it() {
        assert_eq!(
            place(Path::new(CONFIG_FILE), Field::Model),
            "spec.inference.model.source.persistentVolumeClaim.path"
        );
        assert_eq!(
            place(Path::new("mine.yaml"), Field::ContextTokens),
            "mine.yaml: contextTokens"
        );
    }
}
