//! What is told: conditions with their transition times, and the rest of the status. Nothing in it ticks.

mod ready;
#[cfg(test)]
mod tests;

use chatbot_crds::config::ModelState;
use chatbot_crds::settings::NodeCapacity;
use chatbot_crds::spec;
use chatbot_crds::status::{
    Bound, ChannelStatus, InferenceStatus, ModelStatus, Readiness, Summary, Transport,
    WorkloadStatus,
};
use chatbot_crds::{ChatBotClusterStatus, ConditionType, Faults, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::names;
use crate::pod;
use crate::proposal::{Component, Condition, Plan};
use crate::world::{Identity, Observed, World};

/// The most that a message may have, in characters: less than the schema's bound in bytes would allow.
const MESSAGE_LIMIT: usize = 1000;

/// A part of the status that one capability knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Section {
    /// Every channel.
    Channels(Vec<ChannelReport>),
    /// The model that is served.
    Model(ModelState),
    /// What a node has for instances.
    NodeCapacity(NodeCapacity),
}

/// A channel, without the time of its last transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelReport {
    /// Its name.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// How messages arrive.
    pub transport: Transport,
    /// Whether it works.
    pub ready: Readiness,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    pub message: String,
}

/// What came of applying a plan, as far as a person must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Objects that belong to somebody else, untouched.
    pub not_owned: Vec<String>,
    /// What the API server forbids.
    pub forbidden: Vec<String>,
    /// What a quota forbids.
    pub over_quota: Vec<String>,
    /// What failed and is tried again.
    pub failed: Vec<String>,
}

/// The status after a pass.
#[must_use]
pub fn compose(world: &World, plan: &Plan, outcome: &Outcome) -> ChatBotClusterStatus {
    let previous = &world.observed.status;
    let mut conditions = vec![
        Condition {
            kind: ConditionType::Accepted,
            status: Some(true),
            reason: Reason::Valid,
            message: "the spec is usable".to_owned(),
        },
        ready::available(&world.observed, world.now),
    ];
    conditions.extend(plan.conditions.iter().cloned());
    let stalled = ready::stalled(plan, outcome, &conditions);
    let reconciling = ready::reconciling(world, plan, outcome, &stalled);
    conditions.push(stalled);
    conditions.push(reconciling);
    let ready = ready::ready(&conditions);
    conditions.push(ready);
    let mut status = ChatBotClusterStatus {
        observed_generation: Some(world.cluster.generation),
        conditions: dated(conditions, previous, world.cluster.generation, world.now),
        url: Some(format!(
            "http://{}.{}.svc",
            names::workload(&world.cluster, Component::Adapters),
            world.cluster.namespace
        )),
        image: Some(pod::image(world).to_owned()),
        workloads: workloads(world),
        inference: Some(inference(world, plan)),
        ..ChatBotClusterStatus::default()
    };
    for section in &plan.sections {
        fill(&mut status, section, previous, world.now);
    }
    // A model that is served goes on being shown while its pods are replaced.
    if status.model.is_none() {
        status.model.clone_from(&previous.model);
    }
    status.summary = Some(summary(&status));
    status
}

/// The status of a resource that cannot be used: what was there goes on, and only whether it answers is looked at.
#[must_use]
pub fn refused(
    cluster: &Identity,
    observed: &Observed,
    faults: &Faults,
    now: Timestamp,
) -> ChatBotClusterStatus {
    let condition = |kind, status, reason| Condition {
        kind,
        status: Some(status),
        reason,
        message: faults.to_string(),
    };
    let mut status = observed.status.clone();
    let mut conditions = vec![
        condition(ConditionType::Ready, false, Reason::InvalidSpec),
        ready::available(observed, now),
        condition(ConditionType::Accepted, false, Reason::InvalidSpec),
        Condition {
            message: "nothing is done until the spec is edited".to_owned(),
            ..condition(ConditionType::Reconciling, false, Reason::Settled)
        },
        condition(ConditionType::Stalled, true, Reason::InvalidSpec),
    ];
    let judged: Vec<_> = conditions.iter().map(|condition| condition.kind).collect();
    conditions.extend(
        ConditionType::ALL
            .iter()
            .filter(|kind| !judged.contains(kind))
            .filter_map(|kind| undated(find(&observed.status, *kind)?, *kind)),
    );
    status.conditions = dated(conditions, &observed.status, cluster.generation, now);
    status.observed_generation = Some(cluster.generation);
    status
}

/// A condition of a status.
#[must_use]
pub fn find(status: &ChatBotClusterStatus, kind: ConditionType) -> Option<&meta::Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

fn undated(condition: &meta::Condition, kind: ConditionType) -> Option<Condition> {
    Some(Condition {
        kind,
        status: match condition.status.as_str() {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        },
        reason: condition.reason.parse().ok()?,
        message: condition.message.clone(),
    })
}

