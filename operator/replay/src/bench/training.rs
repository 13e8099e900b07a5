//! How much of a static installation can be lent, without production ever waiting for it longer than a moment.
//!
//! The installation is what the peak of the part needs at the autoscaler's target: ten nodes of four instances, always
//! there. Production is scaled as ever. Training takes what the quota allows; its jobs are asked for a checkpoint before
//! they are stopped, and give a slot back within 15 seconds when it is taken by force. So the longest wait is at most
//! that for almost any policy; what tells them apart is how often a slot is taken by force.
//!
//! Nodes that wait are not lent. What the standby nodes of `elasticity` leave for training is shown beside, and so is what
//! they are for: what is not served, beside the autoscaler alone with nodes that come when they are needed.

use chatbot_plan::foresight::{Foresight, Training};
use serde_json::{Map, Value};

use super::elasticity::{PEAK, PLAIN, beside, prewarm, scenario, standby, unserved};
use super::{Report, Row, Series, object};
use crate::fleet::{SLOTS, count};
use crate::play;
use crate::scenario::{Installed, Lending, Outcome, Policy, Scenario};
use crate::sight::Unusable;

/// More than there is: what bounds lending is the room.
const ALL: Training = Training {
    cpu_milli: u64::MAX,
    memory_bytes: u64::MAX,
    windows: Vec::new(),
};

/// Plays every series.
pub fn run(all: &[Series]) -> Result<Report, Unusable> {
    let mut report = Report::default();
    let mut figures = Map::new();
    for series in all {
        let foresight = Foresight {
            prewarm: Some(prewarm(series)),
            training: Some(ALL),
            ..Foresight::default()
        };
        let standby_nodes = standby(series);
        let with_standby = Foresight {
            standby_nodes,
            ..foresight.clone()
        };
        let lending = |lending| Policy::Plain {
            lending,
            spare: 0,
            spot_percent: 0,
        };
        let ours = play(&here(series, foresight, Policy::Planner))?;
        let waiting = play(&here(series, with_standby, Policy::Planner))?;
        let as_needed = play(&scenario(series, Foresight::default(), PLAIN))?;
        let window = Lending::Window {
            from: 1,
            until: 6,
            slots: PEAK / 2,
        };
        let fixed = play(&here(series, Foresight::default(), lending(window)))?;
        let idle = play(&here(series, Foresight::default(), lending(Lending::Idle)))?;
        let alone = play(&here(series, Foresight::default(), PLAIN))?;
        let name = &series.name;
        let row = |what: &str, unit: &str, of: &dyn Fn(&Outcome) -> f64| {
            Row::new(format!("{name}: {what}"), unit, of(&ours))
                .peer(&format!("{standby_nodes} standby nodes"), of(&waiting))
                .peer("fixed windows", of(&fixed))
                .peer("whatever is idle", of(&idle))
        };
        report.rows.extend([
            row("capacity-hours lent", "%", &|outcome| 100.0 * lent(outcome)).at_least(40.0),
            row("longest wait of production", "s", &|outcome| {
                outcome.longest_wait as f64
            })
            .at_most(15.0),
            row("slots taken back by force", "", &|outcome| {
                outcome.preempted.into()
            }),
            row("jobs stopped by the planner", "", &|outcome| {
                outcome.stopped.into()
            }),
            row("training's work lost", "%", &|outcome| {
                100.0 * outcome.wasted_share()
            }),
            row("volume lost", "%", &|outcome| 100.0 * outcome.lost_share())
                .peer("nothing lent", 100.0 * alone.lost_share()),
            row("unserved, beside nodes as needed", "", &|outcome| {
                unserved(outcome, &as_needed)
            }),
            row("replica-hours, beside nodes as needed", "", &|outcome| {
                beside(outcome.replica_seconds, as_needed.replica_seconds)
            }),
        ]);
        let figure = object(vec![
            ("lent_share", lent(&ours)),
            ("longest_wait_s", ours.longest_wait as f64),
            ("wasted_share", ours.wasted_share()),
            ("standby_nodes", standby_nodes.into()),
            ("lent_share_with_standby", lent(&waiting)),
            (
                "unserved_vs_hpa_with_standby",
                unserved(&waiting, &as_needed),
            ),
        ]);
        figures.insert(name.clone(), figure);
    }
    report
        .result
        .insert("series".to_owned(), Value::Object(figures));
    Ok(report)
}

fn here(series: &Series, foresight: Foresight, policy: Policy) -> Scenario {
    Scenario {
        nodes: Some(Installed {
            on_demand: PEAK / count(SLOTS),
            spot: 0,
        }),
        ..scenario(series, foresight, policy)
    }
}

fn lent(outcome: &Outcome) -> f64 {
    outcome.lent_seconds / (f64::from(PEAK) * outcome.seconds.max(1) as f64)
}
