//! What spot capacity saves, and how often too little is left while it is taken back.
//!
//! A service of constant size runs through recorded churn and through seeded zones
//! ([`crate::market::zones`]). Beside the planner: all on-demand; half spot and half on-demand, nobody moving anything;
//! spot with two replicas more than needed, nobody moving anything; and a bound that no policy can be below, which pays
//! for as much spot capacity as there is at every moment, for the rest on-demand, and for nothing twice. Standby nodes
//! are billed.
//!
//! Where an instance needs longer to start than a notice lasts, nobody who does not know the future can both pay next to
//! nothing for standby and lose nothing: a node that is taken is missing for the difference unless another waits. What
//! waiting nodes cost and buy is shown beside, and so are a reference, the best constant number in hindsight
//! ([`blind`]), and two bounds for the number that waits: as far as it follows the times of the last two notices
//! ([`following`]), and in zones of our own for who knows everything but the dice ([`chances`]). A bound that no policy
//! can be below is one for who has everything ready at every moment.
//! `--standby` asks for another number than four, which is the least even one with everything ready for 99.9 % of the
//! time in calm zones of another seed (11).

mod blind;
mod chances;
mod following;
mod waiting;

use chatbot_plan::foresight::{Foresight, Spot};
use serde_json::{Map, Value};

use super::{Report, Row, object};
use crate::fleet::{SLOTS, Times, count};
use crate::market::{Made, Outage, zones};
use crate::play;
use crate::scenario::{Lending, Outcome, Policy, Scenario, Spots};
use crate::sight::Unusable;
use crate::trace::SpotTrace;
use blind::Blind;
use waiting::Waiting;

/// Prices of spot capacity, as parts of the on-demand price.
const RATIOS: [f64; 3] = [0.25, 0.33, 0.5];
/// What the mission aims at: 60 % less than on-demand, in percent of it.
const SAVED: f64 = 40.0;
/// Seconds between a notice and the end: Alibaba and others, Azure and Google, AWS.
const NOTICES: [i64; 3] = [15, 30, 120];
/// Standby nodes that are shown beside those asked for: what each costs and buys.
const BESIDE: [u32; 8] = [0, 1, 2, 3, 4, 5, 6, 8];
/// The most nodes of a service: a resource has at most 1,000 instances, four to a node.
pub const LARGEST: u32 = 250;
/// Reclaims of each notice.
const RECLAIMS: u32 = 1000;

/// A market and the service in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// What can be had.
    pub trace: SpotTrace,
    /// Nodes that the service needs.
    pub nodes: u32,
    /// How the market was made, and its outages, where it is one of our own.
    pub made: Option<(Made, Vec<Outage>)>,
}

impl Case {
    /// A service of half the size that the market ever had, within what a resource can have.
    #[must_use]
    pub fn half(name: &str, trace: SpotTrace) -> Self {
        Self {
            name: name.to_owned(),
            nodes: (trace.most() / 2).clamp(1, LARGEST),
            trace,
            made: None,
        }
    }
}

/// Seeded zones: calm, and with many outages.
#[must_use]
pub fn seeded(seed: u64) -> Vec<Case> {
    let case = |name: &str, seed: u64, outages_a_day| {
        let made = Made {
            level: 16,
            outages_a_day,
        };
        let (trace, outages) = made.zones(seed, 3, 7 * 24);
        Case {
            name: name.to_owned(),
            trace,
            nodes: 24,
            made: Some((made, outages)),
        }
    };
    vec![
        case("zones-calm", seed, 1.0),
        case("zones-stormy", seed + 1, 6.0),
    ]
}

/// How it is played.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What chance is made from.
    pub seed: u64,
    /// Standby nodes.
    pub standby: u32,
    /// Seconds for which a node is empty before it is let go.
    pub idle: i64,
}

