//! Windows that come again: five fields of cron in a time zone, and a duration.
//!
//! An occurrence is a time on the wall, mapped to one instant: a time that a change of the clocks leaves out is taken
//! as much later as the clocks jump, one that comes twice is the first of the two. So a daily window opens exactly once
//! on every day, those of the change included. Its duration is elapsed time.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::foresight::Window;

/// The shortest and the longest window.
const DURATIONS: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(5), SignedDuration::from_hours(24));
/// How far a change of the clocks may move an occurrence.
const CHANGE: SignedDuration = SignedDuration::from_hours(3);
/// The occurrences that are looked at for an overlap: more than a year of a daily window.
const LOOKED_AT: usize = 400;
/// Where that begins. Any year will do, as long as it is always the same one: what is valid today is valid tomorrow.
const LOOKED_FROM: DateTime = DateTime::constant(2024, 1, 1, 0, 0, 0, 0);
/// What was opened is doubted when it lies further ahead than this: one of the two clocks is wrong.
const TRUSTED: SignedDuration = SignedDuration::from_hours(1);
/// How long it is doubted before it is given up: one look with a wrong clock teaches nothing.
const DOUBTED: SignedDuration = SignedDuration::from_mins(10);

/// A window that can be looked up.
#[derive(Clone, Debug)]
pub struct Schedule {
    crontab: Crontab,
    zone: TimeZone,
    duration: SignedDuration,
}

/// One opening of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// When it opens.
    pub open: Timestamp,
    /// When it closes.
    pub close: Timestamp,
}

/// The last opening of a window that was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Opened {
    /// When it opened.
    pub open: Timestamp,
    /// Whether it has been closed. It is never opened again.
    pub closed: bool,
    /// The opening before it: what counts when this one turns out to be another clock's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// The first of the looks by which it lies far ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted: Option<Timestamp>,
}

impl Opened {
    /// What is remembered at a look. What lies far ahead is kept as it is, until another look says the same a while
    /// after the first: then it was another clock that opened it.
    fn at(&self, now: Timestamp) -> Option<Self> {
        let is_ahead = self.open.duration_since(now) > TRUSTED;
        let since = |doubted| now.duration_since(doubted);
        let lasts =
            |doubted: &Timestamp| (SignedDuration::ZERO..=TRUSTED).contains(&since(*doubted));
        let doubted = self.doubted.filter(lasts);
        if is_ahead && doubted.is_some_and(|doubted| since(doubted) >= DOUBTED) {
            let before = Self {
                open: self.before?,
                closed: true,
                before: None,
                doubted: None,
            };
            return before.at(now);
        }
        Some(Self {
            doubted: is_ahead.then(|| doubted.unwrap_or(now)),
            ..self.clone()
        })
    }
}

/// Why a window cannot be used. Names the field, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The schedule is no cron expression.
    #[error(
        "window {window:?}: schedule {schedule:?} must be a cron expression of five fields such as '0 1 * * *'; the zone goes into timeZone"
    )]
    Schedule {
        /// The window.
        window: String,
        /// What was given.
        schedule: String,
    },
    /// The schedule never comes.
    #[error("window {window:?}: schedule {schedule:?} never comes; give a date that there is")]
    Never {
        /// The window.
        window: String,
        /// What was given.
        schedule: String,
    },
    /// There is no such zone.
    #[error(
        "window {window:?}: unknown time zone {zone:?}: must be an IANA time zone such as 'Asia/Shanghai'"
    )]
    Zone {
        /// The window.
        window: String,
        /// What was given.
        zone: String,
    },
    /// The duration is out of range.
    #[error("window {window:?}: duration {duration:#} must be between '5m' and '24h'")]
    Duration {
        /// The window.
        window: String,
        /// What was given.
        duration: SignedDuration,
    },
    /// It opens again before it has closed.
    #[error(
        "window {window:?}: schedule {schedule:?} with duration {duration:#}: it opens again before it closes; give a shorter duration or a rarer schedule"
    )]
    Overlaps {
        /// The window.
        window: String,
        /// What was given.
        schedule: String,
        /// What was given.
        duration: SignedDuration,
    },
}

impl Unusable {
    /// That a window opens again before it has closed.
    #[must_use]
    pub fn overlaps(window: &Window) -> Self {
        Self::Overlaps {
            window: window.name.clone(),
            schedule: window.schedule.clone(),
            duration: window.duration,
        }
    }
}

impl Schedule {
    /// Reads a window that has to have closed before it opens again.
    pub fn of(window: &Window) -> Result<Self, Unusable> {
        let schedule = Self::read(window)?;
        if schedule.overlaps() {
            return Err(Unusable::overlaps(window));
        }
        Ok(schedule)
    }

    /// Reads a window that may open again while it is open: then it goes on. Its openings are not followed
    /// through a year, so that it can be read anew for each plan.
    pub fn read(window: &Window) -> Result<Self, Unusable> {
        let name = || window.name.clone();
        let malformed = || Unusable::Schedule {
            window: name(),
            schedule: window.schedule.clone(),
        };
        if window.schedule.split_whitespace().count() != 5 {
            return Err(malformed());
        }
        let mut options = ParseOptions::default();
        // The fields are matched on the wall's time: the zone comes in afterwards.
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab =
            cronexpr::parse_crontab_with(&window.schedule, options).map_err(|_| malformed())?;
        // The zones that come with the program: those of the machine would be another input.
        let zone = TimeZoneDatabase::bundled()
            .get(&window.time_zone)
            .map_err(|_| Unusable::Zone {
                window: name(),
                zone: window.time_zone.clone(),
            })?;
        if window.duration < DURATIONS.0 || window.duration > DURATIONS.1 {
            return Err(Unusable::Duration {
                window: name(),
                duration: window.duration,
            });
        }
        let schedule = Self {
            crontab,
            zone,
            duration: window.duration,
        };
        if schedule.wall_after(LOOKED_FROM).next().is_none() {
            return Err(Unusable::Never {
                window: name(),
                schedule: window.schedule.clone(),
            });
        }
        Ok(schedule)
    }

