//! `chatbot`: every process of the data plane, one subcommand each.
//!
//! Errors are one line on standard error and exit code 1; what a pod could not start for is in its termination
//! message, too.

mod backbone;
mod dead_letters;
mod delivery;
mod examine;
mod gateway;
mod hub;
mod inference;
mod parse;
mod process;
mod quantize;
mod receive;
mod resource;
mod run;
mod verify;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use chatbot_crds::config::{
    ADMIN_PORT, CHANNELS_DIRECTORY, CONFIG_FILE, HTTP_PORT, INFERENCE_PORT,
};
use chatbot_engine::LoadError;
use chatbot_telemetry::termination::termination;
use clap::{Args, Parser, Subcommand};

/// For work that cannot be interrupted, such as mapping a model, when the process ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Parser)]
#[command(name = "chatbot", version, about = "The data plane of ChatBotCluster")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::doc_markdown, reason = "these are help texts, not Markdown")]
enum Command {
    /// Serve a model over the OpenAI-compatible API
    Inference {
        #[command(flatten)]
        pod: Pod,
        /// Port of the API
        #[arg(long, default_value_t = INFERENCE_PORT)]
        port: u16,
    },
    /// Serve the channels: messages go to a broker, and answers come from it
    Gateway {
        #[command(flatten)]
        pod: Pod,
        #[command(flatten)]
        entrance: Entrance,
    },
    /// Answer the messages of a broker
    Worker {
        #[command(flatten)]
        pod: Pod,
    },
    /// Ask the inference server beside it until it has answered once, and be ready from then on
    Examine {
        #[command(flatten)]
        pod: Pod,
        /// Port of the server
        #[arg(long, default_value_t = INFERENCE_PORT)]
        port: u16,
    },
    /// List, show or replay what could not be delivered or answered
    DeadLetters(dead_letters::DeadLetters),
    /// Run a ChatBotCluster in one process, without a cluster
    Run(Run),
    /// Convert a model to 8 bits per weight (Q8_0)
    Quantize(Quantize),
    /// Write standard input to a file, whole or not at all
    Receive(Receive),
    /// Read one delivery of a chat platform, as the gateway does, and print what is in it as JSON
    #[command(after_help = parse::CODES)]
    Parse(parse::Parse),
    /// Say whether the signature of one delivery of a chat platform holds, as the gateway decides it, and why not
    #[command(after_help = verify::CODES)]
    Verify(verify::Verify),
}

/// Where a pod finds its configuration, and is asked about itself.
#[derive(Args)]
struct Pod {
    /// The configuration, YAML
    #[arg(long, default_value = CONFIG_FILE)]
    config: PathBuf,
    /// Port of /livez, /readyz, /metrics and /state
    #[arg(long, default_value_t = ADMIN_PORT)]
    admin_port: u16,
}

/// Where users and platforms come in.
#[derive(Args)]
struct Entrance {
    /// Port of users' and platforms' traffic
    #[arg(long, default_value_t = HTTP_PORT)]
    port: u16,
    /// The folder of the channels' Secrets: one folder for each channel, one file for each key
    #[arg(long, default_value = CHANNELS_DIRECTORY)]
    channels: PathBuf,
}

#[derive(Args)]
struct Run {
    /// The resource, YAML; `-` is standard input
    #[arg(short, long)]
    file: PathBuf,
    /// A model's file (GGUF), in place of the resource's model source
    #[arg(long)]
    model: Option<PathBuf>,
    /// The folder of the channels' Secrets: one folder for each channel, one file for each key
    #[arg(long, default_value = CHANNELS_DIRECTORY)]
    channels: PathBuf,
    /// Where to listen
    #[arg(long, default_value_t = SocketAddr::from(([127, 0, 0, 1], HTTP_PORT)), value_parser = address)]
    address: SocketAddr,
    /// Threads of the inference engine; absent: half of the CPUs
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(process::MOST_THREADS)))]
    threads: Option<u32>,
    /// Serve /livez, /readyz, /metrics and /state on this port of 127.0.0.1
    #[arg(long)]
    admin_port: Option<u16>,
}

#[derive(Args)]
struct Quantize {
    /// The model to convert, GGUF
    #[arg(long)]
    from: PathBuf,
    /// The file to write
    #[arg(long)]
    to: PathBuf,
    /// The format of the weights
    #[arg(long, default_value = "q8_0", ignore_case = true)]
    format: quantize::Format,
}

#[derive(Args)]
struct Receive {
    /// The file to write
    #[arg(long)]
    to: PathBuf,
    /// What the file must be
    #[arg(long)]
    sha256: String,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080")
}

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let message = one_line(&error);
            eprintln!("error: {message}");
            let reason = error
                .downcast_ref::<LoadError>()
                .map_or("Error", chatbot_inference::reason);
            termination(reason, &message);
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<ExitCode> {
    match command {
        Command::Quantize(Quantize { from, to, format }) => {
            quantize::quantize(&from, &to, format)?;
        }
        Command::Receive(Receive { to, sha256 }) => {
            receive::receive(std::io::stdin().lock(), &to, &sha256)?;
        }
        Command::Parse(options) => return parse::parse(&options),
        Command::Verify(options) => return verify::verify(&options),
        command => serve(command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what goes on until it is told to end.
fn serve(command: Command) -> Result<()> {
    let runtime =
        tokio::runtime::Runtime::new().context("failed to start the asynchronous runtime")?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Inference { pod, port } => {
                inference::inference(&pod.config, port, pod.admin_port).await
            }
            Command::Gateway { pod, entrance } => {
                gateway::gateway(&pod.config, entrance, pod.admin_port).await
            }
            Command::Worker { pod } => worker::worker(&pod.config, pod.admin_port).await,
            Command::Examine { pod, port } => {
                examine::examine(&pod.config, port, pod.admin_port).await
            }
            Command::Run(options) => run::run(options).await,
            Command::DeadLetters(options) => dead_letters::dead_letters(options).await,
            _ => Ok(()),
        }
    });
    runtime.shutdown_timeout(LAST_WORDS);
    outcome
}

/// The error and what led to it, without what is said twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.contains(&cause) {
            continue;
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&cause);
    }
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_says_nothing_twice() {
        let error = anyhow::anyhow!("no such\nfile")
            .context("failed to read x: no such\nfile")
            .context("step 2");
        assert_eq!(one_line(&error), "step 2: failed to read x: no such file");
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
