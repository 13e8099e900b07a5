//! What is told: conditions with their transition times, and the rest of the status. Nothing in it ticks.

#[cfg(test)]
mod clock;
mod figures;
mod ready;
mod stalled;
#[cfg(test)]
mod tests;

use chatbot_crds::config::ModelState;
use chatbot_crds::settings::NodeCapacity;
use chatbot_crds::spec;
use chatbot_crds::status::{ChannelStatus, ModelStatus, Readiness, Transport};
use chatbot_crds::{ChatBotClusterStatus, ConditionType, Faults, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

pub(crate) use stalled::with_remedy;

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
    /// What an admission policy or webhook refuses.
    pub denied: Vec<String>,
    /// What an admission webhook is to be asked about that cannot be reached.
    pub unasked: Vec<String>,
    /// What a quota forbids.
    pub over_quota: Vec<String>,
    /// Objects that the API server calls invalid, with its words for the field.
    pub invalid: Vec<String>,
    /// What somebody insists on changing, and who: it is repaired ever more seldom.
    pub contended: Vec<String>,
    /// What failed and is tried again.
    pub failed: Vec<String>,
}

impl Outcome {
    /// Whether something could not be made: it is somebody else's, or the API server, or whom it asks, has refused it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        [
            &self.not_owned,
            &self.forbidden,
            &self.denied,
            &self.unasked,
            &self.over_quota,
            &self.invalid,
        ]
        .iter()
        .any(|refused| !refused.is_empty())
    }
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
        ready::available_in(world),
    ];
    conditions.extend(plan.conditions.iter().cloned());
    let stalled = stalled::stalled(world, plan, outcome, &conditions);
    let under_way = ready::under_way(world, plan, outcome);
    let reconciling = ready::reconciling(world, &stalled, under_way.as_ref());
    conditions.push(stalled);
    conditions.push(reconciling);
    let ready = ready::ready(world, &conditions, under_way.as_ref());
    conditions.push(ready);
    let mut status = ChatBotClusterStatus {
        observed_generation: Some(world.cluster.generation),
        conditions: dated(conditions, previous, world.cluster.generation, world.now),
        url: Some(url(world)),
        image: Some(pod::image(world).to_owned()),
        workloads: figures::workloads(world),
        inference: Some(figures::inference(world, plan)),
        ..ChatBotClusterStatus::default()
    };
    for section in &plan.sections {
        fill(&mut status, section, previous, world.now);
    }
    // A model that is served goes on being shown while its pods are replaced.
    if status.model.is_none() && world.settings.inference.engine.is_none() {
        status.model.clone_from(&previous.model);
    }
    status.summary = Some(figures::summary(world, plan, &status));
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
    let mut conditions = vec![
        ready::available(observed, now),
        condition(ConditionType::Accepted, false, Reason::InvalidSpec),
    ];
    if observed.leaving.is_some() {
        let terminating = |kind, status| Condition {
            message: ready::words_of_leaving(observed),
            ..condition(kind, status, Reason::Terminating)
        };
        conditions.push(terminating(ConditionType::Ready, false));
        conditions.push(terminating(ConditionType::Reconciling, true));
        conditions.push(stalled::at_the_end());
    } else {
        conditions.push(condition(ConditionType::Ready, false, Reason::InvalidSpec));
        conditions.push(Condition {
            message: "nothing is done until the spec is edited".to_owned(),
            ..condition(ConditionType::Reconciling, false, Reason::Settled)
        });
        conditions.push(condition(ConditionType::Stalled, true, Reason::InvalidSpec));
    }
    let why = "not looked at: the spec cannot be used";
    over(&observed.status, conditions, why, cluster, now)
}

/// The status of a resource of which the operator may not see what there is: whatever was said stays said.
#[must_use]
pub fn unseen(
    cluster: &Identity,
    previous: &ChatBotClusterStatus,
    forbidden: &[String],
    now: Timestamp,
) -> ChatBotClusterStatus {
    let message = stalled::with_remedy(forbidden, Reason::Forbidden);
    let condition = |kind, status, reason| Condition {
        kind,
        status: Some(status),
        reason,
        message: message.clone(),
    };
    let conditions = vec![
        condition(ConditionType::Ready, false, Reason::Stalled),
        condition(ConditionType::Stalled, true, Reason::Forbidden),
    ];
    let why = "not looked at: the operator may not see what there is";
    over(previous, conditions, why, cluster, now)
}

/// Some conditions over what was said of the others.
fn over(
    previous: &ChatBotClusterStatus,
    mut conditions: Vec<Condition>,
    why_unseen: &str,
    cluster: &Identity,
    now: Timestamp,
) -> ChatBotClusterStatus {
    let told: Vec<_> = ConditionType::ALL
        .iter()
        .filter(|kind| conditions.iter().all(|condition| condition.kind != **kind))
        .filter_map(|kind| find(previous, *kind).cloned())
        .collect();
    let unseen = ConditionType::ALL.iter().filter(|kind| {
        kind.is_always_told()
            && conditions.iter().all(|condition| condition.kind != **kind)
            && told
                .iter()
                .all(|condition| condition.type_ != kind.as_str())
    });
    let unseen: Vec<_> = unseen
        .map(|kind| Condition {
            kind: *kind,
            status: None,
            reason: Reason::Pending,
            message: why_unseen.to_owned(),
        })
        .collect();
    conditions.extend(unseen);
    let mut status = previous.clone();
    status.conditions = dated(conditions, previous, cluster.generation, now);
    // What was said of the last good generation is said of that one.
    status.conditions.extend(told);
    status.conditions.sort_by_key(|condition| {
        let mut all = ConditionType::ALL.iter();
        all.position(|kind| kind.as_str() == condition.type_)
    });
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
                message: shortened(&condition.message, MESSAGE_LIMIT),
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

/// No longer than that, and without what would hide or turn around the rest of a line where it is shown.
fn shortened(message: &str, most: usize) -> String {
    let message = &printable(message);
    match message.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// What programs and people have written, with control characters and marks of direction spelled out.
fn printable(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for character in message.chars() {
        let turns = matches!(character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
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
        message: shortened(&report.message, MESSAGE_LIMIT),
        last_transition_time: since,
    }
}

/// Where people reach it; where nobody has said, where it is reached inside the cluster.
fn url(world: &World) -> String {
    world.settings.exposure.as_ref().map_or_else(
        || {
            let service = names::workload(&world.cluster, Component::Adapters);
            format!("http://{service}.{}.svc", world.cluster.namespace)
        },
        chatbot_crds::settings::Exposure::url,
    )
}
