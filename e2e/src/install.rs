//! What is put on the cluster: DNS, metrics, the operator's chart, the sample, and one message as the proof.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::access::Access;
use crate::cluster::Cluster;
use crate::command;
use crate::images::Image;
use crate::reference::Reference;
use crate::web_chat;

/// Where the chart is installed.
pub const OPERATOR_NAMESPACE: &str = "chatbot-system";
/// Where the sample is applied.
pub const CHAT_NAMESPACE: &str = "chat";
/// The sample's name.
pub const SAMPLE: &str = "quickstart";
/// The port wanted on this machine for the chat on the cluster.
pub const CHAT_PORT: u16 = 8090;
const QUESTION: &str = "What is the capital of France?";

/// The project's own images.
#[derive(Clone, Debug)]
pub struct OwnImages {
    /// Runs the control loop.
    pub operator: Image,
    /// Runs in every pod of the service.
    pub chatbot: Image,
}

/// What a resource without broker and store is given.
#[derive(Clone, Debug)]
pub struct DevelopmentImages {
    /// Kafka.
    pub broker: Image,
    /// Redis.
    pub store: Image,
}

impl DevelopmentImages {
    /// As values of the chart.
    fn settings(&self) -> [String; 2] {
        [
            format!("--set=development.broker.image={}", self.broker.name),
            format!("--set=development.store.image={}", self.store.name),
        ]
    }
}

/// What the project's own images are called where they run.
#[derive(Clone, Debug)]
pub struct References {
    /// Runs the control loop.
    pub operator: Reference,
    /// Runs in every pod of the service.
    pub chatbot: Reference,
}

impl OwnImages {
    /// Their names.
    pub fn references(&self) -> Result<References> {
        Ok(References {
            operator: self.operator.reference()?,
            chatbot: self.chatbot.reference()?,
        })
    }
}

/// Cluster DNS and the metrics API.
pub fn addons(cluster: &Cluster, dns: &Image, metrics: &Image) -> Result<()> {
    for (file, image) in [("coredns.yaml", dns), ("metrics-server.yaml", metrics)] {
        let file = cluster.places.cluster_source().join("manifests").join(file);
        let manifest = fs::read_to_string(&file)
            .with_context(|| format!("failed to read {}", file.display()))?;
        cluster.apply(&manifest.replace("@IMAGE@", &image.name))?;
    }
    for deployment in ["coredns", "metrics-server"] {
        rolled_out(cluster, "kube-system", deployment)?;
    }
    let limit = Duration::from_mins(2);
    command::wait_until("the metrics API available", limit, || {
        let mut kubectl = cluster.kubectl();
        kubectl.args([
            "wait",
            "--for=condition=Available",
            "--timeout=1s",
            "apiservice/v1beta1.metrics.k8s.io",
        ]);
        command::output(&mut kubectl).map(|_| true)
    })
}

/// Installs or upgrades the chart with these images, and does not wait but when the arguments say so.
pub fn chart(
    access: &Access,
    repository: &Path,
    images: &References,
    arguments: &[&str],
) -> Result<()> {
    let mut helm = access.helm();
    helm.args(["upgrade", "--install", "chatbot-operator"])
        .arg(repository.join("charts/chatbot-operator"))
        .args(["--namespace", OPERATOR_NAMESPACE])
        .args(images.operator.settings("operator"))
        .args(images.chatbot.settings("chatbot"))
        .args(arguments);
    command::output(&mut helm).map(drop)
}

/// As [`chart`], on the cluster of this machine: the definition of the resource may have been applied by hand before.
pub fn chart_here(
    cluster: &Cluster,
    images: &OwnImages,
    development: &DevelopmentImages,
) -> Result<()> {
    let [broker, store] = development.settings();
    let arguments = [
        "--create-namespace",
        "--take-ownership",
        "--wait",
        "--timeout=180s",
        &broker,
        &store,
    ];
    let repository = &cluster.places.repository;
    chart(
        &cluster.access(),
        repository,
        &images.references()?,
        &arguments,
    )
    .map_err(|error| error.context(describe(cluster, OPERATOR_NAMESPACE)))
}

/// Applies the sample as [`apply_sample`], with its volume.
pub fn sample(cluster: &Cluster) -> Result<bool> {
    let manifests = model_volume(&cluster.places.models(), CHAT_NAMESPACE)?;
    cluster.apply(&manifests)?;
    let file = cluster.places.samples().join("quickstart.yaml");
    apply_sample(&cluster.access(), &file, CHAT_NAMESPACE)
}

/// Applies the sample, unless it is there: then it is as somebody wants it. Waits until it says Ready, and gives whether
/// it serves: somebody may want it halted.
pub fn apply_sample(access: &Access, file: &Path, namespace: &str) -> Result<bool> {
    let text =
        fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
    let of = |arguments: &[&str]| {
        let place = ["--namespace", namespace];
        access.ask(&[arguments, &place].concat())
    };
    let strategy = "jsonpath={.spec.runStrategy}";
    let resource = ["chatbotcluster", SAMPLE, "--ignore-not-found"];
    let strategy = of(&[&["get"], &resource[..], &["--output", strategy]].concat())?;
    if strategy.trim() == "Halted" {
        return Ok(false);
    }
    if strategy.trim().is_empty() {
        let mut apply = access.kubectl();
        apply.args(["apply", "--server-side", "--namespace", namespace]);
        apply.args(["--filename", "-"]);
        command::output_of_input(&mut apply, &text)?;
    }
    let ready = ["--for=condition=Ready", "--timeout=300s"];
    if let Err(error) = of(&[&["wait", "chatbotcluster", SAMPLE], &ready[..]].concat()) {
        bail!("{error:#}\n{}", describe_at(access, namespace));
    }
    Ok(true)
}

