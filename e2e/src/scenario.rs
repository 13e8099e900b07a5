//! What the scenarios in `tests/` stand on: a namespace of their own on the running cluster, `kubectl`, waiting on
//! conditions, a way in from this machine, and the power switch of a node.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cluster::{Cluster, Node};
use crate::command;
use crate::forward::Forward;
use crate::images::Image;
use crate::install;
use crate::places::Places;

pub use crate::command::wait_until;

/// The running cluster. Fails with the remedy when there is none.
pub fn cluster() -> Result<Cluster> {
    let cluster = Cluster::new(Places::find()?);
    if !cluster.places.kubeconfig().exists() {
        bail!("no cluster is running: `cargo e2e test` starts one");
    }
    Ok(cluster)
}

/// A namespace for one scenario. When the scenario panics, everything about it is printed; then it is deleted.
pub struct Namespace {
    /// The cluster it is on.
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
}

/// Creates a namespace on the running cluster that enforces the Pod Security Standard `restricted`.
pub fn namespace(name: &str) -> Result<Namespace> {
    Namespace::create(cluster()?, name)
}

impl Namespace {
    /// Creates it anew, enforcing the Pod Security Standard `restricted`.
    pub fn create(cluster: Cluster, name: &str) -> Result<Self> {
        let namespace = Self {
            cluster,
            name: name.to_owned(),
        };
        namespace.delete("--timeout=90s");
        namespace.cluster.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels: \
             {{ pod-security.kubernetes.io/enforce: restricted }}\n"
        ))?;
        Ok(namespace)
    }

    /// `kubectl --namespace <this one> ARGUMENTS`: its output, or its error.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", &self.name]).args(arguments);
        command::output(&mut kubectl)
    }

    /// Applies manifests given as text, as a user would.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", &self.name, "apply", "--filename", "-"]);
        command::output_of_input(&mut kubectl, manifests)
    }

    /// Runs a command in a pod, and gives its output.
    pub fn exec(&self, pod: &str, command: &[&str]) -> Result<String> {
        let arguments = [&["exec", pod, "--"], command].concat();
        self.kubectl(&arguments)
    }

    /// Makes the claim `models` on the folder with the model, as the samples name it, and returns when it is bound.
    pub fn claim_models(&self) -> Result<()> {
        let manifests = install::model_volume(&self.cluster.places.models(), &self.name)?;
        self.cluster.apply(&manifests)?;
        let bound = "--for=jsonpath={.status.phase}=Bound";
        let wait = [
            "wait",
            "persistentvolumeclaim/models",
            bound,
            "--timeout=60s",
        ];
        self.kubectl(&wait).map(drop)
    }

    /// A port of this machine that leads to a Service, by way of any node that is reachable.
    pub fn forward(&self, service: &str) -> Result<Forward> {
        forward(&self.cluster, &self.name, service)
    }

    /// Everything about this namespace that tells why something failed.
    #[must_use]
    pub fn describe(&self) -> String {
        install::describe(&self.cluster, &self.name)
    }

    fn delete(&self, wait: &str) {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args([
            "delete",
            "namespace",
            &self.name,
            "--ignore-not-found",
            wait,
        ]);
        let mut volume = self.cluster.kubectl();
        volume.args([
            "delete",
            "persistentvolume",
            "--ignore-not-found",
            "--wait=false",
        ]);
        volume.arg(format!("models-{}", self.name));
        for command in [&mut kubectl, &mut volume] {
            if let Err(error) = command::output(command) {
                eprintln!("{error:#}");
            }
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "==== what is in namespace {}\n{}",
                self.name,
                self.describe()
            );
        }
        // The cluster takes its time over it, in rounds of half a pod's grace; the next scenario need not wait.
        self.delete("--wait=false");
    }
}

/// A port of this machine that leads to a Service of any namespace.
pub fn forward(cluster: &Cluster, namespace: &str, service: &str) -> Result<Forward> {
    let path = "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}";
    let mut kubectl = cluster.kubectl();
    kubectl.args(["--namespace", namespace, "get", "service", service]);
    let address = command::output(kubectl.args(["--output", path]))?;
    let target: SocketAddr = address
        .parse()
        .with_context(|| format!("failed to read the address of service {service}: {address}"))?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Forward::open(any, cluster.namespaces(), target)
}

/// The newest image with this name on the nodes, such as `toolbox`.
pub fn image(cluster: &Cluster, name: &str) -> Result<Image> {
    let first = cluster
        .nodes()
        .into_iter()
        .next()
        .context("the cluster has no node")?;
    let note = first.directory(&cluster.places).join("images");
    let text = std::fs::read_to_string(&note)
        .with_context(|| format!("failed to read {}", note.display()))?;
    let found = text.lines().rev().find_map(|line| {
        Some((
            line,
            line.strip_prefix(&format!("localhost/chatbot/{name}:"))?,
        ))
    });
    let (full, tag) = found.with_context(|| format!("no image {name} was imported"))?;
    Ok(Image {
        name: full.to_owned(),
        archive: cluster
            .places
            .cache
            .join("images")
            .join(format!("{name}-{tag}.tar")),
    })
}

/// A power cut on a node, whose power comes back when this is dropped.
pub struct PowerCut<'a> {
    cluster: &'a Cluster,
    node: u8,
}

/// Everything on the node ends in the same instant.
pub fn cut_power(cluster: &Cluster, node: u8) -> Result<PowerCut<'_>> {
    cluster.kill_node(node)?;
    Ok(PowerCut { cluster, node })
}

/// The node's link goes down; what runs on it goes on, unseen.
pub fn cut_link(cluster: &Cluster, node: u8) -> Result<PowerCut<'_>> {
    cluster.cut_node_off(node)?;
    Ok(PowerCut { cluster, node })
}

impl PowerCut<'_> {
    /// Brings the node back now, and returns when it is Ready.
    pub fn end(self) -> Result<()> {
        self.restore()
    }

    fn restore(&self) -> Result<()> {
        self.cluster
            .start_node(self.node, &image(self.cluster, "pause")?)
    }
}

impl Drop for PowerCut<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            eprintln!("failed to bring node{} back: {error:#}", self.node);
        }
    }
}

/// Nodes that take no further pods, until this is dropped.
pub struct Closed<'a> {
    cluster: &'a Cluster,
    nodes: Vec<String>,
}

/// Lets no further pod begin on some nodes; what runs there goes on.
pub fn close_nodes<'a>(cluster: &'a Cluster, nodes: &[Node]) -> Result<Closed<'a>> {
    let closed = Closed {
        cluster,
        nodes: nodes.iter().map(|node| node.name()).collect(),
    };
    closed.each("cordon")?;
    Ok(closed)
}

impl Closed<'_> {
    fn each(&self, verb: &str) -> Result<()> {
        let mut kubectl = self.cluster.kubectl();
        kubectl.arg(verb).args(&self.nodes);
        command::output(&mut kubectl).map(drop)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.each("uncordon") {
            eprintln!("failed to open {:?} again: {error:#}", self.nodes);
        }
    }
}

/// The time in which anything on the cluster is expected to happen, on a machine that is busy with everything else.
pub const PATIENCE: Duration = Duration::from_mins(2);
