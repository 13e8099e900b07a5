//! What a benchmark found, and the medians of several rounds of it.

mod layout;
mod rounds;

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use layout::{aligned, figure, shown};
use rounds::{join, largest, merged};
pub use rounds::{median, quantile};

/// One round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The lines of the table.
    pub rows: Vec<Row>,
    /// Counts that must be zero in every round.
    pub must_be_zero: Map<String, Value>,
    /// The figures of the last line, under the keys that its readers expect.
    pub result: Map<String, Value>,
}

/// One line of the table. A figure that is not known is absent, never zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// What it is measured in; may be empty.
    pub unit: String,
    /// Ours.
    pub ours: Option<f64>,
    /// The same of others, by their names.
    pub peers: Vec<(String, Option<f64>)>,
    /// What is aimed at, for a person; may be empty.
    pub goal: String,
    /// Whether that was reached; absent when nothing is aimed at.
    pub met: Option<bool>,
}

impl Row {
    /// A line without peers and goal.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: &str, ours: impl Into<Option<f64>>) -> Self {
        Self {
            name: name.into(),
            unit: unit.to_owned(),
            ours: ours.into(),
            ..Self::default()
        }
    }

    /// The same figure of somebody else.
    #[must_use]
    pub fn peer(mut self, name: &str, figure: impl Into<Option<f64>>) -> Self {
        self.peers.push((name.to_owned(), figure.into()));
        self
    }

    /// The most that is aimed at; what is not known does not reach it.
    #[must_use]
    pub fn at_most(mut self, goal: f64) -> Self {
        self.met = Some(self.ours.is_some_and(|ours| ours <= goal));
        self.goal = format!("at most {}", figure(Some(goal)));
        self
    }
}

impl Report {
    /// Reads the last line of a program's output.
    pub fn parse(line: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(line).context("the last line is not one JSON object")?;
        let Value::Object(mut fields) = value else {
            bail!("the last line is not one JSON object");
        };
        let mut object = |name: &str| match fields.remove(name) {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => bail!("{name}: must be an object"),
        };
        let (must_be_zero, result) = (object("must_be_zero")?, object("result")?);
        let rows = match fields.remove("rows") {
            None => Vec::new(),
            Some(Value::Array(rows)) => rows.iter().map(row).collect::<Result<_>>()?,
            Some(_) => bail!("rows: must be an array"),
        };
        if let Some((unknown, _)) = fields.iter().next() {
            bail!("{unknown}: unknown field; there are rows, must_be_zero and result");
        }
        Ok(Self {
            rows,
            must_be_zero,
            result,
        })
    }

    /// The last line of a program's output.
    #[must_use]
    pub fn line(&self) -> String {
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "unit": row.unit,
                "ours": row.ours,
                "peers": row.peers.iter().cloned().collect::<BTreeMap<_, _>>(),
                "goal": row.goal,
                "met": row.met,
            })
        };
        json!({
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "must_be_zero": self.must_be_zero,
            "result": self.result,
        })
        .to_string()
    }
}

fn row(value: &Value) -> Result<Row> {
    let text = |name: &str| match &value[name] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        other => bail!("rows: {name} is {other}, and must be text"),
    };
    let number = |value: &Value| match value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        other => bail!("rows: {other} must be a number, or null when it is not known"),
    };
    let row = Row {
        name: text("name")?,
        unit: text("unit")?,
        ours: number(&value["ours"])?,
        peers: value["peers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, figure)| Ok((name.clone(), number(figure)?)))
            .collect::<Result<_>>()?,
        goal: text("goal")?,
        met: value["met"].as_bool(),
    };
    if row.name.is_empty() {
        bail!("rows: every row needs a name");
    }
    Ok(row)
}

/// The medians of all rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    rows: Vec<(Row, Spread)>,
    must_be_zero: Map<String, Value>,
    result: Map<String, Value>,
    rounds: usize,
}

