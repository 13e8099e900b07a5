//! How much room the next minutes will need: demand learned and forecast, and turned into instances by what an instance
//! was seen to answer.

use chatbot_forecast::{Forecast, Forecaster, Settings, Skill};
use jiff::{SignedDuration, Timestamp};

use crate::foresight::{Event, Prewarm};
use crate::recollection::Learned;
use crate::schedule::{Schedule, Unusable};
use crate::signals::{Demand, fresh};
use crate::world::World;

/// The longest checkpoint that is waited for.
pub const LONGEST_CHECKPOINT: SignedDuration = SignedDuration::from_mins(30);
/// Where CPU use says something about what an instance answers: below it is noise, above it is a queue.
const TELLING: std::ops::RangeInclusive<f64> = 0.1..=0.97;
/// A slot that is further from the newest one is another clock's, or comes after the operator was away: it is believed
/// when another one follows it.
const FAR: SignedDuration = SignedDuration::from_hours(1);
/// How much a new measurement of an instance's capacity counts.
const GAIN: f64 = 0.2;

/// What the next minutes will need.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// What is to be remembered; `None` when nobody asked for a forecast.
    pub learned: Option<Learned>,
    /// How far ahead is looked: the lead asked for, or the cold start when that is longer.
    pub lead: SignedDuration,
    known: Result<Known, Blind>,
}

#[derive(Clone, Debug)]
struct Known {
    forecast: Forecast,
    /// What one instance may be asked for, a second, when it has been measured.
    answers: Option<f64>,
    level: f64,
    skill: Skill,
    passed: SignedDuration,
}

/// Why the next minutes are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blind {
    /// Nobody asked.
    #[error("no forecast is asked for")]
    NotAsked,
    /// Demand is not known, or was measured too long ago.
    #[error("demand is not known, or was last measured too long ago")]
    Stale,
    /// Too little has been seen.
    #[error(
        "history is being collected: forecasts are compared with what came for a day before one is acted on"
    )]
    CollectingHistory,
    /// What an instance answers has not been seen.
    #[error("what one instance can answer has not been measured yet")]
    CapacityUnknown,
    /// The grid cannot be used. What was learned on another one is kept.
    #[error(
        "prewarm.step: {0} s cannot be used; give a number of seconds from 60 to 21600 that divides a day, such as 600"
    )]
    UnusableStep(i64),
    /// What is asked lies beyond the forecast: it is not guessed at.
    #[error(
        "the forecast reaches {reach} minutes, {needed} are needed: a cold start and a checkpoint must lie within it; raise prewarm.leadTime to at least the cold start, or measure demand in longer steps"
    )]
    TooShort {
        /// Minutes that are forecast.
        reach: u32,
        /// Minutes that are asked for.
        needed: u32,
    },
}

