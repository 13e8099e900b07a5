//! A service in processes of its own, apart from a cluster.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use chatbot_crds::config::{
    AdaptersConfig, Backbone, CacheConfig, ChannelConfig, GatewayConfig, KafkaConfig,
    MountedSecret, PlatformConfig, RedisConfig, SaslConfig, WorkerConfig, WorkersConfig,
};
use chatbot_crds::spec::{RedisMode, SaslMechanism};
use chatbot_e2e::command::wait_until;
use chatbot_e2e::places::Places;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

/// The web chat.
pub const CHANNEL: &str = "web";
/// Longer than anything here takes; reaching it fails the test.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that a service is made of.
pub struct Service {
    folder: TempDir,
    backbone: Backbone,
    inference: String,
}

/// A gateway or a worker.
pub struct Process {
    child: Child,
    admin: SocketAddr,
    /// What it was configured with.
    pub config: PathBuf,
    /// Where users reach it; of a gateway only.
    pub entrance: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://{}/{path}", self.admin);
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--max-time",
            "5",
            &url,
        ]);
        chatbot_e2e::command::output(&mut curl)
    }

    pub fn wait_ready(&self) {
        wait_until("the process ready", PATIENCE, || {
            self.get("readyz").map(|_| true)
        })
        .unwrap();
    }

    /// What it tells of itself.
    pub fn told(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("state")?)?)
    }

    pub fn state(&self) -> Value {
        self.told().unwrap()
    }
}

pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Service {
    pub fn new(broker: &str, store: &str, inference: &str) -> Self {
        let kafka = KafkaConfig {
            bootstrap_servers: vec![broker.to_owned()],
            topic_prefix: "chat.support.".to_owned(),
            partitions: 8,
            replication_factor: 1,
            retention_seconds: 86_400,
            sasl: None,
            tls: None,
        };
        let redis = RedisConfig {
            mode: RedisMode::Standalone,
            addresses: vec![store.to_owned()],
            master_name: None,
            key_prefix: "chat.support:".to_owned(),
            credentials: None,
            tls: None,
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            backbone: Backbone {
                kafka,
                redis,
                session_turns: 50,
                session_timeout_seconds: 3_600,
            },
            inference: inference.to_owned(),
        }
    }

    /// The same, with a Secret's folder to sign in at the broker with.
    pub fn signing_in(mut self, directory: &Path) -> Self {
        let secret = MountedSecret {
            name: "kafka".to_owned(),
            directory: directory.to_string_lossy().into_owned(),
            key: None,
        };
        self.backbone.kafka.sasl = Some(SaslConfig {
            mechanism: SaslMechanism::Plain,
            secret,
        });
        self
    }

    /// A gateway with the web chat.
    pub fn gateway(&self) -> Process {
        let platform = PlatformConfig::WebChat {
            allowed_origins: Vec::new(),
        };
        self.gateway_of(CHANNEL, platform)
    }

    /// A gateway with one channel.
    pub fn gateway_of(&self, name: &str, platform: PlatformConfig) -> Process {
        let channel = ChannelConfig {
            name: name.to_owned(),
            platform,
        };
        let config = AdaptersConfig {
            gateway: GatewayConfig {
                cluster: "chat/support".to_owned(),
                channels: vec![channel],
                messages_per_user_per_minute: 0,
                tls: None,
                public_url: None,
            },
            backbone: self.backbone.clone(),
        };
        self.start("gateway", &config)
    }

    pub fn worker(&self) -> Process {
        let worker = WorkerConfig {
            cluster: "chat/support".to_owned(),
            inference_url: self.inference.clone(),
            model: "support".to_owned(),
            system_prompt: None,
            history_turns: 4,
            session_timeout_seconds: 3_600,
            max_answer_tokens: 64,
            temperature: 0.0,
            fallback_message: "Sorry".to_owned(),
            context_tokens: 2_048,
            cache: CacheConfig::default(),
        };
        let backbone = self.backbone.clone();
        self.start("worker", &WorkersConfig { worker, backbone })
    }

    fn start(&self, command: &str, config: &impl Serialize) -> Process {
        let (admin, entrance) = (free(), free());
        let file = self
            .folder
            .path()
            .join(format!("{command}-{}.yaml", admin.port()));
        fs::write(&file, serde_yaml::to_string(config).unwrap()).unwrap();
        let log = fs::File::create(file.with_extension("log")).unwrap();
        let program = Places::find().unwrap().binaries.join("chatbot");
        let mut process = Command::new("setpriv");
        process
            .args(["--pdeathsig", "KILL"])
            .arg(&program)
            .args([command, "--config"])
            .arg(&file)
            .args(["--admin-port", &admin.port().to_string()]);
        if command == "gateway" {
            process
                .args(["--port", &entrance.port().to_string(), "--channels"])
                .arg(self.folder.path().join("channels"));
        }
        let child = process
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Process {
            child,
            admin,
            config: file,
            entrance,
        }
    }

    /// Writes a key of a channel's Secret.
    pub fn secret(&self, channel: &str, key: &str, value: &str) {
        let folder = self.folder.path().join("channels").join(channel);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(key), value).unwrap();
    }

    /// What a command that looks at dead letters prints.
    pub fn dead_letters(&self, of: &Process, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(Places::find()?.binaries.join("chatbot"));
        command
            .arg("dead-letters")
            .args(arguments)
            .arg("--config")
            .arg(&of.config)
            .current_dir(self.folder.path());
        chatbot_e2e::command::output(&mut command)
    }

    /// What the processes have logged, for who looks why a test failed.
    pub fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path())
            .into_iter()
            .flatten()
            .flatten();
        let logs = files.map(|entry| entry.path()).filter(|path| is_log(path));
        let told = logs.map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            [path.to_string_lossy().into_owned(), text].join("\n")
        });
        told.collect::<Vec<_>>().join("\n")
    }
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}
