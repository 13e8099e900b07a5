//! A control plane alone: etcd, API server, controller manager and, when asked for, scheduler, on free ports of the
//! loopback. No node, so no pod ever runs; what the API server decides can be seen within seconds, and several can be
//! up side by side. It lives as long as its handle, and never longer than this process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::audit;
use crate::cluster::Cluster;
use crate::cluster::control_plane::{self, Site};
use crate::command;
use crate::go_build;
use crate::places::Places;
use crate::process;
use crate::scenario::Namespace;

/// What a test or a benchmark may want otherwise.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More flags of the API server, as `--name=value`; a flag given twice counts as the later says.
    pub api_server: Vec<String>,
    /// More flags of the controller manager.
    pub controller_manager: Vec<String>,
    /// Whether pods are given to nodes.
    pub scheduler: bool,
}

/// A running control plane; a [`Cluster`] without nodes.
pub struct Plane {
    cluster: Cluster,
    address: SocketAddr,
    /// Dropped first: then the keeper ends the processes.
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<thread::JoinHandle<()>>,
}

impl Plane {
    /// Starts one, and returns when it is ready. Fails with the remedy when Kubernetes is not built yet.
    pub fn start() -> Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts one that differs from the usual.
    pub fn start_with(options: Options) -> Result<Self> {
        let mut places = Places::find()?;
        let programs = go_build::folder(&places)?;
        if !go_build::is_built(&places) {
            bail!("Kubernetes is not built yet: `cargo e2e test` builds it");
        }
        let [api, etcd, peers] = free_ports()?;
        // What the operator asks is told there, and compared at the end of a run with what it may ask.
        places.claim_state()?;
        let account = audit::folder(&places).join(format!("plane-{api}.log"));
        places.state = std::env::temp_dir().join(format!("chatbot-plane-{api}"));
        places.claim_state()?;
        std::os::unix::fs::symlink(programs, places.programs())
            .context("failed to link the programs")?;
        let site = Site {
            address: Ipv4Addr::LOCALHOST,
            bind: Ipv4Addr::LOCALHOST,
            api_port: api,
            etcd_port: etcd,
            etcd_peer_port: peers,
            controller_manager_port: 0,
            scheduler_port: 0,
        };
        control_plane::make_certificates(&places, site, &[])?;
        fs::copy(places.pki().join("admin.kubeconfig"), places.kubeconfig())
            .context("failed to write the kubeconfig")?;

        let (stop, stopped) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let folder = places.clone();
        let more = [audit::flags(&places, &account), options.api_server].concat();
        let options = Options {
            api_server: more,
            ..options
        };
        // The kernel ends the processes with the thread that started them: this one stays for as long as they are used.
        let keeper = thread::spawn(move || {
            let mut children = Vec::new();
            let outcome = start_all(&folder, site, &options, &mut children);
            let failed = outcome.is_err();
            if ready.send(outcome).is_ok() && !failed {
                let _ = stopped.recv(); // ends when the handle does
            }
            for child in children.iter_mut().rev() {
                let _ = child.kill(); // it may have ended by itself
                let _ = child.wait();
            }
            let _ = fs::remove_dir_all(&folder.state);
        });
        started
            .recv()
            .unwrap_or_else(|_| Err(anyhow!("failed to start a control plane")))?;
        Ok(Self {
            cluster: Cluster::new(places),
            address: SocketAddr::from(([127, 0, 0, 1], api)),
            stop: Some(stop),
            keeper: Some(keeper),
        })
    }

    /// Where the API server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.places.kubeconfig()
    }

    /// A namespace that enforces the Pod Security Standard `restricted`, deleted when its handle is dropped.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        Namespace::create(self.cluster.clone(), name)
    }
}

impl Deref for Plane {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join(); // it only ends processes
        }
    }
}

/// Three ports that nobody listens at; all are held until all are found, so that they differ.
fn free_ports() -> Result<[u16; 3]> {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port");
    let listeners = [free()?, free()?, free()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener
            .local_addr()
            .context("failed to find a free port")?
            .port();
    }
    Ok(ports)
}

fn start_all(
    places: &Places,
    site: Site,
    options: &Options,
    children: &mut Vec<Child>,
) -> Result<()> {
    fs::create_dir_all(places.logs()).context("failed to create the logs' folder")?;
    let mut start = |name: &str, arguments: &[String], more: &[String]| -> Result<()> {
        children.push(start_one(places, name, &[arguments, more].concat())?);
        Ok(())
    };
    start("etcd", &control_plane::etcd(places, site), &[])?;
    start(
        "kube-apiserver",
        &control_plane::api_server(places, site),
        &options.api_server,
    )?;
    wait_ready(places, site)?;
    start(
        "kube-controller-manager",
        &control_plane::controller_manager(places, site),
        &options.controller_manager,
    )?;
    if options.scheduler {
        start(
            "kube-scheduler",
            &control_plane::scheduler(places, site),
            &[],
        )?;
    }
    Ok(())
}

fn start_one(places: &Places, name: &str, arguments: &[String]) -> Result<Child> {
    let log = process::log(places, name);
    let output =
        fs::File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
    let program: &Path = &places.programs().join(name);
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("failed to open a log twice")?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("failed to start {name}"))
}

fn wait_ready(places: &Places, site: Site) -> Result<()> {
    command::wait_until("the API server alone ready", Duration::from_mins(2), || {
        control_plane::is_ready(places, Command::new("curl"), site.api_port)
    })
    .with_context(|| {
        ["etcd", "kube-apiserver"]
            .map(|name| process::last_words(places, name))
            .join("\n")
    })
}
