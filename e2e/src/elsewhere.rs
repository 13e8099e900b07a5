//! `cargo e2e up --kubeconfig FILE`: the same on a cluster that the user has. No root is needed and nothing of the
//! cluster is changed but what is made here: two namespaces, the chart's release, and what belongs to them.

mod cluster;
mod model;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::access::Access;
use crate::images;
use crate::install::{self, References};
use crate::places::Places;
use crate::reference::Reference;
use crate::release;
use crate::steps::{Step, Steps};

/// A cluster that the user has.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Use the cluster of this kubeconfig instead of one on this machine; no root is needed
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Which context of the kubeconfig; absent: its current one
    #[arg(long, requires = "kubeconfig")]
    context: Option<String>,
    /// The chat's namespace: `up` makes it, or goes on in one that it made; `down` removes it
    #[arg(long, requires = "kubeconfig", default_value = install::CHAT_NAMESPACE)]
    namespace: String,
}

/// Where the images and the model's volume come from.
#[derive(Args, Clone, Debug)]
pub struct Sources {
    /// Where the images were pushed to, as with `cargo e2e images --repository`; absent: the nodes have them
    #[arg(long, requires = "kubeconfig")]
    repository: Option<String>,
    /// An operator's image built otherwise, with tag or digest
    #[arg(long, requires_all = ["kubeconfig", "chatbot_image"], conflicts_with = "repository")]
    operator_image: Option<Reference>,
    /// A service's image built otherwise, with tag or digest
    #[arg(long, requires_all = ["kubeconfig", "operator_image"])]
    chatbot_image: Option<Reference>,
    /// More of the chart's values, as for `helm --values`: a mirror for the development broker's and store's images
    #[arg(long, requires = "kubeconfig", value_name = "FILE")]
    values: Option<PathBuf>,
    /// Class of a volume that every node can mount, for the model; absent: the default class, and one instance
    #[arg(long, requires = "kubeconfig")]
    shared_storage_class: Option<String>,
}

impl Options {
    /// Whether a cluster of the user's is meant at all.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.kubeconfig.is_some()
    }

    /// The way to it.
    fn access(&self, places: &Places) -> Result<Access> {
        let kubeconfig = self
            .kubeconfig
            .clone()
            .context("--kubeconfig must be set")?;
        if let Err(error) = std::fs::File::open(&kubeconfig) {
            bail!(
                "--kubeconfig {}: {error}; name the file that kubectl uses, often ~/.kube/config",
                kubeconfig.display()
            );
        }
        Ok(Access {
            kubectl: cluster::program(places, "kubectl")?,
            helm: cluster::program(places, "helm")?,
            kubeconfig,
            context: self.context.clone(),
        })
    }
}

impl Sources {
    /// How helm is given the file of values, which is there.
    fn values(&self) -> Result<Option<String>> {
        let Some(file) = &self.values else {
            return Ok(None);
        };
        if let Err(error) = std::fs::File::open(file) {
            bail!(
                "--values {}: {error}; name a file of chart values, or leave it out",
                file.display()
            );
        }
        Ok(Some(format!("--values={}", file.display())))
    }
}

/// Installs, applies the sample, asks one question, and says what to do with it.
pub fn up(places: &Places, options: &Options, sources: &Sources) -> Result<String> {
    let access = options.access(places)?;
    let values = sources.values()?;
    let named = sources
        .operator_image
        .clone()
        .zip(sources.chatbot_image.clone());
    let builds = named.is_none() || !crate::model::is_ready(places);
    let plan = plan(places, builds);
    let total = plan.iter().map(|step| step.minutes).sum();
    let steps = Steps::begin(
        "cargo e2e up: the operator and a chat on a cluster of yours",
        &plan,
        total,
    );
    steps.run("cluster", || {
        cluster::check(&access, |line| steps.say("cluster", line))?;
        cluster::claim_namespaces(&access, &options.namespace)
    })?;
    let programs = builds.then(|| release::build(places, &steps)).transpose()?;
    let images = steps.run("images", || match (named, &programs) {
        (Some((operator, chatbot)), _) => Ok(References { operator, chatbot }),
        (None, Some(programs)) => packed(places, programs, sources, &steps),
        (None, None) => bail!("no image was built, and none was named"),
    })?;
    let file = steps.run("model", || {
        let Some(programs) = &programs else {
            return Ok(places.models().join(crate::model::FILE));
        };
        let published = crate::model::fetch(places, &steps)?;
        crate::model::convert(places, &steps, programs.chatbot(), &published)
    })?;
    steps.run("chart", || {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        install::chart(&access, &places.repository, &images, &values)?;
        cluster::wait_operator(&access, &images)
    })?;
    let class = sources.shared_storage_class.as_deref();
    steps.run("volume", || {
        model::put(&access, &options.namespace, &images.chatbot, class, &file)
    })?;
    let serves = steps.run("sample", || {
        cluster::sample(&access, places, &options.namespace, class.is_some())
    })?;
    if !serves {
        return Ok(install::halted(&options.namespace));
    }
    let (question, answer) = steps.run("message", || {
        let forward = Forwarded::open(&access, &options.namespace)?;
        install::ask(forward.address)
    })?;
    Ok(format!(
        "\nasked     {question}\nanswered  {answer}\n\n{}\n\n{}",
        steps.table(),
        to_try(&access, &options.namespace)
    ))
}

