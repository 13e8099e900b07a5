//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler, in the hub.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{API_PORT, HUB, HUB_ADDRESS, Node};
use crate::command;
use crate::places::Places;
use crate::process;

pub fn make_certificates(places: &Places, nodes: &[Node]) -> Result<()> {
    let mut pki = Command::new(places.cluster_source().join("pki.sh"));
    pki.arg(places.pki()).arg(HUB_ADDRESS.to_string());
    for node in nodes {
        pki.arg(format!("{}={}", node.name(), node.address()));
    }
    command::output(&mut pki).map(drop)
}

pub fn start(places: &Places) -> Result<()> {
    start_one(places, "etcd", etcd(places))?;
    start_one(places, "kube-apiserver", api_server(places))?;
    wait_ready(places)?;
    // These two give up when the API server is not there within ten seconds, so they come after it.
    start_one(
        places,
        "kube-controller-manager",
        controller_manager(places),
    )?;
    start_one(places, "kube-scheduler", scheduler(places))
}

fn start_one(places: &Places, name: &str, arguments: Vec<String>) -> Result<()> {
    let mut command = in_hub();
    command.arg(places.programs().join(name)).args(arguments);
    process::start(places, name, &command)
}

fn in_hub() -> Command {
    let mut command = Command::new("nsenter");
    command.args([&format!("--net=/run/netns/{HUB}"), "--"]);
    command
}

fn wait_ready(places: &Places) -> Result<()> {
    command::wait_until("the API server ready", Duration::from_mins(2), || {
        for name in ["etcd", "kube-apiserver"] {
            if process::running(places, name).is_none() {
                bail!("{name} ended: {}", process::last_words(places, name));
            }
        }
        let mut curl = in_hub();
        curl.args([
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "2",
            "--cacert",
        ])
        .arg(places.pki().join("ca.crt"))
        .arg(format!("https://127.0.0.1:{API_PORT}/readyz"));
        command::output(&mut curl).map(|_| true)
    })
}

/// `--name=value` for each pair.
fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

fn etcd(places: &Places) -> Vec<String> {
    flags(&[
        ("name", "hub"),
        ("data-dir", &places.state.join("etcd").to_string_lossy()),
        ("log-level", "warn"),
        ("listen-client-urls", "http://127.0.0.1:2379"),
        ("advertise-client-urls", "http://127.0.0.1:2379"),
        ("listen-peer-urls", "http://127.0.0.1:2380"),
        ("initial-advertise-peer-urls", "http://127.0.0.1:2380"),
        ("initial-cluster", "hub=http://127.0.0.1:2380"),
        // The cluster does not outlive the machine: no write has to reach the disk before the next one.
        ("unsafe-no-fsync", "true"),
    ])
}

fn api_server(places: &Places) -> Vec<String> {
    let file = |name: &str| places.pki().join(name).to_string_lossy().into_owned();
    flags(&[
        ("advertise-address", &HUB_ADDRESS.to_string()),
        ("bind-address", "0.0.0.0"),
        ("secure-port", &API_PORT.to_string()),
        ("etcd-servers", "http://127.0.0.1:2379"),
        ("service-cluster-ip-range", "10.96.0.0/16"),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("allow-privileged", "true"),
        ("client-ca-file", &file("ca.crt")),
        ("tls-cert-file", &file("apiserver.crt")),
        ("tls-private-key-file", &file("apiserver.key")),
        ("kubelet-certificate-authority", &file("ca.crt")),
        (
            "kubelet-client-certificate",
            &file("apiserver-kubelet-client.crt"),
        ),
        ("kubelet-client-key", &file("apiserver-kubelet-client.key")),
        ("kubelet-preferred-address-types", "InternalIP"),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        ),
        ("service-account-key-file", &file("service-accounts.pub")),
        (
            "service-account-signing-key-file",
            &file("service-accounts.key"),
        ),
        ("requestheader-client-ca-file", &file("front-proxy-ca.crt")),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ("proxy-client-cert-file", &file("front-proxy-client.crt")),
        ("proxy-client-key-file", &file("front-proxy-client.key")),
        // The hub has no kube-proxy: metrics-server is reached at its pod's address.
        ("enable-aggregator-routing", "true"),
        // Short, so that the loss of a node can be watched.
        ("default-not-ready-toleration-seconds", "5"),
        ("default-unreachable-toleration-seconds", "5"),
        ("shutdown-delay-duration", "0s"),
    ])
}

fn controller_manager(places: &Places) -> Vec<String> {
    let file = |name: &str| places.pki().join(name).to_string_lossy().into_owned();
    let mut arguments = client(places, "kube-controller-manager");
    arguments.extend(flags(&[
        ("use-service-account-credentials", "true"),
        (
            "service-account-private-key-file",
            &file("service-accounts.key"),
        ),
        ("root-ca-file", &file("ca.crt")),
        ("cluster-signing-cert-file", &file("ca.crt")),
        ("cluster-signing-key-file", &file("ca.key")),
        ("allocate-node-cidrs", "false"),
        // Short, so that the loss of a node and scaling can be watched.
        ("node-monitor-period", "1s"),
        ("node-monitor-grace-period", "12s"),
        ("horizontal-pod-autoscaler-sync-period", "5s"),
        ("horizontal-pod-autoscaler-downscale-stabilization", "20s"),
        ("horizontal-pod-autoscaler-initial-readiness-delay", "5s"),
        ("horizontal-pod-autoscaler-cpu-initialization-period", "10s"),
    ]));
    arguments
}

fn scheduler(places: &Places) -> Vec<String> {
    client(places, "kube-scheduler")
}

/// What every client of the API server in the hub is told.
fn client(places: &Places, name: &str) -> Vec<String> {
    let kubeconfig: PathBuf = places.pki().join(format!("{name}.kubeconfig"));
    let kubeconfig = kubeconfig.to_string_lossy();
    flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "false"),
        ("kube-api-qps", "300"),
        ("kube-api-burst", "500"),
    ])
}
