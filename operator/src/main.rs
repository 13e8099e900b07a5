//! The operator: keeps every `ChatBotCluster` of a Kubernetes cluster as it is asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chatbot_operator::check::check;
use chatbot_operator::connect::connect;
use chatbot_operator::context::Context;
use chatbot_operator::controller::{on_error, reconcile};
use chatbot_operator::events::Events;
use chatbot_operator::gate::{Budget, Gate};
use chatbot_operator::lease::{self, Candidate};
use chatbot_operator::peer::Place;
use chatbot_operator::serve::{Metrics, Told, serve};
use chatbot_operator::state::Reports;
use chatbot_operator::term::Term;
use chatbot_operator::watch;
use chatbot_plan::world::Release;
use chatbot_trace::forecast::Forecast;
use clap::{Parser, Subcommand};
use futures::Stream;
use kube::runtime::controller::Config;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Keeps every `ChatBotCluster` of a Kubernetes cluster as it is asked for.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Image of the pods of a resource that names none.
    #[arg(long, env = "CHATBOT_IMAGE", required = true)]
    image: Option<String>,
    /// `PriorityClass` of the pods of a resource that names none. Absent: the cluster's default.
    #[arg(long, env = "CHATBOT_PRIORITY_CLASS")]
    priority_class: Option<String>,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, default_value = "0.0.0.0:8080")]
    metrics_address: SocketAddr,
    /// What is logged, such as `info` or `chatbot_operator=debug,info`.
    #[arg(long, env = "CHATBOT_LOG", default_value = "info")]
    log: String,
    /// Resources worked on at the same time.
    #[arg(long, default_value_t = 8)]
    concurrency: u16,
    /// Seconds after which everything is listed anew, whatever the watches have told.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    relist_seconds: u64,
    /// Namespace of the Lease that tells which of several operators leads. Absent: this one's own; out of a cluster,
    /// that of the kubeconfig's context.
    #[arg(long)]
    lease_namespace: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// How long a write that is under way is waited for at the end.
const LAST_WRITE: Duration = Duration::from_secs(10);

#[derive(Subcommand)]
enum Command {
    /// Say whether an installation works: the definition, a dry run of a resource, the operator.
    Check {
        /// Where the operator tells about itself, such as `http://chatbot-operator-metrics:8080`.
        #[arg(long)]
        operator: String,
    },
    /// Show how well a recorded load would have been forecast: a table and a picture. Needs no cluster.
    Forecast(Forecast),
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
    if let Some(Command::Forecast(forecast)) = &arguments.command {
        return forecast.run();
    }
    let client = connect().await?;
    if let Some(Command::Check { operator }) = arguments.command {
        for found in check(&client, &operator).await? {
            println!("ok: {found}");
        }
        return Ok(());
    }
    let image = arguments.image.context("--image must be set")?;
    let (controller, caches) =
        watch::controller(&client, Duration::from_secs(arguments.relist_seconds));
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let told = Told::new(registry);
    let (term, identity) = (Term::default(), lease::identity());
    let gate = Gate::new(term.clone(), Budget::default());
    let namespace = arguments.lease_namespace.as_deref();
    let namespace = namespace.unwrap_or(client.default_namespace());
    let candidate = Candidate::new(client.clone(), namespace, identity.clone(), term);
    let context = Arc::new(Context::new(
        client.clone(),
        gate.clone(),
        caches.clone(),
        Reports::new().context("failed to prepare asking pods for their state")?,
        Release {
            image,
            priority_class: arguments.priority_class.filter(|class| !class.is_empty()),
            pods: arguments.place.pods(),
        },
        Events::new(identity),
        metrics,
    ));
    let (leads, led) = tokio::sync::watch::channel(false);
    let end = CancellationToken::new();
    let election = tokio::spawn(candidate.run(leads, end.clone()));
    let work = controller
        .with_config(Config::default().concurrency(arguments.concurrency))
        .reconcile_all_on(terms(led, context.clone()))
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
    let outcome = tokio::select! {
        () = watch::drain(work) => Ok(()),
        served = serve(arguments.metrics_address, told) => served,
        stopped = stopped(&gate) => stopped,
        () = readiness => Ok(()),
    };
    // Given back as the very last, when nothing of this operator is under way any more.
    end.cancel();
    election.await.context("failed to give the lease back")?;
    tracing::info!("ended");
    outcome
}

/// Each beginning of a term. What was remembered from before is forgotten: another operator may have led meanwhile.
fn terms(led: tokio::sync::watch::Receiver<bool>, context: Arc<Context>) -> impl Stream<Item = ()> {
    futures::stream::unfold((led, context), |(mut led, context)| async move {
        loop {
            led.changed().await.ok()?;
            let leads = *led.borrow_and_update();
            context.metrics.lead(leads);
            if leads {
                context.clear_all();
                return Some(((), (led, context)));
            }
        }
    })
}

/// Waits until the process is told to end, and then for the writes under way.
async fn stopped(gate: &Gate) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen to signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen to signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to end");
    if tokio::time::timeout(LAST_WRITE, gate.close())
        .await
        .is_err()
    {
        tracing::warn!("a write is still without an answer");
    }
    Ok(())
}
