//! What a benchmark finds: a table, and the figures of its last line.

pub mod day;
pub mod elasticity;
pub mod spot;
pub mod training;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::trace::Trace;

/// What is larger is no figure.
const LARGEST: f64 = 1e300;

/// What was found, in the form that `cargo e2e bench` reads.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The lines of the table.
    pub rows: Vec<Row>,
    /// Counts that must be zero.
    pub must_be_zero: Map<String, Value>,
    /// The figures of the last line.
    pub result: Map<String, Value>,
}

/// One line of the table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// What it is measured in.
    pub unit: String,
    /// Ours.
    pub ours: Option<f64>,
    /// The same of others.
    pub peers: Map<String, Value>,
    /// What is aimed at.
    pub goal: String,
    /// Whether it was reached.
    pub met: Option<bool>,
}

impl Row {
    /// A line.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: &str, ours: f64) -> Self {
        Self {
            name: name.into(),
            unit: unit.to_owned(),
            ours: known(ours),
            ..Self::default()
        }
    }

    /// The same figure of another.
    #[must_use]
    pub fn peer(mut self, name: &str, figure: f64) -> Self {
        self.peers.insert(name.to_owned(), known(figure).into());
        self
    }

    /// The most that is aimed at.
    #[must_use]
    pub fn at_most(mut self, goal: f64) -> Self {
        self.met = Some(self.ours.is_some_and(|ours| ours <= goal));
        self.goal = format!("at most {}", rounded(goal));
        self
    }

    /// The least that is aimed at.
    #[must_use]
    pub fn at_least(mut self, goal: f64) -> Self {
        self.met = Some(self.ours.is_some_and(|ours| ours >= goal));
        self.goal = format!("at least {}", rounded(goal));
        self
    }
}

/// Load to play, and which part of it.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is called.
    pub name: String,
    /// The load.
    pub trace: Trace,
    /// Seconds of a step of demand.
    pub step: i64,
    /// Days that are played; the planner has seen the days before them.
    pub days: i64,
    /// Days at the end that are left out: what is chosen is chosen on days that are not reported.
    pub left_out: i64,
    /// How busy instances may be at the percentile; the planner's own choice when absent.
    pub fill_percent: Option<u32>,
    /// The percentile that is prepared for; the planner's own choice when absent.
    pub percentile: Option<u8>,
    /// Standby nodes; what the days before the part ask for when absent ([`crate::sizing::of`]).
    pub standby: Option<u32>,
}

impl Series {
    /// The part that is played.
    #[must_use]
    pub fn part(&self) -> (i64, i64) {
        let end = (self.trace.length() - self.left_out * 86_400).max(0) / self.step * self.step;
        (
            (end - self.days * 86_400).max(0) / self.step * self.step,
            end,
        )
    }
}

/// Figures by name; `null` for those that are not known.
fn object(pairs: Vec<(&str, f64)>) -> Value {
    let pairs = pairs.into_iter();
    Value::Object(
        pairs
            .map(|(name, figure)| (name.to_owned(), known(figure).into()))
            .collect(),
    )
}

/// A figure, unless it is none: a ratio to nothing, or so large that something overflowed.
fn known(figure: f64) -> Option<f64> {
    (figure.abs() < LARGEST).then_some(figure)
}

/// A goal as a person reads it.
fn rounded(goal: f64) -> f64 {
    (goal * 100.0).round() / 100.0
}
