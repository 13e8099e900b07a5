//! The cluster's own programs, built from source with Go and kept in the cache under the hash of what went in.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::places::Places;

const LAST_BUILT: &str = "metrics-server";

/// The folder for exactly these sources and this version of Go.
pub fn folder(places: &Places) -> Result<PathBuf> {
    let source = places.cluster_source().join("go");
    let go = command::output(
        Command::new("go")
            .args(["env", "GOVERSION"])
            .current_dir(source.join("kubernetes")),
    )?;
    let mut sum = Command::new("sha256sum");
    sum.current_dir(&source).args([
        "build",
        "kubernetes/go.sum",
        "kubernetes/coredns/main.go",
        "metrics-server/go.sum",
    ]);
    let sums = command::output(&mut sum)? + &go;
    let key = command::output_of_input(&mut Command::new("sha256sum"), &sums)?;
    Ok(places
        .cache
        .join("programs")
        .join(&key[..key.len().min(16)]))
}

/// Whether they are all there.
#[must_use]
pub fn is_built(places: &Places) -> bool {
    folder(places).is_ok_and(|folder| folder.join(LAST_BUILT).exists())
}

/// Builds what is not there, and gives the folder.
pub fn build(places: &Places, each: impl Fn(&str) + Sync) -> Result<PathBuf> {
    let folder = folder(places)?;
    if folder.join(LAST_BUILT).exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    let mut build = Command::new(places.cluster_source().join("go/build"));
    build.arg(&folder);
    command::watched(&mut build, each).context(
        "failed to build Kubernetes with Go: the lines above say which program; what is built is kept, so running \
         this again goes on from there",
    )?;
    remove_older(&folder);
    Ok(folder)
}

/// Half a gigabyte each: only the newest is kept. Failing to remove is no reason to fail.
fn remove_older(folder: &std::path::Path) {
    let siblings = folder.parent().and_then(|parent| fs::read_dir(parent).ok());
    for entry in siblings.into_iter().flatten().flatten() {
        if entry.path() != folder {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
