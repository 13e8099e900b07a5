//! The picture of a replay: load and what was expected of it, instances, nodes by use, what they cost, what was lent.

use chatbot_replay::own::{Asked, Played};
use chatbot_replay::scenario::{Expected, Point};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::chart::{Body, Clock, Layer, Mark, Panel, Picture, colour};
use crate::table::percent;

/// Of the price of an on-demand node, that of a spot node.
const RATIO: f64 = 0.33;

/// What is drawn, and where its time begins.
struct Canvas<'a> {
    midnight: i64,
    points: &'a [Point],
}

/// The picture.
pub(super) fn of(name: &str, begin: Timestamp, asked: &Asked, played: &Played) -> Picture {
    let (planner, alone) = (&played.planner, &played.alone);
    // Times of a replay count from the midnight before the trace begins.
    let midnight = begin.as_second().div_euclid(86_400) * 86_400;
    let canvas = |points| Canvas { midnight, points };
    let (ours, theirs) = (canvas(&planner.curve), canvas(&alone.curve));
    let mut panels = vec![
        ours.panel(
            "Load, and what was expected of it 30 minutes before",
            "requests a second",
            220.0,
            load(&ours),
        ),
        ours.panel(
            "Instances with the planner",
            "instances",
            220.0,
            vec![
                ours.stairs("needed at full use", colour::MEASURED, |point| point.needed),
                ours.stairs("planner's floor", colour::GAIN, |point| point.floor.into()),
                ours.stairs("ready", colour::OURS, |point| point.ready.into()),
            ],
        ),
        ours.panel(
            "The same with the autoscaler alone",
            "instances",
            160.0,
            vec![
                theirs.stairs("needed at full use", colour::MEASURED, |point| point.needed),
                theirs.stairs("ready", colour::PEER, |point| point.ready.into()),
            ],
        ),
        ours.panel("Nodes by use", "nodes", 180.0, uses(&ours)),
    ];
    if asked.spot.is_some() {
        panels.push(ours.panel(
            "Cost, a spot node at 0.33 of an on-demand one",
            "on-demand nodes",
            140.0,
            vec![
                theirs.stairs("autoscaler alone", colour::PEER, paid),
                ours.stairs("planner", colour::OURS, paid),
            ],
        ));
    }
    panels.push(ours.panel(
        "Lent to training so far",
        "instance-hours",
        140.0,
        lent(&ours),
    ));
    Picture {
        title: format!("{name}: what the planner would have done"),
        subtitle: format!(
            "Lost {:.3} % (autoscaler alone {:.3} %); mean instances {:.1} ({:.1}); {} of the capacity lent",
            100.0 * planner.lost_share(),
            100.0 * alone.lost_share(),
            planner.replica_seconds / planner.seconds.max(1) as f64,
            alone.replica_seconds / alone.seconds.max(1) as f64,
            percent(played.lent(planner)),
        ),
        clock: Clock::of(begin, &TimeZone::UTC),
        panels,
    }
}

/// What a moment costs, in on-demand nodes.
fn paid(point: &Point) -> f64 {
    f64::from(point.on_demand) + RATIO * f64::from(point.spot)
}

/// The load over the band that was expected of it. What is expected of times after the end is left out.
fn load(canvas: &Canvas<'_>) -> Vec<Layer> {
    let end = canvas.points.last().map_or(0, |point| point.at);
    let all = canvas.points.iter().filter_map(|point| point.expected);
    let mut expected: Vec<Expected> = all.filter(|expected| expected.at <= end).collect();
    expected.dedup_by_key(|expected| expected.at);
    let band = expected
        .iter()
        .map(|it| (canvas.time(it.at), Some(it.band)));
    let line = expected
        .iter()
        .map(|it| (canvas.time(it.at), Some(it.point)));
    vec![
        layer(
            "5 to 95 %",
            colour::OURS,
            Mark::Band {
                opacity: 0.18,
                points: band.collect(),
            },
        ),
        canvas.stairs("load", colour::MEASURED, |point| point.load),
        layer(
            "forecast",
            colour::OURS,
            Mark::Line {
                width: 1.0,
                points: line.collect(),
            },
        ),
    ]
}

/// A use of nodes: its name, its colour, and how many nodes have it.
type Kind = (&'static str, &'static str, fn(&Point) -> u32);

/// Nodes by use, one above the other.
fn uses(canvas: &Canvas<'_>) -> Vec<Layer> {
    let kinds: [Kind; 5] = [
        ("on-demand", colour::PEER, |point| point.uses.on_demand),
        ("spot", colour::OTHER, |point| point.uses.spot),
        ("training alone", colour::THIRD, |point| point.uses.training),
        ("waiting", colour::MEASURED, |point| point.uses.waiting),
        ("leaving", colour::LOSS, |point| point.uses.leaving),
    ];
    let mut below = vec![0.0; canvas.points.len()];
    let mut layers = Vec::new();
    for (name, colour, of) in kinds {
        if canvas.points.iter().all(|point| of(point) == 0) {
            continue;
        }
        let above: Vec<f64> = canvas
            .points
            .iter()
            .zip(&below)
            .map(|(point, below)| below + f64::from(of(point)))
            .collect();
        let rooms: Vec<(f64, f64)> = below.iter().copied().zip(above.iter().copied()).collect();
        layers.push(layer(
            name,
            colour,
            Mark::Band {
                opacity: 0.6,
                points: canvas.changes(&rooms),
            },
        ));
        below = above;
    }
    layers
}

