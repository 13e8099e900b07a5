//! `cargo chat`: the whole service in one process, without a cluster and without root.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cluster::free_address;
use crate::command;
use crate::model;
use crate::places::Places;
use crate::process;
use crate::rust_build::{Build, Toolchain};
use crate::steps::{Step, Steps};

/// The port wanted for the chat in one process.
pub const PORT: u16 = 8080;
const NAME: &str = "chat";

/// Builds what is missing and runs the chat in the foreground.
pub fn run(places: &Places, port: u16) -> Result<()> {
    let chatbot = Build::Plain.freshness(places, "chatbot");
    let ready = model::is_ready(places);
    let plan = [
        Step::new(
            "model",
            if ready { 0.0 } else { 0.5 },
            "fetch a small language model (93 MB)",
        ),
        Step::new(
            "chatbot",
            chatbot.minutes(1.5, 5.0),
            format!(
                "build the service and its inference engine{}",
                chatbot.note()
            ),
        ),
        Step::new(
            "convert",
            if ready { 0.0 } else { 0.1 },
            "convert the model to 8 bits",
        ),
        Step::new("chat", 0.1, "start the chat in one process"),
    ];
    let total = plan.iter().map(|step| step.minutes).sum();
    let steps = Steps::begin(
        "cargo chat: the chat service in one process, no cluster, no root",
        &plan,
        total,
    );
    let published = steps.run("model", || model::fetch(places, &steps))?;
    let chatbot = steps.run("chatbot", || {
        Toolchain::prepare(places, &steps)?.build(places, &steps, "chatbot", "chatbot")
    })?;
    let model = steps.run("convert", || {
        model::convert(places, &steps, &chatbot, &published)
    })?;
    let address = free_address(port)?;
    if address.port() != port {
        steps.say(
            "chat",
            &format!("port {port} is taken, using {}", address.port()),
        );
    }
    eprintln!("{}", steps.table());
    eprintln!();
    let error = command(places, &chatbot, &model, address).exec();
    Err(error).context("failed to start the chat")
}

/// Starts it in the background, and gives the page's address once the model has answered. It runs until `down`.
pub fn start(places: &Places, chatbot: &Path, model: &Path) -> Result<String> {
    if process::running(places, NAME).is_none() {
        // What an earlier one said is not true of this one.
        let _ = fs::remove_file(process::log(places, NAME));
        let address = free_address(PORT)?;
        process::start(places, NAME, &command(places, chatbot, model, address))?;
    }
    let mut page = None;
    let limit = Duration::from_mins(2);
    command::wait_until("the chat in one process ready", limit, || {
        if process::running(places, NAME).is_none() {
            bail!("it ended: {}", process::last_words(places, NAME));
        }
        let said = fs::read_to_string(process::log(places, NAME)).unwrap_or_default();
        page = said.lines().find_map(page_address);
        Ok(page.is_some())
    })?;
    page.context("failed to find the chat's address")
}

/// The line with which it says that it is ready.
fn page_address(line: &str) -> Option<String> {
    Some(line.strip_prefix("chat with it: ")?.to_owned())
}

fn command(places: &Places, chatbot: &Path, model: &Path, address: SocketAddr) -> Command {
    let sample: PathBuf = places.samples().join("chat.yaml");
    let mut command = Command::new(chatbot);
    command.arg("run").arg("-f").arg(sample);
    command.arg("--model").arg(model);
    command.arg("--address").arg(address.to_string());
    command
}
