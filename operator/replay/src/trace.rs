//! Recorded load, and recorded spot capacity.

use std::collections::{BTreeMap, BTreeSet};

use chatbot_forecast::trace::Series;

/// The most instances that a zone has.
pub const MOST: u32 = 10_000;
/// The most zones.
const ZONES: usize = 100;

/// Load by slot. Slot `k` covers `[k·step, (k+1)·step)` seconds from the beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Seconds of one slot.
    pub step: i64,
    /// Mean load of each slot, requests a second; `None` where nothing was collected.
    pub values: Vec<Option<f64>>,
}

/// Why a spot trace cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is nothing in it.
    #[error(
        "the spot trace has no row; give seconds, a zone and a number of instances, such as `60,a,12`"
    )]
    Empty,
    /// A row of a spot trace is none.
    #[error(
        "line {0} of the spot trace: must be seconds, a zone and a number of instances, such as `60,a,12`"
    )]
    Row(usize),
    /// A row is earlier than the one before it.
    #[error(
        "line {line} of the spot trace: {at} s is before {before} s of the row above; sort the rows by time"
    )]
    Earlier {
        /// The line.
        line: usize,
        /// Its time.
        at: i64,
        /// The time of the row above.
        before: i64,
    },
    /// A zone is given twice at one time.
    #[error(
        "line {line} of the spot trace: zone {zone:?} is given twice at {at} s; give each zone once at a time"
    )]
    Twice {
        /// The line.
        line: usize,
        /// The zone.
        zone: String,
        /// The time.
        at: i64,
    },
    /// There are more instances than any cluster has nodes.
    #[error("line {line} of the spot trace: {count} instances in a zone; give at most {MOST}")]
    TooMany {
        /// The line.
        line: usize,
        /// How many.
        count: u64,
    },
    /// It begins before or after what is played.
    #[error(
        "the first row of the spot trace is at {first} s, and must be within the first {seconds} s; count seconds from the beginning of the part that is played, not from the epoch"
    )]
    Elsewhere {
        /// The time of the first row.
        first: i64,
        /// Seconds in which it must be.
        seconds: i64,
    },
    /// There are more zones than any region has.
    #[error(
        "line {line} of the spot trace: zone {zone:?} is one more than {ZONES}; give fewer zones"
    )]
    Zones {
        /// The line.
        line: usize,
        /// The zone.
        zone: String,
    },
}

impl Trace {
    /// A series, from the first midnight of its time zone-less clock on: days begin where its days begin.
    #[must_use]
    pub fn of(series: &Series) -> Self {
        let step = i64::from(series.step.max(1));
        let into_day = series.begin.as_second().rem_euclid(86_400) / step;
        // Gaps before the beginning, so that the time of the day is that of the recording.
        let before = usize::try_from(into_day).unwrap_or(0);
        let mut values = vec![None; before];
        values.extend(series.values.iter().copied());
        Self { step, values }
    }

    /// Seconds that it covers.
    #[must_use]
    pub fn length(&self) -> i64 {
        self.step * i64::try_from(self.values.len()).unwrap_or(i64::MAX)
    }

    /// The highest load of a part, given in seconds from the beginning.
    #[must_use]
    pub fn peak(&self, from: i64, until: i64) -> f64 {
        self.part(from, until)
            .iter()
            .flatten()
            .copied()
            .fold(0.0, f64::max)
    }

    /// The slots of a part, given in seconds from the beginning.
    #[must_use]
    pub fn part(&self, from: i64, until: i64) -> &[Option<f64>] {
        let index = |at: i64| {
            usize::try_from(at / self.step)
                .unwrap_or(0)
                .min(self.values.len())
        };
        self.values
            .get(index(from)..index(until))
            .unwrap_or_default()
    }

    /// The same load in coarser slots; a slot of which nothing was collected is a gap.
    #[must_use]
    pub fn coarser(&self, step: i64) -> Self {
        let each = usize::try_from(step / self.step).unwrap_or(1).max(1);
        let mean = |slots: &[Option<f64>]| {
            let known: Vec<f64> = slots.iter().flatten().copied().collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        Self {
            step: self.step * i64::try_from(each).unwrap_or(1),
            values: self.values.chunks(each).map(mean).collect(),
        }
    }
}

fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|cell| cell.trim().trim_matches('"'))
}

