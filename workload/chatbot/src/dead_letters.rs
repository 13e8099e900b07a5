//! `chatbot dead-letters`: what could not be delivered or answered, and how it is tried once more.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chatbot_crds::config::{self, CONFIG_FILE};
use chatbot_queue::dead_letter::{self, Content, DeadLetter};
use chatbot_queue::{Log, Topic};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{backbone, process};

/// Looks at dead letters, or replays some.
#[derive(Args)]
pub struct DeadLetters {
    #[command(subcommand)]
    command: Command,
    /// The configuration of a gateway or a worker, YAML: it says where the broker is
    #[arg(long, default_value = CONFIG_FILE, global = true)]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Print one line of JSON for each letter, those of a partition in their order
    List {
        /// Of this channel only
        #[arg(long)]
        channel: Option<String>,
    },
    /// Print a letter whole, as JSON: what was asked and answered is in it
    Show {
        /// Its id, as `list` prints it
        id: Uuid,
    },
    /// Ask the questions of letters once more: they are answered anew, and the answers are delivered
    ///
    /// Replaying a letter twice asks once. The letter stays.
    Replay {
        /// Their ids, as `list` prints them
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
}

/// What is of interest of either configuration.
#[derive(Deserialize)]
struct Configuration {
    backbone: config::Backbone,
}

/// Does what is asked, on the broker that the configuration names.
pub async fn dead_letters(options: DeadLetters) -> Result<()> {
    let log = connect(&options.config).await?;
    let log: &dyn Log = &log;
    match options.command {
        Command::List { channel } => {
            for letter in letters(log).await? {
                if channel.as_ref().is_none_or(|name| *name == letter.channel) {
                    println!("{}", line(&letter));
                }
            }
        }
        Command::Show { id } => {
            let letter = found(&letters(log).await?, id)?;
            println!("{}", serde_json::to_string_pretty(&letter)?);
        }
        Command::Replay { ids } => {
            let all = letters(log).await?;
            // All of them are looked for before any is replayed.
            let wanted: Result<Vec<_>> = ids.iter().map(|id| found(&all, *id)).collect();
            for letter in wanted? {
                let failed = || format!("failed to replay the letter {}", letter.id);
                let replay = letter.replay(log.partitions()).with_context(failed)?;
                log.append(Topic::Inbound, replay.partition, replay.value)
                    .await
                    .with_context(failed)?;
                println!(
                    "{}",
                    json!({ "replayed": letter.id, "message": replay.message })
                );
            }
        }
    }
    Ok(())
}

async fn connect(file: &Path) -> Result<chatbot_queue::kafka::KafkaLog> {
    let Configuration { backbone } = process::configuration(file)?;
    backbone::broker(&backbone.kafka).await
}

async fn letters(log: &dyn Log) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for partition in 0..log.partitions() {
        let of_partition = dead_letter::read(log, partition).await;
        letters.extend(of_partition.context("failed to read the dead letters")?);
    }
    Ok(letters)
}

fn found(letters: &[DeadLetter], id: Uuid) -> Result<DeadLetter> {
    match letters.iter().find(|letter| letter.id == id) {
        Some(letter) => Ok(letter.clone()),
        None => {
            bail!("{id}: there is no such dead letter (any more): see `chatbot dead-letters list`")
        }
    }
}

/// A letter without what people said.
fn line(letter: &DeadLetter) -> Value {
    let kind = match letter.content {
        Content::Undelivered { .. } => "undelivered",
        Content::Unanswered { .. } => "unanswered",
        Content::Unreadable { .. } => "unreadable",
    };
    let at = Timestamp::from_millisecond(letter.at).map(|at| at.to_string());
    json!({
        "id": letter.id,
        "at": at.unwrap_or_default(),
        "channel": letter.channel,
        "user": letter.account().map(|account| &account.user),
        "kind": kind,
        "message": letter.message_id(),
        "reason": letter.reason,
    })
}
