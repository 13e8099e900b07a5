//! Operators as processes before a control plane alone, each with the rights that the chart gives and under an account of
//! its own, so that the API server tells who has written what.
#![allow(dead_code)] // each test program uses its part

pub mod seen;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chatbot_e2e::command;
use chatbot_e2e::plane::{Options, Plane};
use chatbot_e2e::scenario::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Where operators are installed.
const SYSTEM: &str = "chatbot-system";
const PROGRAM: &str = "chatbot-operator";
/// The time in which whatever needs no node is expected to happen, on a machine that is busy with everything else.
pub const SOON: Duration = Duration::from_secs(90);

/// Where the operators of all installations find each other.
const LEASES: &str = "kube-system";

/// An installation of the chart.
#[derive(Clone, Copy)]
pub struct Installation {
    /// What its operator is called here.
    pub name: &'static str,
    pub namespace: &'static str,
    /// The namespace of its Lease.
    pub leases: &'static str,
}

impl Installation {
    pub const fn of(name: &'static str) -> Self {
        Self::at(name, SYSTEM)
    }

    pub const fn at(name: &'static str, namespace: &'static str) -> Self {
        Self {
            name,
            namespace,
            leases: LEASES,
        }
    }

    fn release(self) -> String {
        format!("{}-{PROGRAM}", self.name)
    }

    fn user(self) -> String {
        let Self { namespace, .. } = self;
        format!("system:serviceaccount:{namespace}:{}", self.release())
    }
}

/// A control plane for several operators.
pub struct Operators {
    pub plane: Plane,
    account: PathBuf,
    installations: Vec<Installation>,
}

/// A running operator. It dies with its handle.
pub struct Operator {
    pub name: &'static str,
    process: Child,
    log: PathBuf,
    address: SocketAddr,
}

impl Operators {
    /// Installs as many as there are names.
    pub fn install(names: &[&'static str]) -> Result<Self> {
        let installations: Vec<_> = names.iter().copied().map(Installation::of).collect();
        Self::install_at(&installations)
    }

    /// Installs them.
    pub fn install_at(installations: &[Installation]) -> Result<Self> {
        let names: String = installations.iter().map(|one| one.name).collect();
        let name = format!("chatbot-account-{}-{names}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        let (policy, account) = (folder.join("policy.yaml"), folder.join("account"));
        fs::write(&policy, self::policy(installations))?;
        let plane = Plane::start_with(Options {
            api_server: vec![
                format!("--audit-policy-file={}", policy.display()),
                format!("--audit-log-path={}", account.display()),
            ],
            // Nothing moves by itself: what changes, an operator or the test has changed.
            controller_manager: vec![
                "--controllers=*,-horizontal-pod-autoscaler-controller".to_owned(),
            ],
            ..Options::default()
        })?;
        // Its definition as this release has it, whatever was written of it last.
        plane.apply(&serde_json::to_string(&chatbot_crds::schema::definition())?)?;
        for installation in installations {
            let Installation {
                namespace, leases, ..
            } = installation;
            for name in [namespace, leases] {
                let metadata = json!({ "name": name });
                let made = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
                plane.apply(&made.to_string())?;
            }
            let mut helm = Command::new(plane.places.programs().join("helm"));
            helm.args(["template", &installation.release()])
                .arg(plane.places.repository.join("charts/chatbot-operator"))
                .args(["--namespace", namespace, "--kube-version", "1.35.0"])
                .args(["--show-only", "templates/rbac.yaml"])
                .args(["--set", "image.operator.repository=none"])
                .args(["--set", "image.chatbot.repository=none"])
                .args(["--set", &format!("leaderElection.namespace={leases}")]);
            plane.apply(&command::output(&mut helm)?)?;
        }
        let mut established = plane.kubectl();
        established.args(["wait", "--for=condition=Established", "--timeout=60s"]);
        established.arg("customresourcedefinition/chatbotclusters.chatbot.dev");
        command::output(&mut established)?;
        Ok(Self {
            plane,
            account,
            installations: installations.to_vec(),
        })
    }

    fn installation(&self, name: &str) -> Result<Installation> {
        let mut installed = self.installations.iter();
        let found = installed.find(|installed| installed.name == name);
        found.copied().context("it is not installed")
    }

    /// Starts one.
    pub fn start(&self, name: &'static str) -> Result<Operator> {
        self.start_with(name, &[])
    }

    /// Starts one as it runs in the cluster: the pods' policies let it in by its own namespace.
    pub fn start_inside(&self, name: &'static str) -> Result<Operator> {
        let namespace = self.installation(name)?.namespace;
        let labels = format!("app.kubernetes.io/instance={name}");
        let place = ["--operator-namespace", namespace, "--operator-labels"];
        self.start_with(name, &[&place[..], &[labels.as_str()]].concat())
    }

    fn start_with(&self, name: &'static str, arguments: &[&str]) -> Result<Operator> {
        let installation = self.installation(name)?;
        let namespace = installation.namespace;
        let places = &self.plane.places;
        let mut token = self.plane.kubectl();
        token.args(["create", "token", &installation.release()]);
        token.args(["--namespace", namespace]);
        let token = command::output(&mut token)?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "plane",
            "clusters": [{ "name": "plane", "cluster": {
                "server": format!("https://{}", self.plane.address()),
                "certificate-authority": places.pki().join("ca.crt"),
            } }],
            "contexts": [{ "name": "plane",
                "context": { "cluster": "plane", "user": name, "namespace": namespace } }],
            "users": [{ "name": name, "user": { "token": token.trim() } }],
        });
        let kubeconfig = places.state.join(format!("{name}.kubeconfig"));
        fs::write(&kubeconfig, config.to_string())?;
        let log = places.logs().join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let program = places.binaries.join(PROGRAM);
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&program)
            .args(["--image", "localhost/chatbot:test"])
            .args(["--metrics-address", &address.to_string()])
            .args(["--lease-namespace", installation.leases])
            .args(arguments)
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        Ok(Operator {
            name,
            process,
            log,
            address,
        })
    }

    /// What an operator has written since a moment, the Lease aside, as `verb resource namespace/name: code`.
    pub fn writes(&self, name: &str, since: &str) -> Result<Vec<String>> {
        let user = self.installation(name)?.user();
        let text = fs::read_to_string(&self.account)?;
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines
            .filter(|line: &Value| {
                let write = ["create", "update", "patch", "delete", "deletecollection"];
                line["user"]["username"] == *user
                    && line["verb"]
                        .as_str()
                        .is_some_and(|verb| write.contains(&verb))
                    && line["objectRef"]["resource"] != "leases"
                    && line["requestReceivedTimestamp"].as_str() > Some(since)
            })
            .map(|line| {
                let object = &line["objectRef"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!(
                    "{} {} {}/{}: {}",
                    text(&line["verb"]),
                    text(&object["resource"]),
                    text(&object["namespace"]),
                    text(&object["name"]),
                    line["responseStatus"]["code"],
                )
            })
            .collect())
    }

    /// The holder of the Lease; nobody where it was given back.
    pub fn holder(&self) -> Result<Option<String>> {
        let mut kubectl = self.plane.kubectl();
        kubectl.args([
            "get",
            "lease",
            PROGRAM,
            "--namespace",
            LEASES,
            "--output=json",
        ]);
        let lease: Value = serde_json::from_str(&command::output(&mut kubectl)?)?;
        Ok(lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        let _ = self.account.parent().map(fs::remove_dir_all); // it is a temporary folder
    }
}