/// A row comes no earlier than the one above, and names a zone that its time does not have yet.
fn in_order(rows: &[(i64, &str, u32)], at: i64, zone: &str, line: usize) -> Result<(), Unreadable> {
    if let Some((before, ..)) = rows.last().filter(|(before, ..)| *before > at) {
        let before = *before;
        return Err(Unreadable::Earlier { line, at, before });
    }
    let mut same_time = rows.iter().rev().take_while(|row| row.0 == at);
    if same_time.any(|row| row.1 == zone) {
        let zone = zone.to_owned();
        return Err(Unreadable::Twice { line, zone, at });
    }
    Ok(())
}

/// A count that a cluster can have.
fn believed(count: u64, line: usize) -> Result<u32, Unreadable> {
    let known = u32::try_from(count).ok().filter(|known| *known <= MOST);
    known.ok_or(Unreadable::TooMany { line, count })
}

fn seconds(cell: &str) -> Option<i64> {
    let seconds: f64 = cell.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "in range")]
    let whole = seconds.floor() as i64;
    (seconds.is_finite() && seconds.abs() < 1e15).then_some(whole)
}

/// Spot instances that can be had, by zone: from each time on, so many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpotTrace {
    /// Changes by time: zone and how many there are from then on.
    pub changes: BTreeMap<i64, Vec<(usize, u32)>>,
    /// The zones' names.
    pub zones: Vec<String>,
}

