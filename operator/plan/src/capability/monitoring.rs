//! What offers the pods to be scraped, and whether the Prometheus that is named answers. The service goes on without.

use chatbot_crds::spec::{NetworkPolicyMode, PodMonitors};
use chatbot_crds::{ConditionType, Reason};

use crate::facts::Facts;
use crate::kinds;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::named;
use crate::pod_monitor::{KIND, PodMonitor};
use crate::proposal::{Condition, Proposal, Verdict};
use crate::world::{ObjectKey, PrometheusSeen, Signal, World};

pub(super) fn propose(world: &World, _: &Facts) -> Proposal {
    Proposal {
        objects: monitor(world).into_iter().collect(),
        verdict: Some(Verdict::Decided(condition(world))),
        ..Proposal::default()
    }
}

fn is_absent(world: &World) -> bool {
    world.observed.absent_kinds.contains(KIND)
}

fn monitor(world: &World) -> Option<Object> {
    let monitoring = &world.settings.monitoring;
    if monitoring.pod_monitors == PodMonitors::None || is_absent(world) {
        return None;
    }
    let mut metadata = named(names::monitor(&world.cluster));
    metadata.labels = Some(monitoring.labels.clone());
    let monitor = PodMonitor::new(metadata, &world.cluster.name);
    Some(Object {
        component: None,
        manifest: Manifest::PodMonitor(Box::new(monitor)),
    })
}

fn condition(world: &World) -> Condition {
    let (status, reason, message) = unusable(world).unwrap_or_else(|| offered(world));
    Condition {
        kind: ConditionType::MonitoringReady,
        status,
        reason,
        message,
    }
}

/// Why the Prometheus that is named is of no use, as far as is known.
fn unusable(world: &World) -> Option<(Option<bool>, Reason, String)> {
    let named = world.settings.monitoring.prometheus.as_ref()?;
    let told = |words: &str| format!("monitoring.prometheus.url: {}: {words}", named.url);
    Some(match &world.observed.prometheus {
        Signal::Known { value, .. } => match value {
            PrometheusSeen::Answers => return None,
            PrometheusSeen::Rejects(words) => {
                (Some(false), Reason::CredentialsRejected, told(words))
            }
            PrometheusSeen::Unreachable(words) => {
                (Some(false), Reason::PrometheusUnreachable, told(words))
            }
        },
        Signal::Unknown(_) => (None, Reason::Pending, told("not asked yet")),
    })
}

/// By what the pods are offered.
fn offered(world: &World) -> (Option<bool>, Reason, String) {
    let key = ObjectKey {
        kind: KIND,
        name: names::monitor(&world.cluster),
    };
    let by = match world.settings.monitoring.pod_monitors {
        PodMonitors::None => {
            let message = "monitoring.podMonitors is None: nothing offers the pods to be scraped";
            return (Some(true), Reason::MonitorsOff, message.to_owned());
        }
        PodMonitors::Auto if is_absent(world) => (
            Reason::AnnotationsOnly,
            format!(
                "the pods carry the annotation {}; for a PodMonitor as well, install {}",
                names::SCRAPE_ANNOTATION,
                kinds::provider(KIND)
            ),
        ),
        PodMonitors::Auto if world.observed.children.contains_key(&key) => (
            Reason::Installed,
            format!("PodMonitor {} is in place", key.name),
        ),
        PodMonitors::Auto => {
            let message = format!("PodMonitor {} is not there yet", key.name);
            return (None, Reason::Pending, message);
        }
    };
    (Some(true), by.0, format!("{}{}", by.1, shut(world)))
}

