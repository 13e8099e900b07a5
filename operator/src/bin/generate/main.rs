//! Writes what follows from the code: the resource's definition, the chart's copies, the operator's permissions and the
//! reference. `cargo generate` writes them, `cargo generate --check` says whether they are fresh.

mod definition;
mod reference;
mod roles;

use std::path::{Path, PathBuf};
use std::{fs, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;

/// Writes what follows from the code.
#[derive(Parser)]
#[command(name = "cargo generate")]
struct Arguments {
    /// Write nothing; fail when a file is not as it would be written.
    #[arg(long)]
    check: bool,
}

/// A file and what belongs in it.
struct Generated {
    path: &'static str,
    content: String,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = repository();
    let mut stale = Vec::new();
    for file in files()? {
        let path = root.join(file.path);
        if fs::read_to_string(&path).is_ok_and(|content| content == file.content) {
            continue;
        }
        if arguments.check {
            stale.push(file.path);
        } else {
            write(&path, &file.content)?;
            println!("wrote {}", file.path);
        }
    }
    if stale.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "not as the code says: {}; run `cargo generate`",
        stale.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

fn files() -> Result<Vec<Generated>> {
    let definition = definition::render()?;
    Ok(vec![
        Generated {
            path: "charts/chatbot-operator/files/chatbotclusters.yaml",
            content: definition::kept(&definition),
        },
        Generated {
            path: "charts/chatbot-operator/files/operator-rules.yaml",
            content: roles::rules()?,
        },
        Generated {
            path: "charts/chatbot-operator/files/operator-namespace-rules.yaml",
            content: roles::namespace_rules()?,
        },
        Generated {
            path: "crds/chatbotclusters.yaml",
            content: definition,
        },
        Generated {
            path: "operator/REFERENCE.md",
            content: reference::render(),
        },
    ])
}

fn write(path: &Path, content: &str) -> Result<()> {
    let failed = || format!("failed to write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    fs::write(path, content).with_context(failed)
}

/// The repository: the folder above this crate. Cargo says where that is now: a clone may have been moved since.
fn repository() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_as_the_code_says() {
        for file in files().unwrap() {
            let committed = fs::read_to_string(repository().join(file.path)).unwrap_or_default();
            assert!(
                committed == file.content,
                "{} is stale: run `cargo generate`",
                file.path
            );
        }
    }
}
