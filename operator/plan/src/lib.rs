//! What is to be done about what is asked for: `plan(&World) -> Plan`, and nothing else.
//!
//! This crate is pure. It has no client, no runtime and no clock, neither in its code nor in its dependencies: the
//! same world gives the same plan. Whatever it may depend on is in [`world::World`]; whatever must outlive a pass is in
//! [`memory::Memory`].

mod autoscaler;
mod backbone;
pub mod capability;
pub mod claim;
pub mod decision;
mod development;
mod examined;
#[cfg(test)]
mod example;
pub mod facts;
pub mod foresight;
#[cfg(test)]
mod golden;
pub mod hops;
pub mod http_route;
pub mod kinds;
pub mod manifest;
pub mod memory;
pub mod names;
pub mod nodes;
mod object;
pub mod outlook;
mod pod;
pub mod pod_monitor;
pub mod proposal;
pub mod recollection;
pub mod render;
pub mod rollout;
mod run;
pub mod schedule;
pub mod signals;
pub mod status;
mod surplus;
#[cfg(test)]
mod tests;
pub mod votes;
mod workload;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;

use capability::Capability;
use facts::Facts;
use hops::Hops;
use manifest::{Manifest, Object};
use memory::Memory;
use proposal::{Action, Component, Condition, Plan, Proposal, Verdict};
use render::{Rendered, Rendering};
use rollout::Rollout;
use votes::Settled;
use workload::Judged;
use world::World;

/// The longest time between two looks at the world.
const REST: SignedDuration = SignedDuration::from_secs(15);

/// What is to be done in a world.
#[must_use]
pub fn plan(world: &World) -> Plan {
    plan_with(world, capability::ALL)
}

/// As [`plan`], with the given capabilities.
#[must_use]
pub fn plan_with(world: &World, capabilities: &[Capability]) -> Plan {
    let plan = plan_once(world, capabilities);
    if plan.memory.hops.len() >= Hops::meanwhile(world).len() {
        return plan;
    }
    // A rollout is over: what lets the pods of before through is taken back before its end is told.
    let mut world = world.clone();
    (world.memory.completed, world.memory.hops) = (plan.memory.completed, plan.memory.hops);
    plan_once(&world, capabilities)
}

fn plan_once(world: &World, capabilities: &[Capability]) -> Plan {
    let facts = Facts::of(world);
    // By name, so that the order of the list means nothing.
    let proposals: BTreeMap<&str, Proposal> = capabilities
        .iter()
        .map(|capability| (capability.name, (capability.propose)(world, &facts)))
        .collect();
    let proposals: Vec<Proposal> = proposals.into_values().collect();
    settle_and_render(world, &facts, &proposals)
}

fn settle_and_render(world: &World, facts: &Facts, proposals: &[Proposal]) -> Plan {
    let settled = votes::settle(
        proposals
            .iter()
            .flat_map(|proposal| proposal.votes.iter().cloned())
            .collect(),
    );
    let pods = Component::ALL
        .into_iter()
        .filter_map(|component| {
            let fragments: Vec<_> = proposals
                .iter()
                .filter_map(|proposal| proposal.pods.get(&component).cloned())
                .collect();
            (!fragments.is_empty()).then(|| (component, render::join(fragments)))
        })
        .collect();
    let rendering = Rendering {
        cluster: &world.cluster,
        settings: &world.settings,
        pods: &pods,
        settled: &settled,
    };
    let (mut objects, mut rollout) = roll_out(world, proposals, &rendering);
    if run::is_halted(world) {
        rollout.moving = run::running(world);
        rollout.overdue.clear();
    } else if facts.inference_config.is_none() {
        // Nobody knows its size yet; it is wanted all the same.
        let name = names::workload(&world.cluster, Component::Inference);
        rollout.unapplied.push(format!("Deployment {name}"));
    } else if hops::have_larger_context(world) {
        rollout.wait_for_workers(&objects, &world.observed);
    }
    let prober = rollout::prober(&world.observed);
    let memory = Memory {
        node_capacity: facts.taken_capacity.clone(),
        // What comes back from a halt is proven anew.
        completed: rollout::remember(&rollout, world.memory.completed.as_ref(), prober)
            .filter(|_| !run::is_halted(world)),
        hops: Hops::after(world, &rollout),
        foresight: facts.recollection(proposals),
        ..Memory::default()
    };
    objects.extend(rendering.complete(memory_object(world, &memory)));
    objects.sort_by_key(apply_order);
    let conditions = proposals
        .iter()
        .filter_map(|proposal| proposal.verdict.clone())
        .map(|verdict| decide(verdict, world, &objects, &rollout, &settled, proposals))
        .map(|condition| {
            if run::is_halted(world) {
                run::at_halt(condition)
            } else {
                condition
            }
        })
        .collect();
    let prune = surplus::of(world, &objects, proposals, &rollout);
    objects
        .retain(|object| !rollout.holds_back(object) && !hops::holds_back(world, &rollout, object));
    let plan = Plan {
        cluster: world.cluster.clone(),
        prune,
        actions: actions(world, proposals, &settled),
        decisions: sorted(proposals, |proposal| &proposal.decisions),
        findings: proposals
            .iter()
            .flat_map(|proposal| proposal.findings.iter().cloned())
            .collect(),
        conditions,
        sections: proposals
            .iter()
            .flat_map(|proposal| proposal.sections.iter().cloned())
            .collect(),
        wake_at: wake_at(world.now, proposals),
        objects,
        settled,
        rollout,
        memory,
    };
    if run::is_left_alone(world) {
        // Nothing is written but what is told.
        Plan {
            objects: Vec::new(),
            prune: Vec::new(),
            actions: Vec::new(),
            decisions: Vec::new(),
            memory: world.memory.clone(),
            ..plan
        }
    } else {
        plan
    }
}

