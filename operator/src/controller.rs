//! One pass: observe, plan, apply, report. Always in this order, for one resource at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbot_crds::{ChatBotClusterStatus, ConditionType};
use chatbot_plan::status::{self, Outcome};
use chatbot_plan::world::{Leaving, World};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;

use crate::apply::apply;
use crate::blind;
use crate::context::{Context, Desk};
use crate::error::{Error, in_full, pause};
use crate::observe::{Sight, observe};
use crate::report::{Subject, report};
use crate::watch::Guarded;

/// How long until the next look while something is missing: what pods report is not watched.
const EAGER: Duration = Duration::from_secs(2);
/// How long until the next look when all is well, or has been missing for long.
const REST: Duration = Duration::from_secs(15);
/// The longest until the next look, however many resources there are: nothing told is older than a minute.
const LONGEST: Duration = Duration::from_secs(50);
/// When nothing has changed for so many seconds, what is missing will not come in the next moment.
const PATIENCE_SECONDS: i64 = 600;

/// One pass over one resource.
pub async fn reconcile(resource: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let uid = resource.uid().unwrap_or_default();
    if context.gate.check().is_err() {
        // Whoever begins to lead looks at everything.
        return Ok(Action::await_change());
    }
    if let Some(rest) = context.desk(&uid, |desk| desk.rest()) {
        // Whatever has happened meanwhile: the API server is to be left alone.
        return Ok(Action::requeue(rest));
    }
    let started = Instant::now();
    let result = Box::pin(pass(&resource, &context)).await;
    let took = started.elapsed();
    let outcome = result.as_ref().map_or_else(Error::kind, |_| "done");
    context.metrics.passed(outcome, took);
    let look = result?;
    context.desk(&uid, Desk::succeed);
    let least = spacing(took, context.resources(), context.concurrency);
    Ok(Action::requeue(look.max(least)))
}

/// The least time between two looks at a resource, so that looks take half of the passes that can be made and what has
/// happened finds room between them.
fn spacing(pass: Duration, resources: usize, concurrency: u16) -> Duration {
    let resources = u32::try_from(resources).unwrap_or(u32::MAX);
    let one_after_the_other = pass.saturating_mul(resources);
    (one_after_the_other * 2 / u32::from(concurrency.max(1))).min(LONGEST)
}

/// Gives how long until the next look.
async fn pass(resource: &Guarded, context: &Context) -> Result<Duration, Error> {
    let missing = blind::missing(&context.caches).await?;
    if !missing.is_empty() {
        return blind::tell(resource, &missing, context).await;
    }
    let sight = observe(resource, context).await?;
    let world = match sight.world(context) {
        Ok(world) => world,
        Err(faults) => {
            let status = status::refused(&sight.cluster, &sight.observed, &faults, sight.now);
            report((&sight).into(), &status, context).await?;
            // Nothing is tried until it is edited; whether it still answers is looked at all the same.
            return Ok(REST);
        }
    };
    let plan = chatbot_plan::plan(&world);
    let mut applied = apply(&plan, &sight.children, context).await;
    if let Some(error @ Error::Leaving { .. }) = applied.error {
        tell_of_end(&sight, world, context).await?;
        return Err(error);
    }
    applied.outcome.forbidden.extend(sight.forbidden.clone());
    applied.outcome.forbidden.extend(context.caches.refused());
    let refusals = context.desk(&sight.cluster.uid, |desk| {
        desk.refusals = if applied.outcome.is_refused() {
            desk.refusals.saturating_add(1)
        } else {
            0
        };
        desk.refusals
    });
    let status = status::compose(&world, &plan, &applied.outcome);
    // Reported even when applying failed: it may be all that a person gets to see.
    report((&sight).into(), &status, context).await?;
    if let Some(error) = applied.error {
        return Err(error);
    }
    let look = if refusals > 0 {
        pause(refusals)
    } else {
        next_look(&status, plan.wake_at, sight.now)
    };
    let repair = applied.repair_in.unwrap_or(look);
    Ok(look.min(repair))
}

/// What is said of a resource as long as it is there, when its namespace is on its way out.
async fn tell_of_end(sight: &Sight, mut world: World, context: &Context) -> Result<(), Error> {
    world.observed.leaving = Some(Leaving::Namespace);
    let plan = chatbot_plan::plan(&world);
    let status = status::compose(&world, &plan, &Outcome::default());
    let subject = Subject {
        quiet: true,
        ..Subject::from(sight)
    };
    report(subject, &status, context).await
}

fn next_look(status: &ChatBotClusterStatus, wake_at: Timestamp, now: Timestamp) -> Duration {
    let planned = Duration::try_from(wake_at.duration_since(now)).unwrap_or(REST);
    let is_ready =
        status::find(status, ConditionType::Ready).is_some_and(|ready| ready.status == "True");
    let last_change = status
        .conditions
        .iter()
        .map(|condition| condition.last_transition_time.0)
        .max();
    match last_change {
        Some(change) if !is_ready && now.as_second() - change.as_second() < PATIENCE_SECONDS => {
            planned.min(EAGER)
        }
        _ => planned,
    }
}

/// When to look again after a pass that failed.
#[allow(clippy::needless_pass_by_value)] // the controller's signature
pub fn on_error(resource: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    if let Error::Shut { .. } = error {
        tracing::info!(error = %in_full(error), "a pass was broken off");
        return Action::await_change();
    }
    let uid = resource.uid().unwrap_or_default();
    let (failures, wait) = context.desk(&uid, |desk| {
        desk.hold = error.asked_for().map(|asked| Instant::now() + asked);
        let wait = desk.fail(error);
        (desk.failures, wait)
    });
    let (namespace, cluster) = (
        resource.namespace().unwrap_or_default(),
        resource.name_any(),
    );
    if error.is_end_of_pass() {
        tracing::debug!(namespace, cluster, error = %error, "looking again");
    } else {
        tracing::warn!(namespace, cluster, error = %in_full(error), failures, ?wait, "a pass failed");
    }
    Action::requeue(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_resources_there_are_looks_leave_room_for_what_happens() {
        let pass = Duration::from_millis(250);
        assert!(spacing(pass, 8, 8) < EAGER);
        // Of 8 passes at once, 32 can be made in a second.
        assert_eq!(spacing(pass, 185, 8), pass * 185 / 4);
        assert_eq!(spacing(pass, 10_000, 8), LONGEST);
        assert_eq!(spacing(pass, 4, 0), pass * 8);
    }
}
