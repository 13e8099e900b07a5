//! Redis servers of their own, on free ports of the loopback, to be stopped, frozen and flushed: one, a Cluster, or a
//! master with a replica behind sentinels. Debian's service is never started, nor is its package needed: `redis-tools`
//! has the program.
//!
//! A server lives as long as its handle, and never longer than the thread that started it.

mod arrangements;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::command;
use crate::prerequisites::path_with_sbin;

pub use arrangements::{Cluster, Replicated};

/// What a server may take to begin, or to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One server.
pub struct Server {
    folder: PathBuf,
    port: u16,
    arguments: Vec<String>,
    /// What `redis-cli` needs to be let in.
    credentials: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// One that asks for nothing and keeps nothing on disk but on demand.
    pub fn start() -> Result<Self> {
        Self::start_with(&[], &[])
    }

    /// One with more arguments, as `redis-server` takes them, and what `redis-cli` needs then.
    pub fn start_with(arguments: &[&str], credentials: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let folder = folder(port)?;
        let ours = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let listening = if arguments.contains(&"--tls-port") {
            vec!["--port".to_owned(), "0".to_owned()]
        } else {
            vec!["--port".to_owned(), port.to_string()]
        };
        let given = arguments.iter().map(|argument| {
            let argument = argument.replace("{port}", &port.to_string());
            argument.replace("{folder}", &folder.to_string_lossy())
        });
        let ours = ours.iter().map(|argument| (*argument).to_owned());
        let mut server = Self {
            port,
            arguments: listening.into_iter().chain(ours).chain(given).collect(),
            credentials: credentials.iter().map(|word| (*word).to_owned()).collect(),
            folder,
            child: None,
        };
        server.begin()?;
        Ok(server)
    }

    /// A sentinel with a configuration file of its own.
    fn sentinel(file: &str) -> Result<Self> {
        let port = free_port()?;
        let arguments = [
            file,
            "--sentinel",
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
        ];
        let mut server = Self {
            port,
            arguments: arguments.map(str::to_owned).to_vec(),
            credentials: Vec::new(),
            folder: folder(port)?,
            child: None,
        };
        server.begin()?;
        Ok(server)
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port it listens at.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its own folder, removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it again after [`Server::kill`], with what its folder holds.
    pub fn begin(&mut self) -> Result<()> {
        let log = self.folder.join("log");
        let output = fs::File::create(&log)
            .with_context(|| format!("failed to create {}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(self.folder.join("redis-server"))
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("failed to open a log twice")?)
            .stderr(output)
            .spawn()
            .context("failed to start a Redis server")?;
        self.child = Some(child);
        let has_begun = || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.contains("Ready to accept connections") || text.contains("Sentinel ID is")
        };
        let begun = wait_until("a Redis server that is ready", || Ok(has_begun()));
        begun.with_context(|| fs::read_to_string(&log).unwrap_or_default())
    }

    /// Asks with `redis-cli`; what it says, without the line's end.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(&self.credentials)
            .args(words);
        let said = command::output(&mut cli)?.trim_end().to_owned();
        if ["ERR ", "NOAUTH", "WRONGPASS", "MOVED ", "READONLY"]
            .iter()
            .any(|refusal| said.starts_with(refusal))
        {
            bail!("`{}`: {said}", command::line(&cli));
        }
        Ok(said)
    }

    /// Forgets every key.
    pub fn flush(&self) -> Result<()> {
        self.ask(&["FLUSHALL"]).map(drop)
    }

    /// Ends it at once; what it did not save is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill(); // it may have ended by itself
            let _ = child.wait();
        }
    }

    /// Stops it without closing a connection, as a machine that hangs does.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("the server does not run")?;
        kill_process(Pid::from_child(child), signal).context("failed to signal a Redis server")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The server's program. The package of its tools has it under another name: it does what its name says.
pub fn server() -> Result<PathBuf> {
    let folders = path_with_sbin();
    ["redis-server", "redis-check-rdb"]
        .iter()
        .find_map(|name| {
            let mut places = env::split_paths(&folders).map(|folder| folder.join(name));
            places.find(|place| place.is_file())
        })
        .context("there is no Redis here: apt-get install redis-tools")
}

/// A folder of its own, with the program under the name by which it knows what it is.
fn folder(port: u16) -> Result<PathBuf> {
    let folder = env::temp_dir().join(format!("chatbot-redis-{}-{port}", std::process::id()));
    let _ = fs::remove_dir_all(&folder); // left by a process that had our number before
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    let found = server()?;
    std::os::unix::fs::symlink(found, folder.join("redis-server"))
        .context("failed to link the Redis server")?;
    Ok(folder)
}

/// One that nobody listens at now.
fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    let address = listener
        .local_addr()
        .context("failed to find a free port")?;
    Ok(address.port())
}

/// Asks again until the answer is yes, soon after it is.
fn wait_until(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !ready()? {
        if start.elapsed() > PATIENCE {
            bail!("failed to see {what} within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
