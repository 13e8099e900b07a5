//! A component's pods follow their CPU use.

use chatbot_crds::settings::Autoscaling;
use chatbot_crds::spec::{Behavior, ScalingRules};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};

use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::named;
use crate::proposal::{Component, Vote};
use crate::world::Identity;

/// The spec's opinion on a component's pods.
#[must_use]
pub fn asked_for(component: Component, autoscaling: &Autoscaling) -> Vote {
    Vote {
        component,
        floor: Some(autoscaling.min_replicas),
        ceiling: Some(autoscaling.max_replicas),
        by: "Spec",
        because: format!("{}.autoscaling", component.as_str()),
    }
}

/// The autoscaler of a component's Deployment. Its bounds are filled in from the settled votes.
#[must_use]
pub fn autoscaler(
    cluster: &Identity,
    component: Component,
    target_cpu_utilization_percentage: u32,
    behavior: Option<&Behavior>,
) -> Object {
    let name = names::workload(cluster, component);
    Object {
        component: Some(component),
        manifest: Manifest::HorizontalPodAutoscaler(Box::new(HorizontalPodAutoscaler {
            metadata: named(name.clone()),
            spec: Some(HorizontalPodAutoscalerSpec {
                scale_target_ref: CrossVersionObjectReference {
                    api_version: Some("apps/v1".to_owned()),
                    kind: "Deployment".to_owned(),
                    name,
                },
                metrics: Some(vec![MetricSpec {
                    type_: "Resource".to_owned(),
                    resource: Some(ResourceMetricSource {
                        name: "cpu".to_owned(),
                        target: MetricTarget {
                            type_: "Utilization".to_owned(),
                            average_utilization: i32::try_from(target_cpu_utilization_percentage)
                                .ok(),
                            ..MetricTarget::default()
                        },
                    }),
                    ..MetricSpec::default()
                }]),
                behavior: behavior.map(plain),
                ..HorizontalPodAutoscalerSpec::default()
            }),
            ..HorizontalPodAutoscaler::default()
        })),
    }
}

fn plain(behavior: &Behavior) -> HorizontalPodAutoscalerBehavior {
    HorizontalPodAutoscalerBehavior {
        scale_up: behavior.scale_up.as_ref().map(rules),
        scale_down: behavior.scale_down.as_ref().map(rules),
    }
}

fn rules(rules: &ScalingRules) -> HPAScalingRules {
    HPAScalingRules {
        stabilization_window_seconds: rules.stabilization_window_seconds,
        select_policy: rules.select_policy.map(|policy| format!("{policy:?}")),
        policies: rules.policies.as_ref().map(|policies| {
            policies
                .iter()
                .map(|policy| HPAScalingPolicy {
                    type_: format!("{:?}", policy.type_),
                    value: policy.value,
                    period_seconds: policy.period_seconds,
                })
                .collect()
        }),
        ..HPAScalingRules::default()
    }
}
