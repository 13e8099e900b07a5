//! What must hold in every world, with every capability that looks ahead asked for at once.

use std::sync::LazyLock;

use chatbot_forecast::Forecaster;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::capability::{AHEAD, ALL};
use crate::decision::Decision;
use crate::example::{node, world};
use crate::facts::{Facts, share};
use crate::names;
use crate::outlook;
use crate::proposal::{Component, Plan};
use crate::recollection::Learned;
use crate::signals::{Demand, Errors, JobSeen, Market, Signals};
use crate::world::{DeploymentSeen, PodSeen, Signal, World};
use crate::{plan, plan_with};

const CEILING: u32 = 30;

/// Nine days of a load with a day in it, learned once.
static LEARNED: LazyLock<(Timestamp, Learned)> = LazyLock::new(|| {
    let asked = Prewarm::default();
    let mut forecaster = Forecaster::new(outlook::settings(&asked).unwrap()).unwrap();
    let mut at = Timestamp::from_second(1_800_000_000).unwrap();
    for slot in 0..9 * 144 {
        let hour = f64::from(slot % 144) / 144.0 * std::f64::consts::TAU;
        forecaster
            .observe(at, Some(80.0 + 60.0 * hour.sin()))
            .unwrap();
        at = at.saturating_add(asked.step).unwrap();
    }
    let learned = Learned {
        forecaster,
        capacity_milli: Some(10_000),
        cold_start_seconds: Some(180),
        apart: None,
    };
    (at, learned)
});

/// What differs from world to world.
#[derive(Clone, Debug)]
struct Draw {
    desired: u32,
    nodes: usize,
    pods: usize,
    noticed: Vec<i64>,
    standby: u32,
    jobs: Vec<(u64, i64, Option<i64>)>,
    demand: f64,
    errors: [u64; 3],
    percentile: u8,
    event: u32,
}

fn draw() -> impl Strategy<Value = Draw> {
    (
        (
            0u32..60,
            0usize..12,
            0usize..40,
            prop::collection::vec(-600i64..600, 0..5),
            0u32..4,
        ),
        (
            prop::collection::vec((1u64..40, 0i64..200, prop::option::of(0i64..600)), 0..5),
            prop_oneof![
                Just(f64::NAN),
                Just(0.0),
                Just(-3.0),
                Just(f64::INFINITY),
                0.0..2000.0
            ],
            [0u64..400, 0u64..400, 0u64..400],
            50u8..100,
            0u32..100,
        ),
    )
        .prop_map(
            |(
                (desired, nodes, pods, noticed, standby),
                (jobs, demand, errors, percentile, event),
            )| Draw {
                desired,
                nodes,
                pods,
                noticed,
                standby,
                jobs,
                demand,
                errors,
                percentile,
                event,
            },
        )
}

/// One pod of the plan, made once: it is what all are like.
static POD: LazyLock<PodSeen> = LazyLock::new(|| world().passed().instance());

fn asked_for(draw: &Draw) -> Foresight {
    Foresight {
        prewarm: Some(Prewarm {
            percentile: draw.percentile,
            events: vec![Event {
                window: Window {
                    name: "always".to_owned(),
                    schedule: "0 0 * * *".to_owned(),
                    time_zone: "Europe/Berlin".to_owned(),
                    duration: SignedDuration::from_hours(23),
                },
                min_replicas: draw.event,
            }],
            ..Prewarm::default()
        }),
        standby_nodes: draw.standby,
        error_rate: Some(ErrorRate::default()),
        spot: Some(Spot::default()),
        cost: Some(Cost::default()),
        training: Some(Training {
            cpu_milli: 100_000,
            memory_bytes: 1 << 50,
            windows: Vec::new(),
        }),
    }
}

fn drawn(draw: &Draw) -> World {
    let mut world = world();
    let (now, learned) = &*LEARNED;
    world.now = *now;
    world.settings.inference.max_replicas = CEILING;
    world.foresight = asked_for(draw);
    world.memory.foresight.learned = Some(learned.clone());
    let known = |seconds: i64| {
        now.saturating_add(SignedDuration::from_secs(seconds))
            .unwrap()
    };
    let nodes = (0..draw.nodes).map(|index| {
        let mut node = node(&format!("n{index:02}"), 8000, 32 << 30);
        if index % 2 == 0 {
            node.labels
                .insert("karpenter.sh/capacity-type".to_owned(), "spot".to_owned());
        }
        if let Some(seconds) = draw.noticed.get(index) {
            node.annotations.insert(
                names::RECLAIM_ANNOTATION.to_owned(),
                known(*seconds).to_string(),
            );
        }
        node
    });
    world.observed.nodes = Signal::Known {
        value: nodes.collect(),
        at: *now,
    };
    world.observed.pods = (0..draw.pods)
        .map(|index| PodSeen {
            name: format!("p{index:02}"),
            uid: format!("u{index:02}"),
            node: (draw.nodes > 0).then(|| format!("n{:02}", index % draw.nodes)),
            ready: index % 5 != 0,
            leaving: index % 7 == 0,
            ..POD.clone()
        })
        .collect();
    let deployment = DeploymentSeen {
        desired: draw.desired,
        ..DeploymentSeen::default()
    };
    world
        .observed
        .deployments
        .insert("support-inference".to_owned(), deployment);
    world.observed.signals = Box::new(signals(draw, *now));
    world
}

