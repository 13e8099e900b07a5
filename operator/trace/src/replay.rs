//! `replay`: what the planner would have done with a recorded load, beside the autoscaler alone, as a table and a
//! picture.

mod picture;

use std::io::stdout;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use chatbot_replay::bench::Series;
use chatbot_replay::own::{Asked, Played, play};
use chatbot_replay::scenario::Outcome;
use chatbot_replay::sight;
use chatbot_replay::trace::{SpotTrace, Trace};
use clap::Args;

use crate::bench::ahead::has_days_before;
use crate::file::{Source, bytes, say};
use crate::table::{figure, percent, table};

/// Days that are played when nobody says how many, and the most.
const DAYS: i64 = 7;
const MOST_DAYS: i64 = 31;
/// The most standby nodes.
const MOST_STANDBY: u32 = 100;

/// Shows what the planner would have done with a recorded load. Its days are those of UTC: where the load goes by clocks
/// that change, `forecast --zone` shows what a zone is worth.
#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// The trace.
    #[command(flatten)]
    pub source: Source,
    /// Spot capacity: CSV of seconds from the beginning of the part that is played, zone and obtainable nodes. Absent:
    /// every node is on-demand.
    #[arg(long, value_name = "FILE")]
    pub spot_trace: Option<PathBuf>,
    /// Seconds between the notice and the end of a spot node. Absent: 120.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..=3600))]
    pub notice: Option<i64>,
    /// What chance is made from: which of a zone's nodes are taken. Absent: 1.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A `ChatBotCluster` of which minReplicas and maxReplicas are used. Absent: 5 to 40 instances.
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// Requests a second that one instance answers. Absent: so many that the peak needs the most instances.
    #[arg(long, value_name = "RATE")]
    pub capacity: Option<f64>,
    /// Nodes that are kept empty, with the model in memory, and not lent: what needs a node at once takes them. `auto`: as
    /// many as the largest rise within one cold start of the 28 days before needs.
    #[arg(long, value_name = "NODES|auto", default_value = "0", value_parser = standby)]
    pub standby: Standby,
    /// Days at the end that are played; the planner has seen what comes before. Absent: a third of them, at most 7.
    #[arg(long, value_name = "DAYS")]
    pub days: Option<i64>,
    /// The picture. Absent: replay-TRACE.svg in the current folder.
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
}

/// How many nodes wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    /// So many.
    Nodes(u32),
    /// As many as the days before ask for.
    Auto,
}

fn standby(text: &str) -> Result<Standby, String> {
    if text == "auto" {
        return Ok(Standby::Auto);
    }
    let nodes = text.parse().ok().filter(|nodes| *nodes <= MOST_STANDBY);
    nodes
        .map(Standby::Nodes)
        .ok_or_else(|| format!("give 0 to {MOST_STANDBY} nodes, or `auto`"))
}

impl Replay {
    /// Prints the table and writes the picture.
    pub fn run(&self) -> Result<()> {
        self.check()?;
        let name = self.source.name();
        let recorded = self.source.series()?;
        let begin = recorded.begin;
        let trace = Trace::of(&recorded);
        let days = self.played_days(&trace)?;
        let asked = Asked {
            series: Series {
                name: name.clone(),
                // Demand is told in steps of at least five minutes.
                step: trace.step * (300 / trace.step).max(1),
                trace,
                days,
                left_out: 0,
                fill_percent: None,
                percentile: None,
                standby: match self.standby {
                    Standby::Nodes(nodes) => Some(nodes),
                    Standby::Auto => None,
                },
            },
            spot: self.spot(days)?,
            notice: self.notice.unwrap_or(120),
            seed: self.seed.unwrap_or(1),
            bounds: self.bounds()?,
            capacity: self.capacity,
        };
        has_days_before(&asked.series)?;
        ensure!(
            asked
                .capacity
                .is_none_or(|capacity| capacity.is_finite() && capacity > 0.0),
            "--capacity {}: give requests a second, more than 0",
            asked.capacity.unwrap_or_default()
        );
        let played = play(&asked).with_context(|| format!("failed to play {name}"))?;
        say(stdout(), &told(&name, days, &asked, &played))?;
        let path = self.picture.clone();
        let path = path.unwrap_or_else(|| PathBuf::from(format!("replay-{name}.svg")));
        let drawn = picture::of(&name, begin, &asked, &played).svg();
        std::fs::write(&path, drawn)
            .with_context(|| format!("failed to write the picture {}", path.display()))?;
        say(stdout(), &format!("\nThe picture: {}\n", path.display()))?;
        Ok(())
    }

