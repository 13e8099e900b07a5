//! The service under faults: its processes, the broker, the store, and what is done to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chatbot_crds::config::CacheConfig;
use chatbot_e2e::kafka::Broker;
use chatbot_e2e::redis::Server;
use tokio::runtime::Handle;

use super::judge::{Count, Death};
use super::schedule::{Fault, GATEWAYS, Planned, WORKERS};
use crate::model::Model;
use crate::now_us;
use crate::platform::Platform;
use crate::sender::Entrances;
use crate::service::{Process, Service};
use crate::stand_in::StandIn;

/// What a gateway counts sends in doubt in.
const IN_DOUBT: &str = "chatbot_gateway_channel_sends_in_doubt_total";

/// Everything that can be harmed.
pub(super) struct Site {
    platform: Platform,
    stand_in: StandIn,
    pub(super) broker: Broker,
    store: Server,
    service: Service,
    entrances: Entrances,
    gateways: Vec<Process>,
    workers: Vec<Process>,
    one_more: Option<Process>,
    /// Told to end.
    ending: Vec<Process>,
    /// Numbers of processes that stand still.
    frozen: Vec<u32>,
    looked: Instant,
    pub(super) deaths: Vec<Death>,
    counts: BTreeMap<u32, Count>,
    /// What was done, by kind.
    pub(super) done: BTreeMap<&'static str, u32>,
    /// Processes that ended though nobody told them to.
    pub(super) crashes: u64,
}

impl Site {
    /// Starts everything, and returns when it is ready.
    pub(super) fn start(
        platform: Platform,
        stand_in: &StandIn,
        model: &Model,
        entrances: &Entrances,
        runtime: &Handle,
    ) -> Result<Self> {
        let (broker, store) = (Broker::start()?, Server::start()?);
        let cache = CacheConfig::default();
        let service = Service::new(&broker, &store, &model.url, cache, runtime)?;
        let mut site = Self {
            platform,
            stand_in: stand_in.clone(),
            broker,
            store,
            service,
            entrances: entrances.clone(),
            gateways: Vec::new(),
            workers: Vec::new(),
            one_more: None,
            ending: Vec::new(),
            frozen: Vec::new(),
            looked: Instant::now(),
            deaths: Vec::new(),
            counts: BTreeMap::new(),
            done: BTreeMap::new(),
            crashes: 0,
        };
        site.people()?;
        Ok(site)
    }

    /// Starts all gateways and workers.
    fn people(&mut self) -> Result<()> {
        for _ in 0..GATEWAYS {
            let gateway = self.gateway()?;
            self.gateways.push(gateway);
        }
        for _ in 0..WORKERS {
            self.workers.push(self.service.worker()?);
        }
        for process in self.gateways.iter_mut().chain(&mut self.workers) {
            let ready = process.wait_ready();
            ready.with_context(|| self.service.last_words(process))?;
        }
        self.open();
        Ok(())
    }

    fn gateway(&mut self) -> Result<Process> {
        let base = self.stand_in.base(self.service.next());
        let platform = self.platform;
        self.service
            .gateway(platform.config(&base), platform.secrets())
    }

    /// Tells those who deliver where the gateways are.
    fn open(&self) {
        let addresses = self.gateways.iter().map(|gateway| gateway.entrance);
        self.entrances.set(addresses.collect());
    }

    /// Begins a fault.
    pub(super) fn begin(&mut self, planned: &Planned) -> Result<()> {
        *self.done.entry(planned.fault.kind()).or_default() += 1;
        match planned.fault {
            Fault::KillGateway(one) => {
                self.look_at(one);
                self.died(one);
                self.gateways[one].kill();
            }
            Fault::KillWorker(one) => self.workers[one].kill(),
            Fault::ReplaceGateway(one) => {
                let new = self.gateway()?;
                self.look_at(one);
                let old = std::mem::replace(&mut self.gateways[one], new);
                self.open();
                self.end(old)?;
            }
            Fault::ReplaceWorker(one) => {
                let new = self.service.worker()?;
                let old = std::mem::replace(&mut self.workers[one], new);
                self.end(old)?;
            }
            Fault::FreezeGateway(one) => {
                self.died(one);
                self.freeze(planned.fault)?;
            }
            Fault::FreezeWorker(_) | Fault::PauseWorker(_) => self.freeze(planned.fault)?,
            Fault::MoreWorkers => self.one_more = Some(self.service.worker()?),
            Fault::StopBroker => self.broker.stop()?,
            Fault::FreezeBroker => self.broker.freeze()?,
            Fault::FlushStore => self.store.flush()?,
            Fault::KillStore => self.store.kill(),
            Fault::FreezeStore => self.store.freeze()?,
            Fault::Busy => self.stand_in.be_busy(planned.lasts),
        }
        Ok(())
    }

