//! A real Kafka broker on this machine, for as long as its handle: one node that is broker and controller, on free ports
//! of the loopback, ready within seconds. It can be stopped, killed and frozen.

mod distribution;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::command;
use crate::places::Places;
use crate::web_chat::random_id;
use distribution::Distribution;

/// For a broker to listen, on a machine with other work.
const START: Duration = Duration::from_mins(2);
/// For one to end in order.
const STOP: Duration = Duration::from_secs(30);

/// Who may connect, and how. Without it everybody may.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// PEM of the broker's certificate and its PKCS #8 key.
    pub certificate: String,
    /// PEM of that key.
    pub key: String,
    /// PEM of the authority by which clients' certificates are known; a client must have one.
    pub client_ca: String,
    /// Name and password, by PLAIN and SCRAM-SHA-512. Only the first may do anything.
    pub users: Vec<(String, String)>,
}

/// The folder with Kafka's parts, fetched when they are not there.
pub fn jars(places: &Places) -> Result<PathBuf> {
    Ok(Distribution::prepare(places)?.jars().to_owned())
}

/// A running broker.
pub struct Broker {
    distribution: Distribution,
    folder: PathBuf,
    ports: Ports,
    keeper: Keeper,
    child: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    plain: u16,
    controller: u16,
    sasl: u16,
    tls: u16,
}

impl Broker {
    /// Starts one that anybody may use, and returns when it listens.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// Starts one with the listeners that `security` asks for, too.
    pub fn start_with(security: Option<&Security>) -> Result<Self> {
        Self::of(Distribution::prepare(&Places::find()?)?, security)
    }

    fn of(distribution: Distribution, security: Option<&Security>) -> Result<Self> {
        let [plain, controller, sasl, tls] = free_ports()?;
        let ports = Ports {
            plain,
            controller,
            sasl,
            tls,
        };
        let folder = std::env::temp_dir().join(format!("chatbot-kafka-{plain}"));
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        let mut broker = Self {
            distribution,
            folder,
            ports,
            keeper: Keeper::new(),
            child: None,
        };
        broker.format(security)?;
        broker.restart()?;
        Ok(broker)
    }

