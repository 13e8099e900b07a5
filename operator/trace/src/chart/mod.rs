//! Pictures of series over time, as SVG: panels one above the other, each with its own axes.
//!
//! A writer of a page was chosen over a plotting crate: text stays text in whatever font the reader's machine has,
//! time axes know daylight saving, and a picture is a few tens of kilobytes.

mod axis;
mod draw;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Colours that can be told apart, also by people who see few.
pub mod colour {
    /// What was measured.
    pub const MEASURED: &str = "#334155";
    /// What is ours: the forecast, the planner.
    pub const OURS: &str = "#2563eb";
    /// What it is compared with first.
    pub const PEER: &str = "#ea580c";
    /// A second comparison.
    pub const OTHER: &str = "#0d9488";
    /// A third comparison.
    pub const THIRD: &str = "#a855f7";
    /// What is good to have: lent, saved.
    pub const GAIN: &str = "#16a34a";
    /// What must not be: lost, breached.
    pub const LOSS: &str = "#dc2626";
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What it shows.
    pub title: String,
    /// What follows from it, in numbers.
    pub subtitle: String,
    /// How times are written.
    pub clock: Clock,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// How times are written.
#[derive(Clone, Debug)]
pub enum Clock {
    /// As dates and times of a zone.
    Calendar(TimeZone),
    /// As days since the beginning of a trace that has no dates.
    Days(Timestamp),
}

impl Clock {
    /// Dates where there are any: a trace that begins within the first days of 1970 counts its seconds from 0.
    #[must_use]
    pub fn of(begin: Timestamp, zone: &TimeZone) -> Self {
        if begin.as_second().abs() < 30 * 86_400 {
            Self::Days(begin)
        } else {
            Self::Calendar(zone.clone())
        }
    }
}

/// One pair of axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// What the vertical axis counts.
    pub unit: String,
    /// Height of the drawing, in pixels.
    pub height: f64,
    /// What is drawn.
    pub body: Body,
}

/// What is drawn in a panel.
#[derive(Clone, Debug)]
pub enum Body {
    /// Something over time.
    Time {
        /// The left end.
        from: Timestamp,
        /// The right end.
        to: Timestamp,
        /// From the back to the front.
        layers: Vec<Layer>,
    },
    /// Groups of bars.
    Bars {
        /// The names of the groups.
        groups: Vec<String>,
        /// In each group one bar of each.
        series: Vec<Bars>,
    },
}

/// Bars of one colour.
#[derive(Clone, Debug)]
pub struct Bars {
    /// Its name.
    pub name: String,
    /// Its colour.
    pub colour: &'static str,
    /// One value for each group; what is no number is not drawn.
    pub values: Vec<f64>,
}

/// Something drawn over time.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name in the legend; an empty one is not in it.
    pub name: String,
    /// Its colour.
    pub colour: &'static str,
    /// What it looks like.
    pub mark: Mark,
}

/// What a layer looks like.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A line, interrupted where there is no value.
    Line {
        /// Width in pixels.
        width: f64,
        /// Its points.
        points: Vec<(Timestamp, Option<f64>)>,
    },
    /// A value that holds until the next one.
    Stairs {
        /// Width in pixels.
        width: f64,
        /// Where it changes.
        points: Vec<(Timestamp, Option<f64>)>,
    },
    /// The room between two values.
    Band {
        /// From 0, invisible, to 1.
        opacity: f64,
        /// Lower and upper values.
        points: Vec<(Timestamp, Option<(f64, f64)>)>,
    },
}

impl Picture {
    /// The picture as the text of an SVG file.
    #[must_use]
    pub fn svg(&self) -> String {
        draw::svg(self)
    }
}