    /// Whether it opens again before it has closed, at some of its openings: they are followed through a year.
    #[must_use]
    pub fn overlaps(&self) -> bool {
        let mut last: Option<DateTime> = None;
        self.wall_after(LOOKED_FROM).take(LOOKED_AT).any(|at| {
            let last = last.replace(at);
            last.is_some_and(|last| at.duration_since(last) < self.duration)
        })
    }

    /// The same window by the times on the wall, as if no clock were ever changed.
    #[must_use]
    pub fn on_the_wall(&self) -> Self {
        Self {
            zone: TimeZone::UTC,
            ..self.clone()
        }
    }

    /// Whether its times are on the same wall as another's.
    #[must_use]
    pub fn shares_the_wall_of(&self, other: &Self) -> bool {
        self.zone == other.zone
    }

    /// Openings that are looked at for an overlap with another window: always the same ones.
    #[must_use]
    pub fn looked_at(&self) -> Vec<Occurrence> {
        self.wall_after(LOOKED_FROM)
            .take(LOOKED_AT)
            .filter_map(|at| self.occurrence(at))
            .collect()
    }

    /// Whether this window is open at some moment of another's opening.
    #[must_use]
    pub fn meets(&self, other: &Occurrence) -> bool {
        let earliest = other.open.saturating_sub(self.duration);
        let from = self.wall(earliest.unwrap_or(Timestamp::MIN));
        let mut next = self
            .wall_after(from)
            .filter_map(|at| self.occurrence(at))
            .skip_while(|own| own.close <= other.open);
        next.next().is_some_and(|own| own.open < other.close)
    }

    /// Whether some opening lasts at `now`.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.around(now)
            .any(|occurrence| occurrence.open <= now && now < occurrence.close)
    }

    /// The opening that lasts at `now`: the earliest of them.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Option<Occurrence> {
        self.around(now)
            .filter(|occurrence| occurrence.open <= now && now < occurrence.close)
            .min()
    }

    /// The next opening after `now`.
    #[must_use]
    pub fn after(&self, now: Timestamp) -> Option<Occurrence> {
        let wall = self.wall(now);
        // One more than a change of the clocks can swallow.
        let mut next: Vec<Occurrence> = self
            .wall_after(wall.saturating_sub(CHANGE))
            .take(8)
            .filter_map(|at| self.occurrence(at))
            .filter(|occurrence| occurrence.open > now)
            .collect();
        if next.is_empty() {
            // A frequent window whose last eight were all before now.
            next = self
                .wall_after(wall)
                .take(8)
                .filter_map(|at| self.occurrence(at))
                .filter(|occurrence| occurrence.open > now)
                .collect();
        }
        next.into_iter().min()
    }

    /// What is open now, given what was opened before, and what is to be remembered. An opening is opened once and
    /// closed once, whatever the clock does in between and however often the operator starts anew.
    #[must_use]
    pub fn look(
        &self,
        now: Timestamp,
        opened: Option<&Opened>,
    ) -> (Option<Occurrence>, Option<Opened>) {
        let opened = opened.and_then(|opened| opened.at(now));
        if let Some(opened) = opened.as_ref().filter(|opened| !opened.closed) {
            let mut openings = self.around(opened.open);
            let same = openings.find(|occurrence| occurrence.open == opened.open);
            // One that the schedule does not know any more has been edited away.
            if let Some(occurrence) = same.filter(|occurrence| now < occurrence.close) {
                return (Some(occurrence), Some(opened.clone()));
            }
        }
        let last = opened.as_ref().map(|opened| opened.open);
        match self.at(now) {
            Some(new) if last.is_none_or(|last| new.open > last) => {
                let opened = Opened {
                    open: new.open,
                    closed: false,
                    before: last,
                    doubted: None,
                };
                (Some(new), Some(opened))
            }
            _ => (
                None,
                opened.map(|opened| Opened {
                    closed: true,
                    ..opened
                }),
            ),
        }
    }

    fn around(&self, now: Timestamp) -> impl Iterator<Item = Occurrence> {
        let wall = self.wall(now);
        let until = wall.saturating_add(CHANGE);
        self.wall_after(wall.saturating_sub(self.duration).saturating_sub(CHANGE))
            .take_while(move |at| *at <= until)
            .filter_map(|at| self.occurrence(at))
    }

    fn occurrence(&self, at: DateTime) -> Option<Occurrence> {
        let open = self.zone.to_ambiguous_timestamp(at).compatible().ok()?;
        let close = open.saturating_add(self.duration).ok()?;
        Some(Occurrence { open, close })
    }

    fn wall(&self, now: Timestamp) -> DateTime {
        self.zone.to_datetime(now)
    }

    /// Times on the wall that the five fields name, after one.
    fn wall_after(&self, from: DateTime) -> impl Iterator<Item = DateTime> {
        let from = TimeZone::UTC
            .to_ambiguous_timestamp(from)
            .compatible()
            .unwrap_or(Timestamp::MAX);
        self.crontab
            .iter_after(MakeTimestamp(from))
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .map(|at| at.datetime())
    }
}

#[cfg(test)]
mod tests;
