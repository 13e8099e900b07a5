//! What the capabilities that look ahead remember between passes. Each part has one author.

use std::collections::BTreeMap;

use chatbot_forecast::Forecaster;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schedule::Opened;

/// What the capabilities that look ahead remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Recollection {
    /// What was learned of demand and instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<Learned>,
    /// The floor that the forecast asked for last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<HeldFloor>,
    /// The windows that were opened, by kind and name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub windows: BTreeMap<String, Opened>,
    /// What was found of the windows of training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
    /// Nodes that are being left, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub moves: BTreeMap<String, Move>,
    /// When spot capacity last failed, and when it was last returned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returning: Option<Returning>,
    /// What was done about errors last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// The last revision that worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub good_revision: Option<String>,
    /// What has been spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

/// A part of it, as a capability proposes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// The floor that the forecast asks for.
    Floor(HeldFloor),
    /// A window that was opened or closed, by kind and name.
    Window(String, Opened),
    /// What was found of the windows of training.
    Checked(Checked),
    /// A node that is being left.
    Move(String, Move),
    /// Spot capacity.
    Returning(Returning),
    /// What is done about errors.
    Remedy(Remedy),
    /// The last revision that worked.
    GoodRevision(String),
    /// What has been spent.
    Ledger(Ledger),
}

/// What was learned of demand and instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Learned {
    /// What was learned of demand.
    pub forecaster: Forecaster,
    /// Requests that one instance answers when its CPU is used as far as requested, in thousandths a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_milli: Option<u64>,
    /// Seconds from created to ready on a node that has nothing of the model in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_start_seconds: Option<u32>,
    /// A slot far from the newest one, which is believed only when another one follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<Timestamp>,
}

/// A floor, and how long it was meant to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldFloor {
    /// Instances.
    pub replicas: u32,
    /// The end of what it was computed for.
    pub until: Timestamp,
}

/// What was found of windows whose openings were followed: that takes longer than a plan should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// A hash of the windows: others are checked anew.
    pub windows: String,
    /// Those that open again before they close, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlapping: Vec<String>,
    /// Two that are open at once, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clash: Option<(String, String)>,
}

/// A node that is being left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Move {
    /// Its identity: a node of the same name that comes later is another.
    pub uid: String,
    /// When it is taken.
    pub deadline: Timestamp,
}

/// Spot capacity, and when it was returned to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Returning {
    /// When an instance was last moved back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// What was done about errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// When.
    pub at: Timestamp,
    /// The fewest instances, while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u32>,
    /// Instances when the first step was taken: what steps are bounded by.
    pub from: u32,
    /// The revision that must not be served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_revision: Option<String>,
}

/// What has been spent in one calendar month, UTC. Amounts are thousandths of the currency, node time is seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The month: its first day, as `2026-11`.
    pub month: String,
    /// Up to when it is counted.
    pub at: Timestamp,
    /// What it has come to.
    pub sums: Sums,
    /// What ran since `at`, to be counted at the next look.
    pub running: BTreeMap<String, Running>,
    /// The sums of a few other months: after a clock that was wrong for a while the right month goes on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, Sums>,
}

/// What a month has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// Seconds that were counted.
    pub counted_seconds: u64,
    /// Seconds that nobody saw, though the month had been looked at before or the ledger was older: they are in no sum.
    pub unseen_seconds: u64,
    /// By capacity type and use.
    pub items: BTreeMap<String, Item>,
}

/// One line of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Node time with a known price.
    pub node_seconds: u64,
    /// Node time without one: it is in none of the sums.
    pub unpriced_node_seconds: u64,
    /// Spent: price × seconds, in thousandths of the currency × seconds.
    pub spent_milli_seconds: u128,
    /// The same node time at the on-demand price; nodes without that price count in neither.
    pub on_demand_milli_seconds: u128,
}

/// Nodes of one line that run, and their prices added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Nodes with a known price.
    pub nodes: u32,
    /// Nodes without one.
    pub unpriced_nodes: u32,
    /// Their prices an hour together.
    pub price_milli: u64,
    /// Their on-demand prices together.
    pub on_demand_price_milli: u64,
}

impl Recollection {
    /// Writes down what a capability proposes.
    pub fn note(&mut self, note: Note) {
        match note {
            Note::Floor(floor) => self.floor = Some(floor),
            Note::Window(name, opened) => {
                self.windows.insert(name, opened);
            }
            Note::Checked(checked) => self.checked = Some(checked),
            Note::Move(name, step) => {
                self.moves.insert(name, step);
            }
            Note::Returning(returning) => self.returning = Some(returning),
            Note::Remedy(remedy) => self.remedy = Some(remedy),
            Note::GoodRevision(revision) => self.good_revision = Some(revision),
            Note::Ledger(ledger) => self.ledger = Some(ledger),
        }
    }

    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
