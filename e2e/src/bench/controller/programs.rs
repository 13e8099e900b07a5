//! kwok, and the peer, built with Go and kept in the cache under the hash of what went in.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::places::Places;

/// What KWOK does to a node and to a pod: files of its own module.
const STAGES: [&str; 4] = [
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-delete.yaml",
];

/// Builds what is not there, and gives the folder: `kwok`, `stages.yaml` and `informers`.
pub fn build(places: &Places, each: impl Fn(&str) + Sync) -> Result<PathBuf> {
    let module = places.cluster_source().join("go/bench");
    let go = |arguments: &[&str]| {
        let mut go = Command::new("go");
        go.current_dir(&module).args(arguments);
        go.envs([
            ("CGO_ENABLED", "0"),
            ("GOWORK", "off"),
            ("GOFLAGS", "-buildvcs=false"),
        ]);
        go
    };
    let mut sums = Command::new("sha256sum");
    sums.current_dir(&module)
        .args(["go.sum", "informers/main.go"]);
    let inputs = command::output(&mut sums)? + &command::output(&mut go(&["env", "GOVERSION"]))?;
    let key = command::output_of_input(&mut Command::new("sha256sum"), &inputs)?;
    let folder = places.cache.join("bench").join(&key[..key.len().min(16)]);
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    for (name, package) in [
        ("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        ("informers", "./informers"),
    ] {
        let path = folder.join(name);
        if path.exists() {
            continue;
        }
        each(&format!("go build {name} (minutes the first time)"));
        let partial = folder.join(format!(".{name}"));
        let mut build = go(&["build", "-trimpath", "-ldflags=-s -w", "-o"]);
        build.arg(&partial).arg(package);
        command::watched(&mut build, &each).with_context(|| format!("failed to build {name}"))?;
        fs::rename(&partial, &path)
            .with_context(|| format!("failed to rename to {}", path.display()))?;
    }
    let stages = folder.join("stages.yaml");
    if !stages.exists() {
        let source = command::output(&mut go(&[
            "list",
            "-m",
            "-f",
            "{{.Dir}}",
            "sigs.k8s.io/kwok",
        ]))?;
        let source = PathBuf::from(source.trim()).join("kustomize/stage");
        let texts: Vec<String> = STAGES
            .iter()
            .map(|stage| fs::read_to_string(source.join(stage)))
            .collect::<Result<_, _>>()
            .context("failed to read KWOK's stages")?;
        fs::write(&stages, texts.join("\n---\n"))
            .with_context(|| format!("failed to write {}", stages.display()))?;
    }
    Ok(folder)
}
