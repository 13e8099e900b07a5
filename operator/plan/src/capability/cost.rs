//! What is spent, kept as a ledger.
//!
//! `spent = Σ seconds × price / 3600` over the nodes that instances, placeholders or training are on;
//! `all on-demand` is the same time at the on-demand price of the same machine; `saved = 1 − spent / all on-demand`. A
//! node counts whole, whoever else is on it. What has no price is counted as time without a price, in no sum. Between
//! two looks nodes are taken to have run as they were seen at the first; looks further apart than an hour leave the
//! time between them out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::decision::Finding;
use crate::facts::Facts;
use crate::foresight::Cost;
use crate::names;
use crate::nodes::{NodeUse, is_spot};
use crate::proposal::{Component, Proposal};
use crate::recollection::{Item, Ledger, Note, Running, Sums};
use crate::signals::{Priced, fresh, jobs};
use crate::world::{NodeSeen, World};

const NAME: &str = "cost";
/// How often the ledger is written when nothing changes.
const EVERY: SignedDuration = SignedDuration::from_mins(10);
/// The longest time between two looks that is counted.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// Months that are remembered beside the one that is counted.
const OTHER_MONTHS: usize = 3;
/// How long a list of prices is believed.
const PRICES_ARE_OLD: SignedDuration = SignedDuration::from_hours(24);
/// The label with the provider's name of the machine.
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// An hour, in seconds.
const HOUR: u128 = 3600;

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let Some(cost) = &world.foresight.cost else {
        return Proposal::default();
    };
    let before = world.memory.foresight.ledger.as_ref();
    let ledger = match (world.observed.nodes.known(), &facts.uses, jobs(world)) {
        (Some(nodes), Some(uses), Some(_)) => {
            Some(advance(world.now, before, running(world, nodes, uses)))
        }
        // What nobody sees is not counted, and told when it is seen again more than an hour later.
        _ => before.cloned(),
    };
    let Some(ledger) = ledger else {
        let message = "the nodes, or the jobs on them, have not been seen yet: nothing is counted";
        return Proposal {
            findings: vec![Finding {
                by: NAME,
                reason: "MetricsUnavailable",
                message: message.to_owned(),
            }],
            ..Proposal::default()
        };
    };
    Proposal {
        findings: vec![judge(world.now, cost, &ledger)],
        notes: vec![Note::Ledger(ledger)],
        ..Proposal::default()
    }
}

/// The nodes that are paid for, and what an hour of them costs.
fn running(
    world: &World,
    nodes: &[NodeSeen],
    uses: &BTreeMap<String, NodeUse>,
) -> BTreeMap<String, Running> {
    let busy: BTreeSet<&str> = world
        .observed
        .pods
        .iter()
        .filter(|pod| pod.component == Component::Inference)
        .filter_map(|pod| pod.node.as_deref())
        .collect();
    let mut lines: BTreeMap<String, Running> = BTreeMap::new();
    for node in nodes {
        let purpose = match uses.get(&node.name) {
            Some(NodeUse::Standby { .. }) => "standby",
            Some(NodeUse::Lent { .. }) => "training",
            Some(_) if busy.contains(node.name.as_str()) => "inference",
            _ => continue,
        };
        let spot = is_spot(world, node);
        let line = lines
            .entry(format!(
                "{purpose}/{}",
                if spot { "Spot" } else { "OnDemand" }
            ))
            .or_default();
        match (price(world, node, spot), price(world, node, false)) {
            (Some(price), Some(on_demand)) => {
                line.nodes += 1;
                line.price_milli += price;
                line.on_demand_price_milli += on_demand;
            }
            _ => line.unpriced_nodes += 1,
        }
    }
    lines
}

/// The node's own label wins for what it costs itself; for what it would cost otherwise the list is asked.
fn price(world: &World, node: &NodeSeen, spot: bool) -> Option<u64> {
    let own = node
        .labels
        .get(names::PRICE_LABEL)
        .and_then(|text| amount(text));
    if own.is_some() && spot == is_spot(world, node) {
        return own;
    }
    let (prices, _) = fresh(&world.observed.signals.prices, world.now, PRICES_ARE_OLD)?;
    let machine = Priced {
        instance_type: node.labels.get(INSTANCE_TYPE)?.clone(),
        spot,
    };
    prices.get(&machine).copied().filter(|price| *price > 0)
}

/// An amount in thousandths. A price of nothing, or of less than can be counted, is no price.
fn amount(text: &str) -> Option<u64> {
    let amount: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked"
    )]
    let milli = (amount.is_finite() && amount > 0.0 && amount < 1e9)
        .then(|| (amount * 1000.0).round() as u64);
    milli.filter(|milli| *milli > 0)
}