    /// `host:port` where anybody may connect.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// `host:port` where users say their name and password.
    #[must_use]
    pub fn sasl_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.sasl)
    }

    /// `host:port` where TLS is spoken, and clients show a certificate.
    #[must_use]
    pub fn tls_address(&self) -> String {
        format!("localhost:{}", self.ports.tls)
    }

    /// Ends it in order.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        if let Some(child) = &mut self.child {
            command::wait_until("the broker ended", STOP, || Ok(child.try_wait()?.is_some()))?;
        }
        self.child = None;
        Ok(())
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("failed to kill the broker")?;
            child.wait().context("failed to wait for the broker")?;
        }
        Ok(())
    }

    /// Stops it where it stands.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Starts it again, with what it has kept, and returns when it listens.
    pub fn restart(&mut self) -> Result<()> {
        let archive = self.distribution.archive();
        let shared = format!("-XX:SharedArchiveFile={}", archive.display());
        let known = archive.exists();
        let options: &[&str] = if known {
            &[&shared, "-XX:TieredStopAtLevel=1"]
        } else {
            &[]
        };
        self.run(options)
    }

    /// Lets a user do these things (`Read`, `Write`, …) with the topic of a name; of one that ends in `*`, with all that
    /// begin with what stands before it.
    pub fn allow(&self, user: &str, operations: &[&str], names: &str) -> Result<()> {
        let (name, pattern) = match names.strip_suffix('*') {
            Some(prefix) => (prefix, "prefixed"),
            None => (names, "literal"),
        };
        let class = "org.apache.kafka.tools.AclCommand";
        let mut allow = self.distribution.java(&["-XX:TieredStopAtLevel=1"], class);
        allow
            .args(["--bootstrap-server", &self.address(), "--add"])
            .args(["--allow-principal", &format!("User:{user}")])
            .args(["--topic", name, "--resource-pattern-type", pattern])
            .args(operations.iter().flat_map(|one| ["--operation", one]));
        command::output(&mut allow).map(drop)
    }

    fn run(&mut self, options: &[&str]) -> Result<()> {
        let mut java = self.distribution.java(options, "kafka.Kafka");
        java.arg(self.properties());
        let log = self.folder.join("broker.log");
        let child = self.keeper.spawn(&java, &log)?;
        let child = self.child.insert(child);
        let address = (Ipv4Addr::LOCALHOST, self.ports.plain);
        let mut ended = None;
        let listening = command::wait_until("the broker listening", START, || {
            ended = child.try_wait()?;
            Ok(ended.is_some() || TcpStream::connect(address).is_ok())
        });
        listening.with_context(|| last_words(&log))?;
        if let Some(status) = ended {
            bail!("the broker has ended with {status}: {}", last_words(&log));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the broker does not run")?;
        let number = i32::try_from(child.id()).context("failed to read the broker's number")?;
        let pid = Pid::from_raw(number).context("failed to read the broker's number")?;
        kill_process(pid, signal).context("failed to signal the broker")
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    /// Writes its properties, and makes its folder one of a new cluster.
    fn format(&self, security: Option<&Security>) -> Result<()> {
        let text = properties(self.ports, &self.folder, security);
        fs::write(self.properties(), text).context("failed to write the broker's properties")?;
        let mut format = self
            .distribution
            .java(&["-XX:TieredStopAtLevel=1"], "kafka.tools.StorageTool");
        format
            .args(["format", "--cluster-id", &random_id()?, "--config"])
            .arg(self.properties());
        for (name, password) in security.iter().flat_map(|security| &security.users) {
            let user = format!("SCRAM-SHA-512=[name={name},password={password}]");
            format.args(["--add-scram", &user]);
        }
        command::output(&mut format).map(drop)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.kill(); // it may have ended by itself
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a broker once for the archive of the classes that it loads.
fn archive_classes(distribution: &Distribution) -> Result<()> {
    let mut broker = Broker::of(distribution.clone(), None)?;
    broker.stop()?;
    let partial = broker.folder.join("classes.jsa");
    let option = format!("-XX:ArchiveClassesAtExit={}", partial.display());
    broker.run(&[&option])?;
    broker.stop()?;
    let archive = distribution.archive();
    fs::copy(&partial, archive)
        .with_context(|| format!("failed to write {}", archive.display()))
        .map(drop)
}

/// The kernel ends a process with the thread that started it, so that none outlives this process: the one that starts
/// them stays for as long as they are used.
struct Keeper {
    wanted: Option<mpsc::Sender<Wanted>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Wanted {
    command: Command,
    started: mpsc::Sender<std::io::Result<Child>>,
}

impl Keeper {
    fn new() -> Self {
        let (wanted, asked) = mpsc::channel::<Wanted>();
        let thread = thread::spawn(move || {
            while let Ok(mut wanted) = asked.recv() {
                let _ = wanted.started.send(wanted.command.spawn()); // whoever asked waits for it
            }
        });
        Self {
            wanted: Some(wanted),
            thread: Some(thread),
        }
    }

    fn spawn(&self, program: &Command, log: &Path) -> Result<Child> {
        let output = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(program.get_program())
            .args(program.get_args())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("failed to open a log twice")?)
            .stderr(output);
        let (started, start) = mpsc::channel();
        let wanted = self
            .wanted
            .as_ref()
            .context("the broker's keeper is gone")?;
        wanted
            .send(Wanted { command, started })
            .context("the broker's keeper is gone")?;
        let child = start.recv().context("the broker's keeper is gone")?;
        child.context("failed to start the broker")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.wanted.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it only starts processes
        }
    }
}

/// Ports that nobody listens at; all are held until all are found, so that they differ.
fn free_ports() -> Result<[u16; 4]> {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port");
    let listeners = [free()?, free()?, free()?, free()?];
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        let address = listener
            .local_addr()
            .context("failed to find a free port")?;
        *port = address.port();
    }
    Ok(ports)
}

fn properties(ports: Ports, folder: &Path, security: Option<&Security>) -> String {
    let Ports {
        plain,
        controller,
        sasl,
        tls,
    } = ports;
    let more = if security.is_some() {
        format!(",SASL://127.0.0.1:{sasl},TLS://localhost:{tls}")
    } else {
        String::new()
    };
    let mut text = format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL
listeners=PLAIN://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}{more}
advertised.listeners=PLAIN://127.0.0.1:{plain}{more}
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=2097152
",
        logs = folder.join("logs").display()
    );
    if let Some(security) = security {
        secure(&mut text, security);
    }
    text
}

fn secure(text: &mut String, security: &Security) {
    let one_line = |pem: &str| pem.trim().replace('\n', "\\n");
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required";
    let mut users = String::new();
    for (name, password) in &security.users {
        // Writing to a string does not fail.
        let _ = write!(users, " user_{name}=\"{password}\"");
    }
    let mut supers = "User:ANONYMOUS".to_owned();
    if let Some((name, _)) = security.users.first() {
        let _ = write!(supers, ";User:{name}");
    }
    let _ = write!(
        text,
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users={supers};User:CN=chatbot
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config={plain}{users};
listener.name.sasl.scram-sha-512.sasl.jaas.config={scram};
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.certificate.chain={}
listener.name.tls.ssl.keystore.key={}
listener.name.tls.ssl.truststore.type=PEM
listener.name.tls.ssl.truststore.certificates={}
listener.name.tls.ssl.client.auth=required
",
        one_line(&security.certificate),
        one_line(&security.key),
        one_line(&security.client_ca),
    );
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
