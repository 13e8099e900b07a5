use super::*;
use crate::example::{node, world};
use crate::world::Signal;

/// Two nodes with an instance each: `a` on-demand for 0.40 an hour, `b` spot for 0.10. A third is somebody else's.
fn running_world() -> World {
    let mut world = world().passed().rolled_out(2);
    world.now = "2026-11-10T00:00:00Z".parse().unwrap();
    world.foresight.cost = Some(Cost::default());
    for (pod, node) in world
        .observed
        .pods
        .iter_mut()
        .filter(|pod| pod.component == Component::Inference)
        .zip(["a", "b"])
    {
        pod.node = Some(node.to_owned());
    }
    let nodes = ["a", "b", "foreign"].map(|name| {
        let mut node = node(name, 8000, 32 << 30);
        node.labels.insert(INSTANCE_TYPE.to_owned(), "m".to_owned());
        if name == "b" {
            node.labels
                .insert("cloud.google.com/gke-spot".to_owned(), "true".to_owned());
        }
        node
    });
    world.observed.nodes = Signal::Known {
        value: nodes.to_vec(),
        at: world.now,
    };
    priced(world, &[(false, 400), (true, 100)])
}

fn priced(mut world: World, prices: &[(bool, u64)]) -> World {
    let line = |(spot, milli): &(bool, u64)| {
        let machine = Priced {
            instance_type: "m".to_owned(),
            spot: *spot,
        };
        (machine, *milli)
    };
    world.observed.signals.prices = Signal::Known {
        value: prices.iter().map(line).collect(),
        at: world.now,
    };
    world
}

/// Time passes with a look every five minutes.
fn passing(mut world: World, minutes: i64) -> World {
    for _ in 0..=minutes / 5 {
        if let Signal::Known { at, .. } = &mut world.observed.nodes {
            *at = world.now;
        }
        if let Signal::Known { at, .. } = &mut world.observed.signals.prices {
            *at = world.now;
        }
        let facts = Facts::of(&world);
        let proposals = [propose(&world, &facts)];
        world.memory.foresight = facts.recollection(&proposals);
        world.now = world
            .now
            .saturating_add(SignedDuration::from_mins(5))
            .unwrap();
    }
    world.now = world
        .now
        .saturating_sub(SignedDuration::from_mins(5))
        .unwrap();
    world
}

fn finding(world: &World) -> Finding {
    propose(world, &Facts::of(world)).findings.remove(0)
}

#[test]
fn spent_is_price_times_time_beside_the_same_time_on_demand() {
    let world = passing(running_world(), 600);
    let told = finding(&world);
    assert_eq!(told.reason, "NoBudget");
    assert!(
        told.message
            .starts_with("spent 5.00 of 8.00 all on-demand in 2026-11"),
        "{}",
        told.message
    );
}

#[test]
fn the_ledger_is_written_every_ten_minutes_and_when_something_changes() {
    let world = passing(running_world(), 0);
    let five = passing(world.clone(), 5);
    assert_eq!(five.memory.foresight.ledger, world.memory.foresight.ledger);
    let ten = passing(world.clone(), 10);
    assert_ne!(ten.memory.foresight.ledger, world.memory.foresight.ledger);
    let mut changed = five;
    changed
        .observed
        .pods
        .retain(|pod| pod.node.as_deref() != Some("b"));
    let changed = passing(changed, 0);
    assert_ne!(
        changed.memory.foresight.ledger,
        world.memory.foresight.ledger
    );
}

#[test]
fn an_unknown_price_is_said_and_never_zero() {
    for prices in [&[(false, 400)][..], &[]] {
        let world = passing(priced(running_world(), prices), 60);
        let told = finding(&world);
        assert_eq!(told.reason, "PricesMissing");
        let expected = if prices.is_empty() {
            "spent 0.00 of 0.00"
        } else {
            "spent 0.40 of 0.40"
        };
        assert!(told.message.starts_with(expected), "{}", told.message);
    }
}

