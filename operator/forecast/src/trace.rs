//! Recorded load: a table of times and values as CSV, put on a regular grid.
//!
//! Only bytes are read here; where they come from, and whether they were compressed, is the caller's affair.

use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The most slots that a trace may span: ten years of minutes.
const LONGEST: usize = 5_300_000;

/// The largest value that is believed: more is a mistake of units.
const HIGHEST: f64 = 1e18;

/// A series on a regular grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The beginning of the first slot, a whole number of steps since the epoch.
    pub begin: Timestamp,
    /// Seconds of one slot.
    pub step: u32,
    /// The mean over each slot, in the trace's own unit; `None` where nothing was recorded, which is not zero.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// The beginning of a slot, counted from the first one.
    #[must_use]
    pub fn at(&self, slot: usize) -> Timestamp {
        let seconds = i64::try_from(slot)
            .unwrap_or(i64::MAX)
            .saturating_mul(i64::from(self.step));
        let at = self.begin.checked_add(SignedDuration::from_secs(seconds));
        at.unwrap_or(Timestamp::MAX)
    }
}

/// How a trace is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The column of times: seconds, or a date and time (UTC unless it says otherwise). The first column when absent.
    pub time: Option<String>,
    /// The column of values. The second column when absent.
    pub value: Option<String>,
    /// Seconds of one slot. The usual distance of two rows when absent.
    pub step: Option<u32>,
    /// Values are running totals, as a Prometheus counter's: their rise per second is taken. A total that falls has
    /// begun anew from 0.
    pub counter: bool,
    /// A value of 0 was no load but a failure to record: a gap.
    pub zero_is_gap: bool,
}

/// Why a trace cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidTrace {
    /// It is no CSV.
    #[error(
        "failed to read it as CSV: {0}; give a table with a header line and as many fields in every line"
    )]
    Csv(String),
    /// The first line is a row.
    #[error(
        "line 1, {0:?}: it has numbers alone; give a header line with the names of the columns"
    )]
    NoHeader(String),
    /// There are not enough columns.
    #[error(
        "it has the columns {columns:?}: give a table with a column of times and one of values"
    )]
    TooFewColumns {
        /// Those that are there.
        columns: Vec<String>,
    },
    /// A column is not there.
    #[error("column {wanted:?}: it is not there, give one of {columns:?}")]
    NoColumn {
        /// What was asked for.
        wanted: String,
        /// Those that are there.
        columns: Vec<String>,
    },
    /// A field cannot be used.
    #[error("line {line}, column {column:?}, value {value:?}: {remedy}")]
    Field {
        /// The line, the header being line 1.
        line: u64,
        /// The column.
        column: String,
        /// What is there.
        value: String,
        /// What to do about it.
        remedy: String,
    },
    /// There are too few rows to say anything.
    #[error("it has {0} rows with a value: give at least 2")]
    TooShort(usize),
    /// The step is not possible.
    #[error("step {step} s: {remedy}")]
    Step {
        /// The step.
        step: u32,
        /// What to do about it.
        remedy: String,
    },
    /// It spans too long a time.
    #[error(
        "it spans {slots} slots of {step} s: give a larger step, or a part of it; at most {LONGEST} are read"
    )]
    TooLong {
        /// How many.
        slots: usize,
        /// Seconds of one.
        step: u32,
    },
}

/// One row that was understood.
struct Row {
    second: f64,
    value: Option<f64>,
}

/// Reads a trace. Rows must be in the order of time, each time once.
pub fn read(bytes: &[u8], reading: &Reading) -> Result<Series, InvalidTrace> {
    let rows = rows(bytes, reading)?;
    let rows = if reading.counter { rises(rows) } else { rows };
    if rows.len() < 2 {
        return Err(InvalidTrace::TooShort(rows.len()));
    }
    let usual = usual_distance(&rows);
    let step = match reading.step {
        Some(step) => step,
        None => step_of(usual)?,
    };
    check_step(step, usual)?;
    on_grid(&rows, step)
}

fn check_step(step: u32, usual: f64) -> Result<(), InvalidTrace> {
    let refused = |remedy: String| Err(InvalidTrace::Step { step, remedy });
    if crate::Settings::new(step, 1).check().is_err() {
        return refused(
            "give a number of seconds from 60 to 21600 that divides a day, such as 300 or 600"
                .to_owned(),
        );
    }
    if f64::from(step) < 0.75 * usual {
        return refused(format!(
            "rows are {usual} s apart, give a step of at least that"
        ));
    }
    Ok(())
}

/// The distance of rows as a step, when it can be one; a finer one becomes a minute.
fn step_of(usual: f64) -> Result<u32, InvalidTrace> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates"
    )]
    let step = (usual.round() as u32).max(60);
    if crate::Settings::new(step, 1).check().is_ok() {
        return Ok(step);
    }
    Err(InvalidTrace::Step {
        step,
        remedy: "rows are that far apart; give a step from 60 to 21600 that divides a day"
            .to_owned(),
    })
}

