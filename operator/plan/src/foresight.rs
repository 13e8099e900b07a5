//! What the capabilities that look ahead are asked for. Absent is not asked for: such a capability does nothing.
//!
//! These are the spec's parts `prewarm`, `errorRate`, `spot`, `training` and `cost` as values, until the resource has
//! them.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foresight {
    /// Instances ahead of the load.
    pub prewarm: Option<Prewarm>,
    /// Nodes that wait with the model in memory, before any is lent. Nothing computes the number here: it costs money.
    /// A replay says what the past asks for (`replay --standby auto`).
    pub standby_nodes: u32,
    /// What is done about errors.
    pub error_rate: Option<ErrorRate>,
    /// Capacity that can be taken back.
    pub spot: Option<Spot>,
    /// What is spent.
    pub cost: Option<Cost>,
    /// Idle capacity lent to training.
    pub training: Option<Training>,
}

/// Whether a capability acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It acts.
    #[default]
    Active,
    /// It says what it would do, and does nothing.
    Shadow,
    /// It does nothing.
    Off,
}

/// A window that comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Unique among its kind.
    pub name: String,
    /// Five fields of cron.
    pub schedule: String,
    /// An IANA time zone.
    pub time_zone: String,
    /// How long it lasts, 5 minutes to 24 hours.
    pub duration: SignedDuration,
}

/// Instances ahead of the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Prewarm {
    /// Whether the forecast acts; events always do.
    pub mode: Mode,
    /// How far ahead; the measured cold start when that is longer.
    pub lead_time: SignedDuration,
    /// The percentile of the forecast that is prepared for, 50 to 99.
    pub percentile: u8,
    /// How busy instances may be at that percentile, in percent of what they can answer. No question to a user: higher
    /// saves little, since the autoscaler holds its own target anyway, and lower pays twice for the same caution.
    pub fill_percent: u32,
    /// The grid that demand is measured on.
    pub step: SignedDuration,
    /// Whose days and weeks the load follows. Where clocks are changed twice a year a load that goes by them moves by an
    /// hour on any other calendar, and forecasts of its edges are late or early for some days.
    pub zone: TimeZone,
    /// Load that is known beforehand.
    pub events: Vec<Event>,
}

impl Default for Prewarm {
    fn default() -> Self {
        Self {
            mode: Mode::Active,
            lead_time: SignedDuration::from_mins(30),
            percentile: 95,
            fill_percent: 90,
            step: SignedDuration::from_mins(10),
            zone: TimeZone::UTC,
            events: Vec::new(),
        }
    }
}

/// Load that is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub window: Window,
    /// The fewest instances while it lasts.
    pub min_replicas: u32,
}

/// What is done about errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRate {
    /// Whether it acts.
    pub mode: Mode,
    /// The share of requests that may fail, in hundredths of a percent.
    pub threshold_basis_points: u32,
}

impl Default for ErrorRate {
    fn default() -> Self {
        Self {
            mode: Mode::Active,
            threshold_basis_points: 100,
        }
    }
}

/// Capacity that can be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Instances that are always on on-demand nodes.
    pub on_demand_replicas: u32,
    /// Replacements started at once, in percent of the instances, rounded up.
    pub max_surge_percent: u32,
    /// Labels of the spot nodes; absent: the well-known ones. An empty list would name every node: it is told, and
    /// counts as absent.
    pub node_selector: Option<BTreeMap<String, String>>,
}

impl Default for Spot {
    fn default() -> Self {
        Self {
            on_demand_replicas: 2,
            max_surge_percent: 25,
            node_selector: None,
        }
    }
}

/// What is spent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The most that may be spent in a calendar month (UTC), in thousandths of the currency.
    pub monthly_budget_milli: Option<u64>,
}

/// Idle capacity lent to training.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Training {
    /// The most CPU that is ever lent, in thousandths.
    pub cpu_milli: u64,
    /// The most memory, in bytes.
    pub memory_bytes: u64,
    /// When; none: at any time that the forecast leaves room.
    pub windows: Vec<Window>,
}

#[cfg(test)]
mod tests;