    /// Refuses what would be looked at by nobody: a person who gives it would be told of something else.
    fn check(&self) -> Result<()> {
        let given = [
            ("--notice", self.notice.is_some()),
            ("--seed", self.seed.is_some()),
        ];
        for (option, is_given) in given {
            ensure!(
                !is_given || self.spot_trace.is_some(),
                "{option}: without spot capacity no node is taken back; give --spot-trace FILE as well, or leave it out"
            );
        }
        Ok(())
    }

    /// Whole days, of which the trace has as many, with some load in them.
    fn played_days(&self, trace: &Trace) -> Result<i64> {
        let there = trace.length() / 86_400;
        ensure!(
            there >= 1,
            "--trace {}: it covers {} minutes, give at least a day, better a week: the planner learns from it",
            self.source.name(),
            trace.length() / 60
        );
        let most = there.min(MOST_DAYS);
        let days = self.days.unwrap_or(((there + 2) / 3).min(DAYS));
        ensure!(
            (1..=most).contains(&days),
            "--days {days}: the trace has {there} whole days, give 1 to {most}"
        );
        ensure!(
            trace.peak(trace.length() - days * 86_400, trace.length()) > 0.0,
            "--trace {}: there is no load in its last {days} days, give another trace or column (--value)",
            self.source.name()
        );
        Ok(days)
    }

    fn spot(&self, days: i64) -> Result<Option<SpotTrace>> {
        let Some(path) = &self.spot_trace else {
            return Ok(None);
        };
        let failed = || format!("failed to read {}", path.display());
        let text = String::from_utf8(bytes(path)?).with_context(failed)?;
        let trace = SpotTrace::parse(&text).with_context(failed)?;
        trace.begins_within(days * 86_400).with_context(failed)?;
        Ok(Some(trace))
    }

    fn bounds(&self) -> Result<(u32, u32)> {
        let Some(path) = &self.cluster else {
            return Ok((5, 40));
        };
        let failed = || format!("failed to read {}", path.display());
        let text = String::from_utf8(bytes(path)?).with_context(failed)?;
        sight::bounds(&text)
            .map_err(|error| anyhow!("{}", short(&error.to_string())))
            .with_context(failed)
    }
}

/// Of what was read, an error quotes all; its beginning says enough.
fn short(error: &str) -> String {
    let beginning: String = error.chars().take(200).collect();
    if beginning.len() < error.len() {
        format!("{beginning}…; give a ChatBotCluster as YAML")
    } else {
        format!("{beginning}; give a ChatBotCluster as YAML")
    }
}

