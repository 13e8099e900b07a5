//! Gateways and workers as processes of their own, with a real broker and a real store between them.
#![allow(clippy::unwrap_used)] // A step of a test fails as the test does.

#[path = "chat/model.rs"]
mod model;
#[path = "chat/network.rs"]
mod network;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chatbot_crds::config::{
    AdaptersConfig, Backbone, CacheConfig, ChannelConfig, GatewayConfig, KafkaConfig,
    PlatformConfig, RedisConfig, RedisMode, WorkerConfig, WorkersConfig,
};
use chatbot_e2e::command::wait_until;
use chatbot_e2e::conversation::{Conversation, Stop};
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::places::Places;
use chatbot_e2e::redis::Server;
use model::Model;
use network::Network;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CHANNEL: &str = "web";
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that a service is made of.
struct Service {
    folder: TempDir,
    backbone: Backbone,
    inference: String,
}

/// A gateway or a worker.
struct Process {
    child: Child,
    admin: SocketAddr,
    /// Where users reach it; of a gateway only.
    entrance: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }

    fn get(&self, path: &str) -> Result<String> {
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

    fn wait_ready(&self) {
        wait_until("the process ready", PATIENCE, || {
            self.get("readyz").map(|_| true)
        })
        .unwrap();
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.get("state").unwrap()).unwrap()
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Service {
    fn new(broker: &str, store: &str, inference: &str) -> Self {
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

    fn gateway(&self) -> Process {
        let channel = ChannelConfig {
            name: CHANNEL.to_owned(),
            platform: PlatformConfig::WebChat {
                allowed_origins: Vec::new(),
            },
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

    fn worker(&self) -> Process {
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
            process.args(["--port", &entrance.port().to_string()]);
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
            entrance,
        }
    }

    /// What the processes have logged, for who looks why a test failed.
    fn logs(&self) -> String {
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

/// How many questions have been answered.
fn answered(conversation: &Conversation) -> usize {
    conversation.replies().len()
}

#[test]
#[ignore = "needs a broker and a store: cargo e2e test"]
fn a_worker_and_a_gateway_die_and_every_question_is_answered_once() {
    let broker = Broker::start().unwrap();
    let store = Server::start().unwrap();
    let runtime = Runtime::new().unwrap();
    let model = runtime.block_on(Model::start());
    let service = Service::new(&broker.address(), &store.address(), &model.url);
    let (mut first, second) = (service.gateway(), service.gateway());
    let (mut worker, other) = (service.worker(), service.worker());
    for process in [&first, &second, &worker, &other] {
        process.wait_ready();
    }
    for process in [&first, &worker] {
        let state = process.state();
        assert_eq!(state["broker"]["reason"], "BrokerReady", "{state}");
        assert_eq!(state["store"]["reason"], "StoreReady", "{state}");
    }
    let network = runtime.block_on(Network::start(first.entrance));
    let stop = AtomicBool::new(false);
    let talked = thread::scope(|scope| {
        let talking = scope.spawn(|| -> Result<Conversation> {
            let mut conversation = Conversation::new(network.address, CHANNEL)?;
            let pause = Duration::from_millis(100);
            conversation.keep_asking("Is it tea?", pause, PATIENCE, &stop)?;
            Ok(conversation)
        });
        let stopping = Stop(&stop);
        let asked = || model.asked.lock().unwrap().len();
        let goes_on = |what: &str| {
            let before = asked();
            wait_until(what, PATIENCE, || Ok(asked() > before + 3)).unwrap();
        };
        goes_on("questions answered");
        worker.kill();
        goes_on("questions answered by the other worker");
        first.kill();
        network.hub.send_replace(second.entrance);
        network.through.send_replace(Some(second.entrance));
        goes_on("questions answered through the other gateway");
        store.flush().unwrap();
        goes_on("questions answered after the store lost everything");
        drop(stopping);
        talking.join().unwrap()
    });
    let conversation = talked.with_context(|| service.logs()).unwrap();
    assert!(answered(&conversation) > 12);
    for reply in conversation.replies().values() {
        assert!(!reply.fallback, "{reply:?}");
    }
    assert!(
        conversation.connections() > 1,
        "the page was to connect to the other gateway"
    );
    let whole = conversation.check_history().with_context(|| service.logs());
    whole.unwrap();
}

#[test]
#[ignore = "needs a broker and a store: cargo e2e test"]
fn a_broker_that_is_away_is_told_and_waited_for() {
    let service = Service::new(
        &free().to_string(),
        &free().to_string(),
        "http://127.0.0.1:9",
    );
    let gateway = service.gateway();
    wait_until(
        "the gateway saying that it finds no broker",
        PATIENCE,
        || {
            ensure!(gateway.get("readyz").is_err(), "it is ready");
            Ok(gateway.state()["broker"]["reason"] == "BrokerUnreachable")
        },
    )
    .unwrap();
    wait_until(
        "the gateway saying that it finds no store",
        PATIENCE,
        || Ok(gateway.state()["store"]["reason"] == "StoreUnreachable"),
    )
    .unwrap();
}