#[test]
fn a_node_s_own_label_wins_and_what_is_no_price_does_not() {
    for (label, expected) in [
        ("0.2", "spent 0.60 of 0.80"),
        ("0", "spent 0.50"),
        ("-1", "spent 0.50"),
        ("free", "spent 0.50"),
    ] {
        let mut world = running_world();
        if let Signal::Known { value, .. } = &mut world.observed.nodes {
            value[1]
                .labels
                .insert(names::PRICE_LABEL.to_owned(), label.to_owned());
        }
        let told = finding(&passing(world, 60));
        assert!(
            told.message.starts_with(expected),
            "{label}: {}",
            told.message
        );
    }
}

#[test]
fn time_that_nobody_saw_and_a_clock_set_back_are_not_counted() {
    let world = passing(running_world(), 60);
    let before = finding(&world).message;
    for (minutes, unseen) in [(-30, ""), (61, ", without 1 h that nobody saw")] {
        let mut other = world.clone();
        other.now = other
            .now
            .saturating_add(SignedDuration::from_mins(minutes))
            .unwrap();
        let other = passing(other, 0);
        let told = finding(&other).message;
        assert_eq!(told, format!("{before}{unseen}"), "{minutes}");
    }
}

#[test]
fn a_new_month_begins_at_nothing() {
    let mut world = running_world();
    world.now = "2026-11-30T23:00:00Z".parse().unwrap();
    let told = finding(&passing(priced(world, &[(false, 400), (true, 100)]), 90));
    assert!(
        told.message
            .starts_with("spent 0.25 of 0.40 all on-demand in 2026-12"),
        "{}",
        told.message
    );
}

#[test]
fn a_budget_is_watched() {
    for (budget, reason) in [
        (1_000_000, "WithinBudget"),
        (60, "BudgetExceeded"),
        (100_000, "BudgetAtRisk"),
    ] {
        let mut world = running_world();
        world.foresight.cost = Some(Cost {
            monthly_budget_milli: Some(budget),
        });
        assert_eq!(finding(&passing(world, 25 * 60)).reason, reason, "{budget}");
    }
}

#[test]
fn an_exceeded_budget_is_not_hidden_by_what_has_no_price() {
    let mut world = running_world();
    let item = Item {
        node_seconds: 36_000,
        unpriced_node_seconds: 1,
        spent_milli_seconds: 3600 * 50_000,
        on_demand_milli_seconds: 3600 * 90_000,
    };
    world.memory.foresight.ledger = Some(Ledger {
        month: "2026-11".to_owned(),
        at: world.now,
        sums: Sums {
            counted_seconds: 9 * 24 * 3600,
            unseen_seconds: 0,
            items: [("inference/Spot".to_owned(), item)].into(),
        },
        running: BTreeMap::new(),
        others: BTreeMap::new(),
    });
    // Spent are 50.00 in nine days: the month will take more than three times as much.
    for (budget, reason) in [
        (Some(1_000), "BudgetExceeded"),
        (Some(100_000), "BudgetAtRisk"),
        (Some(1_000_000), "PricesMissing"),
        (None, "PricesMissing"),
    ] {
        world.foresight.cost = Some(Cost {
            monthly_budget_milli: budget,
        });
        let told = finding(&world);
        assert_eq!(told.reason, reason, "{}", told.message);
        assert!(
            told.message.contains("without 1 s of node time"),
            "{}",
            told.message
        );
    }
}

