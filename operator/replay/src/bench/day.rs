//! Everything at once, for seven days: load, forecast, spot capacity that comes and goes, and training on what is idle.
//!
//! Forty nodes of four instances, eight of them on-demand; the rest spot in three seeded zones, with two outages a day
//! in each. The load is scaled so that its peak needs 110 instances at the autoscaler's target, of at most 140: what
//! remains is what an outage takes.
//!
//! Left out: standby nodes, events, the error rate and cost. The nodes are installed, so nothing is held for standby;
//! errors and prices are signals that no part of the replay gives.

use chatbot_plan::foresight::{Foresight, Spot, Training};
use serde_json::{Map, Value};

use super::elasticity::{PLAIN, prewarm};
use super::{Report, Row, Series, object};
use crate::fleet::{SLOTS, Times, count};
use crate::market::zones;
use crate::play;
use crate::scenario::{Installed, Load, Outcome, Policy, Scenario, Spots};
use crate::sight::Unusable;

const NODES: Installed = Installed {
    on_demand: 8,
    spot: 32,
};
const PEAK: f64 = 110.0;
const BOUNDS: (u32, u32) = (8, 140);
const TARGET: f64 = 0.7;
const RATIO: f64 = 0.33;

/// Plays the last seven days of each series.
pub fn run(all: &[Series], seed: u64) -> Result<Report, Unusable> {
    let mut report = Report::default();
    let mut figures = Map::new();
    for series in all {
        let series = Series {
            days: series.days.min(7),
            ..series.clone()
        };
        let ours = play(&scenario(&series, seed, true))?;
        let plain = play(&scenario(&series, seed, false))?;
        figures.insert(
            series.name.clone(),
            tell(&series, &ours, &plain, &mut report),
        );
    }
    report
        .result
        .insert("series".to_owned(), Value::Object(figures));
    Ok(report)
}

/// The whole of it, or the same without the planner.
#[must_use]
pub fn scenario(series: &Series, seed: u64, planner: bool) -> Scenario {
    let part = series.part();
    let mut market = zones(seed, 3, 14, (part.1 - part.0) / 3600, 2.0);
    market.changes = market
        .changes
        .into_iter()
        .map(|(at, changes)| (at + part.0, changes))
        .collect();
    let foresight = Foresight {
        prewarm: Some(prewarm(series)),
        spot: Some(Spot {
            on_demand_replicas: 0,
            ..Spot::default()
        }),
        training: Some(Training {
            cpu_milli: u64::MAX,
            memory_bytes: u64::MAX,
            windows: Vec::new(),
        }),
        ..Foresight::default()
    };
    Scenario {
        load: Some(Load {
            capacity: series.trace.peak(part.0, part.1) / (PEAK * TARGET),
            trace: series.trace.clone(),
        }),
        spot: Some(Spots {
            trace: market,
            notice: 30,
            seed,
        }),
        bounds: BOUNDS,
        foresight: if planner {
            foresight
        } else {
            Foresight::default()
        },
        policy: if planner { Policy::Planner } else { PLAIN },
        nodes: Some(NODES),
        extra: 0,
        part,
        times: Times::default(),
        curve: Some(600),
    }
}

fn tell(series: &Series, ours: &Outcome, plain: &Outcome, report: &mut Report) -> Value {
    let name = &series.name;
    let nodes = NODES.on_demand + NODES.spot;
    let slots = f64::from(nodes * count(SLOTS));
    let lent = |outcome: &Outcome| outcome.lent_seconds / (slots * outcome.seconds.max(1) as f64);
    let cost = |outcome: &Outcome| 100.0 * outcome.cost(RATIO, nodes);
    let row = |what: &str, unit: &str, of: &dyn Fn(&Outcome) -> f64| {
        Row::new(format!("{name}: {what}"), unit, of(ours)).peer("autoscaler alone", of(plain))
    };
    report.rows.extend([
        row("volume lost", "%", &|outcome| 100.0 * outcome.lost_share()).at_most(0.5),
        row("capacity-hours lent", "%", &|outcome| 100.0 * lent(outcome)),
        row("longest wait of production", "s", &|outcome| {
            outcome.longest_wait as f64
        })
        .at_most(15.0),
        row("training's work lost", "%", &|outcome| {
            100.0 * outcome.wasted_share()
        }),
        row("cost at a spot price of 0.33", "% of on-demand", &cost),
        row("nodes taken back", "", &|outcome| outcome.reclaims.into()),
        row("instances moved at once, at most", "", &|outcome| {
            outcome.most_moving.into()
        }),
    ]);
    let over = ours.most_replicas.saturating_sub(BOUNDS.1);
    report
        .must_be_zero
        .insert(format!("{name}: instances above the ceiling"), over.into());
    report.must_be_zero.insert(
        format!("{name}: floor broken although there was room"),
        ours.floor_breaches.into(),
    );
    object(vec![
        ("lost_volume", ours.lost_share()),
        ("lent_share", lent(ours)),
        ("longest_wait_s", ours.longest_wait as f64),
        ("wasted_share", ours.wasted_share()),
        ("cost", cost(ours)),
        ("floor_breaches", ours.floor_breaches.into()),
    ])
}