fn signals(draw: &Draw, now: Timestamp) -> Signals {
    let ago = |seconds: i64| {
        now.saturating_sub(SignedDuration::from_secs(seconds))
            .unwrap()
    };
    let known = |value| Signal::Known { value, at: now };
    let jobs = draw
        .jobs
        .iter()
        .enumerate()
        .map(|(index, (cpu, minutes, asked))| JobSeen {
            name: format!("j{index}"),
            uid: format!("j{index}"),
            running: true,
            asked: asked.map(ago),
            checkpoint: ago(minutes * 60),
            grace: SignedDuration::from_mins(2),
            cpu_milli: cpu * 1000,
            memory_bytes: cpu << 30,
            nodes: vec![format!("n{index:02}")],
        });
    let [overloaded, dependency, failed] = draw.errors;
    Signals {
        demand: Signal::Known {
            value: Demand {
                per_second: draw.demand,
                replicas: 10.0,
                utilisation: 0.7,
            },
            at: now,
        },
        errors: Signal::Known {
            value: Errors {
                requests: 1000,
                overloaded,
                dependency,
                by_revision: [(
                    "r".to_owned(),
                    crate::signals::RevisionErrors {
                        requests: 1000,
                        failed,
                    },
                )]
                .into(),
            },
            at: now,
        },
        market: Signal::Known {
            value: Market { last_taken: None },
            at: now,
        },
        jobs: known(jobs.collect()),
        ..Signals::default()
    }
}

fn lent(plan: &Plan) -> u64 {
    let quotas = plan.decisions.iter().filter_map(|decision| match decision {
        Decision::Quota { cpu_milli, .. } => Some(*cpu_milli),
        _ => None,
    });
    quotas.sum()
}

