//! Prometheus, Alertmanager and `node_exporter` on the cluster, of Debian's packages.
//!
//! The packages are unpacked, and not installed: each would start a service on this machine, Prometheus at the port
//! where `chatbot run` tells about itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::command;
use crate::images::{self, Image};
use crate::places::Places;
use crate::prerequisites::on_path;

/// Where Prometheus and Alertmanager are.
pub const NAMESPACE: &str = "monitoring";
/// The programs, by which their packages are called, too.
const PROGRAMS: [&str; 3] = [
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
];
/// Of Prometheus' package.
const CHECKER: &str = "promtool";
/// Without which Alertmanager does not start.
const TEMPLATES: &str = "usr/share/prometheus/alertmanager";
/// What the programs are configured by, in one `ConfigMap`.
const CONFIGURATION: [&str; 3] = ["prometheus.yaml", "alertmanager.yaml", "targets.sh"];

/// The images, each named for its program.
#[derive(Clone, Debug)]
pub struct Images([Image; 3]);

impl Images {
    /// Packs what is not packed yet.
    pub fn pack(places: &Places) -> Result<Self> {
        let root = root(places)?;
        let programs = root.join("usr/bin");
        let [prometheus, alertmanager, exporter] = PROGRAMS;
        let templates = root.join(TEMPLATES);
        Ok(Self([
            images::addon(places, &programs, prometheus)?,
            images::packaged(places, &programs.join(alertmanager), &templates, TEMPLATES)?,
            images::addon(places, &programs, exporter)?,
        ]))
    }

    /// All of them, to be imported.
    #[must_use]
    pub fn all(&self) -> &[Image] {
        &self.0
    }
}

/// Applies all of it, and waits for nothing: whoever looks at metrics waits for those.
pub fn apply(cluster: &Cluster, images: &Images, toolbox: &Image) -> Result<()> {
    let manifests = manifests(&cluster.places, images, toolbox)?;
    cluster.apply(&manifests).map(drop)
}

/// The checker of configurations and metrics.
pub fn checker(places: &Places) -> Result<PathBuf> {
    Ok(root(places)?.join("usr/bin").join(CHECKER))
}

/// The folder of what the programs are configured by.
#[must_use]
pub fn source(places: &Places) -> PathBuf {
    places.cluster_source().join("monitoring")
}

fn manifests(places: &Places, images: &Images, toolbox: &Image) -> Result<String> {
    let mut data = Map::new();
    for name in CONFIGURATION {
        data.insert(name.to_owned(), read(&source(places).join(name))?.into());
    }
    let content = Value::Object(data);
    let sum = command::output_of_input(&mut Command::new("sha256sum"), &content.to_string())?;
    let configuration = json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "configuration", "namespace": NAMESPACE }, "data": content });
    let mut text = read(&source(places).join("manifests.yaml"))?;
    text = text.replace("@CONFIGURATION@", &sum[..sum.len().min(16)]);
    let marks = [
        "@PROMETHEUS@",
        "@ALERTMANAGER@",
        "@NODE_EXPORTER@",
        "@TOOLBOX@",
    ];
    for (mark, image) in marks.into_iter().zip(images.0.iter().chain([toolbox])) {
        text = text.replace(mark, &image.name);
    }
    Ok(format!("{text}---\n{configuration}\n"))
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}

/// Below which the packages' files are: where this system has all of them, or unpacked in the cache.
fn root(places: &Places) -> Result<PathBuf> {
    let installed = Path::new("/");
    let unpacked = places.cache.join("monitoring");
    let has_all = |folder: &Path| {
        let mut names = PROGRAMS.iter().chain([&CHECKER]);
        names.all(|name| folder.join("usr/bin").join(name).is_file())
            && folder.join(TEMPLATES).is_dir()
    };
    if has_all(installed) {
        return Ok(installed.to_path_buf());
    }
    if !has_all(&unpacked) {
        unpack(&unpacked).with_context(|| {
            format!(
                "failed to get Debian's packages {}; where there are none, install in /usr what they contain",
                PROGRAMS.join(", ")
            )
        })?;
    }
    Ok(unpacked)
}

/// Downloads the packages and unpacks them, in a folder beside that takes the place of the wanted one as a whole.
fn unpack(folder: &Path) -> Result<()> {
    anyhow::ensure!(on_path("apt-get"), "there is no apt-get here");
    let beside = folder.with_extension("part");
    let _ = fs::remove_dir_all(&beside); // absent, unless an earlier try was interrupted
    fs::create_dir_all(&beside)
        .with_context(|| format!("failed to create {}", beside.display()))?;
    if download(&beside).is_err() {
        // The list of packages may be missing, or older than the packages that there are.
        command::output(Command::new("apt-get").args(["--quiet=2", "update"]))?;
        download(&beside)?;
    }
    for entry in fs::read_dir(&beside).context("failed to list the packages")? {
        let package = entry.context("failed to list the packages")?.path();
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(&package).arg(&beside);
        command::output(&mut unpack)?;
        fs::remove_file(&package)
            .with_context(|| format!("failed to remove {}", package.display()))?;
    }
    let _ = fs::remove_dir_all(folder); // one that lacks a program
    fs::rename(&beside, folder).with_context(|| format!("failed to make {}", folder.display()))
}

fn download(folder: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    download
        .args(["--quiet=2", "download"])
        .args(PROGRAMS)
        .current_dir(folder);
    command::output(&mut download).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_of_the_manifests_is_replaced() {
        let places = Places::find().unwrap();
        let image = |name: &str| Image {
            name: format!("localhost/chatbot/{name}:1"),
            archive: PathBuf::new(),
        };
        let text = manifests(&places, &Images(PROGRAMS.map(image)), &image("toolbox")).unwrap();
        assert!(!text.contains('@'), "{text}");
        for name in PROGRAMS {
            assert!(text.contains(&format!("localhost/chatbot/{name}:1\"")));
        }
        // The services that Prometheus is configured to reach are those that there are.
        for address in ["alertmanager", "prometheus"] {
            assert!(text.contains(&format!(
                "metadata: {{ name: {address}, namespace: {NAMESPACE} }}"
            )));
        }
    }
}