/// Counts what ran since the last look, and notes what runs now. Written only when something has changed or some time
/// has passed.
fn advance(now: Timestamp, before: Option<&Ledger>, running: BTreeMap<String, Running>) -> Ledger {
    let today = now.to_zoned(TimeZone::UTC);
    let month = today.strftime("%Y-%m").to_string();
    let Some(before) = before else {
        return Ledger {
            month,
            at: now,
            sums: Sums::default(),
            running,
            others: BTreeMap::new(),
        };
    };
    let passed = now.duration_since(before.at);
    let unchanged = running == before.running && month == before.month;
    if unchanged && passed < EVERY && !passed.is_negative() {
        return before.clone();
    }
    let mut others = before.others.clone();
    let mut sums = before.sums.clone();
    let mut seconds = u64::try_from(passed.as_secs()).unwrap_or(0);
    let counts = passed <= LONGEST && month == before.month;
    if month != before.month {
        // A month begins with the first look in it, or goes on when the clock had been wrong.
        let earlier = std::mem::replace(&mut sums, others.remove(&month).unwrap_or_default());
        others.insert(before.month.clone(), earlier);
        while others.len() > OTHER_MONTHS {
            others.pop_first();
        }
        // Of what nobody saw over a month's end the new one has its part.
        let (day, hour) = (today.day().unsigned_abs(), today.hour().unsigned_abs());
        seconds = seconds.min((u64::from(day) - 1) * 86_400 + u64::from(hour) * 3600);
    }
    if counts && passed.is_positive() {
        sums.counted_seconds += seconds;
        for (name, ran) in &before.running {
            count(sums.items.entry(name.clone()).or_default(), ran, seconds);
        }
    } else if passed > LONGEST {
        sums.unseen_seconds += seconds;
    }
    Ledger {
        month,
        at: now,
        sums,
        running,
        others,
    }
}

fn count(item: &mut Item, ran: &Running, seconds: u64) {
    let wide = u128::from(seconds);
    item.node_seconds += u64::from(ran.nodes) * seconds;
    item.unpriced_node_seconds += u64::from(ran.unpriced_nodes) * seconds;
    item.spent_milli_seconds += u128::from(ran.price_milli) * wide;
    item.on_demand_milli_seconds += u128::from(ran.on_demand_price_milli) * wide;
}

fn judge(now: Timestamp, cost: &Cost, ledger: &Ledger) -> Finding {
    let items = || ledger.sums.items.values();
    let sum = |of: fn(&Item) -> u128| items().map(of).sum::<u128>() / HOUR;
    let spent = sum(|item| item.spent_milli_seconds);
    let all = sum(|item| item.on_demand_milli_seconds);
    let unpriced: u64 = items().map(|item| item.unpriced_node_seconds).sum();
    let nameless: u32 = ledger
        .running
        .values()
        .map(|line| line.unpriced_nodes)
        .sum();
    let money = |milli: u128| format!("{}.{:02}", milli / 1000, milli % 1000 / 10);
    let told = format!(
        "spent {} of {} all on-demand in {}",
        money(spent),
        money(all),
        ledger.month
    );
    let found = |reason, message| Finding {
        by: NAME,
        reason,
        message,
    };
    // What has no price only adds to what is spent: it hides no budget that is exceeded without it.
    let missing = nameless > 0 || unpriced > 0;
    let told = if missing {
        format!(
            "{told}, without {} of node time that has no price, {nameless} nodes now; add them to the prices, or label the nodes {}",
            elapsed(unpriced),
            names::PRICE_LABEL
        )
    } else {
        told
    };
    let told = if ledger.sums.unseen_seconds > 0 {
        format!(
            "{told}, without {} that nobody saw",
            elapsed(ledger.sums.unseen_seconds)
        )
    } else {
        told
    };
    let budget = cost.monthly_budget_milli.map(u128::from);
    let pace = at_this_pace(now, spent, ledger.sums.counted_seconds);
    match budget {
        Some(budget) if spent > budget => found(
            "BudgetExceeded",
            format!("{told}; cost.monthlyBudget is {}", money(budget)),
        ),
        Some(budget) if pace > budget => found(
            "BudgetAtRisk",
            format!("{told}; at this pace it will be {}", money(pace)),
        ),
        _ if missing => found("PricesMissing", told),
        Some(_) => found("WithinBudget", told),
        None => found("NoBudget", told),
    }
}

/// Time in whole hours; less than one in seconds, so that little is not told as none.
fn elapsed(seconds: u64) -> String {
    match seconds {
        1..3600 => format!("{seconds} s"),
        _ => format!("{} h", seconds / 3600),
    }
}

/// The month's sum when the rest of it goes on as the part of it that was counted. Before a day of it nothing can be said.
fn at_this_pace(now: Timestamp, spent: u128, counted_seconds: u64) -> u128 {
    let counted = u128::from(counted_seconds) / HOUR;
    if counted < 24 {
        return spent;
    }
    let now = now.to_zoned(TimeZone::UTC);
    let day = u128::from(now.day().unsigned_abs());
    let hours = (day - 1) * 24 + u128::from(now.hour().unsigned_abs());
    let all = u128::from(now.days_in_month().unsigned_abs()) * 24;
    spent + spent * all.saturating_sub(hours) / counted
}

#[cfg(test)]
mod tests;
