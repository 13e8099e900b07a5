//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler: in the hub of the cluster, or alone on ports of
//! this machine ([`crate::plane`]).

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{API_PORT, HUB, HUB_ADDRESS, Node};
use crate::audit;
use crate::command;
use crate::places::Places;
use crate::process;

/// Where the parts listen.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The API server's address for everybody but its neighbours, and the one it binds to.
    pub address: Ipv4Addr,
    pub bind: Ipv4Addr,
    pub api_port: u16,
    pub etcd_port: u16,
    pub etcd_peer_port: u16,
    /// The other two serve their own health and metrics here; 0 is nowhere.
    pub controller_manager_port: u16,
    pub scheduler_port: u16,
}

impl Site {
    pub const IN_HUB: Self = Self {
        address: HUB_ADDRESS,
        bind: Ipv4Addr::UNSPECIFIED,
        api_port: API_PORT,
        etcd_port: 2379,
        etcd_peer_port: 2380,
        controller_manager_port: 10257,
        scheduler_port: 10259,
    };
}

pub fn make_certificates(places: &Places, site: Site, nodes: &[Node]) -> Result<()> {
    let mut pki = Command::new(places.cluster_source().join("pki.sh"));
    pki.env("API_PORT", site.api_port.to_string())
        .arg(places.pki())
        .arg(site.address.to_string());
    for node in nodes {
        pki.arg(format!("{}={}", node.name(), node.address()));
    }
    command::output(&mut pki).map(drop)
}

pub fn start(places: &Places) -> Result<()> {
    let site = Site::IN_HUB;
    start_one(places, "etcd", etcd(places, site))?;
    let account = audit::folder(places).join("cluster.log");
    let api_server = [api_server(places, site), audit::flags(places, &account)].concat();
    start_one(places, "kube-apiserver", api_server)?;
    wait_ready(places)?;
    // These two give up when the API server is not there within ten seconds, so they come after it.
    start_one(
        places,
        "kube-controller-manager",
        controller_manager(places, site),
    )?;
    start_one(places, "kube-scheduler", scheduler(places, site))
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
        curl.arg("curl");
        is_ready(places, curl, API_PORT)
    })
}

/// Asks the API server by a curl that has its loopback; what it says otherwise is the error.
pub fn is_ready(places: &Places, mut curl: Command, port: u16) -> Result<bool> {
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "2"])
        .arg("--cacert")
        .arg(places.pki().join("ca.crt"))
        .arg(format!("https://127.0.0.1:{port}/readyz"));
    command::output(&mut curl).map(|_| true)
}

/// `--name=value` for each pair.
fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

pub fn etcd(places: &Places, site: Site) -> Vec<String> {
    let clients = format!("http://127.0.0.1:{}", site.etcd_port);
    let peers = format!("http://127.0.0.1:{}", site.etcd_peer_port);
    flags(&[
        ("name", "hub"),
        ("data-dir", &places.state.join("etcd").to_string_lossy()),
        ("log-level", "warn"),
        ("listen-client-urls", &clients),
        ("advertise-client-urls", &clients),
        ("listen-peer-urls", &peers),
        ("initial-advertise-peer-urls", &peers),
        ("initial-cluster", &format!("hub={peers}")),
        // The cluster does not outlive the machine: no write has to reach the disk before the next one.
        ("unsafe-no-fsync", "true"),
    ])
}

pub fn api_server(places: &Places, site: Site) -> Vec<String> {
    let file = |name: &str| places.pki().join(name).to_string_lossy().into_owned();
    flags(&[
        ("advertise-address", &site.address.to_string()),
        ("bind-address", &site.bind.to_string()),
        ("secure-port", &site.api_port.to_string()),
        (
            "etcd-servers",
            &format!("http://127.0.0.1:{}", site.etcd_port),
        ),
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

pub fn controller_manager(places: &Places, site: Site) -> Vec<String> {
    let file = |name: &str| places.pki().join(name).to_string_lossy().into_owned();
    let mut arguments = client(
        places,
        "kube-controller-manager",
        site.controller_manager_port,
    );
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

pub fn scheduler(places: &Places, site: Site) -> Vec<String> {
    client(places, "kube-scheduler", site.scheduler_port)
}

/// What every client of the API server beside it is told.
fn client(places: &Places, name: &str, port: u16) -> Vec<String> {
    let kubeconfig: PathBuf = places.pki().join(format!("{name}.kubeconfig"));
    let kubeconfig = kubeconfig.to_string_lossy();
    flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("secure-port", &port.to_string()),
        ("leader-elect", "false"),
        ("kube-api-qps", "300"),
        ("kube-api-burst", "500"),
    ])
}