/// Conditions in their order, each with the time when its status last changed.
fn dated(
    mut conditions: Vec<Condition>,
    previous: &ChatBotClusterStatus,
    generation: i64,
    now: Timestamp,
) -> Vec<meta::Condition> {
    conditions.sort_by_key(|condition| condition.kind);
    conditions
        .into_iter()
        .map(|condition| {
            let status = match condition.status {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let since = find(previous, condition.kind)
                // The schema's default is of no time at all.
                .filter(|previous| {
                    previous.status == status
                        && previous.last_transition_time.0 > Timestamp::UNIX_EPOCH
                })
                .map_or_else(
                    || meta::Time(seconds(now)),
                    |previous| previous.last_transition_time.clone(),
                );
            meta::Condition {
                type_: condition.kind.as_str().to_owned(),
                status: status.to_owned(),
                reason: condition.reason.as_str().to_owned(),
                message: shortened(&condition.message),
                observed_generation: Some(generation),
                last_transition_time: since,
            }
        })
        .collect()
}

/// The API server keeps whole seconds: finer ones would differ from what it gives back.
fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn fill(
    status: &mut ChatBotClusterStatus,
    section: &Section,
    previous: &ChatBotClusterStatus,
    now: Timestamp,
) {
    match section {
        Section::Channels(reports) => {
            status.channels = reports
                .iter()
                .map(|report| channel(report, previous, now))
                .collect();
        }
        Section::Model(model) => {
            status.model = Some(ModelStatus {
                format: model.format.clone(),
                size: format!("{}Mi", model.bytes >> 20),
            });
        }
        Section::NodeCapacity(capacity) => {
            status.inference.get_or_insert_default().node_capacity = Some(spec::NodeCapacity {
                cpu: spec::Quantity::from(cpu(capacity.cpu_milli).as_str()),
                memory: spec::Quantity::from(bytes(capacity.memory_bytes).as_str()),
            });
        }
    }
}

fn cpu(milli: u64) -> String {
    if milli.is_multiple_of(1000) {
        (milli / 1000).to_string()
    } else {
        format!("{milli}m")
    }
}

/// In the largest unit that says it exactly: it may be read again.
fn bytes(bytes: u64) -> String {
    [("Gi", 30), ("Mi", 20), ("Ki", 10)]
        .into_iter()
        .find(|(_, shift)| bytes.is_multiple_of(1 << shift))
        .map_or_else(
            || bytes.to_string(),
            |(unit, shift)| format!("{}{unit}", bytes >> shift),
        )
}

fn channel(
    report: &ChannelReport,
    previous: &ChatBotClusterStatus,
    now: Timestamp,
) -> ChannelStatus {
    let since = previous
        .channels
        .iter()
        .find(|channel| channel.name == report.name && channel.ready == report.ready)
        .map_or_else(
            || meta::Time(seconds(now)),
            |channel| channel.last_transition_time.clone(),
        );
    ChannelStatus {
        name: report.name.clone(),
        platform: report.platform.clone(),
        transport: report.transport,
        ready: report.ready,
        reason: report.reason.as_str().to_owned(),
        message: shortened(&report.message),
        last_transition_time: since,
    }
}

fn workloads(world: &World) -> Vec<WorkloadStatus> {
    Component::ALL
        .into_iter()
        .filter_map(|component| {
            let name = names::workload(&world.cluster, component);
            let seen = world.observed.deployments.get(&name)?;
            Some(WorkloadStatus {
                name: component.as_str().to_owned(),
                replicas: count(seen.replicas),
                ready_replicas: count(seen.ready),
                updated_replicas: count(seen.updated),
            })
        })
        .collect()
}

fn inference(world: &World, plan: &Plan) -> InferenceStatus {
    let name = names::workload(&world.cluster, Component::Inference);
    let seen = world
        .observed
        .deployments
        .get(&name)
        .cloned()
        .unwrap_or_default();
    let selector = names::service_selector(&world.cluster, Component::Inference)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>();
    InferenceStatus {
        replicas: count(seen.replicas),
        ready_replicas: count(seen.ready),
        selector: Some(selector.join(",")),
        node_capacity: world
            .observed
            .status
            .inference
            .as_ref()
            .and_then(|inference| inference.node_capacity.clone()),
        bounds: plan
            .settled
            .get(&Component::Inference)
            .into_iter()
            .flat_map(|settled| &settled.votes)
            .map(|vote| Bound {
                source: vote.by.to_owned(),
                min_replicas: vote.floor.map(count),
                max_replicas: vote.ceiling.map(count),
                reason: vote.because.clone(),
            })
            .collect(),
    }
}

fn summary(status: &ChatBotClusterStatus) -> Summary {
    let working = status
        .channels
        .iter()
        .filter(|channel| channel.ready == Readiness::True)
        .count();
    Summary {
        replicas: status
            .inference
            .as_ref()
            .map(|inference| format!("{}/{}", inference.ready_replicas, inference.replicas)),
        channels: Some(format!("{working}/{}", status.channels.len())),
        model: status.model.as_ref().map(|model| model.format.clone()),
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
