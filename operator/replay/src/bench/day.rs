//! Everything at once, for seven days: load, forecast, spot capacity that comes and goes, and training on what is idle.
//!
//! Forty nodes of four instances, eight of them on-demand; the rest spot in three seeded zones, with two outages a day
//! in each. The load is scaled so that its peak needs 110 instances at the autoscaler's target, of at most 140: what
//! remains is what an outage takes.
//!
//! As many nodes are standby as the days before ask for ([`crate::sizing`]), an event of two hours asks for 60 instances
//! every morning, overload is told as errors, and the nodes have prices. Left out: errors other than overload.
//!
//! The goals of `elasticity` are held against the same peer as there: the autoscaler alone with nodes that come when they
//! are needed, on-demand ones, of which nobody takes any. The autoscaler alone on the forty nodes finds every node warm.

use chatbot_plan::foresight::{Cost, ErrorRate, Event, Foresight, Prewarm, Spot, Training, Window};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::elasticity::{PLAIN, beside, prewarm, unserved};
use super::{Report, Row, Series, object};
use crate::fleet::{SLOTS, Times, count};
use crate::market::zones;
use crate::play;
use crate::scenario::{Installed, Load, Outcome, Point, Policy, Scenario, Spots};
use crate::sight::{PRICE, Unusable};
use crate::sizing;
use crate::trace::SpotTrace;

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

/// Who plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    /// The planner with all that it has.
    Planner,
    /// The planner without standby nodes: what they cost and what they are for.
    NoStandby,
    /// The autoscaler alone, on the same nodes.
    Alone,
    /// The autoscaler alone, on on-demand nodes that come when they are needed.
    AsNeeded,
}

/// What came of a series with each of them.
struct Played {
    ours: Outcome,
    no_standby: Outcome,
    alone: Outcome,
    as_needed: Outcome,
}

/// Plays the part of each series, on seeded zones or on a market of somebody's own.
pub fn run(all: &[Series], market: Option<&SpotTrace>, seed: u64) -> Result<Report, Unusable> {
    let mut report = Report::default();
    let mut figures = Map::new();
    for series in all {
        let play = |player| play(&scenario(series, market, seed, player));
        let played = Played {
            ours: play(Player::Planner)?,
            no_standby: play(Player::NoStandby)?,
            alone: play(Player::Alone)?,
            as_needed: play(Player::AsNeeded)?,
        };
        let figure = tell(series, &played, &mut report);
        figures.insert(series.name.clone(), figure);
    }
    report
        .result
        .insert("series".to_owned(), Value::Object(figures));
    Ok(report)
}

/// Requests a second of one instance: the peak of the part needs so many at the autoscaler's target.
fn capacity(series: &Series) -> f64 {
    let (from, until) = series.part();
    series.trace.peak(from, until) / (PEAK * TARGET)
}

/// The whole of it, or what one of the others makes of it.
#[must_use]
pub fn scenario(
    series: &Series,
    market: Option<&SpotTrace>,
    seed: u64,
    player: Player,
) -> Scenario {
    let part = series.part();
    let mut market = market
        .cloned()
        .unwrap_or_else(|| zones(seed, 3, 14, (part.1 - part.0) / 3600, 2.0));
    // It begins with the part that is played.
    market.changes = market
        .changes
        .into_iter()
        .map(|(at, changes)| (at + part.0, changes))
        .collect();
    let (foresight, policy) = match player {
        Player::Planner => (foresight(series), Policy::Planner),
        Player::NoStandby => (
            Foresight {
                standby_nodes: 0,
                ..foresight(series)
            },
            Policy::Planner,
        ),
        Player::Alone | Player::AsNeeded => (Foresight::default(), PLAIN),
    };
    let is_installed = player != Player::AsNeeded;
    Scenario {
        load: Some(Load {
            capacity: capacity(series),
            trace: series.trace.clone(),
        }),
        spot: is_installed.then_some(Spots {
            trace: market,
            notice: 30,
            seed,
        }),
        bounds: BOUNDS,
        foresight,
        policy,
        nodes: is_installed.then_some(NODES),
        extra: 0,
        part,
        times: Times::default(),
        curve: Some(600),
    }
}

