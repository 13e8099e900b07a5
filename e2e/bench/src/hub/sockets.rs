//! What open web sockets take of a gateway's memory.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chatbot_crds::config::{CacheConfig, PlatformConfig};
use chatbot_e2e::bench::measure::{peak_mib, rss_mib};
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::redis::Server;
use chatbot_e2e::web_chat::Page;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Handle;

use crate::service::{CHANNEL, Service};

/// After the last socket was opened.
const REST: Duration = Duration::from_secs(5);
/// The gateway closes a socket that says nothing for 45 s, and the pages here say nothing but their hello.
const LONGEST: Duration = Duration::from_secs(38);

/// MiB of a gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Before the first socket.
    pub(super) none_mib: f64,
    /// With all of them, at rest.
    pub(super) all_mib: f64,
    /// At most, meanwhile.
    pub(super) peak_mib: f64,
    /// To open them.
    pub(super) seconds: f64,
}

/// As many files as the kernel lets this process and its children have.
pub(super) fn allow_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("failed to raise the limit of open files")
}

/// Opens so many pages at one gateway, each with a user of its own.
pub(super) fn measure(
    broker: &Broker,
    store: &Server,
    sockets: u32,
    runtime: &Handle,
) -> Result<Found> {
    let nobody = "http://127.0.0.1:9";
    let mut service = Service::new(broker, store, nobody, CacheConfig::default(), runtime)?;
    let platform = PlatformConfig::WebChat {
        allowed_origins: Vec::new(),
    };
    let mut gateway = service.gateway(platform, &[])?;
    gateway.wait_ready()?;
    thread::sleep(REST);
    let rss = || rss_mib(gateway.pid()).context("failed to read a gateway's memory");
    let none_mib = rss()?;
    let start = Instant::now();
    let mut pages = Vec::new();
    for user in 0..sockets {
        let user = format!("{user:032x}");
        let page = Page::open(gateway.entrance, CHANNEL, &user);
        pages.push(page.with_context(|| format!("failed to open socket {}", pages.len()))?);
    }
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(REST);
    ensure!(
        start.elapsed() < LONGEST,
        "opening {sockets} sockets took {seconds:.0} s: too long for the first to be still open"
    );
    let found = Found {
        none_mib,
        all_mib: rss()?,
        peak_mib: peak_mib(gateway.pid()).context("failed to read a gateway's memory")?,
        seconds,
    };
    let open = gateway.metric("chatbot_gateway_sockets")?;
    ensure!(
        (open - f64::from(sockets)).abs() < 0.5,
        "the gateway has {open} sockets, and {sockets} were opened"
    );
    Ok(found)
}