fn told(name: &str, days: i64, asked: &Asked, played: &Played) -> String {
    let mut columns = vec![("planner", &played.planner)];
    let no_standby = played.no_standby.as_ref();
    columns.extend(no_standby.map(|outcome| ("no standby", outcome)));
    columns.push(("autoscaler alone", &played.alone));
    let names = columns.iter().map(|(name, _)| (*name).to_owned());
    let mut rows: Vec<Vec<String>> = vec![std::iter::once(String::new()).chain(names).collect()];
    let mut row = |what: &str, of: &dyn Fn(&Outcome) -> String| {
        let figures = columns.iter().map(|(_, outcome)| of(outcome));
        rows.push(std::iter::once(what.to_owned()).chain(figures).collect());
    };
    row("volume lost", &|it| {
        format!("{:.3} %", 100.0 * it.lost_share())
    });
    row("mean instances", &|it| {
        format!("{:.1}", it.replica_seconds / it.seconds.max(1) as f64)
    });
    if played.standby > 0 {
        row("standby nodes, mean", &|it| {
            format!("{:.2}", it.mean_standby())
        });
    }
    row("capacity-hours lent", &|it| percent(played.lent(it)));
    row("training's work lost", &|it| percent(it.wasted_share()));
    row("longest wait of production", &|it| {
        format!("{} s", it.longest_wait)
    });
    if asked.spot.is_some() {
        row("nodes taken back", &|it| it.reclaims.to_string());
        for ratio in [0.25, 0.33, 0.5] {
            row(&format!("cost at a spot price of {ratio}"), &|it| {
                percent(it.cost(ratio, played.nodes))
            });
        }
    }
    format!(
        "{name}: the last {days} days, {} to {} instances of {} requests a second, {} nodes of 4, of \
         which {} wait\n\n{}\n\
         Instances start in 180 s, on a node that has the model in memory in 20 s; what would wait longer than 10 s is \
         lost.\nCost is beside the same nodes on-demand. Of a resource only its bounds are played: instances are four to a \
         node,\nand the autoscaler's target is 70 %.\n",
        asked.bounds.0,
        asked.bounds.1,
        figure(Some(played.capacity)),
        played.nodes,
        match played.standby {
            0 => "none".to_owned(),
            nodes => nodes.min(played.nodes).to_string(),
        },
        table(&rows),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay() -> Replay {
        Replay {
            source: Source {
                trace: PathBuf::from("load.csv"),
                columns: crate::file::Columns::default(),
            },
            spot_trace: None,
            notice: None,
            seed: None,
            cluster: None,
            capacity: None,
            standby: Standby::Nodes(0),
            days: None,
            picture: None,
        }
    }

    fn days(slots: usize, load: f64, days: Option<i64>) -> Result<i64> {
        Replay { days, ..replay() }.played_days(&Trace {
            step: 3600,
            values: vec![Some(load); slots],
        })
    }

    #[test]
    fn what_only_spot_capacity_has_is_refused_without_it() {
        let notice = Replay {
            notice: Some(120),
            ..replay()
        };
        let seed = Replay {
            seed: Some(1),
            ..replay()
        };
        for (option, asked) in [("--notice", notice), ("--seed", seed)] {
            let refused = asked.run().unwrap_err().to_string();
            assert!(refused.starts_with(option), "{refused}");
            assert!(refused.contains("give --spot-trace FILE"), "{refused}");
            let spot = PathBuf::from("spot.csv");
            let with_spot = Replay {
                spot_trace: Some(spot),
                ..asked
            };
            assert!(with_spot.check().is_ok());
        }
    }

    #[test]
    fn standby_is_a_number_of_nodes_or_what_the_past_asks_for() {
        assert_eq!(standby("3"), Ok(Standby::Nodes(3)));
        assert_eq!(standby("auto"), Ok(Standby::Auto));
        for wrong in ["-1", "101", "two", ""] {
            assert!(standby(wrong).unwrap_err().contains("or `auto`"));
        }
    }

    #[test]
    fn days_that_are_not_there_are_refused_with_how_many_there_are() {
        assert_eq!(days(24 * 9, 1.0, None).unwrap(), 3);
        assert_eq!(days(24 * 60, 1.0, None).unwrap(), 7);
        assert_eq!(days(24 * 9, 1.0, Some(9)).unwrap(), 9);
        for wrong in [0, -1, 10] {
            let refused = days(24 * 9, 1.0, Some(wrong)).unwrap_err().to_string();
            assert!(refused.contains("9 whole days, give 1 to 9"), "{refused}");
        }
    }

    #[test]
    fn two_points_and_no_load_at_all_are_refused() {
        let refused = |slots, load| days(slots, load, None).unwrap_err().to_string();
        assert!(refused(2, 1.0).contains("120 minutes"));
        assert!(refused(48, 0.0).contains("no load"));
    }

    #[test]
    fn a_long_error_is_cut() {
        assert!(short(&"x".repeat(9999)).chars().count() < 250);
    }
}
