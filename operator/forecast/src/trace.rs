//! Recorded load: a table of times and values as CSV, put on a regular grid.
//!
//! Only bytes are read here; where they come from, and whether they were compressed, is the caller's affair.

mod grid;

use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The most slots that a trace may span: ten years of minutes.
const LONGEST: usize = 5_300_000;

/// The most seconds that a clock is set back at once.
const SET_BACK: f64 = 3.0 * 3600.0;

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
    /// Values are running totals, as a Prometheus counter's: their rise per second is taken, in the slot
    /// that it was counted in. A total that falls has begun anew from 0.
    pub counter: bool,
    /// A value of 0 was no load but a failure to record: a gap.
    pub zero_is_gap: bool,
}

/// Slots that a trace may have for each that has a value.
const MOST_SLOTS_A_VALUE: usize = 100;
/// Characters of a value that are told.
const LONGEST_TOLD: usize = 60;

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
    /// A column is there more than once.
    #[error("column {0:?}: more than one has this name, give each a name of its own")]
    TwiceNamed(String),
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
    /// Its rows lie on no grid.
    #[error(
        "the times are on no regular grid: rows are mostly {usual} s apart, but not evenly; give a step of {step} s, over which rows are averaged"
    )]
    Uneven {
        /// Seconds between most rows.
        usual: f64,
        /// A step in which there always is a row.
        step: u32,
    },
    /// Its rows are too far apart.
    #[error("rows are {usual} s apart, and steps have at most {longest} s; give a finer recording")]
    TooCoarse {
        /// Seconds between most rows.
        usual: f64,
        /// The longest step.
        longest: u32,
    },
    /// It is almost nothing but gaps.
    #[error(
        "of its {slots} slots {known} have a value: see whether a time is wrong, or give a larger step or a part of it"
    )]
    Sparse {
        /// How many there are.
        slots: usize,
        /// Those with a value.
        known: usize,
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

/// Seconds since the epoch, or since the beginning of the trace, to the millisecond.
struct Time {
    second: f64,
    /// Whether it was a date and time that does not say its offset.
    local: bool,
}

/// Reads a trace. Rows must be in the order of time, each time once.
pub fn read(bytes: &[u8], reading: &Reading) -> Result<Series, InvalidTrace> {
    let rows = rows(bytes, reading)?;
    if rows.len() < 2 {
        return Err(InvalidTrace::TooShort(rows.len()));
    }
    let step = grid::step(&rows, reading.step)?;
    let rows = if reading.counter { rises(rows) } else { rows };
    let series = grid::mean(&rows, step)?;
    let (slots, known) = (series.values.len(), series.values.iter().flatten().count());
    if slots / MOST_SLOTS_A_VALUE > known {
        return Err(InvalidTrace::Sparse { slots, known });
    }
    Ok(series)
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
            value: told(record.get(column).unwrap_or_default()),
            remedy: remedy.to_owned(),
        };
        let at =
            time_of(record.get(time).unwrap_or_default()).map_err(|remedy| field(time, remedy))?;
        let taken = value_of(record.get(value).unwrap_or_default(), reading)
            .map_err(|remedy| field(value, remedy))?;
        in_order(rows.last(), &at).map_err(|remedy| field(time, remedy))?;
        rows.push(Row {
            second: at.second,
            value: taken,
        });
    }
    Ok(rows)
}

/// A value as it is told: a long one by its beginning.
fn told(value: &str) -> String {
    match value.char_indices().nth(LONGEST_TOLD) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// A row is later than the one before. Times on the wall that come again may be those of a clock that was set back.
fn in_order(before: Option<&Row>, at: &Time) -> Result<(), &'static str> {
    let Some(passed) = before.map(|before| at.second - before.second) else {
        return Ok(());
    };
    if passed > 0.0 {
        return Ok(());
    }
    Err(match (at.local, passed < 0.0) {
        (true, _) if passed > -SET_BACK => {
            "it is not after the time of the line before: the clock went back, or the rows are not sorted; give times in \
             UTC, or with their offset such as 2026-10-25T02:00:00+01:00, sorted and each once"
        }
        (_, true) => "it is before the time of the line before; sort the rows by time",
        (_, false) => "the line before has the same time; give each time once",
    })
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
    let named = wanted.or_else(|| header.get(otherwise));
    let same = header.iter().filter(|name| Some(*name) == named).count();
    match wanted {
        _ if same > 1 => Err(InvalidTrace::TwiceNamed(
            named.unwrap_or_default().to_owned(),
        )),
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

fn time_of(text: &str) -> Result<Time, &'static str> {
    let range = Timestamp::MIN.as_second() as f64..Timestamp::MAX.as_second() as f64;
    if let Ok(second) = text.parse::<f64>() {
        if second.is_finite() && range.contains(&second) {
            return Ok(Time {
                second: (second * 1000.0).round() / 1000.0,
                local: false,
            });
        }
        return Err("times are seconds; divide milliseconds by 1000");
    }
    let second = |at: Timestamp| at.as_millisecond() as f64 / 1000.0;
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Time {
            second: second(at),
            local: false,
        });
    }
    let local = text
        .parse::<DateTime>()
        .and_then(|local| local.to_zoned(TimeZone::UTC));
    local
        .map(|at| Time {
            second: second(at.timestamp()),
            local: true,
        })
        .map_err(|_| "give seconds, or a date and time such as 2026-11-24T08:00:00Z")
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

/// The rise per second of a running total over the time since the row before, at the middle of that time: so it falls
/// into the slot in which most of it was counted.
fn rises(rows: Vec<Row>) -> Vec<Row> {
    let mut before: Option<(f64, f64)> = None;
    let rise = |row: Row| {
        let total = row.value?;
        let (second, last) = before.replace((row.second, total))?;
        // After a fall the total began anew from 0: what it shows has been counted since.
        let rise = if total < last { total } else { total - last };
        Some(Row {
            second: f64::midpoint(second, row.second),
            value: Some(rise / (row.second - second)),
        })
    };
    rows.into_iter().filter_map(rise).collect()
}

#[cfg(test)]
mod tests;
