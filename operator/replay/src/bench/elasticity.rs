//! How little is lost, with how little capacity: the planner beside the autoscaler alone, and beside the planner without
//! its forecast.
//!
//! An instance is sized so that the peak of the part that is played needs 40 of them at the autoscaler's target of 70 %:
//! that is what a static installation would have, and what capacity is compared with. The load of a slot holds for the
//! whole slot: no ramp is given for free. Standby nodes are in no replica-hours, but in the node-hours: what they cost
//! is a node each.
//!
//! What was chosen on which days: how busy an instance may be at the percentile is 90 %. 85 % was tried first, on the
//! last two days of m-small, and took 11.5 % more replica-hours than the autoscaler alone; so these two days are not
//! untouched. On the five days that end a week before the end (`--left-out 7`) the autoscaler alone loses nothing of
//! m-small and m-large, and 85, 90 and 95 % differ by 4 % of the replica-hours only. How many standby nodes there are is
//! computed from the days before the part that is played ([`crate::sizing`]), for each series from its own.

use chatbot_plan::foresight::{Foresight, Prewarm};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{Report, Row, Series, object};
use crate::fleet::{SLOTS, Times, count};
use crate::play;
use crate::scenario::{Lending, Load, Outcome, Policy, Scenario};
use crate::sight::Unusable;
use crate::sizing;

/// Instances of the static installation.
pub const PEAK: u32 = 40;
/// Fewest instances.
const FEWEST: u32 = 5;
/// Less of the volume than this is nothing lost.
const NOTHING: f64 = 1e-5;
/// How far somebody sees who is a bound.
const AHEAD: i64 = 1800;
/// What the autoscaler steers to.
pub const TARGET: f64 = 0.7;

/// A scenario of one series.
#[must_use]
pub fn scenario(series: &Series, foresight: Foresight, policy: Policy) -> Scenario {
    let part = series.part();
    Scenario {
        load: Some(Load {
            capacity: capacity(series),
            trace: series.trace.clone(),
        }),
        spot: None,
        bounds: (FEWEST, PEAK),
        foresight,
        policy,
        nodes: None,
        extra: 0,
        part,
        times: Times::default(),
        curve: None,
    }
}

/// Requests a second of one instance: the peak of the part needs all of them at the autoscaler's target.
fn capacity(series: &Series) -> f64 {
    let part = series.part();
    series.trace.peak(part.0, part.1) / (f64::from(PEAK) * TARGET)
}

/// Standby nodes, as many as the series' own past asks for.
pub(super) fn standby(series: &Series) -> u32 {
    sizing::of(series, capacity(series), (FEWEST, PEAK))
}

/// The forecast, asked for on the series' own grid.
#[must_use]
pub fn prewarm(series: &Series) -> Prewarm {
    Prewarm {
        step: SignedDuration::from_secs(series.step),
        fill_percent: series
            .fill_percent
            .unwrap_or(Prewarm::default().fill_percent),
        percentile: series.percentile.unwrap_or(Prewarm::default().percentile),
        ..Prewarm::default()
    }
}

/// An autoscaler alone.
pub const PLAIN: Policy = Policy::Plain {
    lending: Lending::Nothing,
    spare: 0,
    spot_percent: 0,
};

/// Plays every series.
pub fn run(all: &[Series]) -> Result<Report, Unusable> {
    let mut report = Report::default();
    let mut figures = Map::new();
    for series in all {
        let standby_nodes = standby(series);
        let foresight = Foresight {
            prewarm: Some(prewarm(series)),
            standby_nodes,
            ..Foresight::default()
        };
        let no_forecast = Foresight {
            standby_nodes,
            ..Foresight::default()
        };
        let no_standby = Foresight {
            standby_nodes: 0,
            ..foresight.clone()
        };
        let ours = play(&scenario(series, foresight, Policy::Planner))?;
        let alone = play(&scenario(series, Foresight::default(), PLAIN))?;
        let foreseeing = Policy::Foreseeing { ahead: AHEAD };
        let nothing = Foresight::default();
        let others = [
            ("autoscaler alone", alone.clone()),
            (
                "standby, no forecast",
                play(&scenario(series, no_forecast, Policy::Planner))?,
            ),
            (
                "forecast, no standby",
                play(&scenario(series, no_standby, Policy::Planner))?,
            ),
            (
                "knowing the next 30 minutes",
                play(&scenario(series, nothing, foreseeing))?,
            ),
        ];
        let name = format!("{}: standby nodes", series.name);
        report.rows.push(Row::new(name, "", standby_nodes.into()));
        let figure = compare(series, &ours, &alone, &others, &mut report);
        figures.insert(series.name.clone(), figure);
    }
    report
        .result
        .insert("series".to_owned(), Value::Object(figures));
    Ok(report)
}

