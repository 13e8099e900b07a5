//! The processes of a service: gateways and workers, started, ended and harmed.
//!
//! A process ends with the thread that started it, so they are started by the thread that uses them to the end.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chatbot_crds::config::{
    AdaptersConfig, Backbone, CacheConfig, ChannelConfig, GatewayConfig, KafkaConfig,
    PlatformConfig, RedisConfig, WorkerConfig, WorkersConfig,
};
use chatbot_e2e::command::wait_until;
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::places::Places;
use chatbot_e2e::redis::Server;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// The service's only channel.
pub const CHANNEL: &str = "bench";
/// What the topics and groups begin with.
pub const PREFIX: &str = "bench.";
/// Partitions of each topic.
pub const PARTITIONS: u32 = 24;
/// For a process to be ready, or to end in order, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// For an answer about a process.
const ANSWER: Duration = Duration::from_secs(2);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives and sends.
    Gateway,
    /// Answers.
    Worker,
}

impl Role {
    fn command(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }
}

/// What all processes of a service have in common.
pub struct Service {
    folder: TempDir,
    program: PathBuf,
    backbone: Backbone,
    inference: String,
    cache: CacheConfig,
    started: u32,
    runtime: Handle,
    client: Client,
}

/// One process.
pub struct Process {
    /// Its own among all of the service.
    pub number: u32,
    /// What it does.
    pub role: Role,
    /// Where it is delivered to; of a gateway.
    pub entrance: SocketAddr,
    admin: SocketAddr,
    child: Child,
    runtime: Handle,
    client: Client,
}

impl Service {
    /// One that has no process yet, on a broker and a store. `chatbot` is expected beside this program.
    pub fn new(
        broker: &Broker,
        store: &Server,
        inference: &str,
        cache: CacheConfig,
        runtime: &Handle,
    ) -> Result<Self> {
        let program = Places::find()?.binaries.join("chatbot");
        ensure!(
            program.is_file(),
            "{}: there is no such program; `cargo e2e bench` builds it",
            program.display()
        );
        let kafka = KafkaConfig {
            bootstrap_servers: vec![broker.address()],
            topic_prefix: PREFIX.to_owned(),
            partitions: PARTITIONS,
            replication_factor: 1,
            retention_seconds: 7 * 86_400,
            sasl: None,
            tls: None,
        };
        let redis = RedisConfig {
            mode: chatbot_crds::spec::RedisMode::Standalone,
            addresses: vec![store.address()],
            master_name: None,
            key_prefix: PREFIX.to_owned(),
            credentials: None,
            tls: None,
        };
        Ok(Self {
            folder: tempfile::tempdir().context("failed to make a folder for the processes")?,
            program,
            backbone: Backbone {
                kafka,
                redis,
                session_turns: 10,
                session_timeout_seconds: 3_600,
            },
            inference: inference.to_owned(),
            cache,
            started: 0,
            runtime: runtime.clone(),
            client: Client::builder()
                .no_proxy()
                .timeout(ANSWER)
                .build()
                .context("failed to set up a client")?,
        })
    }