fn rows(bytes: &[u8], reading: &Reading) -> Result<Vec<Row>, InvalidTrace> {
    let malformed = |error: csv::Error| InvalidTrace::Csv(error.to_string());
    let mut table = ReaderBuilder::new()
        .trim(Trim::All)
        .delimiter(delimiter(bytes))
        .from_reader(bytes);
    let header = table.headers().map_err(malformed)?.clone();
    if !header.is_empty() && header.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(InvalidTrace::NoHeader(
            header.iter().collect::<Vec<_>>().join(","),
        ));
    }
    let time = column(&header, reading.time.as_deref(), 0)?;
    let value = column(&header, reading.value.as_deref(), 1)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut record = StringRecord::new();
    while table.read_record(&mut record).map_err(malformed)? {
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize, remedy: &str| InvalidTrace::Field {
            line,
            column: header.get(column).unwrap_or_default().to_owned(),
            value: record.get(column).unwrap_or_default().to_owned(),
            remedy: remedy.to_owned(),
        };
        let second = second_of(record.get(time).unwrap_or_default())
            .map_err(|remedy| field(time, remedy))?;
        let taken = value_of(record.get(value).unwrap_or_default(), reading)
            .map_err(|remedy| field(value, remedy))?;
        match rows.last() {
            Some(last) if second < last.second => {
                return Err(field(
                    time,
                    "it is before the time of the line before; sort the rows by time",
                ));
            }
            Some(last) if second <= last.second => {
                return Err(field(
                    time,
                    "the line before has the same time; give each time once",
                ));
            }
            _ => rows.push(Row {
                second,
                value: taken,
            }),
        }
    }
    Ok(rows)
}

/// What separates fields: a comma, unless the header has none but a semicolon or a tabulator.
fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    [b',', b';', b'\t']
        .into_iter()
        .find(|delimiter| header.contains(delimiter))
        .unwrap_or(b',')
}

fn column(
    header: &StringRecord,
    wanted: Option<&str>,
    otherwise: usize,
) -> Result<usize, InvalidTrace> {
    let columns = || header.iter().map(str::to_owned).collect();
    match wanted {
        Some(wanted) => header
            .iter()
            .position(|name| name == wanted)
            .ok_or_else(|| InvalidTrace::NoColumn {
                wanted: wanted.to_owned(),
                columns: columns(),
            }),
        None if otherwise < header.len() => Ok(otherwise),
        None => Err(InvalidTrace::TooFewColumns { columns: columns() }),
    }
}

/// Seconds since the epoch, or since the beginning of the trace.
fn second_of(text: &str) -> Result<f64, &'static str> {
    let range = Timestamp::MIN.as_second() as f64..Timestamp::MAX.as_second() as f64;
    if let Ok(second) = text.parse::<f64>() {
        if second.is_finite() && range.contains(&second) {
            return Ok(second);
        }
        return Err("times are seconds; divide milliseconds by 1000");
    }
    let at = text.parse::<Timestamp>().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    at.map(|at| at.as_second() as f64)
        .ok_or("give seconds, or a date and time such as 2026-11-24T08:00:00Z")
}

/// A value, or nothing for a gap.
fn value_of(text: &str, reading: &Reading) -> Result<Option<f64>, &'static str> {
    if text.is_empty() || text.eq_ignore_ascii_case("nan") || text.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(None),
        Ok(value) if !value.is_finite() => Err("give a finite number, or nothing for a gap"),
        Ok(value) if value > HIGHEST => {
            Err("it is out of range; give the values in a larger unit, at most 1e18")
        }
        Ok(value) if value < 0.0 => {
            Err("load cannot be negative; give a rate, a count, or nothing for a gap")
        }
        Ok(value) if value == 0.0 && reading.zero_is_gap => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(_) => Err("give a number, or nothing for a gap"),
    }
}

/// The rise per second of a running total, over the time since the row before.
fn rises(rows: Vec<Row>) -> Vec<Row> {
    let mut before: Option<(f64, f64)> = None;
    let rise = |row: Row| {
        let total = row.value?;
        let (second, last) = before.replace((row.second, total))?;
        // After a fall the total began anew from 0: what it shows has been counted since.
        let rise = if total < last { total } else { total - last };
        Some(Row {
            second: row.second,
            value: Some(rise / (row.second - second)),
        })
    };
    rows.into_iter().filter_map(rise).collect()
}

/// The median distance of two rows.
fn usual_distance(rows: &[Row]) -> f64 {
    let mut distances: Vec<f64> = rows
        .windows(2)
        .map(|pair| pair[1].second - pair[0].second)
        .collect();
    distances.sort_by(f64::total_cmp);
    distances.get(distances.len() / 2).copied().unwrap_or(0.0)
}

/// The mean of the rows of each slot.
fn on_grid(rows: &[Row], step: u32) -> Result<Series, InvalidTrace> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "times are within those of a timestamp"
    )]
    let slot_of = |second: f64| (second / f64::from(step)).floor() as i64;
    let first = rows.first().map_or(0, |row| slot_of(row.second));
    let last = rows.last().map_or(0, |row| slot_of(row.second));
    let slots = usize::try_from(last - first)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    if slots > LONGEST {
        return Err(InvalidTrace::TooLong { slots, step });
    }
    let mut sums = vec![(0.0, 0_u32); slots];
    for row in rows {
        let Some(value) = row.value else { continue };
        let slot = usize::try_from(slot_of(row.second) - first).unwrap_or(0);
        if let Some((sum, count)) = sums.get_mut(slot) {
            *sum += value;
            *count += 1;
        }
    }
    let values: Vec<Option<f64>> = sums
        .into_iter()
        .map(|(sum, count)| (count > 0).then(|| sum / f64::from(count)))
        .collect();
    let with_value = values.iter().flatten().count();
    if with_value < 2 {
        return Err(InvalidTrace::TooShort(with_value));
    }
    Ok(Series {
        begin: Timestamp::from_second(first.saturating_mul(i64::from(step)))
            .unwrap_or(Timestamp::MIN),
        step,
        values,
    })
}

#[cfg(test)]
mod tests;
