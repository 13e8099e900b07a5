//! One node: its files, its power switch, its images.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{HUB_ADDRESS, network};
use crate::command;
use crate::images::Image;
use crate::places::Places;
use crate::process;

/// A node of the cluster, known by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u8);

impl Node {
    /// Numbers begin at 1.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn name(self) -> String {
        format!("node{}", self.0)
    }

    /// Its name among the namespaces and control groups of this machine.
    #[must_use]
    pub fn prefixed(self) -> String {
        format!("chatbot-node{}", self.0)
    }

    /// Its address on the cluster's network.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 250, 0, 10 + self.0)
    }

    /// The path that a thread enters to be on this node's network.
    #[must_use]
    pub fn network_namespace(self) -> PathBuf {
        PathBuf::from("/run/netns").join(self.prefixed())
    }

    /// Its configuration and its `/var`.
    #[must_use]
    pub fn directory(self, places: &Places) -> PathBuf {
        places.state.join(self.name())
    }

    /// Whether its power is on.
    #[must_use]
    pub fn runs(self, places: &Places) -> bool {
        process::running(places, &self.name()).is_some()
    }

    pub(super) fn start(self, places: &Places, pause: &Image) -> Result<()> {
        if self.runs(places) {
            return Ok(());
        }
        network::node(places, self)?;
        network::make_cgroups(places, self)?;
        self.write_configuration(places, pause)?;
        let mut node = Command::new("nsenter");
        node.arg(format!("--net={}", self.network_namespace().display()))
            .args([
                "--",
                "unshare",
                "--mount",
                "--pid",
                "--uts",
                "--ipc",
                "--fork",
                "--mount-proc",
            ])
            .args(["--kill-child=KILL", "--propagation=private"])
            .arg(places.cluster_source().join("node.sh"))
            .args([&self.name(), &self.address().to_string()])
            .args([
                self.directory(places),
                places.pki(),
                places.programs(),
                places.logs(),
            ])
            .env("PATH", crate::prerequisites::path_with_sbin());
        process::start(places, &self.name(), &node)
    }

    pub(super) fn kill(self, places: &Places) -> Result<()> {
        if self.network_namespace().exists() {
            network::link(self, "down")?;
        }
        process::kill(places, &self.name())
    }

    /// Imports what this node has not yet.
    pub(super) fn import(self, places: &Places, images: &[Image]) -> Result<()> {
        let note = self.directory(places).join("images");
        let mut known = fs::read_to_string(&note).unwrap_or_default();
        for image in images {
            if known.lines().any(|name| name == image.name) {
                continue;
            }
            self.wait_for_containerd(places)?;
            let mut import = self.inside(places)?;
            import
                .args([
                    "ctr",
                    "--address=/run/containerd/containerd.sock",
                    "--namespace=k8s.io",
                ])
                .args(["images", "import", "--snapshotter=overlayfs"])
                .arg(&image.archive);
            command::output(&mut import)
                .with_context(|| format!("failed to import {} into {}", image.name, self.name()))?;
            known.push_str(&image.name);
            known.push('\n');
            fs::write(&note, &known)
                .with_context(|| format!("failed to write {}", note.display()))?;
        }
        Ok(())
    }

    fn wait_for_containerd(self, places: &Places) -> Result<()> {
        let what = format!("containerd of {}", self.name());
        command::wait_until(&what, Duration::from_mins(1), || {
            if !self.runs(places) {
                bail!(
                    "{} ended: {}",
                    self.name(),
                    process::last_words(places, &self.name())
                );
            }
            let mut version = self.inside(places)?;
            version.args([
                "ctr",
                "--address=/run/containerd/containerd.sock",
                "version",
            ]);
            command::output(&mut version).map(|_| true)
        })
    }

    /// A command that runs on this node.
    pub fn inside(self, places: &Places) -> Result<Command> {
        let first = process::running(places, &self.name())
            .and_then(process::child)
            .with_context(|| format!("{} does not run", self.name()))?;
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &first.as_raw_nonzero().to_string()])
            .args(["--mount", "--pid", "--uts", "--ipc", "--net", "--"]);
        Ok(command)
    }

    fn write_configuration(self, places: &Places, pause: &Image) -> Result<()> {
        let directory = self.directory(places);
        for folder in ["cni", "var/lib", "var/log", "var/tmp", "var/cache"] {
            let folder = directory.join(folder);
            fs::create_dir_all(&folder)
                .with_context(|| format!("failed to create {}", folder.display()))?;
        }
        let run = directory.join("var/run");
        if !run.is_symlink() {
            std::os::unix::fs::symlink("/run", &run)
                .with_context(|| format!("failed to link {}", run.display()))?;
        }
        for (template, file) in [
            ("containerd.toml", "containerd.toml"),
            ("kubelet.yaml", "kubelet.yaml"),
            ("kube-proxy.yaml", "kube-proxy.yaml"),
            ("cni.conflist", "cni/10-chatbot-e2e.conflist"),
        ] {
            let template = places.cluster_source().join("templates").join(template);
            let text = fs::read_to_string(&template)
                .with_context(|| format!("failed to read {}", template.display()))?
                .replace("@NODE@", &self.name())
                .replace("@NUMBER@", &self.0.to_string())
                .replace("@ADDRESS@", &self.address().to_string())
                .replace("@CGROUP@", &self.prefixed())
                .replace("@DIRECTORY@", &directory.to_string_lossy())
                .replace("@PKI@", &places.pki().to_string_lossy())
                .replace("@PAUSE@", &pause.name);
            write(&directory.join(file), &text)?;
        }
        write(
            &directory.join("resolv.conf"),
            &format!("nameserver {HUB_ADDRESS}\n"),
        )
    }
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}
