//! `chatbot run`: a resource in one process. The same gateway, worker and inference as in a cluster, and the same
//! HTTP between worker and inference.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chatbot_crds::Settings;
use chatbot_crds::config::{CHANNELS_DIRECTORY, HubConfig, InferenceConfig};
use chatbot_crds::settings::{ModelSource, Platform, SystemPrompt};
use chatbot_crds::spec::RunStrategy;
use chatbot_inference::Field;
use chatbot_telemetry::{Telemetry, log, shutdown};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Run, hub, process, resource};

/// Between looks at whether everything is ready.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the resource until Ctrl-C.
pub async fn run(options: Run) -> Result<()> {
    log::init("warn")?;
    let mut settings = settings(&options.file, options.address)?;
    if let Some(exposure) = settings.exposure.take() {
        eprintln!(
            "one process: it is reached at --address and not at {}: spec.exposure is for a cluster",
            exposure.host
        );
    }
    let model = model(&settings, &options)?;
    let threads = options.threads.unwrap_or_else(half_of_the_cpus);
    if let Some(admin_port) = options.admin_port
        && is_here(options.address)
    {
        process::apart(("--address", options.address.port()), admin_port)?;
    }
    let listener = process::listen_at(options.address, "--address").await?;
    let address = listener
        .local_addr()
        .context("failed to learn the address")?;
    let inference_listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .context("failed to listen on a port of 127.0.0.1 for the inference API")?;
    let inference_address = inference_listener
        .local_addr()
        .context("failed to learn the address")?;

    let shutdown = shutdown::on_signal()?;
    let telemetry = Telemetry::new();
    let hub = HubConfig::of(&settings, &format!("http://{inference_address}"));
    let inference = InferenceConfig::of(&settings, &model, threads);
    eprintln!(
        "loading the model {model} ({threads} {})",
        if threads == 1 { "thread" } else { "threads" }
    );
    let work = Box::pin(async {
        // Inference ends after the hub: answers under way need it.
        let last = CancellationToken::new();
        let hub = async {
            let served = hub::serve(
                hub,
                CHANNELS_DIRECTORY.into(),
                listener,
                telemetry.clone(),
                shutdown.clone(),
            )
            .await;
            last.cancel();
            served
        };
        let inference = async {
            chatbot_inference::run(inference, inference_listener, &telemetry, last.clone())
                .await
                .map_err(|error| process::placed(error, |field| place(&options.file, field)))
        };
        tokio::select! {
            served = async { tokio::try_join!(hub, inference) } => served.map(|_| ()),
            () = announce(&settings, address, &telemetry, &shutdown) => Ok(()),
        }
    });
    match options.admin_port {
        None => work.await,
        Some(port) => {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let listener = process::listen_at(address, "--admin-port").await?;
            process::with_admin(listener, telemetry.clone(), work).await
        }
    }
}

fn settings(file: &Path, address: SocketAddr) -> Result<Settings> {
    let shown = resource::shown(file);
    let text = resource::read(file)?;
    let cluster = chatbot_crds::parse(&text).with_context(|| shown.clone())?;
    let settings = Settings::of(&cluster).with_context(|| shown.clone())?;
    if settings.run != RunStrategy::Always {
        bail!(
            "{shown}: spec.runStrategy: {:?} runs nothing here: set it to Always, or leave it out",
            settings.run
        );
    }
    if let Some(exposure) = &settings.exposure
        && exposure.tls.is_some()
        && !address.ip().is_loopback()
    {
        bail!(
            "{shown}: spec.exposure.tls asks for TLS, and its Secret is in a cluster: listen on 127.0.0.1, which nobody \
             else reaches, or leave it out"
        );
    }
    if settings.inference.engine.is_some() {
        bail!(
            "{shown}: spec.inference.engine is an image, and none can be run here: leave it out, and the built-in \
             server is used"
        );
    }
    if matches!(
        settings.conversation.system_prompt,
        Some(SystemPrompt::ConfigMap(_))
    ) {
        bail!(
            "{shown}: spec.conversation.systemPromptFrom names a ConfigMap, and there is none outside a cluster: \
             write the prompt itself in spec.conversation.systemPrompt"
        );
    }
    Ok(settings)
}

/// The model's file: the one named, since no source of the resource can be reached outside a cluster.
fn model(settings: &Settings, options: &Run) -> Result<String> {
    let ModelSource::PersistentVolumeClaim { claim_name, path } = &settings.inference.model;
    let Some(model) = &options.model else {
        bail!(
            "{}: spec.inference.model.source is `{path}` on the volume claim `{claim_name}`, and there are no volumes \
             outside a cluster: name the model's file with --model",
            resource::shown(&options.file)
        );
    };
    let named = model.to_str().with_context(|| {
        format!(
            "--model: `{}` is no UTF-8: rename the file",
            model.display()
        )
    })?;
    eprintln!(
        "one process: the model is {named} in place of `{path}` on the claim `{claim_name}`; replicas, resources and \
         nodes are for a cluster"
    );

    Ok(named.to_owned())
}

/// Whether who listens there has the port of 127.0.0.1, too.
fn is_here(address: SocketAddr) -> bool {
    address.ip() == IpAddr::from([127, 0, 0, 1]) || address.ip().is_unspecified()
}

/// A field as whoever wrote it knows it: the model is named by an option, the rest by the file.
fn place(file: &Path, field: Field) -> String {
    let name = match field {
        Field::Model => return "--model".to_owned(),
        Field::ContextTokens => process::CONTEXT_FIELD,
        Field::MaxConcurrentRequests => process::REQUESTS_FIELD,
    };
    format!("{}: {name}", resource::shown(file))
}

fn half_of_the_cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cpus / 2).unwrap_or(1).clamp(1, 16)
}

/// Says where to chat, once the model has answered; then that the end has begun. Never returns.
async fn announce(
    settings: &Settings,
    address: SocketAddr,
    telemetry: &Telemetry,
    shutdown: &CancellationToken,
) {
    let since = Instant::now();
    let ready = async {
        while telemetry.unready().is_some() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if shutdown.run_until_cancelled(ready).await.is_some() {
        eprintln!(
            "the model answered after {:.1} s",
            since.elapsed().as_secs_f64()
        );
        for channel in &settings.channels {
            match channel.platform {
                Platform::WebChat { .. } => {
                    println!("chat with it: http://{address}/channels/{}/", channel.name);
                }
            }
        }
        eprintln!("Ctrl-C ends it");
    }
    shutdown.cancelled().await;
    eprintln!("ending: answers under way are finished; Ctrl-C again ends at once");
    std::future::pending::<()>().await;
}
