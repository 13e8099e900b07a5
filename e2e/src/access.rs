//! How a Kubernetes cluster is reached: `kubectl` and `helm`, with the kubeconfig they are given.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command;

/// A way to one cluster.
#[derive(Clone, Debug)]
pub struct Access {
    /// The program.
    pub kubectl: PathBuf,
    /// The program.
    pub helm: PathBuf,
    /// Where the cluster is, and who asks.
    pub kubeconfig: PathBuf,
    /// Which of the kubeconfig's contexts; absent: its current one.
    pub context: Option<String>,
}

impl Access {
    /// `kubectl` for this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl.env("KUBECONFIG", &self.kubeconfig);
        if let Some(context) = &self.context {
            kubectl.args(["--context", context]);
        }
        kubectl
    }

    /// `helm` for this cluster.
    #[must_use]
    pub fn helm(&self) -> Command {
        let mut helm = Command::new(&self.helm);
        helm.env("KUBECONFIG", &self.kubeconfig);
        if let Some(context) = &self.context {
            helm.args(["--kube-context", context]);
        }
        helm
    }

    /// The output of `kubectl` with these arguments.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        command::output(self.kubectl().args(arguments))
    }

    /// Applies manifests given as text.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        let mut kubectl = self.kubectl();
        kubectl.args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename",
            "-",
        ]);
        command::output_of_input(&mut kubectl, manifests)
    }
}