impl Outlook {
    /// What a world lets expect.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let foresight = &world.foresight;
        if foresight.prewarm.is_none() && foresight.training.is_none() {
            return Self {
                learned: None,
                lead: SignedDuration::ZERO,
                known: Err(Blind::NotAsked),
            };
        }
        let asked = foresight.prewarm.clone().unwrap_or_default();
        let settings = settings(&asked);
        let learned = match &settings {
            Ok(settings) => learn(world, &asked, settings.clone()),
            Err(_) => world.memory.foresight.learned.clone(),
        };
        let cold = learned
            .as_ref()
            .and_then(|learned| learned.cold_start_seconds);
        let cold = SignedDuration::from_secs(cold.unwrap_or_default().into());
        let lead = asked.lead_time.max(cold);
        Self {
            known: settings.and_then(|_| {
                let learned = learned.as_ref().ok_or(Blind::Stale)?;
                known(world.now, learned, &asked)
            }),
            learned,
            lead,
        }
    }

    /// How far is forecast, if anything is.
    #[must_use]
    pub fn reach(&self) -> Option<SignedDuration> {
        let forecast = &self.known.as_ref().ok()?.forecast;
        let steps = i64::try_from(forecast.steps.len()).ok()?;
        Some(SignedDuration::from_secs(
            steps.saturating_mul(i64::from(forecast.step)),
        ))
    }

    /// Instances for the highest demand of the percentile from now until `ahead` from now.
    pub fn replicas(&self, ahead: SignedDuration) -> Result<u32, Blind> {
        let known = self.known.as_ref().map_err(|blind| *blind)?;
        let seconds = |of: SignedDuration| u32::try_from(of.as_secs()).unwrap_or(u32::MAX);
        let reach = u32::try_from(known.forecast.steps.len()).unwrap_or(u32::MAX);
        let reach = reach.saturating_mul(known.forecast.step);
        let needed = seconds(ahead);
        if needed > reach {
            return Err(Blind::TooShort {
                reach: reach / 60,
                needed: needed.div_ceil(60),
            });
        }
        // Steps are counted from the end of the origin's slot, which is at most two steps ago: by so much the forecast
        // may end early.
        let ahead = seconds(ahead + known.passed);
        let demand = known
            .forecast
            .highest(known.level, ahead.min(reach))
            .ok_or(Blind::Stale)?;
        replicas(demand, known.answers)
    }

    /// Instances for the demand that is expected then, in the middle of what may come.
    #[must_use]
    pub fn expected(&self, ahead: SignedDuration) -> Option<u32> {
        let known = self.known.as_ref().ok()?;
        let ahead = u32::try_from(ahead.as_secs()).ok()?;
        let index = usize::try_from(ahead / known.forecast.step.max(1)).ok()?;
        let step = known.forecast.steps.get(index)?;
        replicas(step.point, known.answers).ok()
    }

    /// How good forecasts have been.
    #[must_use]
    pub fn skill(&self) -> Option<Skill> {
        self.known.as_ref().ok().map(|known| known.skill)
    }
}

/// Whether an event is there, or begins within `ahead`. One that begins anew while it is there goes on.
pub fn comes(now: Timestamp, event: &Event, ahead: SignedDuration) -> Result<bool, Unusable> {
    let schedule = Schedule::read(&event.window)?;
    let until = now.saturating_add(ahead).unwrap_or(now);
    let soon = || schedule.after(now).is_some_and(|next| next.open <= until);
    Ok(schedule.is_open(now) || soon())
}

/// Instances for a demand. No demand needs none, whatever one answers.
fn replicas(demand: f64, answers: Option<f64>) -> Result<u32, Blind> {
    if demand <= 0.0 {
        return Ok(0);
    }
    let wanted = (demand / answers.ok_or(Blind::CapacityUnknown)?).ceil();
    // Bounds come by vote; here only what no cluster has is cut off.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    let wanted = wanted.clamp(0.0, 1e6) as u32;
    Ok(wanted)
}

fn known(now: Timestamp, learned: &Learned, asked: &Prewarm) -> Result<Known, Blind> {
    let forecast = learned.forecaster.forecast().map_err(|_| Blind::Stale)?;
    let begins = now.duration_since(forecast.origin);
    // The newest slot is over, and the one after it may be under way or just over.
    if begins > asked.step * 3 || begins.is_negative() {
        return Err(Blind::Stale);
    }
    let skill = learned.forecaster.skill();
    if matches!(skill, Skill::CollectingHistory { .. }) {
        return Err(Blind::CollectingHistory);
    }
    let fill = f64::from(asked.fill_percent.max(1));
    Ok(Known {
        passed: (begins - asked.step).max(SignedDuration::ZERO),
        forecast,
        answers: learned
            .capacity_milli
            .map(|capacity| capacity as f64 / 1000.0 * fill / 100.0),
        level: f64::from(asked.percentile) / 100.0,
        skill,
    })
}