/// Instance-hours that training has had since the beginning.
fn lent(canvas: &Canvas<'_>) -> Vec<Layer> {
    let mut hours = 0.0;
    let mut before = None;
    let all = canvas.points.iter().map(|point| {
        let passed = before.map_or(0, |before| point.at - before);
        before = Some(point.at);
        hours += f64::from(point.lent) * passed as f64 / 3600.0;
        (canvas.time(point.at), Some((0.0, hours)))
    });
    let all: Vec<_> = all.collect();
    let last = all.len().saturating_sub(1);
    // It rises so evenly that a point in six shows it.
    let shown = all.into_iter().enumerate();
    let sums = shown
        .filter(|(order, _)| order % 6 == 0 || *order == last)
        .map(|(_, point)| point);
    vec![layer(
        "hours lent",
        colour::THIRD,
        Mark::Band {
            opacity: 0.45,
            points: sums.collect(),
        },
    )]
}

fn layer(name: &str, colour: &'static str, mark: Mark) -> Layer {
    Layer {
        name: name.to_owned(),
        colour,
        mark,
    }
}

impl Canvas<'_> {
    fn time(&self, at: i64) -> Timestamp {
        Timestamp::from_second(self.midnight + at).unwrap_or(Timestamp::MAX)
    }

    /// The moments at which something begins or ends to be so.
    fn changes(&self, rooms: &[(f64, f64)]) -> Vec<(Timestamp, Option<(f64, f64)>)> {
        let is_new = |order: &usize| {
            let here = rooms.get(*order);
            *order == 0 || rooms.get(order - 1) != here || rooms.get(order + 1) != here
        };
        let points = self.points.iter().zip(rooms).enumerate();
        points
            .filter(|(order, _)| is_new(order))
            .map(|(_, (point, room))| (self.time(point.at), Some(*room)))
            .collect()
    }

    fn stairs(&self, name: &str, colour: &'static str, of: fn(&Point) -> f64) -> Layer {
        let points = self.points.iter();
        let points = points.map(|point| (self.time(point.at), Some(of(point))));
        layer(
            name,
            colour,
            Mark::Stairs {
                width: 1.4,
                points: points.collect(),
            },
        )
    }

    fn panel(&self, title: &str, unit: &str, height: f64, layers: Vec<Layer>) -> Panel {
        let end = |point: Option<&Point>| point.map_or(0, |point| point.at);
        Panel {
            title: title.to_owned(),
            unit: unit.to_owned(),
            height,
            body: Body::Time {
                from: self.time(end(self.points.first())),
                to: self.time(end(self.points.last())),
                layers,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use chatbot_replay::bench::Series;
    use chatbot_replay::fleet::Uses;
    use chatbot_replay::scenario::{Expected, Outcome};
    use chatbot_replay::trace::{SpotTrace, Trace};

    use super::*;

    /// Half an hour in which something of everything is there.
    fn played() -> Played {
        let point = |at: i64| Point {
            at,
            load: 50.0,
            spot: 2,
            on_demand: 3,
            lent: 4,
            uses: Uses {
                on_demand: 2,
                spot: 1,
                training: 1,
                waiting: 0,
                leaving: 1,
            },
            expected: Some(Expected {
                at: at + 600,
                point: 55.0,
                band: (40.0, 70.0),
            }),
            ..Point::default()
        };
        let outcome = Outcome {
            seconds: 1800,
            curve: (0..4).map(|order| point(order * 600)).collect(),
            ..Outcome::default()
        };
        Played {
            no_standby: None,
            standby: 0,
            planner: outcome.clone(),
            alone: outcome,
            nodes: 5,
            capacity: 10.0,
        }
    }

    fn drawn(spot: bool) -> Picture {
        let asked = Asked {
            series: Series {
                name: "load".to_owned(),
                trace: Trace {
                    step: 600,
                    values: vec![Some(50.0); 4],
                },
                step: 600,
                days: 1,
                left_out: 0,
                fill_percent: None,
                percentile: None,
                standby: Some(0),
            },
            spot: spot.then(|| SpotTrace::parse("0,a,3\n").unwrap()),
            notice: 120,
            seed: 1,
            bounds: (1, 20),
            capacity: None,
        };
        of("load", Timestamp::UNIX_EPOCH, &asked, &played())
    }

    fn names(picture: &Picture, panel: usize) -> Vec<&str> {
        match &picture.panels[panel].body {
            Body::Time { layers, .. } => layers.iter().map(|layer| layer.name.as_str()).collect(),
            Body::Bars { .. } => Vec::new(),
        }
    }

    #[test]
    fn load_forecast_instances_nodes_cost_and_lent_hours_are_drawn() {
        let picture = drawn(true);
        assert_eq!(picture.panels.len(), 6);
        assert_eq!(names(&picture, 0), ["5 to 95 %", "load", "forecast"]);
        let uses = ["on-demand", "spot", "training alone", "leaving"];
        assert_eq!(names(&picture, 3), uses, "what there never was is left out");
        assert_eq!(names(&picture, 4), ["autoscaler alone", "planner"]);
        assert_eq!(drawn(false).panels.len(), 5, "all nodes cost the same");
    }

    #[test]
    fn nodes_stand_on_each_other_and_lent_hours_add_up() {
        let picture = drawn(true);
        let tops = |panel: usize| -> Vec<f64> {
            let Body::Time { layers, .. } = &picture.panels[panel].body else {
                panic!("it is over time");
            };
            let tops = layers.iter().filter_map(|layer| match &layer.mark {
                Mark::Band { points, .. } => points.last()?.1.map(|(_, top)| top),
                _ => None,
            });
            tops.collect()
        };
        assert_eq!(tops(3), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(tops(5), [2.0], "4 slots for half an hour");
        assert_eq!(tops(0), [70.0], "beyond the end nothing is drawn");
    }
}
