//! Everything at once, for seven days: load, forecast, spot capacity that comes and goes, and training on what is idle.
//!
//! Forty nodes of four instances, eight of them on-demand; the rest spot in three seeded zones, with two outages a day
//! in each. The load is scaled so that its peak needs 110 instances at the autoscaler's target, of at most 140: what
//! remains is what an outage takes.
//!
//! Two nodes are standby, an event of two hours asks for 60 instances every morning, overload is told as errors, and the
//! nodes have prices. Left out: errors other than overload.

use chatbot_plan::foresight::{Cost, ErrorRate, Event, Foresight, Prewarm, Spot, Training, Window};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::elasticity::{PLAIN, prewarm};
use super::{Report, Row, Series, object};
use crate::fleet::{SLOTS, Times, count};
use crate::market::zones;
use crate::play;
use crate::scenario::{Installed, Load, Outcome, Point, Policy, Scenario, Spots};
use crate::sight::{PRICE, Unusable};

const NODES: Installed = Installed {
    on_demand: 8,
    spot: 32,
};
const PEAK: f64 = 110.0;
const BOUNDS: (u32, u32) = (8, 140);
const TARGET: f64 = 0.7;
const RATIO: f64 = PRICE.1 as f64 / PRICE.0 as f64;
/// Hours of a day that an event is there, and the instances it asks for.
const EVENT: (i64, i64) = (8, 10);
const EVENT_REPLICAS: u32 = 60;

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
        prewarm: Some(Prewarm {
            events: vec![morning()],
            ..prewarm(series)
        }),
        standby_nodes: 2,
        error_rate: Some(ErrorRate::default()),
        cost: Some(Cost::default()),
        spot: Some(Spot {
            on_demand_replicas: 0,
            ..Spot::default()
        }),
        training: Some(Training {
            cpu_milli: u64::MAX,
            memory_bytes: u64::MAX,
            windows: Vec::new(),
        }),
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

/// Load that is known beforehand, every day.
fn morning() -> Event {
    Event {
        window: Window {
            name: "morning".to_owned(),
            schedule: format!("0 {} * * *", EVENT.0),
            time_zone: "UTC".to_owned(),
            duration: SignedDuration::from_hours(EVENT.1 - EVENT.0),
        },
        min_replicas: EVENT_REPLICAS,
    }
}

/// Part of the event's time at which its instances were ready.
fn event_ready(outcome: &Outcome) -> f64 {
    let event = |point: &&Point| {
        let hour = point.at.rem_euclid(86_400) / 3600;
        (EVENT.0..EVENT.1).contains(&hour)
    };
    let during = || outcome.curve.iter().filter(event);
    let ready = during()
        .filter(|point| point.ready >= EVENT_REPLICAS)
        .count();
    ready as f64 / during().count().max(1) as f64
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
        row("the event's instances ready", "% of its time", &|outcome| {
            100.0 * event_ready(outcome)
        }),
        row("nodes taken back", "", &|outcome| outcome.reclaims.into()),
        row("instances moved at once, at most", "", &|outcome| {
            outcome.most_moving.into()
        }),
    ]);
    // The ledger is the planner's: the autoscaler alone has none.
    let spent = ours.spent_share().unwrap_or(f64::NAN);
    report.rows.push(Row::new(
        format!("{name}: spent, by the planner's ledger"),
        "% of on-demand",
        100.0 * spent,
    ));
    let over = ours.most_replicas.saturating_sub(BOUNDS.1);
    report
        .must_be_zero
        .insert(format!("{name}: instances above the ceiling"), over.into());
    report.must_be_zero.insert(
        format!("{name}: floor broken although there was room"),
        ours.floor_breaches.into(),
    );
    report.must_be_zero.insert(
        format!("{name}: node seconds without a price"),
        ours.unpriced_seconds().into(),
    );
    object(vec![
        ("lost_volume", ours.lost_share()),
        ("lent_share", lent(ours)),
        ("longest_wait_s", ours.longest_wait as f64),
        ("wasted_share", ours.wasted_share()),
        ("cost", cost(ours)),
        ("spent_share", spent),
        ("event_ready_share", event_ready(ours)),
        ("floor_breaches", ours.floor_breaches.into()),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::trace::Trace;

    /// Eight days whose nights have a fifth of the load of their afternoons.
    fn days() -> Series {
        let slots = 8 * 144;
        let load =
            |slot: i32| 30.0 - 20.0 * (std::f64::consts::TAU * f64::from(slot) / 144.0).cos();
        Series {
            name: "days".to_owned(),
            trace: Trace {
                step: 600,
                values: (0..slots).map(|slot| Some(load(slot))).collect(),
            },
            step: 600,
            days: 1,
            left_out: 0,
            fill_percent: None,
            percentile: None,
            standby: None,
        }
    }

    #[test]
    fn a_day_has_its_event_its_standby_its_loans_and_its_prices() {
        let played = play(&scenario(&days(), 1, true)).unwrap();
        assert!(event_ready(&played) > 0.9, "{}", event_ready(&played));
        let ledger = played.ledger.clone().unwrap();
        let purposes: BTreeSet<_> = ledger
            .items
            .keys()
            .filter_map(|it| it.split('/').next())
            .collect();
        assert_eq!(purposes, ["inference", "standby", "training"].into());
        assert!(played.lent_seconds > 0.0);
        assert_eq!(played.unpriced_seconds(), 0);
        let spent = played.spent_share().unwrap();
        assert!((RATIO..1.0).contains(&spent), "{spent}");
        assert!(played.lost_share() < 0.005);
        assert_eq!(played.floor_breaches, 0);
    }
}
