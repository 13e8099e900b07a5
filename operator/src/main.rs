//! The operator: keeps every `ChatBotCluster` of a Kubernetes cluster as it is asked for.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use chatbot_operator::check::check;
use chatbot_operator::connect::connect;
use chatbot_operator::peer::Place;
use chatbot_operator::run::{Options, run};
use chatbot_plan::world::Release;
use chatbot_trace::forecast::Forecast;
use chatbot_trace::replay::Replay;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

const BROKER_IMAGE: &str = "docker.io/apache/kafka:4.3.0";
const STORE_IMAGE: &str = "docker.io/library/redis:7.2";

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
    /// Image of the broker that is run for development, for a resource without `messaging`. As Apache's, it has Java at
    /// /opt/java/openjdk and Kafka at /opt/kafka.
    #[arg(long, env = "CHATBOT_BROKER_IMAGE", default_value = BROKER_IMAGE)]
    broker_image: String,
    /// Image of the store that is run for development, for a resource without `state`. As the official one, it has
    /// /usr/local/bin/redis-server.
    #[arg(long, env = "CHATBOT_STORE_IMAGE", default_value = STORE_IMAGE)]
    store_image: String,
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
    /// Namespace of the Lease that tells which of several operators leads: the same for all that serve a cluster,
    /// wherever they are installed. Absent: kube-system.
    #[arg(long, env = "CHATBOT_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    #[command(flatten)]
    place: Place,
}

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
    /// Show what the planner would have done with a recorded load: a table and a picture. Needs no cluster.
    Replay(Replay),
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
    if let Some(Command::Replay(replay)) = &arguments.command {
        return replay.run();
    }
    let client = connect().await?;
    if let Some(Command::Check { operator }) = arguments.command {
        for found in check(&client, &operator).await? {
            println!("ok: {found}");
        }
        return Ok(());
    }
    let image = arguments.image.context("--image must be set")?;
    let release = Release {
        image,
        broker_image: arguments.broker_image,
        store_image: arguments.store_image,
        priority_class: arguments.priority_class.filter(|class| !class.is_empty()),
        pods: arguments.place.pods(),
    };
    let options = Options {
        release,
        metrics_address: arguments.metrics_address,
        concurrency: arguments.concurrency,
        relist: Duration::from_secs(arguments.relist_seconds),
        lease_namespace: arguments.lease_namespace,
    };
    run(client, options).await
}
