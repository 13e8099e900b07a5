//! A real Kubernetes on this machine: the control plane and every node live in network namespaces that have no link to
//! the outside. `hub` is the control plane's; a node has one, and its own mounts and processes, too.

pub(crate) mod control_plane;
pub(crate) mod network;
mod node;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::access::Access;
use crate::command;
use crate::images::Image;
use crate::places::Places;
use crate::process;

pub use node::Node;

use control_plane::Site;

/// The control plane's network namespace.
pub const HUB: &str = "chatbot-hub";
/// The address of the hub on the nodes' network.
pub const HUB_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
/// The API server's port, in the hub and, when it is free, on this machine.
pub const API_PORT: u16 = 6443;
/// The most nodes a cluster has: their addresses are laid out for this many.
pub const MAX_NODES: u8 = 9;

/// A handle on the one cluster of this machine.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Where its parts are.
    pub places: Places,
}

impl Cluster {
    /// A handle, whether or not the cluster runs.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self { places }
    }

    /// The nodes that were ever started and not removed, by number.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        (1..=MAX_NODES)
            .map(Node::new)
            .filter(|node| node.directory(&self.places).exists())
            .collect()
    }

    /// The paths of the nodes' network namespaces: from each, pods and Services can be reached.
    #[must_use]
    pub fn namespaces(&self) -> Vec<PathBuf> {
        self.nodes()
            .into_iter()
            .map(Node::network_namespace)
            .collect()
    }

    /// Starts the control plane, and returns when it is ready.
    pub fn start_control_plane(&self, programs: &Path) -> Result<()> {
        network::check_free(&self.places)?;
        let link = self.places.programs();
        self.places.claim_state()?;
        if fs::read_link(&link).ok().as_deref() != Some(programs) {
            let _ = fs::remove_file(&link); // absent the first time
            std::os::unix::fs::symlink(programs, &link)
                .with_context(|| format!("failed to link {}", link.display()))?;
        }
        network::hub(&self.places)?;
        let nodes: Vec<Node> = (1..=MAX_NODES).map(Node::new).collect();
        control_plane::make_certificates(&self.places, Site::IN_HUB, &nodes)?;
        control_plane::start(&self.places)
    }

    /// Opens the API server at an address of this machine and writes the kubeconfig for it. Runs until `down`.
    pub fn open_api(&self, this_program: &Path) -> Result<SocketAddr> {
        let target = SocketAddr::from(([127, 0, 0, 1], API_PORT));
        let hub = vec![PathBuf::from("/run/netns").join(HUB)];
        let address = self.open_port(this_program, "forward-api", API_PORT, &hub, target)?;
        let template = fs::read_to_string(self.places.pki().join("admin.kubeconfig"))
            .context("failed to read the administrator's kubeconfig")?;
        let text = template.replace(&format!("https://{target}"), &format!("https://{address}"));
        let file = self.places.kubeconfig();
        if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            fs::write(&file, text)
                .with_context(|| format!("failed to write {}", file.display()))?;
            restrict(&file)?;
        }
        Ok(address)
    }

    /// Starts a forwarder as a process of its own; the port wanted, or the next free one.
    pub fn open_port(
        &self,
        this_program: &Path,
        name: &str,
        wanted: u16,
        namespaces: &[PathBuf],
        target: SocketAddr,
    ) -> Result<SocketAddr> {
        let note = self.places.state.join(format!("{name}.address"));
        let route = format!("{target} {namespaces:?}");
        if process::running(&self.places, name).is_some() {
            let written = fs::read_to_string(&note).unwrap_or_default();
            if let Some((address, as_before)) = written.split_once(' ')
                && as_before == route
            {
                return address
                    .parse()
                    .context("failed to read a forwarder's address");
            }
            process::stop(&self.places, name)?;
        }
        let address = free_address(wanted)?;
        let mut forward = Command::new(this_program);
        forward.args([
            "forward",
            "--listen",
            &address.to_string(),
            "--to",
            &target.to_string(),
        ]);
        for namespace in namespaces {
            forward.arg("--through").arg(namespace);
        }
        process::start(&self.places, name, &forward)?;
        command::wait_until(
            &format!("a listener at {address}"),
            Duration::from_secs(10),
            || {
                if process::running(&self.places, name).is_none() {
                    bail!("{name} ended: {}", process::last_words(&self.places, name));
                }
                Ok(std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
            },
        )?;
        fs::write(&note, format!("{address} {route}"))
            .with_context(|| format!("failed to write {}", note.display()))?;
        Ok(address)
    }

    /// Starts what is not running of this many nodes, imports the images, and returns when all are Ready.
    pub fn start_nodes(&self, count: u8, pause: &Image, images: &[Image]) -> Result<()> {
        let nodes: Vec<Node> = (1..=count).map(Node::new).collect();
        for node in &nodes {
            node.start(&self.places, pause)?;
        }
        self.import(images)?;
        for node in nodes {
            self.wait_node_ready(node, Duration::from_mins(3))?;
        }
        Ok(())
    }

    /// Imports images into the containerd of every node, all nodes at once.
    pub fn import(&self, images: &[Image]) -> Result<()> {
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let importing: Vec<_> = self
                .nodes()
                .into_iter()
                .filter(|node| node.runs(&self.places))
                .map(|node| scope.spawn(move || node.import(&self.places, images)))
                .collect();
            importing
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| bail!("an import ended unexpectedly"))
                })
                .collect()
        });
        results.into_iter().collect()
    }

    /// A power cut: everything on the node ends in the same instant, and its link is dead.
    pub fn kill_node(&self, number: u8) -> Result<()> {
        Node::new(number).kill(&self.places)
    }

    /// Takes the node's link down; what runs on it goes on, unseen.
    pub fn cut_node_off(&self, number: u8) -> Result<()> {
        network::link(Node::new(number), "down")
    }

    /// Powers the node on, or its link up, and returns when it is Ready.
    pub fn start_node(&self, number: u8, pause: &Image) -> Result<()> {
        let node = Node::new(number);
        network::node(&self.places, node)?;
        node.start(&self.places, pause)?;
        self.wait_node_ready(node, Duration::from_mins(3))
    }

    /// `kubectl` with the administrator's rights.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.access().kubectl()
    }

    /// The way to it, for what works on any cluster.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            kubectl: self.places.programs().join("kubectl"),
            helm: self.places.programs().join("helm"),
            kubeconfig: self.places.kubeconfig(),
            context: None,
        }
    }

    /// Applies manifests given as text.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.access().apply(manifests)
    }

    fn wait_node_ready(&self, node: Node, limit: Duration) -> Result<()> {
        let name = node.name();
        command::wait_until(&format!("node {name} Ready"), limit, || {
            if !node.runs(&self.places) {
                bail!("{name} ended: {}", process::last_words(&self.places, &name));
            }
            let mut kubectl = self.kubectl();
            kubectl.args([
                "wait",
                "--for=condition=Ready",
                "--timeout=1s",
                &format!("node/{name}"),
            ]);
            command::output(&mut kubectl).map(|_| true)
        })
    }
}

/// The port wanted or one of the next ten, when another program has it.
pub fn free_address(wanted: u16) -> Result<SocketAddr> {
    for port in wanted..wanted.saturating_add(10) {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!(
        "failed to find a free port from 127.0.0.1:{wanted} on: ten in a row are taken; \
         `ss -ltnp` shows by which programs"
    )
}

fn restrict(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("failed to restrict {}", file.display()))
}