/// The least and the most of ours over the rounds.
type Spread = Option<(f64, f64)>;

impl Summary {
    /// Of rounds that say the same things.
    pub fn of(rounds: &[Report]) -> Result<Self> {
        let first = rounds.first().context("there was no round")?;
        let names = |report: &Report| -> Vec<String> {
            report.rows.iter().map(|row| row.name.clone()).collect()
        };
        if let Some(other) = rounds.iter().find(|round| names(round) != names(first)) {
            bail!(
                "one round has the rows {:?}, another one {:?}",
                names(first),
                names(other)
            );
        }
        let rows = (0..first.rows.len())
            .map(|index| {
                join(
                    &rounds
                        .iter()
                        .map(|round| &round.rows[index])
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        let objects = |of: fn(&Report) -> &Map<String, Value>| -> Vec<Value> {
            rounds
                .iter()
                .map(|round| Value::Object(of(round).clone()))
                .collect()
        };
        let object = |value: Value| match value {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        Ok(Self {
            rows,
            must_be_zero: object(merged(&objects(|round| &round.must_be_zero), &largest)),
            result: object(merged(&objects(|round| &round.result), &median)),
            rounds: rounds.len(),
        })
    }

    /// Puts the same figures of a peer, measured by a program of its own, beside ours.
    #[must_use]
    pub fn beside(mut self, name: &str, peer: &Self) -> Self {
        for (row, _) in &mut self.rows {
            let same = peer.rows.iter().find(|(other, _)| other.name == row.name);
            if let Some((other, _)) = same {
                row.peers.push((name.to_owned(), other.ours));
            }
        }
        self.result
            .insert(name.to_owned(), Value::Object(peer.result.clone()));
        self
    }

    /// What must be zero and is not, or is not known.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let told = self.must_be_zero.iter();
        told.filter(|(_, count)| count.as_f64() != Some(0.0))
            .map(|(name, count)| format!("{name} is {}, and must be 0", shown(count)))
            .collect()
    }

    /// Ours and the peers', a line for each figure.
    #[must_use]
    pub fn table(&self) -> String {
        let mut peers: Vec<&str> = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|(row, _)| &row.peers) {
            if !peers.contains(&name.as_str()) {
                peers.push(name);
            }
        }
        let head = ["", "unit", "ours"].into_iter();
        let head = head.chain(peers.iter().copied()).chain(["goal"]);
        let mut lines = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        lines.extend(self.rows.iter().map(|(row, spread)| {
            let mut cells = vec![row.name.clone(), row.unit.clone()];
            cells.push(match spread {
                Some((least, most)) if least < most => format!(
                    "{} ({}–{})",
                    figure(row.ours),
                    figure(Some(*least)),
                    figure(Some(*most))
                ),
                _ => figure(row.ours),
            });
            cells.extend(peers.iter().map(|name| {
                let same = row.peers.iter().find(|(peer, _)| peer == name);
                same.map_or_else(String::new, |(_, theirs)| figure(*theirs))
            }));
            cells.push(match row.met {
                Some(true) => format!("{}: met", row.goal),
                Some(false) => format!("{}: MISSED", row.goal),
                None => row.goal.clone(),
            });
            cells
        }));
        let mut text = aligned(&lines);
        if self.rounds > 1 {
            let _ = write!(text, "\nmedians of {} rounds (least–most)", self.rounds);
        }
        text
    }

    /// The fields of the last line.
    #[must_use]
    pub fn json(&self) -> Map<String, Value> {
        let mut fields = self.result.clone();
        let missed = self.rows.iter().filter(|(row, _)| row.met == Some(false));
        let missed: Vec<&str> = missed.map(|(row, _)| row.name.as_str()).collect();
        fields.insert("missed".to_owned(), missed.into());
        fields.insert("must_be_zero".to_owned(), self.must_be_zero.clone().into());
        fields.insert("rounds".to_owned(), self.rounds.into());
        fields
    }
}

#[cfg(test)]
mod tests;