    /// The number of the process that is started next.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.started
    }

    /// Starts a gateway whose channel has this platform and this Secret.
    pub fn gateway(
        &mut self,
        platform: PlatformConfig,
        secrets: &[(&str, &str)],
    ) -> Result<Process> {
        let folder = self.folder.path().join("channels").join(CHANNEL);
        fs::create_dir_all(&folder).context("failed to make the channel's folder")?;
        for (key, value) in secrets {
            fs::write(folder.join(key), value).context("failed to write the channel's Secret")?;
        }
        let config = AdaptersConfig {
            gateway: GatewayConfig {
                cluster: "bench/bench".to_owned(),
                channels: vec![ChannelConfig {
                    name: CHANNEL.to_owned(),
                    platform,
                }],
                messages_per_user_per_minute: 0,
                tls: None,
                public_url: None,
            },
            backbone: self.backbone.clone(),
        };
        self.start(Role::Gateway, &config)
    }

    /// Starts a worker. Every question stands alone, so that its answer is for whoever asks the same.
    pub fn worker(&mut self) -> Result<Process> {
        let worker = WorkerConfig {
            cluster: "bench/bench".to_owned(),
            inference_url: self.inference.clone(),
            model: "bench".to_owned(),
            system_prompt: None,
            history_turns: 0,
            session_timeout_seconds: 3_600,
            max_answer_tokens: 64,
            temperature: 0.0,
            fallback_message: "Sorry".to_owned(),
            context_tokens: 2_048,
            cache: self.cache,
        };
        let backbone = self.backbone.clone();
        self.start(Role::Worker, &WorkersConfig { worker, backbone })
    }

    fn start(&mut self, role: Role, config: &impl Serialize) -> Result<Process> {
        let [admin, entrance] = free()?;
        let number = self.started;
        self.started += 1;
        let file = self.folder.path().join(format!("{number}.yaml"));
        let text = serde_yaml::to_string(config).context("failed to write a configuration")?;
        fs::write(&file, text).context("failed to write a configuration")?;
        let log = fs::File::create(file.with_extension("log")).context("failed to make a log")?;
        let mut process = Command::new("setpriv");
        process
            .args(["--pdeathsig", "KILL"])
            .arg(&self.program)
            .args([role.command(), "--config"])
            .arg(&file)
            .args(["--admin-port", &admin.port().to_string()]);
        if role == Role::Gateway {
            process
                .args(["--port", &entrance.port().to_string()])
                .arg("--channels")
                .arg(self.folder.path().join("channels"));
        }
        let child = process
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("failed to open a log twice")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start a {}", role.command()))?;
        Ok(Process {
            number,
            role,
            entrance,
            admin,
            child,
            runtime: self.runtime.clone(),
            client: self.client.clone(),
        })
    }

    /// The last lines that a process has logged.
    #[must_use]
    pub fn last_words(&self, process: &Process) -> String {
        let file = self.folder.path().join(format!("{}.log", process.number));
        last_lines(&file, 12)
    }

    /// Keeps what the processes have logged, and says where: for who looks why something failed.
    pub fn keep_logs(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Process {
    /// Returns when it says that it is ready.
    pub fn wait_ready(&mut self) -> Result<()> {
        let what = format!("{} {} ready", self.role.command(), self.number);
        wait_until(&what, PATIENCE, || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended: {status}");
            }
            self.get("readyz").map(|_| true)
        })
    }

    /// What it says at a path of its own port.
    pub fn get(&self, path: &str) -> Result<String> {
        let asking = async {
            let url = format!("http://{}/{path}", self.admin);
            let response = self.client.get(url).send().await?;
            response.error_for_status()?.text().await
        };
        let said = self.runtime.block_on(asking);
        said.with_context(|| format!("failed to ask {} {}", self.role.command(), self.number))
    }

    /// The sum of a metric over its labels; 0 of one that nothing was counted in.
    pub fn metric(&self, name: &str) -> Result<f64> {
        Ok(metric(&self.get("metrics")?, name))
    }

    /// Its number in the kernel.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs, frozen or not.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it has ended, for a person.
    pub fn end(&mut self) -> String {
        let (role, number) = (self.role.command(), self.number);
        match self.child.try_wait() {
            Ok(Some(status)) => format!("{role} {number} has ended: {status}"),
            _ => format!("{role} {number} runs"),
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }

    /// Tells it to end, and does not wait.
    pub fn tell_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it has ended in order, and insists in the end.
    pub fn wait_ended(&mut self) -> Result<()> {
        let ended = wait_until("a process that has ended", PATIENCE, || {
            Ok(self.child.try_wait()?.is_some())
        });
        self.kill();
        ended
    }

    /// Stops it where it stands, without closing a connection.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("failed to signal {} {}", self.role.command(), self.number))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The sum of a metric over its labels, in what a process says at `/metrics`.
fn metric(text: &str, name: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}')?.1,
            None => rest,
        };
        value.strip_prefix(' ')?.trim().parse::<f64>().ok()
    };
    text.lines().filter_map(value).sum()
}

fn last_lines(file: &Path, count: usize) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Two that nobody listens at now; both are held until both are found, so that they differ.
fn free() -> Result<[SocketAddr; 2]> {
    let bind = || TcpListener::bind("127.0.0.1:0").context("failed to find a free port");
    let listeners = [bind()?, bind()?];
    let address = |listener: &TcpListener| listener.local_addr();
    let [first, second] = listeners.each_ref().map(address);
    Ok([
        first.context("failed to find a free port")?,
        second.context("failed to find a free port")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let text = "# HELP a_total A\na_total{channel=\"x y\"} 2\na_total{channel=\"z\"} 3\na_total_more 7\nb 4.5\n";
        assert!((metric(text, "a_total") - 5.0).abs() < 1e-9);
        assert!((metric(text, "b") - 4.5).abs() < 1e-9);
        assert!(metric(text, "c").abs() < 1e-9);
    }
}