/// Plays every case, and reclaims with each notice.
pub fn run(cases: &[Case], asked: &Asked) -> Result<Report, Unusable> {
    let mut report = Report::default();
    let mut traces = Map::new();
    for case in cases {
        let ours = play(&planned(case, 120, asked))?;
        let mut others = Others {
            played: vec![
                (
                    "half and half".to_owned(),
                    play(&plain(case, 120, asked, 50, 0))?,
                ),
                (
                    "two spare replicas".to_owned(),
                    play(&plain(case, 120, asked, 100, 2))?,
                ),
            ],
            blind: Blind::of(case, 120, asked),
            waiting: Waiting::of(case, 120, asked.seed),
        };
        for standby in BESIDE
            .into_iter()
            .filter(|standby| *standby != asked.standby)
        {
            let asked = Asked { standby, ..*asked };
            let played = play(&planned(case, 120, &asked))?;
            others.played.push((format!("{standby} standby"), played));
        }
        traces.insert(
            case.name.clone(),
            compare(case, &ours, &others, &mut report),
        );
    }
    for notice in NOTICES {
        reclaims(notice, asked, &mut report)?;
    }
    report
        .result
        .insert("traces".to_owned(), Value::Object(traces));
    Ok(report)
}

/// A case under the planner.
#[must_use]
pub fn planned(case: &Case, notice: i64, asked: &Asked) -> Scenario {
    let spot = Spot {
        // The bound has no base either.
        on_demand_replicas: 0,
        ..Spot::default()
    };
    Scenario {
        foresight: Foresight {
            spot: Some(spot),
            standby_nodes: asked.standby,
            ..Foresight::default()
        },
        policy: Policy::Planner,
        ..plain(case, notice, asked, 100, 0)
    }
}

fn plain(case: &Case, notice: i64, asked: &Asked, spot_percent: u32, extra: u32) -> Scenario {
    let replicas = case.nodes * count(SLOTS);
    Scenario {
        load: None,
        spot: Some(Spots {
            trace: case.trace.clone(),
            notice,
            seed: asked.seed,
        }),
        bounds: (replicas, replicas),
        foresight: Foresight::default(),
        policy: Policy::Plain {
            lending: Lending::Nothing,
            spare: 0,
            spot_percent,
        },
        nodes: None,
        extra,
        part: (0, case.trace.length()),
        times: Times {
            idle: asked.idle,
            ..Times::default()
        },
        curve: None,
    }
}

/// What no policy can be below.
#[must_use]
pub fn bound(case: &Case, ratio: f64) -> f64 {
    let mut now = vec![0_u32; case.trace.zones.len()];
    let (mut last, mut spot, mut all) = (0, 0.0, 0.0);
    let mut count = |until: i64, had: u32| {
        let seconds = (until - last) as f64;
        last = until;
        spot += f64::from(had.min(case.nodes)) * seconds;
        all += f64::from(case.nodes) * seconds;
    };
    for (at, changes) in &case.trace.changes {
        count(*at, now.iter().sum());
        for (zone, obtainable) in changes {
            if let Some(slot) = now.get_mut(*zone) {
                *slot = *obtainable;
            }
        }
    }
    if all > 0.0 {
        (all - spot + ratio * spot) / all
    } else {
        1.0
    }
}

/// What a case is compared with.
struct Others {
    played: Vec<(String, Outcome)>,
    blind: Blind,
    waiting: Waiting,
}

impl Others {
    fn beside(&self, mut row: Row, figure: impl Fn(&Outcome) -> f64) -> Row {
        for (name, played) in &self.played {
            row = row.peer(name, figure(played));
        }
        row
    }
}