/// What is proposed in full, and how far it is rolled out.
fn roll_out(
    world: &World,
    proposals: &[Proposal],
    rendering: &Rendering<'_>,
) -> (Vec<Rendered>, Rollout) {
    let with = |keeping: &[Component]| {
        let objects: Vec<Rendered> = proposals
            .iter()
            .flat_map(|proposal| proposal.objects.iter().cloned())
            .map(|object| pod::kept_beside(keeping, object))
            .filter_map(|object| rendering.complete(object))
            .filter(|object| run::is_wanted(world, object))
            .collect();
        let completed = world.memory.completed.as_ref();
        let mut rollout = Rollout::of(&objects, &world.observed, completed);
        if hops::may_meet_elsewhere(world) && !run::is_halted(world) {
            rollout.move_together(&objects, &world.observed);
        }
        (objects, rollout)
    };
    let (objects, rollout) = with(&[]);
    if rollout.keeping.is_empty() {
        (objects, rollout)
    } else {
        with(&rollout.keeping)
    }
}

/// Without doubles, and in an order of their own: whose they were does not matter.
fn sorted<T: Ord + Clone>(proposals: &[Proposal], of: fn(&Proposal) -> &Vec<T>) -> Vec<T> {
    proposals
        .iter()
        .flat_map(|proposal| of(proposal).iter().cloned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// What must be remembered is written first: what follows from it comes after it.
fn apply_order(object: &Rendered) -> (bool, usize, String) {
    (
        object.component.is_some(),
        kinds::order(object.key.kind),
        object.key.name.clone(),
    )
}

fn memory_object(world: &World, memory: &Memory) -> Object {
    Object {
        component: None,
        manifest: Manifest::ConfigMap(Box::new(ConfigMap {
            metadata: object::named(names::memory(&world.cluster)),
            data: Some(BTreeMap::from([(
                names::MEMORY_KEY.to_owned(),
                memory.write(),
            )])),
            ..ConfigMap::default()
        })),
    }
}

fn decide(
    verdict: Verdict,
    world: &World,
    objects: &[Rendered],
    rollout: &Rollout,
    settled: &BTreeMap<Component, Settled>,
    proposals: &[Proposal],
) -> Condition {
    match verdict {
        Verdict::Decided(condition) => condition,
        Verdict::Current {
            component,
            condition,
            otherwise,
        } => {
            let mut pods = workload::current(component, world, objects);
            if pods.any(|pod| pod.ready) {
                condition
            } else {
                otherwise
            }
        }
        Verdict::Behind {
            component,
            condition,
        } if rollout.waiting.contains(&component) => condition,
        Verdict::Behind {
            component,
            condition,
        } => {
            let judged = Judged {
                kind: condition.kind,
                component,
                minimum: 1,
                hindrance: None,
                impairment: None,
            };
            let pod = workload::judge(judged, world, objects, rollout);
            if pod.status == Some(true) {
                condition
            } else {
                pod
            }
        }
        Verdict::Pods {
            kind,
            component,
            minimum,
            hindrance,
        } => {
            let minimum = settled
                .get(&component)
                .map_or(minimum, |settled| settled.floor);
            workload::judge(
                Judged {
                    kind,
                    component,
                    minimum,
                    hindrance: hindrance.as_ref(),
                    impairment: proposals
                        .iter()
                        .flat_map(|proposal| &proposal.impairments)
                        .find(|(of, _)| *of == component)
                        .map(|(_, impairment)| impairment),
                },
                world,
                objects,
                rollout,
            )
        }
    }
}

fn actions(
    world: &World,
    proposals: &[Proposal],
    settled: &BTreeMap<Component, Settled>,
) -> Vec<Action> {
    if run::is_halted(world) {
        return run::halt(world);
    }
    let raise = proposals
        .iter()
        .flat_map(|proposal| &proposal.raise)
        .filter_map(|component| {
            let bounds = votes::split(settled.get(component)?, 0);
            let deployment = names::workload(&world.cluster, *component);
            let seen = world.observed.deployments.get(&deployment)?;
            (seen.desired < bounds.min).then(|| Action::Scale {
                deployment,
                resource_version: seen.resource_version.clone(),
                replicas: bounds.min,
            })
        });
    let proposed = proposals
        .iter()
        .flat_map(|proposal| proposal.actions.iter().cloned());
    // Sorted and without doubles: whose action it was does not matter.
    proposed
        .chain(raise)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The earliest that anybody asked for, never now or before: a wish that has passed is looked at in the next second.
fn wake_at(now: Timestamp, proposals: &[Proposal]) -> Timestamp {
    let soonest = now
        .saturating_add(SignedDuration::from_secs(1))
        .unwrap_or(now);
    let latest = now.saturating_add(REST).unwrap_or(now);
    proposals
        .iter()
        .filter_map(|proposal| proposal.wake_at)
        .min()
        .unwrap_or(latest)
        .clamp(soonest, latest)
}
