//! `cargo e2e` and `cargo chat`: a real cluster on this machine to see the service in, and the service without one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chatbot_e2e::cluster::MAX_NODES;
use chatbot_e2e::forward::Forward;
use chatbot_e2e::places::Places;
use chatbot_e2e::steps::Steps;
use chatbot_e2e::{bench, chat, down, elsewhere, images, lock, prerequisites, release, test, up};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo e2e",
    about = "A real Kubernetes cluster on this machine, with the chat service on it"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the cluster, install the operator, apply the sample and ask one question (as root)
    Up {
        /// How many nodes
        #[arg(long, default_value_t = 3, conflicts_with = "kubeconfig", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_NODES)))]
        nodes: u8,
        /// Only the cluster: no operator, no chat
        #[arg(long, conflicts_with = "kubeconfig")]
        bare: bool,
        #[command(flatten)]
        elsewhere: elsewhere::Options,
        #[command(flatten)]
        sources: elsewhere::Sources,
    },
    /// Pack the operator's and the service's image as archives, for clusters elsewhere
    Images {
        /// The folder of the archives; absent: one in the cache
        #[arg(long)]
        output: Option<PathBuf>,
        /// The registry, and the path in it, that they are to be pushed to
        #[arg(long, default_value = images::LOCAL)]
        repository: String,
        /// What is in them as folders instead, for e2e/images/Containerfile
        #[arg(long, hide = true)]
        unpacked: bool,
    },
    /// Run every test, those that need no cluster first (as root)
    Test {
        /// Only the scenarios on the cluster whose function has this in its name
        name: Option<String>,
        /// Also the long scenarios
        #[arg(long)]
        all: bool,
    },
    /// Measure, print a table with the peers beside ours, and one JSON object as the last line; no NAME lists them
    Bench {
        /// Which benchmark
        name: Option<String>,
        /// Less of everything: it shows that the benchmark works, its figures are rough
        #[arg(long)]
        quick: bool,
        /// Whatever is drawn by chance is drawn from this
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Given on to the benchmark, such as --trace FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        more: Vec<String>,
    },
    /// End the cluster and leave nothing of it; with --kubeconfig, remove what `up --kubeconfig` made
    Down {
        #[command(flatten)]
        elsewhere: elsewhere::Options,
    },
    /// Run the chat in one process: no cluster, no root (`cargo chat`)
    Chat {
        /// The port of 127.0.0.1 for the browser
        #[arg(long, default_value_t = chat::PORT)]
        port: u16,
    },
    /// The part of a benchmark that runs in a network namespace of its own (started by `bench controller`)
    #[command(hide = true)]
    BenchController(bench::controller::Inside),
    /// Accept connections here and make them from inside network namespaces (started by `up`)
    #[command(hide = true)]
    Forward {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        to: SocketAddr,
        #[arg(long = "through", required = true)]
        namespaces: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let places = Places::find()?;
    // Before anything is built: the path is another file's afterwards.
    let this_program =
        std::env::current_exe().context("failed to find the path of this program")?;
    match command {
        Command::Up {
            elsewhere, sources, ..
        } if elsewhere.is_given() => {
            println!("{}", elsewhere::up(&places, &elsewhere, &sources)?);
        }
        Command::Up { nodes, bare, .. } => {
            prerequisites::check_machine(&places)?;
            let _lock = lock::take(&places)?;
            let purpose = if bare {
                up::Purpose::Bare
            } else {
                up::Purpose::Try
            };
            let wish = up::Wish { nodes, purpose };
            let plan = up::plan(&places, wish);
            let title = format!("cargo e2e up: a cluster of {nodes} nodes on this machine");
            let steps = Steps::begin(&title, &plan, up::total(&plan));
            println!("{}", up::up_and_show(&places, wish, &steps, &this_program)?);
        }
        Command::Test { name, all } => {
            prerequisites::check_machine(&places)?;
            let _lock = lock::take(&places)?;
            return test::run(&places, name.as_deref(), all, &this_program);
        }
        Command::Bench {
            name,
            quick,
            seed,
            more,
        } => match name {
            None => println!("{}", bench::list()),
            Some(name) => {
                return bench::run(&places, &name, &bench::Wish::new(quick, seed, more));
            }
        },
        Command::BenchController(inside) => return bench::controller::inside(&inside),
        Command::Images {
            output,
            repository,
            unpacked,
        } => {
            let output = output.unwrap_or_else(|| release::default_folder(&places));
            println!("{}", release::run(&places, &repository, &output, unpacked)?);
        }
        Command::Down { elsewhere } if elsewhere.is_given() => {
            elsewhere::down(&places, &elsewhere)?;
        }
        Command::Down { .. } => {
            down::check_user(&places)?;
            let _lock = lock::take(&places)?;
            down::down(&places, |line| eprintln!("{line}"))?;
            eprintln!("nothing of the cluster is left");
        }
        Command::Chat { port } => chat::run(&places, port)?,
        Command::Forward {
            listen,
            to,
            namespaces,
        } => Forward::open(listen, namespaces, to)?.run(),
    }
    Ok(ExitCode::SUCCESS)
}
