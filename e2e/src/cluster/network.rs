//! The cluster's network namespaces and control groups, made by `network.sh` and `cgroups.sh`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::{HUB, HUB_ADDRESS, MAX_NODES, Node};
use crate::command;
use crate::places::Places;
use crate::prerequisites::path_with_sbin;

/// Where the kernel's network namespaces have their names.
const NAMESPACES: &str = "/run/netns";

/// One cluster per machine: its namespaces have fixed names.
pub fn check_free(places: &Places) -> Result<()> {
    check_not_anothers(places)?;
    if Path::new(NAMESPACES).join(HUB).exists() && !places.is_ours() {
        bail!(
            "the network namespace {HUB} was left behind by a cluster that runs no more: remove it with \
             `cargo e2e down`"
        );
    }
    Ok(())
}

/// Fails when a cluster runs here whose state is in another folder.
pub fn check_not_anothers(places: &Places) -> Result<()> {
    if places.is_ours() {
        return Ok(());
    }
    let nodes = (1..=MAX_NODES).map(|number| Node::new(number).prefixed());
    for name in nodes.chain([HUB.to_owned()]) {
        if !Path::new(NAMESPACES).join(&name).exists() {
            continue;
        }
        let mut ip = Command::new("ip");
        ip.args(["netns", "pids", &name])
            .env("PATH", path_with_sbin());
        let running = command::output(&mut ip)?;
        if let Some(process) = running.lines().next() {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            bail!(
                "a cluster runs on this machine, and its state is not in {}: process {process} in the network \
                 namespace {name} is `{}`. Set CHATBOT_E2E_CACHE or CHATBOT_E2E_STATE as they were when it was started",
                places.state.display(),
                line.trim()
            );
        }
    }
    Ok(())
}

pub fn hub(places: &Places) -> Result<()> {
    script(
        places,
        "network.sh",
        &["hub", HUB, &HUB_ADDRESS.to_string()],
    )
}

pub fn node(places: &Places, node: Node) -> Result<()> {
    script(
        places,
        "network.sh",
        &[
            "node",
            HUB,
            &HUB_ADDRESS.to_string(),
            &node.prefixed(),
            &node.name(),
            &node.number().to_string(),
            &node.address().to_string(),
        ],
    )
}

pub fn make_cgroups(places: &Places, node: Node) -> Result<()> {
    script(places, "cgroups.sh", &["make", &node.prefixed()])
}

/// Takes a node's link up or down.
pub fn link(node: Node, state: &str) -> Result<()> {
    let mut ip = Command::new("ip");
    ip.args(["-n", &node.prefixed(), "link", "set", "eth0", state]);
    command::output(&mut ip).map(drop)
}

fn script(places: &Places, name: &str, arguments: &[&str]) -> Result<()> {
    let mut script = Command::new(places.cluster_source().join(name));
    script
        .args(arguments)
        .env("PATH", crate::prerequisites::path_with_sbin());
    command::output(&mut script).map(drop)
}
