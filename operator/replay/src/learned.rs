//! What the planner knows from the days before the part that is played: it has been looking on. Left out: that it learns
//! the capacity of an instance and its cold start by and by; it knows both.

use chatbot_forecast::Forecaster;
use chatbot_plan::outlook;
use chatbot_plan::recollection::Learned;
use chatbot_plan::world::World;
use jiff::Timestamp;

use crate::scenario::Scenario;

/// Lets the world remember the load before the part, and what an instance can answer.
pub fn before(world: &mut World, scenario: &Scenario) {
    let Some(load) = &scenario.load else { return };
    let asked = scenario.foresight.prewarm.clone().unwrap_or_default();
    let Ok(settings) = outlook::settings(&asked) else {
        return;
    };
    let Ok(mut forecaster) = Forecaster::new(settings) else {
        return;
    };
    let past = load.trace.coarser(asked.step.as_secs());
    let until = usize::try_from(scenario.part.0 / past.step).unwrap_or(0);
    // More is not carried anyway: a week of values, and what was learned from those before.
    let from = until.saturating_sub(usize::try_from(28 * 86_400 / past.step).unwrap_or(0));
    for (slot, value) in past.values.iter().enumerate().take(until).skip(from) {
        let second = i64::try_from(slot).unwrap_or(0) * past.step;
        if let Ok(at) = Timestamp::from_second(second) {
            // A refusal leaves a gap, as it does on a cluster.
            let _ = forecaster.observe(at, *value);
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive rate"
    )]
    let capacity = (load.capacity * 1000.0).max(1.0) as u64;
    world.memory.foresight.learned = Some(Learned {
        forecaster,
        capacity_milli: Some(capacity),
        cold_start_seconds: u32::try_from(scenario.times.cold).ok(),
        apart: None,
    });
}
