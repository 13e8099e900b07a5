//! What every pod of the product has in common: Pod Security `restricted`, probes, a drain that loses nothing.

use std::collections::BTreeMap;

use chatbot_crds::config::ADMIN_PORT;
use chatbot_crds::settings::Resources;
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
    HTTPGetAction, Lifecycle, LifecycleHandler, LocalObjectReference, PodSecurityContext, PodSpec,
    Probe, SeccompProfile, SecurityContext, SleepAction, Toleration, TopologySpreadConstraint,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::names;
use crate::proposal::Component;
use crate::world::World;

/// The image's user, who is nobody.
const USER: i64 = 65532;
/// Seconds between a pod's leaving the endpoints and its being told to stop: the time a node takes to hear of it.
const LEAVE_SECONDS: i64 = 5;
/// Seconds that a pod has for leaving and for finishing what it has begun.
const GRACE_SECONDS: i64 = 45;
/// Seconds that a pod may take to come up: a large model is read from its volume in that time.
const START_SECONDS: i32 = 600;

/// What differs between components.
pub struct PodOf<'a> {
    /// The component.
    pub component: Component,
    /// The program's subcommand.
    pub command: &'a str,
    /// The name of its port and its number.
    pub port: (&'a str, u16),
    /// The ConfigMap with its configuration.
    pub config: &'a str,
    /// Requests and limits.
    pub resources: Resources,
    /// Labels of its nodes.
    pub node_selector: &'a BTreeMap<String, String>,
    /// Taints that it tolerates.
    pub tolerations: &'a [Toleration],
}

impl PodOf<'_> {
    /// The pod.
    #[must_use]
    pub fn spec(&self, world: &World) -> PodSpec {
        PodSpec {
            containers: vec![self.container(world)],
            volumes: Some(vec![
                Volume {
                    name: "config".to_owned(),
                    config_map: Some(ConfigMapVolumeSource {
                        name: self.config.to_owned(),
                        ..ConfigMapVolumeSource::default()
                    }),
                    ..Volume::default()
                },
                // The root file system is read-only.
                Volume {
                    name: "tmp".to_owned(),
                    empty_dir: Some(EmptyDirVolumeSource::default()),
                    ..Volume::default()
                },
            ]),
            image_pull_secrets: some(
                world
                    .settings
                    .image_pull_secrets
                    .iter()
                    .map(|name| LocalObjectReference { name: name.clone() })
                    .collect::<Vec<_>>(),
            ),
            priority_class_name: priority_class(world).cloned(),
            node_selector: some(self.node_selector.clone()),
            tolerations: some(self.tolerations.to_vec()),
            topology_spread_constraints: Some(vec![self.spread(world)]),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            // The data plane never talks to the Kubernetes API.
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(GRACE_SECONDS),
            ..PodSpec::default()
        }
    }

    fn container(&self, world: &World) -> Container {
        let (port_name, port) = self.port;
        Container {
            name: names::CONTAINER.to_owned(),
            image: Some(image(world).to_owned()),
            image_pull_policy: Some(format!("{:?}", world.settings.image_pull_policy)),
            args: Some(vec![
                self.command.to_owned(),
                "--config".to_owned(),
                chatbot_crds::config::CONFIG_FILE.to_owned(),
            ]),
            ports: Some(vec![
                container_port(port_name, port),
                container_port("admin", ADMIN_PORT),
            ]),
            resources: self.resources.requirements(),
            volume_mounts: Some(vec![
                mount("config", names::CONFIG_DIRECTORY, true),
                mount("tmp", "/tmp", false),
            ]),
            startup_probe: Some(probe("/livez", 1, START_SECONDS)),
            readiness_probe: Some(probe("/readyz", 3, 2)),
            liveness_probe: Some(probe("/livez", 10, 3)),
            lifecycle: Some(Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    sleep: Some(SleepAction {
                        seconds: LEAVE_SECONDS,
                    }),
                    ..LifecycleHandler::default()
                }),
                ..Lifecycle::default()
            }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                capabilities: Some(Capabilities {
                    add: None,
                    drop: Some(vec!["ALL".to_owned()]),
                }),
                ..SecurityContext::default()
            }),
            // A program that cannot start says why there; what dies without a word leaves the end of its log.
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            ..Container::default()
        }
    }

    fn spread(&self, world: &World) -> TopologySpreadConstraint {
        TopologySpreadConstraint {
            label_selector: Some(LabelSelector {
                match_labels: Some(names::selector(&world.cluster, self.component)),
                ..LabelSelector::default()
            }),
            // Old pods on their way out do not push new ones aside.
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            ..TopologySpreadConstraint::default()
        }
    }
}

/// The image of the pods.
#[must_use]
pub fn image(world: &World) -> &str {
    world
        .settings
        .image
        .as_deref()
        .unwrap_or(&world.release.image)
}

/// The class of priority of the pods.
#[must_use]
pub fn priority_class(world: &World) -> Option<&String> {
    let named = world.settings.priority_class.as_ref();
    named.or(world.release.priority_class.as_ref())
}

/// A mount of a volume.
#[must_use]
pub fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn container_port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// Nothing rather than an empty list: an owned empty field would still be a field that is owned.
fn some<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}