impl SpotTrace {
    /// Reads seconds, zone and obtainable instances, in order of time. A first line without any number is a header. A
    /// zone has at most [`MOST`] instances.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut rows: Vec<(i64, &str, u32)> = Vec::new();
        let mut zones: BTreeSet<&str> = BTreeSet::new();
        for (index, row) in text.lines().enumerate() {
            let line = index + 1;
            let cells: Vec<&str> = split(row).collect();
            let is_header = || index == 0 && cells.iter().all(|cell| cell.parse::<f64>().is_err());
            if row.trim().is_empty() || is_header() {
                continue;
            }
            let [at, zone, count] = cells.as_slice() else {
                return Err(Unreadable::Row(line));
            };
            let (at, count) = seconds(at)
                .zip(count.parse::<u64>().ok())
                .ok_or(Unreadable::Row(line))?;
            let count = believed(count, line)?;
            zones.insert(zone);
            if zones.len() > ZONES {
                let zone = (*zone).to_owned();
                return Err(Unreadable::Zones { line, zone });
            }
            in_order(&rows, at, zone, line)?;
            rows.push((at, *zone, count));
        }
        let zones: Vec<String> = zones.into_iter().map(str::to_owned).collect();
        let mut changes: BTreeMap<i64, Vec<(usize, u32)>> = BTreeMap::new();
        for (at, zone, count) in rows {
            let zone = zones.iter().position(|name| name == zone).unwrap_or(0);
            changes.entry(at).or_default().push((zone, count));
        }
        if changes.is_empty() {
            return Err(Unreadable::Empty);
        }
        Ok(Self { changes, zones })
    }

    /// Reads the churn of one group of nodes, as `milliseconds,add|remove,node`: how many it had is how many could be
    /// had. The time before the group was first complete is left out: it grew by its own pace, not by the market's.
    pub fn churn(text: &str) -> Result<Self, Unreadable> {
        let mut events: Vec<(i64, bool, usize)> = Vec::new();
        for (index, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let cells: Vec<&str> = split(line).collect();
            let row = match cells.as_slice() {
                [at, "add", _] => at.parse::<i64>().ok().map(|at| (at, true)),
                [at, "remove", _] => at.parse::<i64>().ok().map(|at| (at, false)),
                _ => None,
            };
            let (at, add) = row.ok_or(Unreadable::Row(index + 1))?;
            events.push((at / 1000, add, index + 1));
        }
        let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
        let mut count: u32 = 0;
        events.sort_by_key(|event| event.0);
        for (at, add, line) in events {
            count = if add {
                believed(u64::from(count) + 1, line)?
            } else {
                count.saturating_sub(1)
            };
            counts.insert(at, count);
        }
        let most = counts.values().copied().max().ok_or(Unreadable::Empty)?;
        let complete = counts.iter().find(|(_, count)| **count == most);
        let start = complete.map_or(0, |(at, _)| *at);
        Ok(Self {
            changes: counts
                .into_iter()
                .filter(|(at, _)| *at >= start)
                .map(|(at, count)| (at - start, vec![(0, count)]))
                .collect(),
            zones: vec!["group".to_owned()],
        })
    }

    /// Refuses a trace that says nothing of the first `seconds`: its time is counted from elsewhere.
    pub fn begins_within(&self, seconds: i64) -> Result<(), Unreadable> {
        let first = self.changes.keys().next().copied().unwrap_or(0);
        if (0..seconds).contains(&first) {
            return Ok(());
        }
        Err(Unreadable::Elsewhere { first, seconds })
    }

    /// Seconds until the last change.
    #[must_use]
    pub fn length(&self) -> i64 {
        self.changes.keys().next_back().copied().unwrap_or(0)
    }

    /// The most that were ever obtainable together.
    #[must_use]
    pub fn most(&self) -> u32 {
        let mut now = vec![0; self.zones.len()];
        let mut most = 0;
        for changes in self.changes.values() {
            for (zone, count) in changes {
                if let Some(slot) = now.get_mut(*zone) {
                    *slot = *count;
                }
            }
            most = most.max(now.iter().sum());
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_the_time_of_the_day_and_its_gaps() {
        let series = Series {
            begin: "1998-04-30T01:00:00Z".parse().unwrap(),
            step: 1800,
            values: vec![Some(1.0), None, Some(3.0)],
        };
        let trace = Trace::of(&series);
        assert_eq!(trace.values, [None, None, Some(1.0), None, Some(3.0)]);
        assert_eq!(trace.coarser(3600).values, [None, Some(1.0), Some(3.0)]);
        assert_eq!((trace.length(), trace.peak(0, 5400)), (9000, 1.0));
    }

    #[test]
    fn spot_capacity_is_read_by_zone_and_from_churn() {
        let trace = SpotTrace::parse("seconds,zone,obtainable\n0,a,3\n0,b,2\n60,a,1\n").unwrap();
        assert_eq!(
            (trace.most(), trace.length(), trace.zones.len()),
            (5, 60, 2)
        );
        assert_eq!(SpotTrace::parse("0,a,3\nx,a,3\n"), Err(Unreadable::Row(2)));
        let churn = SpotTrace::churn("0,add,n1\n60000,add,n2\n120000,remove,n1\n").unwrap();
        assert_eq!(
            churn.changes,
            BTreeMap::from([(0, vec![(0, 2)]), (60, vec![(0, 1)])])
        );
        assert!(SpotTrace::churn("1,grow,n1\n").is_err());
    }

    #[test]
    fn a_spot_trace_in_seconds_of_the_epoch_is_refused() {
        let of = |text| SpotTrace::parse(text).unwrap().begins_within(86_400);
        assert!(of("0,a,3\n1800000000,a,1\n").is_ok());
        for text in ["1800000000,a,3\n", "-60,a,3\n", "86400,a,3\n"] {
            let refused = of(text).unwrap_err().to_string();
            assert!(refused.contains("from the beginning"), "{refused}");
        }
    }

    #[test]
    fn more_than_any_cluster_has_is_refused_with_the_most() {
        let refused = |text: &str| SpotTrace::parse(text).unwrap_err().to_string();
        let told = refused("0,a,10000\n60,a,1000000000\n");
        assert!(
            told.contains(
                "line 2 of the spot trace: 1000000000 instances in a zone; give at most 10000"
            ),
            "{told}"
        );
        assert!(refused("0,a,18446744073709551615\n").contains("give at most 10000"));
        let zones: Vec<String> = (0..=100).map(|zone| format!("0,z{zone},1\n")).collect();
        assert!(refused(&zones.concat()).contains("line 101"));
        let added: Vec<String> = (0..=10_000)
            .map(|node| format!("0,add,n{node}\n"))
            .collect();
        assert_eq!(
            SpotTrace::churn(&added.concat()),
            Err(Unreadable::TooMany {
                line: 10_001,
                count: 10_001
            })
        );
    }

    #[test]
    fn a_spot_trace_out_of_order_or_with_an_unreadable_first_line_is_refused() {
        let refused = |text| SpotTrace::parse(text).unwrap_err().to_string();
        assert!(
            refused("60,a,3\n0,a,1\n").contains("line 2 of the spot trace: 0 s is before 60 s")
        );
        assert!(refused("0,a,3\n0,b,1\n0,a,2\n").contains("zone \"a\" is given twice at 0 s"));
        assert_eq!(SpotTrace::parse("0,a,-1\n0,b,1\n"), Err(Unreadable::Row(1)));
    }
}