/// What is to be done for the adapters and workers to be reached, where that is known.
fn shut(world: &World) -> &'static str {
    let settings = &world.settings;
    let prometheus = settings.monitoring.prometheus.as_ref();
    let is_let_in = prometheus.is_some_and(|named| named.namespace.is_some());
    if is_let_in || settings.network_policy == NetworkPolicyMode::None {
        ""
    } else {
        "; to let Prometheus in to the adapters and workers, name its Service in monitoring.prometheus.url, or add a \
         NetworkPolicy of your own"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::world_with;

    fn watched(monitoring: &str) -> World {
        world_with(|yaml| format!("{yaml}  monitoring: {monitoring}\n"))
    }

    fn told(world: &World) -> (Option<bool>, Reason) {
        let condition = condition(world);
        assert!(!condition.message.is_empty());
        (condition.status, condition.reason)
    }

    #[test]
    fn a_pod_monitor_is_made_where_the_cluster_knows_the_kind() {
        let mut world = watched("{ labels: { release: watch } }");
        let monitor = crate::plan(&world).objects.into_iter();
        let monitor = monitor.into_iter().find(|object| object.key.kind == KIND);
        let manifest = monitor.unwrap().manifest;
        assert_eq!(manifest["metadata"]["labels"]["release"], "watch");
        assert_eq!(
            manifest["spec"]["podMetricsEndpoints"][0]["port"],
            names::ADMIN_PORT_NAME
        );
        assert_eq!(told(&world), (None, Reason::Pending));
        assert_eq!(
            told(&world.clone().passed()),
            (Some(true), Reason::Installed)
        );
        world.observed.absent_kinds.insert(KIND);
        assert!(monitor_is_absent(&world));
        assert_eq!(told(&world), (Some(true), Reason::AnnotationsOnly));
        let off = watched("{ podMonitors: None }");
        assert!(monitor_is_absent(&off));
        assert_eq!(told(&off), (Some(true), Reason::MonitorsOff));
    }

    fn monitor_is_absent(world: &World) -> bool {
        super::monitor(world).is_none()
    }

    #[test]
    fn pods_that_tell_about_themselves_are_annotated_unless_told_otherwise() {
        let annotated = |world: &World| {
            let objects = crate::plan(world).objects.into_iter();
            let deployments = objects.filter(|object| object.key.kind == "Deployment");
            let at = |object: &serde_json::Value| {
                let template = &object["spec"]["template"]["metadata"]["annotations"];
                template[names::SCRAPE_ANNOTATION] == "true"
            };
            deployments
                .filter(|object| at(&object.manifest))
                .filter_map(|object| object.component)
                .map(crate::proposal::Component::as_str)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let all = ["adapters", "inference", "workers"];
        assert_eq!(Vec::from_iter(annotated(&watched("{}"))), all);
        assert!(annotated(&watched("{ podMonitors: None }")).is_empty());
        let own = world_with(|yaml| {
            yaml + "  podMetadata: { annotations: { prometheus.io/scrape: \"false\" } }\n"
        });
        assert!(annotated(&own).is_empty());
        let engine = world_with(|yaml| yaml + "    engine: { image: \"server:1\" }\n");
        assert_eq!(Vec::from_iter(annotated(&engine)), all);
    }

    #[test]
    fn a_prometheus_that_does_not_answer_is_told_with_its_address() {
        let mut world = watched("{ prometheus: { url: \"http://prometheus:9090\" } }").passed();
        assert_eq!(told(&world), (None, Reason::Pending));
        for (seen, expected) in [
            (PrometheusSeen::Answers, (Some(true), Reason::Installed)),
            (
                PrometheusSeen::Rejects("401".to_owned()),
                (Some(false), Reason::CredentialsRejected),
            ),
            (
                PrometheusSeen::Unreachable("refused".to_owned()),
                (Some(false), Reason::PrometheusUnreachable),
            ),
        ] {
            let at = world.now;
            world.observed.prometheus = Signal::Known { value: seen, at };
            assert_eq!(told(&world), expected);
            let message = condition(&world).message;
            let failed = expected.0 == Some(false);
            assert_eq!(
                message.contains("http://prometheus.chat:9090"),
                failed,
                "{message}"
            );
        }
    }

    #[test]
    fn where_nobody_is_let_in_the_message_says_how() {
        let let_in = |monitoring: &str| {
            let mut world = watched(monitoring).passed();
            world.observed.prometheus = Signal::Known {
                value: PrometheusSeen::Answers,
                at: world.now,
            };
            !condition(&world)
                .message
                .contains("monitoring.prometheus.url")
        };
        assert!(!let_in("{}"));
        assert!(let_in(
            "{ prometheus: { url: \"http://prometheus.watch:9090\" } }"
        ));
        assert!(!let_in(
            "{ prometheus: { url: \"http://prometheus.example.com\" } }"
        ));
        assert!(let_in("{}\n  networkPolicy: { mode: None }"));
    }
}