/// A figure over another's. Where the autoscaler loses nothing there is nothing to be better at, and what is lost
/// beside it has no ratio.
pub(super) fn beside(figure: f64, other: f64) -> f64 {
    if figure > 0.0 { figure / other } else { 0.0 }
}

/// What one does not serve, over what another does not.
pub(super) fn unserved(outcome: &Outcome, other: &Outcome) -> f64 {
    if outcome.lost_share() < NOTHING {
        0.0
    } else {
        beside(outcome.lost, other.lost)
    }
}

fn compare(
    series: &Series,
    ours: &Outcome,
    alone: &Outcome,
    others: &[(&str, Outcome)],
    report: &mut Report,
) -> Value {
    let peak = |outcome: &Outcome| {
        outcome.replica_seconds / (f64::from(PEAK) * outcome.seconds.max(1) as f64)
    };
    let unserved = |outcome: &Outcome| unserved(outcome, alone);
    let hours = |outcome: &Outcome| beside(outcome.replica_seconds, alone.replica_seconds);
    let nodes = |outcome: &Outcome| beside(outcome.on_demand_seconds, alone.on_demand_seconds);
    let static_nodes = f64::from(PEAK) / f64::from(count(SLOTS));
    let held = |outcome: &Outcome| {
        outcome.on_demand_seconds / (static_nodes * outcome.seconds.max(1) as f64)
    };
    let name = &series.name;
    let mut row = |what: &str, unit: &str, goal: Option<f64>, of: &dyn Fn(&Outcome) -> f64| {
        let mut row = Row::new(format!("{name}: {what}"), unit, of(ours));
        for (other, outcome) in others {
            row = row.peer(other, of(outcome));
        }
        report.rows.push(match goal {
            Some(goal) => row.at_most(goal),
            None => row,
        });
    };
    row("volume lost", "%", Some(0.5), &|outcome| {
        100.0 * outcome.lost_share()
    });
    row("mean capacity over static peak", "", Some(0.5), &peak);
    row(
        "unserved, beside the autoscaler alone",
        "",
        Some(0.2),
        &unserved,
    );
    row(
        "replica-hours, beside the autoscaler alone",
        "",
        Some(1.1),
        &hours,
    );
    row("node-hours, standby included", "", None, &nodes);
    row(
        "nodes held, standby included, over static peak",
        "",
        None,
        &held,
    );
    let over = ours.most_replicas.saturating_sub(PEAK);
    report
        .must_be_zero
        .insert(format!("{name}: instances above the ceiling"), over.into());
    object(vec![
        ("lost_volume", ours.lost_share()),
        ("capacity_over_peak", peak(ours)),
        ("unserved_vs_hpa", unserved(ours)),
        ("replica_hours_vs_hpa", hours(ours)),
        ("node_hours_vs_hpa", nodes(ours)),
        ("nodes_over_peak", held(ours)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_ratio_is_null_and_not_met() {
        assert!((beside(1.0, 4.0) - 0.25).abs() < 1e-9);
        assert_eq!(beside(0.0, 0.0).to_bits(), 0);
        let row = Row::new("lost", "", beside(1.0, 0.0)).peer("other", beside(1.0, 0.0));
        let row = row.at_most(0.2);
        assert_eq!((row.ours, row.met), (None, Some(false)));
        assert_eq!(row.peers["other"], Value::Null);
        let figures = object(vec![
            ("lost", beside(1.0, 0.0)),
            ("most", f64::MAX),
            ("known", 1.0),
        ]);
        assert_eq!(
            figures,
            serde_json::json!({"lost": null, "most": null, "known": 1.0})
        );
    }
}