    /// Ends a fault.
    pub(super) fn finish(&mut self, planned: &Planned) -> Result<()> {
        match planned.fault {
            Fault::KillGateway(one) => {
                self.gateways[one] = self.gateway()?;
                self.open();
            }
            Fault::KillWorker(one) => self.workers[one] = self.service.worker()?,
            Fault::FreezeGateway(one) => {
                self.thaw(planned.fault)?;
                let process = self.gateways[one].number;
                let frozen = self
                    .deaths
                    .iter_mut()
                    .rfind(|death| death.process == process);
                if let Some(frozen) = frozen {
                    frozen.until = Some(now_us() / 1_000);
                }
            }
            Fault::FreezeWorker(_) | Fault::PauseWorker(_) => self.thaw(planned.fault)?,
            Fault::MoreWorkers => {
                if let Some(more) = self.one_more.take() {
                    self.end(more)?;
                }
            }
            Fault::StopBroker => self.broker.restart()?,
            Fault::FreezeBroker => self.broker.thaw()?,
            Fault::KillStore => self.store.begin()?,
            Fault::FreezeStore => self.store.thaw()?,
            Fault::ReplaceGateway(_)
            | Fault::ReplaceWorker(_)
            | Fault::FlushStore
            | Fault::Busy => {}
        }
        Ok(())
    }

    fn victim(&self, fault: Fault) -> Option<&Process> {
        match fault {
            Fault::FreezeGateway(one) => self.gateways.get(one),
            Fault::FreezeWorker(one) | Fault::PauseWorker(one) => self.workers.get(one),
            _ => None,
        }
    }

    fn freeze(&mut self, fault: Fault) -> Result<()> {
        let victim = self.victim(fault).context("nobody to freeze")?;
        let number = victim.number;
        victim.freeze()?;
        self.frozen.push(number);
        Ok(())
    }

    fn thaw(&mut self, fault: Fault) -> Result<()> {
        let victim = self.victim(fault).context("nobody to thaw")?;
        let number = victim.number;
        victim.thaw()?;
        self.frozen.retain(|frozen| *frozen != number);
        Ok(())
    }

    fn end(&mut self, process: Process) -> Result<()> {
        process.tell_to_end()?;
        self.ending.push(process);
        Ok(())
    }

    /// A gateway does nothing any more, from now on.
    fn died(&mut self, one: usize) {
        self.deaths.push(Death {
            process: self.gateways[one].number,
            at: now_us() / 1_000,
            until: None,
        });
    }

    /// Asks a gateway what it has counted; what one that stands still or ends says is not waited for.
    fn look_at(&mut self, one: usize) {
        let gateway = &self.gateways[one];
        let process = gateway.number;
        let count = self.counts.entry(process).or_insert(Count {
            process,
            in_doubt: 0,
            gone: true,
        });
        if self.frozen.contains(&process) {
            return;
        }
        if let Ok(said) = gateway.metric(IN_DOUBT) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count
            let said = said as u64;
            count.in_doubt = count.in_doubt.max(said);
        }
    }

    /// Looks at every process now and then, and starts another in the place of one that has ended by itself.
    pub(super) fn look(&mut self, is_killed: impl Fn(Fault) -> bool) -> Result<()> {
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        self.ending.retain_mut(Process::is_running);
        for one in 0..self.gateways.len() {
            self.look_at(one);
            if !self.gateways[one].is_running() && !is_killed(Fault::KillGateway(one)) {
                self.died(one);
                let new = self.gateway()?;
                let old = std::mem::replace(&mut self.gateways[one], new);
                self.open();
                self.crashed(old);
            }
        }
        for one in 0..self.workers.len() {
            if !self.workers[one].is_running() && !is_killed(Fault::KillWorker(one)) {
                let new = self.service.worker()?;
                let old = std::mem::replace(&mut self.workers[one], new);
                self.crashed(old);
            }
        }
        Ok(())
    }

    fn crashed(&mut self, mut process: Process) {
        self.crashes += 1;
        let (end, kept) = (process.end(), self.keep_logs());
        eprintln!("{end}; what it has logged is in {kept}:");
        eprintln!("{}", self.service.last_words(&process));
    }

    /// Everything is at rest: what the gateways say now is all they have to say.
    pub(super) fn last_look(&mut self) {
        for one in 0..self.gateways.len() {
            self.look_at(one);
            if let Some(count) = self.counts.get_mut(&self.gateways[one].number) {
                count.gone = false;
            }
        }
    }

    /// An hour passes: nobody who could remember anything is left, but the logs.
    pub(super) fn hour_passes(&mut self) -> Result<()> {
        self.end_all();
        self.store.flush()?;
        self.people()
    }

    /// Ends every process at once.
    pub(super) fn end_all(&mut self) {
        self.gateways.clear();
        self.workers.clear();
        self.ending.clear();
        self.one_more = None;
    }

    /// What the gateways have counted.
    pub(super) fn counts(&self) -> Vec<Count> {
        self.counts.values().copied().collect()
    }

    /// Where what the processes have logged is kept, from now on beyond the run.
    pub(super) fn keep_logs(&mut self) -> String {
        self.service.keep_logs().display().to_string()
    }
}

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);
