//! A worker or a gateway in a process of its own, this program again, that dies at a step.

use std::env;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use chatbot_queue_contract::within;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::death::Deadly;
use crate::service::Service;

const VARIABLE: &str = "CHATBOT_E2E_KILLS_VICTIM";

/// What it is to be.
#[derive(Serialize, Deserialize)]
pub struct Told {
    pub service: Service,
    /// As it is displayed; none: it is killed from outside.
    pub death: Option<String>,
    /// Where it listens, if it is a gateway.
    pub gateway: Option<SocketAddr>,
}

/// What this process is told to be, if it is a victim.
pub fn told() -> Option<Told> {
    let told = env::var(VARIABLE).ok()?;
    Some(serde_json::from_str(&told).unwrap())
}

/// Works or serves, leaves in order when its input ends, and ends the process.
pub async fn be(told: Told) -> ! {
    let end = CancellationToken::new();
    let ending = end.clone();
    std::thread::spawn(move || {
        let _ended = std::io::stdin().read_to_end(&mut Vec::new());
        ending.cancel();
    });
    let deadly = told.death.map(|death| Deadly::new(death.parse().unwrap()));
    match told.gateway {
        None => told.service.work(deadly, end).await,
        Some(address) => {
            let listener = TcpListener::bind(address).await.unwrap();
            told.service.serve(listener, deadly, end).await;
        }
    }
    std::process::exit(0)
}

pub struct Victim {
    child: Child,
}

impl Victim {
    pub fn start(test: &str, told: &Told) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(VARIABLE, serde_json::to_string(told).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Lets it leave in order.
    pub fn leave(&mut self) {
        drop(self.child.stdin.take());
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it has killed itself: whoever ends otherwise has never reached its step.
    pub async fn dies(&mut self, what: &str) {
        let ended = within(what, async {
            loop {
                if let Some(ended) = self.has_ended() {
                    return ended;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let killed = Some(Signal::KILL.as_raw());
        assert_eq!(ended.signal(), killed, "{what}: {ended}");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}
