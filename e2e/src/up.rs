//! `cargo e2e up`: from a machine with nothing but Rust and Go to an answered message on a real cluster.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::chat;
use crate::cluster::Cluster;
use crate::go_build;
use crate::images::{self, Image};
use crate::install::{self, DevelopmentImages, OwnImages};
use crate::kafka;
use crate::model;
use crate::monitoring;
use crate::places::Places;
use crate::prerequisites;
use crate::rust_build::{Build, Toolchain};
use crate::steps::{Step, Steps};

/// What the cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To try the chat: in one process as soon as it is built, then on the cluster, with one question asked.
    Try,
    /// The cluster alone.
    Bare,
    /// The scenarios: the operator, and nothing applied; the own crates are linted while they are built.
    Test,
}

/// What is to be brought up.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// How many nodes.
    pub nodes: u8,
    /// What for.
    pub purpose: Purpose,
}

impl Wish {
    /// In which way the project's own programs are built for it.
    fn build(self) -> Build {
        match self.purpose {
            Purpose::Try | Purpose::Bare => Build::Plain,
            Purpose::Test => Build::Linted,
        }
    }
}

/// The project's own programs and the model.
struct Own {
    toolchain: Toolchain,
    operator: PathBuf,
    chatbot: PathBuf,
}

/// The images every node needs before anything of the project's own.
struct BaseImages {
    pause: Image,
    dns: Image,
    metrics: Image,
    toolbox: Image,
    monitoring: monitoring::Images,
}

/// The lines of the plan, with what is there already at no cost.
#[must_use]
pub fn plan(places: &Places, wish: Wish) -> Vec<Step> {
    let missing = prerequisites::missing_packages();
    let cost = |there: bool, minutes: f32| if there { 0.0 } else { minutes };
    let freshness = |program| wish.build().freshness(places, program);
    let packages = match missing.as_slice() {
        [] => "Debian packages: all there".to_owned(),
        missing => format!("apt-get install {}", missing.join(" ")),
    };
    let mut plan = vec![
        Step::new("packages", cost(missing.is_empty(), 1.0), packages),
        Step::new(
            "kubernetes",
            cost(go_build::is_built(places), 8.0),
            "build Kubernetes, etcd, CoreDNS, metrics-server and Helm from source (Go), beside the others",
        ),
        Step::new(
            "control plane",
            0.2,
            "etcd, API server, controller manager, scheduler",
        ),
        Step::new(
            "nodes",
            0.5,
            format!(
                "{} nodes, each with its own containerd and kubelet",
                wish.nodes
            ),
        ),
        Step::new(
            "add-ons",
            0.3,
            "cluster DNS, the metrics API, Prometheus with Alertmanager and node_exporter",
        ),
    ];
    if wish.purpose == Purpose::Bare {
        return plan;
    }
    let model = cost(model::is_ready(places), 0.5);
    plan.push(Step::new(
        "model",
        model,
        "fetch a small language model (93 MB), convert it to 8 bits",
    ));
    let chatbot = freshness("chatbot");
    plan.push(Step::new(
        "chatbot",
        chatbot.minutes(1.5, 8.0),
        format!(
            "build the service and its inference engine (Rust){}",
            chatbot.note()
        ),
    ));
    if wish.purpose == Purpose::Try {
        plan.push(Step::new(
            "try now",
            0.1,
            "start the chat in one process, to try while the rest is built",
        ));
    }
    let operator = freshness("chatbot-operator");
    plan.push(Step::new(
        "operator",
        operator.minutes(1.0, 3.0),
        format!("build the operator (Rust){}", operator.note()),
    ));
    plan.push(Step::new(
        "images",
        0.3,
        "pack the programs as images, without a registry; import them into each node",
    ));
    plan.push(Step::new(
        "chart",
        0.3,
        "helm upgrade --install charts/chatbot-operator",
    ));
    if wish.purpose == Purpose::Try {
        plan.push(Step::new(
            "sample",
            0.7,
            "apply e2e/samples/quickstart.yaml, wait until it is Ready",
        ));
        plan.push(Step::new(
            "message",
            0.1,
            "ask one question through the web chat",
        ));
    }
    plan
}

/// The two builds run side by side on two cores, so the whole takes about the sum of everything.
#[must_use]
pub fn total(plan: &[Step]) -> f32 {
    plan.iter().map(|step| step.minutes).sum()
}

/// Brings up what is not up, and says what to do with it.
pub fn up_and_show(
    places: &Places,
    wish: Wish,
    steps: &Steps,
    this_program: &Path,
) -> Result<String> {
    install_packages(steps)?;
    let cluster = Cluster::new(places.clone());
    if wish.purpose == Purpose::Bare {
        start_kubernetes(&cluster, wish, steps, this_program)?;
        return Ok(format!("\n{}\n\n{}", steps.table(), shell(places)));
    }
    start(&cluster, wish, steps, this_program)?;
    if !steps.run("sample", || install::sample(&cluster))? {
        let halted = install::halted(install::CHAT_NAMESPACE);
        return Ok(format!("{halted}\n\n{}{}", steps.table(), shell(places)));
    }
    let chat = install::open_chat(&cluster, this_program)?;
    let (question, answer) = steps.run("message", || install::ask(chat))?;
    Ok(format!(
        "\nasked     {question}\nanswered  {answer}\n\n{table}\n\n\
         the chat on the cluster   http://{chat}/channels/web/\n{shell}",
        table = steps.table(),
        shell = shell(places),
    ))
}

