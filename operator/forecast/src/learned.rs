//! Everything learned from a series, from its first value above zero on.

use serde::{Deserialize, Serialize};

use crate::ahead::{Ahead, Expected};
use crate::features::Features;
use crate::guard::{Differences, Guard};
use crate::history::History;
use crate::member::{HoltWinters, HourProfile, Level, Past, Shares};
use crate::packed;
use crate::scale::Scale;
use crate::settings::Settings;
use crate::skill::Skill;

/// Of an error, what the levels of simple smoothing take.
const LEVELS: [f64; 2] = [0.5, 0.25];
/// A damped trend; an hourly season followed quickly; the same, slowly.
const WINTERS: [Shares; 3] = {
    let seasonal = Shares {
        level: 0.5,
        trend: 0.0,
        damping: 0.0,
        season: 0.4,
        limit: 3.0,
    };
    [
        Shares {
            trend: 0.2,
            damping: 0.9,
            season: 0.0,
            limit: f64::MAX,
            ..seasonal
        },
        seasonal,
        Shares {
            level: 0.2,
            season: 0.15,
            ..seasonal
        },
    ]
};
/// Days over which the usual level of the series is formed.
const SCALE: f64 = 3.0;
/// What is kept of the members' losses when the level of the load changes.
const KEPT_AT_A_CHANGE: f64 = 0.5;
/// Numbers of steps that are learned; those between are interpolated.
const LEARNED: u16 = 6;

/// The simple members, which know nothing of how far ahead they are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Simple {
    /// The newest logarithm.
    #[serde(with = "packed")]
    newest: [f64; 1],
    levels: [Level; LEVELS.len()],
    winters: [HoltWinters; WINTERS.len()],
    hour: HourProfile,
}

impl Simple {
    fn starting(log: f64, period: usize) -> Self {
        Self {
            newest: [log],
            levels: LEVELS.map(|_| Level::starting(log)),
            winters: WINTERS.map(|_| HoltWinters::starting(log, period)),
            hour: HourProfile::starting(period),
        }
    }

    pub(crate) fn newest(&self) -> f64 {
        self.newest[0]
    }

    pub(crate) fn levels(&self) -> [f64; LEVELS.len()] {
        self.levels.each_ref().map(Level::level)
    }

    pub(crate) fn winters(&self, slot: i64, ahead: usize) -> [f64; WINTERS.len()] {
        let mut logs = [0.0; WINTERS.len()];
        for ((log, member), shares) in logs.iter_mut().zip(&self.winters).zip(&WINTERS) {
            *log = member.forecast(slot, ahead, shares);
        }
        logs
    }

    pub(crate) fn hour(&self) -> &HourProfile {
        &self.hour
    }

    fn observe(&mut self, slot: i64, log: Option<f64>, past: &Past<'_>) {
        for (member, shares) in self.winters.iter_mut().zip(&WINTERS) {
            member.observe(slot, log, shares);
        }
        self.hour.observe(slot, |slot| past.log(slot));
        let Some(log) = log else { return };
        self.newest = [log];
        for (level, share) in self.levels.iter_mut().zip(LEVELS) {
            level.observe(log, share);
        }
    }

    fn is_sound(&self, period: usize) -> bool {
        self.newest[0].is_finite()
            && self.levels.iter().all(Level::is_sound)
            && self.winters.iter().all(|member| member.is_sound(period))
            && self.hour.is_sound(period)
    }
}

/// Everything learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Learned {
    scale: Scale,
    simple: Simple,
    guard: Guard,
    ahead: Vec<Ahead>,
    /// Level changes that the guard noticed.
    changes: u32,
}

impl Learned {
    /// Begins with the first value above zero.
    pub(crate) fn starting(value: f64, settings: &Settings) -> Self {
        let scale = Scale::starting(value);
        let simple = Simple::starting(scale.log(value), settings.slots_of_an_hour());
        Self {
            scale,
            simple,
            guard: Guard::default(),
            ahead: learned_steps(settings.horizon)
                .map(Ahead::starting)
                .collect(),
            changes: 0,
        }
    }

