//! The cluster's network namespaces and control groups, made by `network.sh` and `cgroups.sh`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::{HUB, HUB_ADDRESS, Node};
use crate::command;
use crate::places::Places;

/// One cluster per machine: its namespaces have fixed names.
pub fn check_free(places: &Places) -> Result<()> {
    if Path::new("/run/netns").join(HUB).exists() && !places.state.exists() {
        bail!(
            "the network namespace {HUB} exists, but {} does not: a cluster with another state folder runs; \
             end it with `cargo e2e down` where it was started (same CHATBOT_E2E_CACHE or CHATBOT_E2E_STATE), \
             or `ip netns delete {HUB}` when nothing of it runs any more",
            places.state.display()
        );
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