/// The Debian packages that are missing.
pub fn install_packages(steps: &Steps) -> Result<()> {
    steps.run("packages", || {
        let missing = prerequisites::missing_packages();
        prerequisites::install_packages(&missing, |line| steps.mention("packages", line))
    })
}

/// Cluster and operator; gives what builds more in the same way.
pub fn start(
    cluster: &Cluster,
    wish: Wish,
    steps: &Steps,
    this_program: &Path,
) -> Result<Toolchain> {
    let places = &cluster.places;
    let (kubernetes, own) = thread::scope(|scope| {
        let kubernetes = scope.spawn(|| start_kubernetes(cluster, wish, steps, this_program));
        let own = build_own(places, wish, steps);
        if own.is_err() {
            steps.say(
                "builds",
                "the project's own programs failed to build; waiting for the other half",
            );
        }
        let kubernetes = kubernetes.join();
        (
            kubernetes.unwrap_or_else(|_| Err(anyhow!("it ended unexpectedly"))),
            own,
        )
    });
    let own = match (kubernetes, own) {
        (Ok(()), own) => own?,
        (Err(kubernetes), Ok(_)) => return Err(kubernetes),
        (Err(kubernetes), Err(own)) => bail!("{kubernetes:#}\nand: {own:#}"),
    };
    let (images, development) = steps.run("images", || {
        let images = OwnImages {
            operator: images::own(places, "operator", &own.operator)?,
            chatbot: images::own(places, "chatbot", &own.chatbot)?,
        };
        let development = DevelopmentImages {
            broker: images::broker(places, &kafka::jars(places)?)?,
            store: images::store(places)?,
        };
        cluster.import(&[
            images.operator.clone(),
            images.chatbot.clone(),
            development.broker.clone(),
            development.store.clone(),
        ])?;
        Ok((images, development))
    })?;
    steps.run("chart", || {
        install::chart_here(cluster, &images, &development)
    })?;
    Ok(own.toolchain)
}

/// Everything that does not wait for the project's own programs.
fn start_kubernetes(
    cluster: &Cluster,
    wish: Wish,
    steps: &Steps,
    this_program: &Path,
) -> Result<()> {
    let places = &cluster.places;
    let programs = steps.run("kubernetes", || {
        go_build::build(places, |line| steps.say("kubernetes", line))
    })?;
    steps.run("control plane", || {
        cluster.start_control_plane(&programs)?;
        cluster.open_api(this_program)
    })?;
    let base = base_images(places, &programs).context("failed to pack the cluster's own images")?;
    steps.run("nodes", || {
        let count = wish
            .nodes
            .max(cluster.nodes().last().map_or(0, |node| node.number()));
        if count > wish.nodes {
            steps.say(
                "nodes",
                &format!("there are {count} already, and they stay; `cargo e2e down` removes them"),
            );
        }
        let mut every = vec![
            base.pause.clone(),
            base.dns.clone(),
            base.metrics.clone(),
            base.toolbox.clone(),
        ];
        every.extend_from_slice(base.monitoring.all());
        cluster.start_nodes(count, &base.pause, &every)
    })?;
    steps.run("add-ons", || {
        monitoring::apply(cluster, &base.monitoring, &base.toolbox)?;
        install::addons(cluster, &base.dns, &base.metrics)
    })
}

fn base_images(places: &Places, programs: &Path) -> Result<BaseImages> {
    Ok(BaseImages {
        pause: images::pause(places)?,
        dns: images::addon(places, programs, "coredns")?,
        metrics: images::addon(places, programs, "metrics-server")?,
        toolbox: images::toolbox(places)?,
        monitoring: monitoring::Images::pack(places)?,
    })
}

/// The project's own programs, and the model; the chat in one process as soon as it can be had.
fn build_own(places: &Places, wish: Wish, steps: &Steps) -> Result<Own> {
    let published = steps.run("model", || model::fetch(places, steps))?;
    let mut toolchain = Toolchain::prepare(places, steps)?;
    if wish.purpose == Purpose::Test {
        toolchain = toolchain.for_tests();
    }
    let chatbot = steps.run("chatbot", || {
        toolchain.build(places, steps, "chatbot", "chatbot")
    })?;
    let model = steps.run("convert", || {
        model::convert(places, steps, &chatbot, &published)
    })?;
    if wish.purpose == Purpose::Try {
        let page = steps.run("try now", || chat::start(places, &chatbot, &model))?;
        steps.say("try now", &format!("the chat in one process: {page}"));
    }
    let operator = steps.run("operator", || {
        toolchain.build(places, steps, "operator", "chatbot-operator")
    })?;
    Ok(Own {
        toolchain,
        operator,
        chatbot,
    })
}

/// How to use the cluster from a shell.
fn shell(places: &Places) -> String {
    let namespace = install::CHAT_NAMESPACE;
    format!(
        "kubectl in this shell     export KUBECONFIG={kubeconfig} PATH={programs}:$PATH\n\n\
         to try next\n  \
         kubectl get nodes,pods --all-namespaces\n  \
         kubectl get chatbotclusters --all-namespaces --output wide\n  \
         kubectl edit chatbotcluster --namespace {namespace}      change the prompt or the replicas, and watch\n  \
         kubectl top pods --namespace {namespace}\n  \
         cargo e2e down                                  ends it all and leaves nothing\n\n\
         Models are read from {models}, a folder of this machine that all nodes see: it stands in for a distributed \
         file system.",
        kubeconfig = places.kubeconfig().display(),
        programs = places.programs().display(),
        models = places.models().display(),
    )
}