#[test]
fn the_pace_is_that_of_the_time_that_was_counted() {
    let told = |minutes: i64| {
        let mut world = running_world();
        world.now = "2026-11-20T00:00:00Z".parse().unwrap();
        world.foresight.cost = Some(Cost {
            monthly_budget_milli: Some(100_000),
        });
        finding(&passing(world, minutes))
    };
    // Eleven days at 0.50 an hour will be 132.00, though nothing of the month was counted before.
    assert_eq!(
        told(24 * 60 - 10).reason,
        "WithinBudget",
        "a day says little"
    );
    let at_risk = told(25 * 60);
    assert_eq!(at_risk.reason, "BudgetAtRisk", "{}", at_risk.message);
    assert!(
        at_risk.message.contains("it will be 13"),
        "{}",
        at_risk.message
    );
}

#[test]
fn jobs_that_nobody_sees_leave_the_ledger_as_it_was() {
    let mut world = running_world();
    world.foresight.training = Some(crate::foresight::Training::default());
    let ledger = |world: &World| {
        let proposal = propose(world, &Facts::of(world));
        proposal.notes.into_iter().find_map(|note| match note {
            Note::Ledger(ledger) => Some(ledger),
            _ => None,
        })
    };
    assert_eq!(ledger(&world), None, "nothing begins unseen");
    assert_eq!(finding(&world).reason, "MetricsUnavailable");
    let mut seen = world.clone();
    seen.observed.signals.jobs = Signal::Known {
        value: Vec::new(),
        at: world.now,
    };
    let begun = ledger(&seen).unwrap();
    assert_eq!(begun.running.len(), 2);
    // Days without the jobs, or with a list of nodes that gets no newer: nothing is counted, and then told.
    for is_stale in [false, true] {
        let mut blind = if is_stale {
            seen.clone()
        } else {
            world.clone()
        };
        blind.memory.foresight.ledger = Some(begun.clone());
        for _ in 0..48 {
            blind.now = blind
                .now
                .saturating_add(SignedDuration::from_hours(1))
                .unwrap();
            assert_eq!(ledger(&blind).as_ref(), Some(&begun));
        }
        let at = blind.now;
        blind.observed.nodes = match blind.observed.nodes {
            Signal::Known { value, .. } => Signal::Known { value, at },
            unknown @ Signal::Unknown(_) => unknown,
        };
        blind.observed.signals.jobs = Signal::Known {
            value: Vec::new(),
            at,
        };
        let told = finding(&blind).message;
        assert!(
            told.contains("spent 0.00") && told.contains("without 48 h that nobody saw"),
            "{told}"
        );
    }
}

#[test]
fn of_an_absence_over_a_month_s_end_the_new_month_has_its_part() {
    let mut world = running_world();
    world.now = "2026-11-28T00:00:00Z".parse().unwrap();
    let mut world = passing(world, 60);
    world.now = "2026-12-06T00:00:00Z".parse().unwrap();
    let told = finding(&passing(world, 0)).message;
    assert!(
        told.contains("in 2026-12, without 120 h that nobody saw"),
        "{told}"
    );
}

#[test]
fn a_price_too_small_to_be_counted_is_none() {
    let mut world = priced(running_world(), &[(false, 0), (true, 100)]);
    assert_eq!(finding(&passing(world.clone(), 60)).reason, "PricesMissing");
    if let Signal::Known { value, .. } = &mut world.observed.nodes {
        value[0]
            .labels
            .insert(names::PRICE_LABEL.to_owned(), "0.0004".to_owned());
    }
    assert_eq!(finding(&passing(world, 60)).reason, "PricesMissing");
}

#[test]
fn a_month_goes_on_after_a_clock_that_was_ahead() {
    let at = |mut world: World, time: &str| {
        world.now = time.parse().unwrap();
        passing(world, 0)
    };
    let world = passing(running_world(), 60);
    let spent = finding(&world).message;
    assert!(spent.contains("in 2026-11"), "{spent}");
    let ahead = at(world, "2026-12-20T00:00:00Z");
    assert!(finding(&ahead).message.starts_with("spent 0.00"));
    let back = at(ahead, "2026-11-10T01:00:30Z");
    assert_eq!(finding(&back).message, spent);
}