/// What may be decided when nothing is known: to lend nothing.
fn is_harmless(decision: &Decision) -> bool {
    matches!(
        decision,
        Decision::Quota {
            cpu_milli: 0,
            memory_bytes: 0
        }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_order_of_capabilities_decides_the_same(draw in draw(), order in Just(ALL.to_vec()).prop_shuffle()) {
        let world = drawn(&draw);
        let (one, other) = (plan(&world), plan_with(&world, &order));
        prop_assert_eq!(one.settled, other.settled);
        prop_assert_eq!(one.decisions, other.decisions);
        prop_assert_eq!(one.findings, other.findings);
        prop_assert_eq!(one.memory, other.memory);
    }

    #[test]
    fn what_looks_ahead_decides_the_same_alone(draw in draw()) {
        let world = drawn(&draw);
        let (whole, alone) = (plan(&world), plan_with(&world, AHEAD));
        prop_assert_eq!(&whole.settled[&Component::Inference], &alone.settled[&Component::Inference]);
        prop_assert_eq!(whole.decisions, alone.decisions);
        prop_assert_eq!(whole.memory.foresight, alone.memory.foresight);
    }

    #[test]
    fn the_ceiling_is_never_exceeded_and_training_never_has_what_is_production_s(draw in draw()) {
        let world = drawn(&draw);
        // What overload asks for is seen by training at the next look.
        let world = World { memory: plan(&world).memory, ..world };
        let plan = plan(&world);
        let settled = &plan.settled[&Component::Inference];
        prop_assert!(settled.floor <= settled.ceiling && settled.ceiling == CEILING);
        let facts = Facts::of(&world);
        let share = share(facts.node_capacity.known().unwrap(), 4).cpu_milli;
        let staying = draw.nodes.saturating_sub(draw.noticed.len()) as u64 * 4;
        let production = u64::from(settled.floor).max(draw.pods as u64);
        let kept = production + u64::from(draw.standby) * 4;
        prop_assert!(lent(&plan) <= staying.saturating_sub(kept) * share, "{:?}", plan.decisions);
    }

    #[test]
    fn nothing_acts_on_a_signal_that_is_a_day_old(draw in draw()) {
        let mut world = drawn(&draw);
        world.now = world.now.saturating_add(SignedDuration::from_hours(24)).unwrap();
        world.foresight.prewarm.as_mut().unwrap().events.clear();
        let plan = plan(&world);
        prop_assert_eq!(plan.settled[&Component::Inference].floor, 2);
        prop_assert!(plan.decisions.iter().all(is_harmless), "{:?}", plan.decisions);
    }

    #[test]
    fn what_is_unknown_is_never_taken_for_nothing(draw in draw()) {
        let mut world = drawn(&draw);
        *world.observed.signals = Signals::default();
        world.observed.nodes = Signal::Unknown(chatbot_crds::Reason::Pending);
        let blind = plan(&world);
        prop_assert!(blind.decisions.iter().all(is_harmless), "{:?}", blind.decisions);
        // A pass that sees nothing forgets nothing.
        prop_assert_eq!(&blind.memory.foresight.learned, &world.memory.foresight.learned);
        prop_assert!(blind.settled[&Component::Inference].floor >= 2);
    }

    #[test]
    fn jobs_that_are_lost_alone_take_nothing_from_production(draw in draw(), is_old in any::<bool>()) {
        let world = drawn(&draw);
        let mut lost = world.clone();
        let jobs = &mut lost.observed.signals.jobs;
        match jobs {
            Signal::Known { at, .. } if is_old => {
                *at = world.now.saturating_sub(SignedDuration::from_mins(6)).unwrap();
            }
            jobs => *jobs = Signal::Unknown(chatbot_crds::Reason::Pending),
        }
        let (seen, lost) = (plan(&world), plan(&lost));
        prop_assert!(lost.settled[&Component::Inference].floor >= seen.settled[&Component::Inference].floor);
        prop_assert!(lent(&lost) <= lent(&seen));
        for decision in &lost.decisions {
            let holds = matches!(decision, Decision::Quota { .. }) || seen.decisions.contains(decision);
            prop_assert!(holds, "{:?} beside {:?}", decision, seen.decisions);
        }
    }

    #[test]
    fn where_the_nodes_are_lost_alone_no_job_is_stopped_that_was_not_asked(draw in draw(), is_old in any::<bool>()) {
        let mut world = drawn(&draw);
        let now = world.now;
        match &mut world.observed.nodes {
            Signal::Known { at, .. } if is_old => {
                *at = now.saturating_sub(SignedDuration::from_mins(6)).unwrap();
            }
            nodes => *nodes = Signal::Unknown(chatbot_crds::Reason::Pending),
        }
        world.observed.pods.iter_mut().take(3).for_each(|pod| pod.node = None);
        let plan = plan(&world);
        prop_assert_eq!(lent(&plan), 0);
        let jobs = world.observed.signals.jobs.known().unwrap();
        for decision in &plan.decisions {
            if let Decision::Suspend { uid, .. } = decision {
                prop_assert!(jobs.iter().any(|job| job.uid == *uid && job.asked.is_some()));
            }
        }
    }

    #[test]
    fn at_most_the_surge_is_let_go_at_once(draw in draw()) {
        let world = drawn(&draw);
        let plan = plan(&world);
        let of = |wanted: fn(&Decision) -> bool| plan.decisions.iter().filter(|decision| wanted(decision)).count();
        let detached = of(|decision| matches!(decision, Decision::Detach { .. }));
        let gone = of(|decision| matches!(decision, Decision::Delete { .. } | Decision::Attach { .. }));
        let leaving = world.observed.pods.iter().filter(|pod| pod.leaving).count();
        let surge = ((draw.desired as usize + 2) * 25).div_ceil(100).max(1);
        prop_assert!(detached == 0 || leaving - gone + detached <= surge);
    }

    #[test]
    fn what_was_stored_and_read_decides_the_same(draw in draw()) {
        let world = drawn(&draw);
        let after = World { memory: plan(&world).memory, ..world.clone() };
        let stored = crate::memory::Memory::read(&after.memory.write());
        prop_assert!(stored.is_ok(), "{:?}", stored);
        let read = World { memory: stored.unwrap(), ..after.clone() };
        let (one, other) = (plan(&after), plan(&read));
        prop_assert_eq!(one.settled, other.settled);
        prop_assert_eq!(one.decisions, other.decisions);
        prop_assert_eq!(one.memory, other.memory);
    }
}

#[test]
fn what_is_not_asked_for_does_nothing() {
    let plan = plan(&world().settled());
    assert_eq!((plan.decisions, plan.findings), (Vec::new(), Vec::new()));
    assert!(plan.memory.foresight.is_empty());
    assert!(!plan.memory.write().contains("foresight"));
}