fn foresight(series: &Series) -> Foresight {
    Foresight {
        prewarm: Some(Prewarm {
            events: vec![morning()],
            ..prewarm(series)
        }),
        standby_nodes: sizing::of(series, capacity(series), BOUNDS),
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

fn tell(series: &Series, played: &Played, report: &mut Report) -> Value {
    let name = &series.name;
    let nodes = NODES.on_demand + NODES.spot;
    let slots = f64::from(nodes * count(SLOTS));
    let lent = |outcome: &Outcome| outcome.lent_seconds / (slots * outcome.seconds.max(1) as f64);
    let cost = |outcome: &Outcome| 100.0 * outcome.cost(RATIO, nodes);
    let ours = &played.ours;
    let row = |what: &str, unit: &str, of: &dyn Fn(&Outcome) -> f64| {
        Row::new(format!("{name}: {what}"), unit, of(ours))
            .peer("no standby", of(&played.no_standby))
            .peer("autoscaler alone", of(&played.alone))
    };
    let standby = sizing::of(series, capacity(series), BOUNDS);
    report.rows.extend([
        Row::new(
            format!("{name}: standby nodes asked for"),
            "",
            standby.into(),
        ),
        row(
            "standby nodes waiting, warm, mean",
            "",
            &Outcome::mean_standby,
        ),
        row("volume lost", "%", &|outcome| 100.0 * outcome.lost_share()).at_most(0.5),
        row("capacity-hours lent", "%", &|outcome| 100.0 * lent(outcome)),
        row("longest wait of production", "s", &|outcome| {
            outcome.longest_wait as f64
        })
        .at_most(15.0),
        row("slots taken back by force", "", &|outcome| {
            outcome.preempted.into()
        }),
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
    let elastic = elastic(series, played, report);
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
    let mut figures = elastic.to_vec();
    figures.extend([
        ("lost_volume", ours.lost_share()),
        ("standby_nodes", standby.into()),
        ("standby_nodes_waiting", ours.mean_standby()),
        ("lent_share", lent(ours)),
        ("lent_share_without_standby", lent(&played.no_standby)),
        ("longest_wait_s", ours.longest_wait as f64),
        ("wasted_share", ours.wasted_share()),
        ("cost", cost(ours)),
        ("spent_share", spent),
        ("event_ready_share", event_ready(ours)),
        ("floor_breaches", ours.floor_breaches.into()),
    ]);
    object(figures)
}

/// The goals of `elasticity`, while everything else acts.
fn elastic(series: &Series, played: &Played, report: &mut Report) -> [(&'static str, f64); 3] {
    let peer = &played.as_needed;
    let over_peak = |it: &Outcome| it.replica_seconds / (PEAK * it.seconds.max(1) as f64);
    let hours = |it: &Outcome| beside(it.replica_seconds, peer.replica_seconds);
    let unserved = |it: &Outcome| unserved(it, peer);
    let mut row = |what: &str, goal: f64, of: &dyn Fn(&Outcome) -> f64| {
        let row = Row::new(format!("{}: {what}", series.name), "", of(&played.ours))
            .peer("no standby", of(&played.no_standby))
            .peer("autoscaler alone", of(&played.alone))
            .peer("autoscaler alone, nodes as needed", of(peer));
        report.rows.push(row.at_most(goal));
        of(&played.ours)
    };
    [
        (
            "capacity_over_peak",
            row("mean instances over static peak", 0.5, &over_peak),
        ),
        (
            "unserved_vs_hpa",
            row("unserved, beside nodes as needed", 0.2, &unserved),
        ),
        (
            "replica_hours_vs_hpa",
            row("replica-hours, beside nodes as needed", 1.1, &hours),
        ),
    ]
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
            standby: Some(2),
        }
    }

    #[test]
    fn a_day_has_its_event_its_standby_its_loans_and_its_prices() {
        let played = play(&scenario(&days(), None, 1, Player::Planner)).unwrap();
        assert!(event_ready(&played) > 0.9, "{}", event_ready(&played));
        let ledger = played.ledger.clone().unwrap();
        let purposes: BTreeSet<_> = ledger
            .sums
            .items
            .keys()
            .filter_map(|it| it.split('/').next())
            .collect();
        assert_eq!(purposes, ["inference", "standby", "training"].into());
        // Two are asked for; while nodes are taken back and training leaves others, fewer wait.
        assert!(played.mean_standby() > 1.7, "{}", played.mean_standby());
        assert!(played.lent_seconds > 0.0);
        assert_eq!(played.unpriced_seconds(), 0);
        let spent = played.spent_share().unwrap();
        assert!((RATIO..1.0).contains(&spent), "{spent}");
        assert!(played.lost_share() < 0.005);
        assert_eq!(played.floor_breaches, 0);
    }

    #[test]
    fn a_market_of_ones_own_is_played_from_the_beginning_of_the_part() {
        let market = SpotTrace::parse("0,a,3\n600,a,1\n").unwrap();
        let scenario = scenario(&days(), Some(&market), 1, Player::Planner);
        let changes = scenario.spot.unwrap().trace.changes;
        let begin = scenario.part.0;
        assert_eq!(
            changes.keys().copied().collect::<Vec<_>>(),
            [begin, begin + 600]
        );
    }
}
