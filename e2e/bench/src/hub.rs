//! The benchmark `hub`: from a signed webhook through broker, worker and cache to the platform, beside bare clients of the
//! same broker; how many messages a second there can be; what a route costs, and what open sockets do.

mod bare;
mod mix;
mod pace;
mod report;
mod routes;
mod search;
mod sockets;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chatbot_crds::config::CacheConfig;
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::redis::Server;
use clap::Parser;
use tokio::runtime::{Handle, Runtime};

use crate::model::Model;
use crate::platform::{Platform, Question};
use crate::sender::{Entrances, Sender};
use crate::service::{Process, Service};
use crate::stand_in::{Faults, StandIn};
use crate::{conclude, now_us};
use mix::Mix;
use pace::{Pace, Window};
use search::Search;

/// As many as the bare clients beside which they are measured.
const GATEWAYS: usize = 2;
const WORKERS: usize = 3;
/// What p90 is to stay below, milliseconds.
const GOAL_MS: f64 = 100.0;
/// Who ask in turn.
const USERS: u32 = 10_000;
/// Before the caches are warm and the connections made nothing is measured.
const WARM_RATE: u32 = 200;

/// Times messages, and counts how many there can be.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Seconds instead of minutes.
    #[arg(long)]
    quick: bool,
    /// Questions, users and the times between messages are drawn from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..100_000))]
    rate: u32,
    /// How long they are sent (60; quick: 10)
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..3_600))]
    seconds: Option<u32>,
    /// Different questions
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..100_000))]
    questions: u32,
    /// The exponent of Zipf's law by which they are asked, in hundredths
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..1_000))]
    exponent_hundredths: u32,
    /// Web sockets open at once
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..9_000))]
    sockets: u32,
}

impl Arguments {
    fn lasts(&self) -> Duration {
        let seconds = if self.quick { 10 } else { 60 };
        Duration::from_secs(self.seconds.unwrap_or(seconds).into())
    }

    /// How long each rate is tried in the search for the highest.
    fn tried(&self) -> Duration {
        Duration::from_secs(if self.quick { 5 } else { 15 })
    }
}

/// What was measured.
struct Found {
    mix: Mix,
    bare: Vec<f64>,
    ours: Window,
    /// Of the answers measured, the share that came from a cache.
    hits: f64,
    tried: Vec<search::Tried>,
    routes: routes::Found,
    sockets: sockets::Found,
}

/// Prints progress to standard error and the report to standard output.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    sockets::allow_files()?;
    let runtime = Runtime::new().context("failed to start the asynchronous runtime")?;
    let (broker, store) = (Broker::start()?, Server::start()?);
    let mix = Mix::new(
        arguments.questions,
        f64::from(arguments.exponent_hundredths) / 100.0,
    );
    let pace = Pace {
        seed: arguments.seed,
        rate: arguments.rate,
        lasts: arguments.lasts(),
    };
    eprintln!("bare clients: {pace}");
    let bare = runtime.block_on(bare::measure(&broker.address(), pace))?;
    let mut hub = Hub::start(&broker, &store, &mix, runtime.handle())?;
    eprintln!("the hub: {pace}");
    let asked = hub.model.asked();
    let ours = hub.measure(&mix, pace);
    let missed = hub.model.asked() - asked;
    let tried = hub.search(&mix, arguments);
    hub.stand_in.check()?;
    drop(hub);
    eprintln!("routes");
    let routes = runtime.block_on(routes::measure(&store, arguments.quick))?;
    eprintln!("{} sockets", arguments.sockets);
    let sockets = sockets::measure(&broker, &store, arguments.sockets, runtime.handle())?;
    let found = Found {
        mix,
        bare,
        hits: 1.0 - missed as f64 / ours.sent.max(1) as f64,
        ours,
        tried,
        routes,
        sockets,
    };
    conclude(report::report(arguments, &found))
}

/// The service, warm.
struct Hub {
    runtime: Handle,
    model: Model,
    stand_in: StandIn,
    sender: Sender,
    /// The number of the next message.
    next: u32,
    _processes: Vec<Process>,
    _service: Service,
}

impl Hub {
    fn start(broker: &Broker, store: &Server, mix: &Mix, runtime: &Handle) -> Result<Self> {
        let model = runtime.block_on(Model::start())?;
        let faults = Faults {
            seed: 0,
            unknown_one_in: 0,
            numbered: false,
        };
        let stand_in = runtime.block_on(StandIn::start(Platform::Keys, faults))?;
        let cache = CacheConfig {
            answers_ttl_seconds: 3_600,
            context_bytes: 0,
            results_bytes: 64 << 20,
        };
        let mut service = Service::new(broker, store, &model.url, cache, runtime)?;
        let mut processes = Vec::new();
        for _ in 0..GATEWAYS {
            let base = stand_in.base(service.next());
            let platform = Platform::Keys.config(&base);
            processes.push(service.gateway(platform, Platform::Keys.secrets())?);
        }
        let entrances = Entrances::default();
        entrances.set(processes.iter().map(|gateway| gateway.entrance).collect());
        for _ in 0..WORKERS {
            processes.push(service.worker()?);
        }
        for process in &mut processes {
            let ready = process.wait_ready();
            ready.with_context(|| service.last_words(process))?;
        }
        let mut hub = Self {
            runtime: runtime.clone(),
            model,
            stand_in,
            sender: Sender::new(Platform::Keys, now_us() / 1_000_000, &entrances)?,
            next: 0,
            _processes: processes,
            _service: service,
        };
        hub.warm(mix)?;
        Ok(hub)
    }

    /// Every question is asked once, and then some as they will be.
    fn warm(&mut self, mix: &Mix) -> Result<()> {
        eprintln!("every question once");
        let every = Duration::from_secs(1) / WARM_RATE;
        let messages = (0..mix.len()).map(|which| (every * which, self.question(mix, which)));
        let messages = messages.collect();
        let window = self.run(messages);
        ensure!(
            window.lost == 0,
            "{} of {} messages were not answered",
            window.lost,
            window.sent
        );
        let pace = Pace {
            seed: u64::MAX,
            rate: WARM_RATE,
            lasts: Duration::from_secs(5),
        };
        self.measure(mix, pace);
        Ok(())
    }

    fn measure(&mut self, mix: &Mix, pace: Pace) -> Window {
        let mut rng = fastrand::Rng::with_seed(pace.seed);
        let messages = pace.due().into_iter().map(|due| {
            let which = mix.draw(&mut rng);
            (due, self.question(mix, which))
        });
        let messages = messages.collect();
        self.run(messages)
    }

    fn run(&self, messages: Vec<(Duration, Question)>) -> Window {
        self.runtime
            .block_on(pace::run(messages, &self.sender, &self.stand_in))
    }

    /// The next message. Users take turns, so that none of them waits for an answer of his own.
    fn question(&mut self, mix: &Mix, which: u32) -> Question {
        let number = self.next;
        self.next += 1;
        Question {
            number,
            user: number % USERS,
            text: mix.question(which),
        }
    }

    /// Tries rates until the highest that keeps p90 is known.
    fn search(&mut self, mix: &Mix, arguments: &Arguments) -> Vec<search::Tried> {
        let mut search = Search::new(arguments.rate, GOAL_MS);
        while let Some(rate) = search.next() {
            let pace = Pace {
                seed: arguments.seed,
                rate,
                lasts: arguments.tried(),
            };
            let window = self.measure(mix, pace);
            let p90_ms = window.quantile(0.9).filter(|_| window.lost == 0);
            eprintln!("{rate} a second: {window}");
            search.tried(search::Tried { rate, p90_ms });
        }
        search.done()
    }
}
