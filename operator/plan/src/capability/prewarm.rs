//! Instances ahead of the load: a floor, from the forecast and from events that are known beforehand. It is a vote, so
//! it never lowers what the load itself asks for, and the ceiling wins over it.

use chatbot_forecast::Skill;
use jiff::SignedDuration;

use crate::decision::Finding;
use crate::facts::Facts;
use crate::foresight::{Event, Mode};
use crate::nodes::NodeUse;
use crate::outlook::{Blind, comes};
use crate::proposal::{Component, Proposal, Vote};
use crate::recollection::{HeldFloor, Note};
use crate::world::World;

const NAME: &str = "prewarm";
const TOO_SHORT: &str = "ForecastTooShort";

pub(super) fn propose(world: &World, facts: &Facts) -> Proposal {
    let Some(prewarm) = &world.foresight.prewarm else {
        return Proposal::default();
    };
    let mut proposal = Proposal::default();
    if prewarm.mode != Mode::Off {
        forecast(world, facts, prewarm.mode, &mut proposal);
    }
    for event in &prewarm.events {
        soon(world, facts, event, &mut proposal);
    }
    proposal
}

/// The floor of the percentile over the lead. What was asked for until some time holds until then, so that a signal
/// that is lost for a moment lowers nothing; after it nothing is asked for, because nothing is known.
fn forecast(world: &World, facts: &Facts, mode: Mode, proposal: &mut Proposal) {
    let held = world
        .memory
        .foresight
        .floor
        .clone()
        .filter(|held| held.until > world.now && held.until <= latest(world, facts));
    // Beyond what is forecast load may be higher, and is never taken to be lower.
    let lead = facts.outlook.lead;
    let reach = facts.outlook.reach().unwrap_or(lead);
    let (floor, finding) = match facts.outlook.replicas(lead.min(reach)) {
        Ok(replicas) => {
            let replicas = replicas.saturating_sub(at_hand(world, facts));
            let finding = if lead > reach {
                too_short(replicas, lead, reach)
            } else {
                judged(facts, replicas)
            };
            (Some(asked(world, facts, held, replicas)), finding)
        }
        Err(blind) => (held, blinded(blind)),
    };
    proposal.findings.push(finding);
    let Some(floor) = floor else { return };
    if mode == Mode::Active {
        proposal.votes.push(Vote {
            component: Component::Inference,
            floor: Some(floor.replicas),
            ceiling: None,
            by: "Forecast",
            because: "prewarm.percentile".to_owned(),
        });
    }
    proposal.notes.push(Note::Floor(floor));
}

/// Instances for which warm standby nodes have room. They are ready within seconds of being wanted, which the autoscaler
/// sees by itself: to have them run beforehand would be to pay for both.
fn at_hand(world: &World, facts: &Facts) -> u32 {
    let uses = facts.uses.iter().flat_map(|uses| uses.values());
    let warm = uses
        .filter(|used| matches!(used, NodeUse::Standby { warm: true }))
        .count();
    u32::try_from(warm)
        .unwrap_or(u32::MAX)
        .saturating_mul(world.settings.inference.instances_per_node)
}

/// Written down anew only when the number changes or what was written runs out: nothing else is a decision.
fn asked(world: &World, facts: &Facts, held: Option<HeldFloor>, replicas: u32) -> HeldFloor {
    let enough = world
        .now
        .saturating_add(facts.outlook.lead / 2)
        .unwrap_or(world.now);
    match held {
        Some(held) if held.replicas == replicas && held.until >= enough => held,
        _ => HeldFloor {
            replicas,
            until: latest(world, facts),
        },
    }
}

fn latest(world: &World, facts: &Facts) -> jiff::Timestamp {
    world
        .now
        .saturating_add(facts.outlook.lead)
        .unwrap_or(world.now)
}

fn judged(facts: &Facts, replicas: u32) -> Finding {
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let (reason, how) = match facts.outlook.skill() {
        Some(Skill::WorseThanLastValue { wape, last_value }) => (
            "WorseThanLastValue",
            format!(
                "the last value has been as good over the last day ({} against {}), and stands in for the forecast",
                percent(last_value),
                percent(wape)
            ),
        ),
        Some(Skill::BetterThanLastValue { wape, last_value }) => (
            "BetterThanLastValue",
            format!(
                "error {} over the last day, the last value's {}",
                percent(wape),
                percent(last_value)
            ),
        ),
        Some(Skill::NoLoad) => (
            "NoLoad",
            "next to nothing has been asked for over the last day".to_owned(),
        ),
        _ => ("CollectingHistory", "history is being collected".to_owned()),
    };
    Finding {
        by: NAME,
        reason,
        message: format!("{replicas} instances for what may come: {how}"),
    }
}

fn blinded(blind: Blind) -> Finding {
    Finding {
        by: NAME,
        reason: match blind {
            Blind::CollectingHistory | Blind::CapacityUnknown => "CollectingHistory",
            Blind::Stale | Blind::NotAsked => "MetricsUnavailable",
            Blind::UnusableStep(_) => "InvalidSpec",
            Blind::TooShort { .. } => TOO_SHORT,
        },
        message: blind.to_string(),
    }
}

fn too_short(replicas: u32, lead: SignedDuration, reach: SignedDuration) -> Finding {
    Finding {
        by: NAME,
        reason: TOO_SHORT,
        message: format!(
            "{replicas} instances for what may come in {} minutes, as far as is forecast, though {} are needed: raise prewarm.leadTime to at least the cold start, or measure demand in longer steps",
            reach.as_mins(),
            lead.as_mins()
        ),
    }
}

/// An event's floor begins a lead before the event: its instances are ready when it begins.
fn soon(world: &World, facts: &Facts, event: &Event, proposal: &mut Proposal) {
    let comes = match comes(world.now, event, facts.outlook.lead) {
        Ok(comes) => comes,
        Err(unusable) => {
            proposal.findings.push(Finding {
                by: NAME,
                reason: "InvalidSpec",
                message: format!("prewarm.events: {unusable}"),
            });
            return;
        }
    };
    if comes {
        proposal.votes.push(Vote {
            component: Component::Inference,
            floor: Some(event.min_replicas),
            ceiling: None,
            by: "Event",
            because: format!("prewarm.events: {}", event.window.name),
        });
    }
}

#[cfg(test)]
mod tests;