fn compare(case: &Case, ours: &Outcome, others: &Others, report: &mut Report) -> Value {
    let name = &case.name;
    let mut ratios = Map::new();
    for ratio in RATIOS {
        let cost = |outcome: &Outcome| 100.0 * outcome.cost(ratio, case.nodes);
        let least = 100.0 * bound(case, ratio);
        let blind = others
            .blind
            .cost(ratio)
            .map_or(f64::NAN, |cost| 100.0 * cost);
        let with = |waiting: f64| least + 100.0 * ratio * waiting / f64::from(case.nodes);
        let following = with(others.waiting.following);
        let knowing = others.waiting.knowing.map_or(f64::NAN, with);
        let row = Row::new(
            format!("{name}: cost at a price of {ratio}"),
            "% of on-demand",
            cost(ours),
        )
        .peer("bound", least)
        .peer(
            "bound for who counts doublings of time since the last two notices, 99.9 % ready",
            following,
        )
        .peer(
            "bound for who knows all but the dice, 99.9 % ready",
            knowing,
        )
        .peer(
            "reference, no bound: best constant number in hindsight, 99.9 % ready",
            blind,
        )
        .at_most((least + 2.0).max(0.0));
        report.rows.push(others.beside(row, cost));
        if least <= SAVED {
            let name = format!("{name}: −60 % at a price of {ratio}, where the bound allows it");
            let row = Row::new(name, "% of on-demand", cost(ours)).at_most(SAVED);
            report.rows.push(row);
        }
        let figure = object(vec![
            ("cost", cost(ours)),
            ("cost_bound", least),
            ("cost_bound_following_notices", following),
            ("cost_bound_knowing_chances", knowing),
            ("cost_best_constant_in_hindsight", blind),
            ("ready_share", ours.ready_share()),
            ("floor_breaches", ours.floor_breaches.into()),
        ]);
        ratios.insert(ratio.to_string(), figure);
    }
    let ready = |outcome: &Outcome| 100.0 * outcome.ready_share();
    let row = Row::new(
        format!(
            "{name}: time with all {} instances ready",
            case.nodes * count(SLOTS)
        ),
        "%",
        ready(ours),
    )
    .at_least(99.9);
    report.rows.push(others.beside(row, ready));
    report.rows.push(Row::new(
        format!("{name}: nodes taken back"),
        "",
        ours.reclaims.into(),
    ));
    report.must_be_zero.insert(
        format!("{name}: floor broken although there was room"),
        ours.floor_breaches.into(),
    );
    Value::Object(ratios)
}

/// A thousand reclaims with one notice, in stormy zones of ever other seeds.
fn reclaims(notice: i64, asked: &Asked, report: &mut Report) -> Result<(), Unusable> {
    let (mut reclaims, mut breaches, mut most, mut short, mut seconds) = (0, 0, 0, 0, 0);
    for round in 0..200 {
        let case = Case {
            name: String::new(),
            trace: zones(asked.seed + 100 + round, 3, 16, 72, 12.0),
            nodes: 24,
            made: None,
        };
        let asked = Asked {
            seed: asked.seed + round,
            ..*asked
        };
        let outcome = play(&planned(&case, notice, &asked))?;
        reclaims += outcome.reclaims;
        breaches += outcome.floor_breaches;
        most = most.max(outcome.most_moving);
        short += outcome.short_seconds;
        seconds += outcome.seconds;
        if reclaims >= RECLAIMS {
            break;
        }
    }
    let name = format!("{reclaims} reclaims at {notice} s");
    let share =
        100.0 * (1.0 - short as f64 / f64::from(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)));
    report.rows.push(Row::new(
        format!("{name}: time with every instance ready"),
        "%",
        share,
    ));
    report.rows.push(
        Row::new(
            format!("{name}: most instances moved at once"),
            "",
            most.into(),
        )
        .at_most(24.0),
    );
    // Within a notice shorter than a warm start nothing can be replaced, and nothing is counted.
    if crate::play::is_in_time(notice, Times::default().warm) {
        report.must_be_zero.insert(
            format!("{name}: floor broken although there was room"),
            breaches.into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_figures_have_the_names_that_readers_expect_and_only_the_bound_is_called_one() {
        let trace = SpotTrace::parse("0,a,2\n600,a,1\n3600,a,2\n").unwrap();
        let case = Case::half("one", trace);
        let asked = Asked {
            seed: 1,
            standby: 0,
            idle: 600,
        };
        let others = Others {
            played: Vec::new(),
            blind: Blind::of(&case, 120, &asked),
            waiting: Waiting::of(&case, 120, asked.seed),
        };
        let ours = play(&planned(&case, 120, &asked)).unwrap();
        let figures = compare(&case, &ours, &others, &mut Report::default());
        let keys: BTreeSet<&str> = figures["0.25"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected = [
            "cost",
            "cost_best_constant_in_hindsight",
            "cost_bound",
            "cost_bound_following_notices",
            "cost_bound_knowing_chances",
            "floor_breaches",
            "ready_share",
        ];
        assert_eq!(keys, expected.into());
    }
}