    /// Takes the newest slot of the history.
    pub(crate) fn observe(&mut self, settings: &Settings, history: &History) {
        let newest = history.next() - 1;
        let value = history.get(newest);
        let day = settings.steps_of_a_day() as f64;
        if let Some(value) = value {
            self.scale.observe(value, SCALE * day);
        }
        let log = value.map(|value| self.scale.log(value));
        for ahead in &mut self.ahead {
            ahead.observe(log, &self.scale, day);
        }
        let past = Past {
            settings,
            history,
            scale: &self.scale,
        };
        let from = |days| Some(log? - past.days_before(newest, days)?);
        let differences = Differences {
            day: from(1),
            week: from(7),
        };
        let slots = u32::try_from(settings.steps_of_a_day()).unwrap_or(u32::MAX);
        if self.guard.observe(differences, slots) {
            self.changes = self.changes.saturating_add(1);
            for ahead in &mut self.ahead {
                ahead.forget(KEPT_AT_A_CHANGE);
            }
        }
        self.simple.observe(newest, log, &past);
        let trusted = matches!(
            self.skill(settings, history),
            Skill::BetterThanLastValue { .. }
        );
        for ahead in &mut self.ahead {
            let features = Features::of(&self.simple, &past, newest, ahead.steps);
            ahead.predict(&features, trusted);
        }
    }

    /// What is expected of each learned number of steps, as logarithms, soonest first.
    pub(crate) fn expected(&self) -> impl Iterator<Item = (u16, Expected)> {
        let ahead = self.ahead.iter();
        ahead.filter_map(|ahead| Some((ahead.steps, ahead.expected()?)))
    }

    pub(crate) fn scale(&self) -> &Scale {
        &self.scale
    }

    /// How good the members have lately been, over every learned number of steps. What was learned before a day without a
    /// value, or without load, says nothing of the day.
    pub(crate) fn skill(&self, settings: &Settings, history: &History) -> Skill {
        let needed = settings.steps_of_a_day();
        let mut day = history.newest(needed).peekable();
        if day.peek().is_none() {
            let compared = 0;
            return Skill::CollectingHistory { compared, needed };
        }
        let compared = self.ahead.iter().map(|ahead| ahead.score.compared).min();
        let compared = compared.map_or(0, |compared| compared as usize);
        let mut sums = [0.0; 3];
        for ahead in &self.ahead {
            for (sum, of_this) in sums.iter_mut().zip(ahead.score.sums) {
                *sum += of_this;
            }
        }
        match Skill::judged(compared, needed, sums) {
            collecting @ Skill::CollectingHistory { .. } => collecting,
            _ if day.all(|value| value <= 0.0) => Skill::NoLoad,
            judged => judged,
        }
    }

    /// How often the level of the load was seen to change.
    pub(crate) fn changes(&self) -> u32 {
        self.changes
    }

    pub(crate) fn is_sound(&self, settings: &Settings) -> bool {
        self.scale.is_sound()
            && self.guard.is_sound()
            && self.simple.is_sound(settings.slots_of_an_hour())
            && self.ahead.iter().all(Ahead::is_sound)
            && (self.ahead.iter().map(|ahead| ahead.steps)).eq(learned_steps(settings.horizon))
    }
}

/// Every number of steps up to six; beyond, six of them from the first to the last, denser at the beginning.
fn learned_steps(horizon: u16) -> impl Iterator<Item = u16> {
    let count = LEARNED.min(horizon);
    let ratio = f64::from(horizon).ln() / f64::from(LEARNED - 1);
    (1..=count).map(move |order| {
        if horizon <= LEARNED {
            return order;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to the horizon"
        )]
        let steps = (ratio * f64::from(order - 1)).exp().round() as u16;
        // Close to the beginning the rounded powers would meet.
        steps.max(order).min(horizon - (count - order))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learned_steps_rise_from_the_first_to_the_last() {
        for horizon in 1..=48 {
            let steps: Vec<u16> = learned_steps(horizon).collect();
            assert_eq!(steps[0], 1);
            assert_eq!(steps.last(), Some(&horizon));
            assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
            assert!(steps.len() <= 6);
        }
    }
}
