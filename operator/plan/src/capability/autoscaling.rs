//! The number of instances follows the load, within the settled votes.

use std::collections::BTreeMap;

use chatbot_crds::{ConditionType, Reason};

use crate::autoscaler::autoscaler;
use crate::facts::Facts;
use crate::names;
use crate::proposal::{Component, Condition, Proposal, Verdict, Vote};
use crate::world::{AutoscalerSeen, World};

pub(super) fn propose(world: &World, _facts: &Facts) -> Proposal {
    let inference = &world.settings.inference;
    Proposal {
        votes: vec![Vote {
            component: Component::Inference,
            floor: Some(inference.min_replicas),
            ceiling: Some(inference.max_replicas),
            by: "Spec",
            because: "inference.autoscaling".to_owned(),
        }],
        pods: BTreeMap::new(),
        objects: vec![autoscaler(
            &world.cluster,
            Component::Inference,
            inference.target_cpu_utilization_percentage,
            inference.behavior.as_ref(),
        )],
        // An autoscaler looks every 15 seconds, and does nothing at all from 0.
        raise: vec![Component::Inference],
        verdict: Some(Verdict::Decided(condition(world))),
        ..Proposal::default()
    }
}

fn condition(world: &World) -> Condition {
    let name = names::workload(&world.cluster, Component::Inference);
    let (status, reason, message) = match world.observed.autoscalers.get(&name) {
        None => (
            Some(false),
            Reason::AutoscalerMissing,
            format!("HorizontalPodAutoscaler {name} is not there"),
        ),
        Some(AutoscalerSeen { active: None, .. }) => (
            None,
            Reason::Pending,
            format!("HorizontalPodAutoscaler {name} has not said anything yet"),
        ),
        Some(AutoscalerSeen {
            active: Some(active),
            ..
        }) if !active.status && active.reason == "AmbiguousSelector" => (
            Some(false),
            Reason::Contended,
            format!("{}: delete all but {name}", active.message),
        ),
        Some(AutoscalerSeen {
            active: Some(active),
            ..
        }) if !active.status => (
            Some(false),
            Reason::MetricsUnavailable,
            active.message.clone(),
        ),
        Some(AutoscalerSeen { limited, .. }) => match limited {
            Some(limited) if limited.status && limited.reason == "TooManyReplicas" => (
                Some(true),
                Reason::LimitedByMaximum,
                "the load asks for more instances than inference.autoscaling.maxReplicas"
                    .to_owned(),
            ),
            _ => (
                Some(true),
                Reason::WithinBounds,
                "the number of instances follows their CPU use".to_owned(),
            ),
        },
    };
    Condition {
        kind: ConditionType::ScalingActive,
        status,
        reason,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{world, world_with};
    use crate::manifest::Manifest;

    fn seen(active: Option<(bool, &str)>, limited: Option<&str>) -> AutoscalerSeen {
        let said = |status, reason: &str| crate::world::AutoscalerCondition {
            status,
            reason: reason.to_owned(),
            message: "as it is".to_owned(),
        };
        AutoscalerSeen {
            active: active.map(|(status, reason)| said(status, reason)),
            limited: limited.map(|reason| said(true, reason)),
        }
    }

    #[test]
    fn what_the_autoscaler_says_is_told() {
        for (seen, status, reason) in [
            (None, Some(false), Reason::AutoscalerMissing),
            (Some(seen(None, None)), None, Reason::Pending),
            (
                Some(seen(Some((false, "FailedGetResourceMetric")), None)),
                Some(false),
                Reason::MetricsUnavailable,
            ),
            (
                Some(seen(Some((false, "AmbiguousSelector")), None)),
                Some(false),
                Reason::Contended,
            ),
            (
                Some(seen(Some((true, "ValidMetricFound")), None)),
                Some(true),
                Reason::WithinBounds,
            ),
            (
                Some(seen(
                    Some((true, "ValidMetricFound")),
                    Some("TooFewReplicas"),
                )),
                Some(true),
                Reason::WithinBounds,
            ),
            (
                Some(seen(
                    Some((true, "ValidMetricFound")),
                    Some("TooManyReplicas"),
                )),
                Some(true),
                Reason::LimitedByMaximum,
            ),
        ] {
            let mut world = world();
            world.observed.autoscalers = seen
                .clone()
                .map(|seen| ("support-inference".to_owned(), seen))
                .into_iter()
                .collect();
            let told = condition(&world);
            assert_eq!((told.status, told.reason), (status, reason), "{seen:?}");
        }
    }

    #[test]
    fn the_user_s_behaviour_and_target_reach_the_autoscaler() {
        let world = world_with(|yaml| {
            yaml.replace(
                "maxReplicas: 4",
                "maxReplicas: 4, targetCPUUtilizationPercentage: 55, behavior: { scaleDown: { \
                 stabilizationWindowSeconds: 20, selectPolicy: Min, \
                 policies: [{ type: Pods, value: 1, periodSeconds: 60 }] } }",
            )
        });
        let proposed = propose(&world, &Facts::of(&world));
        let Manifest::HorizontalPodAutoscaler(autoscaler) = &proposed.objects[0].manifest else {
            panic!("no autoscaler");
        };
        let spec = autoscaler.spec.clone().unwrap();
        let metric = spec.metrics.unwrap()[0].resource.clone().unwrap();
        assert_eq!(metric.target.average_utilization, Some(55));
        let down = spec.behavior.unwrap().scale_down.unwrap();
        assert_eq!(down.stabilization_window_seconds, Some(20));
        assert_eq!(down.select_policy.as_deref(), Some("Min"));
        assert_eq!(down.policies.unwrap()[0].type_, "Pods");
    }
}
