//! The operator: keeps every `ChatBotCluster` of a Kubernetes cluster as it is asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use chatbot_operator::context::Context;
use chatbot_operator::controller::{on_error, reconcile};
use chatbot_operator::serve::{Metrics, Told, serve};
use chatbot_operator::state::Reports;
use chatbot_operator::watch;
use chatbot_plan::names::FIELD_MANAGER;
use chatbot_plan::world::Release;
use clap::Parser;
use kube::runtime::controller::Config;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config as ClientConfig};
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

/// Keeps every `ChatBotCluster` of a Kubernetes cluster as it is asked for.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Image of the pods of a resource that names none.
    #[arg(long, env = "CHATBOT_IMAGE")]
    image: String,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, default_value = "0.0.0.0:8080")]
    metrics_address: SocketAddr,
    /// What is logged, such as `info` or `chatbot_operator=debug,info`.
    #[arg(long, env = "CHATBOT_LOG", default_value = "info")]
    log: String,
    /// Resources worked on at the same time.
    #[arg(long, default_value_t = 8)]
    concurrency: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_new(&arguments.log).with_context(|| {
        format!(
            "failed to read --log {:?}: give a level such as info",
            arguments.log
        )
    })?;
    tracing_subscriber::fmt()
        .json()
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
    let client = connect().await?;
    let (controller, caches) = watch::controller(&client);
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let told = Told::new(registry);
    let context = Arc::new(Context::new(
        client.clone(),
        caches.clone(),
        Reports::new().context("failed to prepare asking pods for their state")?,
        Release {
            image: arguments.image,
        },
        Recorder::new(client, Reporter::from(FIELD_MANAGER)),
        metrics,
    ));
    let work = controller
        .with_config(Config::default().concurrency(arguments.concurrency))
        .shutdown_on_signal()
        .run(reconcile, on_error, context);
    let work = std::pin::pin!(work);
    let readiness = {
        let told = told.clone();
        async move {
            if caches.wait().await.is_ok() {
                told.set_ready();
                tracing::info!("the caches are filled");
            }
            std::future::pending::<()>().await;
        }
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");
    tokio::select! {
        () = watch::drain(work) => tracing::info!("ended"),
        served = serve(arguments.metrics_address, told) => served?,
        () = readiness => {}
    }
    Ok(())
}

async fn connect() -> anyhow::Result<Client> {
    let mut config = ClientConfig::infer()
        .await
        .context("failed to find a cluster: run in a pod, or set KUBECONFIG")?;
    // A pass that fails is repeated as a whole, on a fresh view of the world: not one request of it for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(std::time::Duration::from_secs(5));
    Client::try_from(config).context("failed to prepare a client for the cluster")
}
