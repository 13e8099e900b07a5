//! Ends the cluster and leaves nothing of it: no process, mount, namespace, route, rule, control group or file.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cluster::{Cluster, HUB, MAX_NODES, Node, network};
use crate::command;
use crate::places::Places;
use crate::process;

/// Fails when something is there that this user cannot end. To be asked before anything is written.
pub fn check_user(places: &Places) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for_root(&left(places))
}

fn for_root(left: &[String]) -> Result<()> {
    let Some(first) = left.first() else {
        return Ok(()); // there is nothing to be done
    };
    bail!(
        "only root can end the cluster, since root has started it: run `cargo e2e down` as root ({first}{} there)",
        match left.len() {
            1 => " is".to_owned(),
            all => format!(" and {} more are", all - 1),
        }
    )
}

/// Ends everything that `up` or `test` started. Running it twice does no harm.
pub fn down(places: &Places, say: impl Fn(&str)) -> Result<()> {
    check_user(places)?;
    places.check_state()?;
    network::check_not_anothers(places)?;
    let cluster = Cluster::new(places.clone());
    for node in cluster.nodes() {
        say(&format!("ending {}", node.name()));
        cluster.kill_node(node.number())?;
    }
    // The control plane after what depends on it, etcd last.
    let mut names = process::names(places);
    names.sort_by_key(|name| (name == "etcd", name == "kube-apiserver"));
    for name in names {
        say(&format!("ending {name}"));
        process::stop(places, &name)?;
    }
    for node in (1..=MAX_NODES).map(Node::new) {
        remove_cgroups(places, node)?;
        remove_network(&node.prefixed())?;
    }
    remove_network(HUB)?;
    if places.is_ours() {
        fs::remove_dir_all(&places.state)
            .with_context(|| format!("failed to remove {}", places.state.display()))?;
    }
    let left = left(places);
    if !left.is_empty() {
        bail!(
            "the cluster was ended, but this is left of it: {}",
            left.join(", ")
        );
    }
    Ok(())
}

/// Everything of a cluster that is on this machine now.
#[must_use]
pub fn left(places: &Places) -> Vec<String> {
    let mut left = Vec::new();
    for name in process::names(places) {
        if process::running(places, &name).is_some() {
            left.push(format!("process {name}"));
        }
    }
    if places.is_ours() {
        left.push(format!("files in {}", places.state.display()));
    }
    let state = places.state.to_string_lossy().into_owned();
    for line in fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
    {
        if line.contains(&state) {
            left.push(format!("mount {line}"));
        }
    }
    for folder in ["/run/netns", "/var/run/netns"] {
        left.extend(
            named_for_us(Path::new(folder)).map(|name| format!("network namespace {name}")),
        );
    }
    let hierarchies = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    for hierarchy in hierarchies.filter(|entry| !entry.path().is_symlink()) {
        left.extend(named_for_us(&hierarchy.path()).map(|name| format!("control group {name}")));
    }
    left.extend(
        named_for_us(Path::new("/sys/fs/cgroup")).map(|name| format!("control group {name}")),
    );
    left.extend(processes_of(&state));
    left.sort();
    left.dedup();
    left
}

/// Processes whose command line names a file of the cluster's state, such as a container's shim.
fn processes_of(state: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let program = line.split(' ').next().unwrap_or_default();
        if program.starts_with(state) || (line.contains(state) && line.contains("/node.sh ")) {
            found.push(format!("process {number} ({})", line.trim()));
        }
    }
    found
}

fn named_for_us(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name == HUB || name.starts_with("chatbot-node"))
}

/// Containers end with their node, but the kernel may take a moment to empty their groups.
fn remove_cgroups(places: &Places, node: Node) -> Result<()> {
    let what = format!("the control groups of {} removed", node.name());
    command::wait_until(&what, Duration::from_secs(30), || {
        let mut script = Command::new(places.cluster_source().join("cgroups.sh"));
        script.args(["remove", &node.prefixed()]);
        command::output(&mut script).map(|_| true)
    })
}

/// A namespace takes its links, addresses, routes and rules with it.
fn remove_network(name: &str) -> Result<()> {
    if !Path::new("/run/netns").join(name).exists() {
        return Ok(());
    }
    let mut ip = Command::new("ip");
    ip.args(["netns", "delete", name])
        .env("PATH", crate::prerequisites::path_with_sbin());
    command::output(&mut ip).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_root_is_told_what_is_there_and_who_ends_it() {
        for_root(&[]).unwrap();
        let left = ["files in /x", "process etcd"].map(str::to_owned);
        let refused = for_root(&left).unwrap_err().to_string();
        assert!(refused.contains("`cargo e2e down` as root"), "{refused}");
        assert!(
            refused.contains("files in /x and 1 more are there"),
            "{refused}"
        );
    }
}