/// The present moment, as the API server writes it.
pub fn now() -> Result<String> {
    let mut date = Command::new("date");
    date.args(["--utc", "+%Y-%m-%dT%H:%M:%S.%6NZ"]);
    Ok(command::output(&mut date)?.trim().to_owned())
}

/// Only what operators ask is told.
fn policy(installations: &[Installation]) -> String {
    let users: Vec<String> = installations.iter().map(|one| one.user()).collect();
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata", "users": users }, { "level": "None" }],
    })
    .to_string()
}

impl Operator {
    /// Whether it leads, by its own account.
    pub fn leads(&self) -> Result<bool> {
        let metrics = self.get("/metrics")?;
        Ok(metrics
            .lines()
            .any(|line| line == "chatbot_operator_leading 1"))
    }

    /// Waits until it leads; gives how long that took.
    pub fn wait_leads(&self) -> Result<Duration> {
        let start = Instant::now();
        wait_until(&format!("{} leading", self.name), SOON, || self.leads())?;
        Ok(start.elapsed())
    }

    /// Waits until it is ready.
    pub fn wait_ready(&self) -> Result<()> {
        wait_until(&format!("{} ready", self.name), SOON, || {
            Ok(self.readiness()?.starts_with("HTTP/1.1 200"))
        })
    }

    /// What it answers to whoever asks whether it is ready.
    pub fn readiness(&self) -> Result<String> {
        self.get("/readyz")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).context("failed to send a signal")
    }

    /// Waits for its end.
    pub fn wait_end(&mut self) -> Result<ExitStatus> {
        let mut ended = None;
        wait_until(&format!("the end of {}", self.name), SOON, || {
            ended = self.process.try_wait()?;
            Ok(ended.is_some())
        })?;
        ended.context("it goes on")
    }

    /// What it has logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Fails when it has ended, or has panicked.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.process.try_wait()?;
        ensure!(ended.is_none(), "{} ended: {ended:?}", self.name);
        ensure!(!self.log()?.contains("panicked"), "{} panicked", self.name);
        Ok(())
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
        if thread::panicking() {
            let log = self.log().unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("==== {}'s last words\n{}", self.name, last.join("\n"));
        }
    }
}

/// What the operator makes, by kind and name.
pub fn children(kubectl: &mut Command, namespace: &str) -> Result<Vec<(String, Value)>> {
    const KINDS: &str = "configmaps,services,networkpolicies,ingresses,poddisruptionbudgets,deployments,\
                         horizontalpodautoscalers";
    kubectl.args(["get", KINDS, "--namespace", namespace]);
    kubectl.args(["--selector=chatbot.dev/cluster", "--output=json"]);
    let list: Value = serde_json::from_str(&command::output(kubectl)?)?;
    let mut children: Vec<(String, Value)> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| {
            let name = format!("{} {}", item["kind"], item["metadata"]["name"]);
            (name.replace('"', ""), item.clone())
        })
        .collect();
    children.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(children)
}
