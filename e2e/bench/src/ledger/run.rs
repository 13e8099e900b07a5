//! One run: deliveries at a steady rate, faults as they are planned, until every effect is seen and everybody rests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::sleep_until;

use super::Extent;
use super::judge::{Judgement, Logs, judge};
use super::load::Load;
use super::logs::Outside;
use super::schedule::{Fault, Planned, plan};
use super::site::Site;
use crate::model::Model;
use crate::platform::{Platform, Question};
use crate::sender::{Counted, Entrances, Sender};
use crate::stand_in::{Faults, Said, StandIn};
use crate::{drawn, now_us};

/// Deliveries that are not acknowledged yet, at most: a platform that waits for so many sends no more.
const OPEN: usize = 256;
/// Of how many sends one has an unknown outcome.
const UNKNOWN_ONE_IN: u32 = 500;
/// Without any progress for so long, what is missing is lost.
const STALLED: Duration = Duration::from_mins(3);
/// Without any send for so long, nobody sends any more: longer than a send may take, and its repetition.
const REST: Duration = Duration::from_secs(10);
/// Between two lines of progress.
const TELL: Duration = Duration::from_secs(10);
/// Between two looks at what there is to do.
const TURN: Duration = Duration::from_millis(20);

/// What one run has shown.
pub(super) struct Outcome {
    pub(super) platform: Platform,
    pub(super) judgement: Judgement,
    pub(super) logs: Logs,
    pub(super) load: Load,
    pub(super) faults: Vec<(&'static str, u32)>,
    pub(super) busy: usize,
    pub(super) crashes: u64,
    pub(super) counted: Counted,
    pub(super) seconds: f64,
}

/// Runs everything on one platform.
pub(super) fn run(platform: Platform, extent: Extent) -> Result<Outcome> {
    let began = Instant::now();
    let mut seeds = drawn(extent.seed, platform as u64, 0);
    let [for_load, for_faults, for_platform] = [(); 3].map(|()| seeds.u64(..));
    let load = Load::new(for_load, extent.messages);
    let planned = plan(for_faults, extent.span(), extent.faults);
    tell_plan(platform, extent, &load, &planned);

    let runtime = Runtime::new().context("failed to start the asynchronous runtime")?;
    let model = runtime.block_on(Model::start())?;
    let faults = Faults {
        seed: for_platform,
        unknown_one_in: UNKNOWN_ONE_IN,
        numbered: true,
    };
    let stand_in = runtime.block_on(StandIn::start(platform, faults))?;
    let entrances = Entrances::default();
    let site = Site::start(platform, &stand_in, &model, &entrances, runtime.handle())?;
    let sender = Sender::new(platform, now_us() / 1_000_000, &entrances)?;
    let outside = runtime.block_on(Outside::connect(&site.broker.address()))?;
    let mut run = Run {
        platform,
        runtime,
        site,
        stand_in,
        sender,
        outside,
        delivered: Arc::default(),
        began,
    };
    let ran = run.everything(&load, &planned, extent.rate);
    let judged = ran.and_then(|()| run.judge(&load));
    let (logs, judgement) = judged.with_context(|| {
        let kept = run.site.keep_logs();
        format!(
            "{}: what the processes have logged is in {kept}",
            platform.name()
        )
    })?;
    let book = run.stand_in.book();
    Ok(Outcome {
        platform,
        judgement,
        logs,
        load,
        faults: run
            .site
            .done
            .iter()
            .map(|(kind, count)| (*kind, *count))
            .collect(),
        busy: book.iter().filter(|one| one.said == Said::Busy).count(),
        crashes: run.site.crashes,
        counted: run.sender.counted(),
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn tell_plan(platform: Platform, extent: Extent, load: &Load, planned: &[Planned]) {
    eprintln!(
        "{}: {} messages, {} a second; {} delivered twice, {} of them an hour later; {} out of order; one send of {} \
         with an unknown outcome; faults:",
        platform.name(),
        load.questions.len(),
        extent.rate,
        load.twice,
        load.hour_later.len(),
        load.out_of_order,
        UNKNOWN_ONE_IN
    );
    for one in planned {
        eprintln!("  {one}");
    }
}

struct Run {
    platform: Platform,
    runtime: Runtime,
    site: Site,
    stand_in: StandIn,
    sender: Sender,
    outside: Outside,
    delivered: Arc<AtomicUsize>,
    began: Instant,
}

impl Run {
    fn everything(&mut self, load: &Load, planned: &[Planned], rate: u32) -> Result<()> {
        let questions = Arc::new(load.questions.clone());
        self.under_faults(&questions, load, planned, rate)?;
        self.settle(load.questions.len())?;
        self.site.last_look();
        self.tell("an hour passes: every process and the store begin anew");
        self.site.hour_passes()?;
        let delivering = deliver(
            &questions,
            &load.hour_later,
            rate,
            &self.sender,
            &self.delivered,
        );
        self.runtime.block_on(delivering);
        self.settle(load.questions.len())?;
        self.site.last_look();
        self.stand_in.check()
    }

    /// Delivers, and harms, until both are done.
    fn under_faults(
        &mut self,
        questions: &Arc<Vec<Question>>,
        load: &Load,
        planned: &[Planned],
        rate: u32,
    ) -> Result<()> {
        let (with, deliveries) = (Arc::clone(questions), load.deliveries.clone());
        let (sender, delivered) = (self.sender.clone(), Arc::clone(&self.delivered));
        let delivering = self.runtime.spawn(async move {
            deliver(&with, &deliveries, rate, &sender, &delivered).await;
        });
        let mut to_begin: Vec<&Planned> = planned.iter().collect();
        // With the time at which each is over.
        let mut under_way: Vec<(Duration, &Planned)> = Vec::new();
        let start = Instant::now();
        let mut told = Instant::now();
        while !(delivering.is_finished() && to_begin.is_empty() && under_way.is_empty()) {
            let over = |(end, _): &(Duration, &Planned)| *end <= start.elapsed();
            // What takes long to begin or to end puts the next of the same off.
            let due = |one: &&Planned| {
                let same = |(_, other): &(Duration, &Planned)| other.fault.harms_as(one.fault);
                one.at <= start.elapsed() && !under_way.iter().any(same)
            };
            if let Some(place) = under_way.iter().position(over) {
                let (_, one) = under_way.remove(place);
                self.site.finish(one)?;
                self.tell(&format!("{}: over", one.fault));
            } else if let Some(place) = to_begin.iter().position(due) {
                let one = to_begin.remove(place);
                self.tell(&format!("{}: begins", one.fault));
                self.site.begin(one)?;
                under_way.push((start.elapsed() + one.lasts, one));
            } else {
                let killed = |fault: Fault| under_way.iter().any(|(_, one)| one.fault == fault);
                self.site.look(killed)?;
                thread::sleep(TURN);
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                self.tell("");
            }
        }
        self.runtime
            .block_on(delivering)
            .context("a delivery panicked")
    }

    /// Returns when every message has an effect, the workers have settled everything and nobody sends any more; or when
    /// nothing moves any more.
    fn settle(&mut self, messages: usize) -> Result<()> {
        let (mut before, mut moved) = ((0, 0), Instant::now());
        loop {
            self.site.look(|_| false)?;
            // A broker that has just come back may not know a group yet.
            let unsettled = self.runtime.block_on(self.outside.unsettled());
            let unsettled = unsettled.unwrap_or(u64::MAX);
            let now = (self.stand_in.attempts(), unsettled);
            if now != before {
                (before, moved) = (now, Instant::now());
            }
            let done = self.stand_in.answered() == messages && unsettled == 0;
            if done && moved.elapsed() > REST {
                self.tell("everybody rests");
                return Ok(());
            }
            if moved.elapsed() > STALLED {
                self.tell(&format!(
                    "nothing moves, and {unsettled} records are not settled"
                ));
                return Ok(());
            }
            self.tell("waits for what is under way");
            thread::sleep(Duration::from_secs(2));
        }
    }

    fn judge(&mut self, load: &Load) -> Result<(Logs, Judgement)> {
        self.site.end_all();
        let logs = self.runtime.block_on(self.outside.read(&load.questions))?;
        let judgement = judge(
            u32::try_from(load.questions.len()).context("too many messages")?,
            self.platform == Platform::Keys,
            &logs,
            &self.stand_in.book(),
            &self.site.deaths,
            &self.site.counts(),
        );
        Ok((logs, judgement))
    }

    fn tell(&self, what: &str) {
        eprintln!(
            "{:6.1} s  delivered {}, answered {}, sends {}  {what}",
            self.began.elapsed().as_secs_f64(),
            self.delivered.load(Ordering::Relaxed),
            self.stand_in.answered(),
            self.stand_in.attempts(),
        );
    }
}

/// Delivers at a steady rate, each until it is acknowledged; what was held up is made up for.
async fn deliver(
    questions: &Arc<Vec<Question>>,
    numbers: &[u32],
    rate: u32,
    sender: &Sender,
    delivered: &Arc<AtomicUsize>,
) {
    let open = Arc::new(Semaphore::new(OPEN));
    let every = Duration::from_secs(1) / rate;
    let start = tokio::time::Instant::now();
    for (place, number) in (0_u32..).zip(numbers) {
        sleep_until(start + every * place).await;
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else {
            return; // it is never closed
        };
        let (questions, number) = (Arc::clone(questions), *number as usize);
        let (sender, delivered) = (sender.clone(), Arc::clone(delivered));
        tokio::spawn(async move {
            sender.deliver(&questions[number]).await;
            delivered.fetch_add(1, Ordering::Relaxed);
            drop(permit);
        });
    }
    let all = u32::try_from(OPEN).unwrap_or(u32::MAX);
    let _acknowledged = open.acquire_many(all).await;
}