/// Removes what [`up`] made.
pub fn down(places: &Places, options: &Options) -> Result<()> {
    let access = options.access(places)?;
    cluster::remove(&access, &options.namespace, |line| eprintln!("{line}"))
}

fn plan(places: &Places, builds: bool) -> Vec<Step> {
    let mut plan = vec![Step::new(
        "cluster",
        0.1,
        "look at it, and make two namespaces; nothing else of it is touched",
    )];
    if builds {
        plan.extend(release::plan(places));
    }
    let model = if crate::model::is_ready(places) {
        0.0
    } else {
        0.5
    };
    plan.extend([
        Step::new("images", 0.1, "find out what the images are called"),
        Step::new(
            "model",
            model,
            "fetch a small language model (93 MB), convert it to 8 bits",
        ),
        Step::new(
            "chart",
            0.3,
            "helm upgrade --install charts/chatbot-operator",
        ),
        Step::new("volume", 0.5, "claim a volume, and send it the model"),
        Step::new("sample", 0.7, "apply the sample, wait until it is Ready"),
        Step::new("message", 0.1, "ask one question through the web chat"),
    ]);
    plan
}

/// Packs the images that were built: under which names the cluster knows them follows from what is in them.
fn packed(
    places: &Places,
    programs: &release::Programs,
    sources: &Sources,
    steps: &Steps,
) -> Result<References> {
    let repository = sources.repository.as_deref().unwrap_or(images::LOCAL);
    let folder = release::default_folder(places);
    let images = release::pack(places, programs, repository, &folder)?;
    steps.say(
        "images",
        &format!(
            "{} and {}: on the nodes or in the registry they must be already; `cargo e2e images` says how they get there",
            images.operator.name, images.chatbot.name
        ),
    );
    images.references()
}

/// A port of this machine that leads to the chat while it is open.
struct Forwarded {
    process: Child,
    address: SocketAddr,
    /// kubectl says a line for each connection, and ends when nobody can hear it.
    _output: BufReader<ChildStdout>,
}

impl Forwarded {
    fn open(access: &Access, namespace: &str) -> Result<Self> {
        let service = access.ask(&[
            "get",
            "service",
            "--namespace",
            namespace,
            "--selector",
            &install::adapters_of(install::SAMPLE),
            "--output=jsonpath=service/{.items[0].metadata.name} :{.items[0].spec.ports[0].port}",
        ])?;
        let mut kubectl = access.kubectl();
        kubectl.args(["port-forward", "--namespace", namespace]);
        kubectl.args(service.split_whitespace());
        let mut process = kubectl
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start kubectl port-forward")?;
        let output = process.stdout.take().context("failed to open a pipe")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output
            .read_line(&mut line)
            .context("failed to read from kubectl port-forward")?;
        let Some(address) = forwarding(&line) else {
            let _ = process.kill();
            let _ = process.wait();
            bail!("kubectl port-forward did not say where it listens: {line}");
        };
        Ok(Self {
            process,
            address,
            _output: output,
        })
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `Forwarding from 127.0.0.1:40123 -> 8080`.
fn forwarding(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("Forwarding from ")?;
    rest.split(' ').next()?.parse().ok()
}

/// How to use the chat from a shell.
fn to_try(access: &Access, namespace: &str) -> String {
    let mut kubectl = format!("kubectl --kubeconfig {}", access.kubeconfig.display());
    let mut down = format!(
        "cargo e2e down --kubeconfig {}",
        access.kubeconfig.display()
    );
    if let Some(context) = &access.context {
        kubectl = format!("{kubectl} --context {context}");
        down = format!("{down} --context {context}");
    }
    if namespace != install::CHAT_NAMESPACE {
        down = format!("{down} --namespace {namespace}");
    }
    format!(
        "to try next\n  \
         {kubectl} port-forward --namespace {namespace} service/quickstart-adapters 8080:80      then http://127.0.0.1:8080\n  \
         {kubectl} get chatbotclusters --all-namespaces --output wide\n  \
         {kubectl} edit chatbotcluster --namespace {namespace}      change the prompt or the replicas, and watch\n  \
         {down}      removes all of it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        sources: Sources,
    }

    #[test]
    fn what_is_of_no_use_without_a_kubeconfig_is_refused() {
        for wrong in [
            &["--context=kind"][..],
            &["--repository=registry.example.com/team"],
            &["--values=values.yaml"],
            &["--kubeconfig=file", "--operator-image=a:1"],
            &[
                "--kubeconfig=file",
                "--operator-image=a",
                "--chatbot-image=b:1",
            ],
        ] {
            let line = [&["up"], wrong].concat();
            Line::try_parse_from(line).expect_err(wrong[0]);
        }
        let line = [
            "up",
            "--kubeconfig=file",
            "--operator-image=a:1",
            "--chatbot-image=b:1",
        ];
        let line = Line::try_parse_from(line).unwrap();
        assert!(line.options.is_given());
        assert!(line.sources.chatbot_image.is_some() && line.sources.repository.is_none());
    }

    #[test]
    fn the_forwarded_port_is_read_from_what_kubectl_says() {
        let address = forwarding("Forwarding from 127.0.0.1:40123 -> 8080\n");
        assert_eq!(address, Some(SocketAddr::from(([127, 0, 0, 1], 40123))));
        assert_eq!(forwarding("error: no such service\n"), None);
    }
}