/// What is remembered, with what the newest step adds.
fn learn(world: &World, asked: &Prewarm, settings: Settings) -> Option<Learned> {
    let remembered = world.memory.foresight.learned.clone();
    let mut learned = match remembered {
        Some(learned) if *learned.forecaster.settings() == settings => learned,
        // Another lead asks for more or fewer steps of the same series, another zone for other days of it.
        Some(learned) if learned.forecaster.settings().step == settings.step => Learned {
            forecaster: learned.forecaster.relearned(settings).ok()?,
            ..learned
        },
        _ => Learned {
            forecaster: Forecaster::new(settings).ok()?,
            capacity_milli: None,
            cold_start_seconds: None,
            apart: None,
        },
    };
    let signals = &world.observed.signals;
    if let Some((demand, at)) = fresh(&signals.demand, world.now, asked.step * 2)
        && let Ok(slot) = at.checked_sub(asked.step)
        && observe(&mut learned, slot, demand.per_second)
    {
        learned.capacity_milli = capacity(learned.capacity_milli, demand);
        // Starts are taken with the step, so that memory changes once in it.
        if let Some((starts, _)) = fresh(&signals.starts, world.now, SignedDuration::from_hours(24))
        {
            learned.cold_start_seconds = u32::try_from(starts.cold.as_secs()).ok();
        }
    }
    Some(learned)
}

/// Takes a slot, and says whether it was new. What was seen before is refused, and so is what cannot be: then the step
/// stays a gap. One look with a clock that is wrong teaches nothing; when the clock had been ahead for longer, what was
/// learned lies in the future, and learning begins anew.
fn observe(learned: &mut Learned, slot: Timestamp, per_second: f64) -> bool {
    let step = SignedDuration::from_secs(learned.forecaster.settings().step.into());
    let far = FAR.max(step * 3);
    let newest = learned.forecaster.newest();
    let away = newest.map_or(SignedDuration::ZERO, |newest| slot.duration_since(newest));
    if away.abs() > far {
        let before = learned.apart.map(|before| slot.duration_since(before));
        if before.is_none_or(|passed| passed.is_negative() || passed > far) {
            learned.apart = Some(slot);
        }
        if before.is_none_or(|passed| passed < step || passed > far) {
            return false;
        }
        if away.is_negative() {
            let settings = learned.forecaster.settings().clone();
            let Ok(anew) = Forecaster::new(settings) else {
                return false;
            };
            learned.forecaster = anew;
        }
    }
    learned.apart = None;
    learned.forecaster.observe(slot, Some(per_second)).is_ok()
}

/// The series that is forecast.
pub fn settings(asked: &Prewarm) -> Result<Settings, Blind> {
    let unusable = Blind::UnusableStep(asked.step.as_secs());
    let step = u32::try_from(asked.step.as_secs()).map_err(|_| unusable)?;
    let a_day = SignedDuration::from_hours(24).as_secs();
    let lead = asked.lead_time.max(SignedDuration::ZERO);
    let reach = lead.saturating_add(LONGEST_CHECKPOINT).as_secs();
    let reach = reach.min(a_day).cast_unsigned();
    let horizon = reach.div_ceil(u64::from(step.max(1))).min(48);
    let settings = Settings::new(step, u16::try_from(horizon).unwrap_or(48));
    let settings = settings.in_zone(asked.zone.clone());
    settings.check().map_err(|_| unusable)?;
    Ok(settings)
}

/// Demand of one instance at full use: demand over instances over their use, smoothed. A step in which nothing can be
/// told changes nothing.
fn capacity(before: Option<u64>, demand: &Demand) -> Option<u64> {
    let telling = demand.replicas >= 1.0
        && TELLING.contains(&demand.utilisation)
        && demand.per_second > 0.0
        && demand.per_second.is_finite()
        && demand.replicas.is_finite();
    if !telling {
        return before;
    }
    let measured = demand.per_second / (demand.replicas * demand.utilisation) * 1000.0;
    let smoothed = before.map_or(measured, |before| {
        before as f64 + GAIN * (measured - before as f64)
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    let smoothed = smoothed.round().clamp(1.0, 1e12) as u64;
    Some(smoothed)
}

#[cfg(test)]
mod tests;
