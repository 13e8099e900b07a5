//! Checks of what the project is made of, beside its tests: dependencies and the chart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::command;
use crate::go_build;
use crate::places::Places;
use crate::prerequisites::on_path;

const CARGO_DENY: &str = "0.20.2";

/// Where cargo-deny keeps the known faults of crates, in cargo's own folder.
const ADVISORIES: &str = "advisory-dbs";

/// Licences, sources and unwanted crates of every dependency, as `.cargo/deny.toml` says; and known faults of them, where
/// somebody has fetched the list: nothing is fetched here. Tells what was not checked.
pub fn dependencies(places: &Places, each: impl Fn(&str) + Sync) -> Result<Option<&'static str>> {
    let program = cargo_deny(places, each)?;
    let deny = |options: &[&str], checks: &[&str]| {
        let mut deny = Command::new(&program);
        deny.current_dir(&places.repository)
            .args(["--log-level", "error"])
            .args(options)
            .arg("check")
            .args(checks);
        command::output(&mut deny).map(drop)
    };
    deny(&[], &["bans", "licenses", "sources"])?;
    let is_known = cargo_home().is_some_and(|home| is_filled(&home.join(ADVISORIES)));
    if is_known {
        deny(&["--offline"], &["advisories"])?;
    }
    Ok((!is_known).then_some(
        "known faults of dependencies are not checked: `cargo deny fetch db` fetches the list of them",
    ))
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

fn is_filled(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// cargo-deny, from PATH or built once and kept in the cache.
fn cargo_deny(places: &Places, each: impl Fn(&str) + Sync) -> Result<PathBuf> {
    if on_path("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let folder = places.cache.join("tools");
    let program = folder.join("bin/cargo-deny");
    if program.exists() {
        return Ok(program);
    }
    let target = folder.join("target");
    let mut install = Command::new("cargo");
    install
        .args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked"])
        .arg("--root")
        .arg(&folder)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    command::watched(&mut install, each).context("failed to build cargo-deny")?;
    fs::remove_dir_all(&target)
        .with_context(|| format!("failed to remove {}", target.display()))?;
    Ok(program)
}

/// The chart, as Helm sees it, with a warning taken as an error.
pub fn chart(places: &Places) -> Result<()> {
    let mut helm = Command::new(go_build::folder(places)?.join("helm"));
    helm.args(["lint", "--strict"])
        .arg(places.repository.join("charts/chatbot-operator"))
        .args(["--set", "image.operator.repository=example.com/operator"])
        .args(["--set", "image.chatbot.repository=example.com/chatbot"]);
    command::output(&mut helm).map(drop)
}