/// What is said of a sample that is not to answer.
#[must_use]
pub fn halted(namespace: &str) -> String {
    format!(
        "\n{SAMPLE} is halted, as its spec.runStrategy says, and was asked nothing. It goes on after\n  \
         kubectl --namespace {namespace} patch chatbotcluster {SAMPLE} --type merge \
         --patch '{{\"spec\":{{\"runStrategy\":\"Always\"}}}}'"
    )
}

/// A namespace with a claim on the folder of models. The volume is a folder of this machine that every node sees at
/// the same path: it stands in for a distributed file system.
pub fn model_volume(models: &Path, namespace: &str) -> Result<String> {
    let path = models
        .to_str()
        .context("the folder of models has a name that is not text")?;
    Ok(format!(
        "apiVersion: v1
kind: Namespace
metadata: {{ name: {namespace}, labels: {{ pod-security.kubernetes.io/enforce: restricted }} }}
---
apiVersion: v1
kind: PersistentVolume
metadata: {{ name: models-{namespace} }}
spec:
  accessModes: [ReadOnlyMany, ReadWriteMany]
  capacity: {{ storage: 10Gi }}
  persistentVolumeReclaimPolicy: Retain
  storageClassName: \"\"
  claimRef: {{ namespace: {namespace}, name: models }}
  hostPath: {{ path: \"{path}\", type: Directory }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{ name: models, namespace: {namespace} }}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: \"\"
  volumeName: models-{namespace}
  resources: {{ requests: {{ storage: 10Gi }} }}
"
    ))
}

/// Opens the sample's chat at a port of this machine.
pub fn open_chat(cluster: &Cluster, this_program: &Path) -> Result<SocketAddr> {
    let target = adapters_address(cluster, CHAT_NAMESPACE, SAMPLE)?;
    cluster.open_port(
        this_program,
        "forward-chat",
        CHAT_PORT,
        &cluster.namespaces(),
        target,
    )
}

/// The address, within the cluster, of the Service that takes a resource's messages.
pub fn adapters_address(cluster: &Cluster, namespace: &str, resource: &str) -> Result<SocketAddr> {
    let mut kubectl = cluster.kubectl();
    kubectl.args(["get", "service", "--namespace", namespace]);
    kubectl.args(["--selector", &adapters_of(resource), "--output"]);
    kubectl.arg("jsonpath={.items[0].spec.clusterIP}:{.items[0].spec.ports[0].port}");
    let address = command::output(&mut kubectl)?;
    address
        .trim()
        .parse()
        .with_context(|| format!("failed to find the adapters' Service in namespace {namespace}"))
}

/// Selects what takes a resource's messages.
#[must_use]
pub fn adapters_of(resource: &str) -> String {
    format!("chatbot.dev/component=adapters,chatbot.dev/cluster={resource}")
}

/// Asks one question through the web chat, and gives question and answer.
pub fn ask(address: SocketAddr) -> Result<(String, String)> {
    let answer = web_chat::ask(address, "web", QUESTION, Duration::from_mins(2))?;
    Ok((QUESTION.to_owned(), answer))
}

/// What is in a namespace and what happened there, for whoever has to find out why it failed.
#[must_use]
pub fn describe(cluster: &Cluster, namespace: &str) -> String {
    describe_at(&cluster.access(), namespace)
}

/// As [`describe`], on any cluster.
#[must_use]
pub fn describe_at(access: &Access, namespace: &str) -> String {
    let mut text = String::new();
    for arguments in [
        vec!["get", "chatbotclusters", "--output=yaml"],
        vec![
            "get",
            "all,configmaps,persistentvolumeclaims",
            "--output=wide",
        ],
        vec!["get", "events", "--sort-by=.lastTimestamp"],
    ] {
        let mut kubectl = access.kubectl();
        kubectl.args(["--namespace", namespace]).args(&arguments);
        append(
            &mut text,
            &arguments.join(" "),
            command::output(&mut kubectl),
        );
    }
    for (space, pods) in [
        (namespace, pods(access, namespace)),
        (OPERATOR_NAMESPACE, pods(access, OPERATOR_NAMESPACE)),
    ] {
        for pod in pods {
            let mut kubectl = access.kubectl();
            kubectl.args([
                "logs",
                "--namespace",
                space,
                "--all-containers",
                "--prefix",
                "--tail=40",
                &pod,
            ]);
            append(
                &mut text,
                &format!("logs {pod}"),
                command::output(&mut kubectl),
            );
        }
    }
    text
}

fn pods(access: &Access, namespace: &str) -> Vec<String> {
    let mut kubectl = access.kubectl();
    kubectl.args(["get", "pods", "--namespace", namespace, "--output=name"]);
    let names = command::output(&mut kubectl).unwrap_or_default();
    names.lines().map(str::to_owned).collect()
}

fn append(text: &mut String, title: &str, content: Result<String>) {
    use std::fmt::Write;
    let content = content.unwrap_or_else(|error| format!("{error:#}"));
    let _ = writeln!(text, "---- {title}\n{}", content.trim_end());
}

fn rolled_out(cluster: &Cluster, namespace: &str, deployment: &str) -> Result<()> {
    let mut kubectl = cluster.kubectl();
    kubectl.args([
        "rollout",
        "status",
        "--namespace",
        namespace,
        "--timeout=180s",
    ]);
    kubectl.arg(format!("deployment/{deployment}"));
    if let Err(error) = command::output(&mut kubectl) {
        bail!("{error:#}\n{}", describe(cluster, namespace));
    }
    Ok(())
}
