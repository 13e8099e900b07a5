//! What every pod of the product has in common: Pod Security `restricted`, probes, a drain that loses nothing.

use std::collections::BTreeMap;

use chatbot_crds::config::{ADMIN_PORT, Backbone, CA_FILE};
use chatbot_crds::settings::Resources;
use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
    HTTPGetAction, KeyToPath, Lifecycle, LifecycleHandler, LocalObjectReference,
    PodSecurityContext, PodSpec, Probe, SeccompProfile, SecretVolumeSource, SecurityContext,
    SleepAction, Toleration, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::manifest::{Manifest, Object};
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
    /// The name and the number of the port that it is reached at, beside the one that it tells about itself at.
    pub port: Option<(&'a str, u16)>,
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
        let config = Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: self.config.to_owned(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        };
        PodSpec {
            // The root file system is read-only.
            volumes: Some(vec![config, scratch("tmp")]),
            node_selector: some(self.node_selector.clone()),
            tolerations: some(self.tolerations.to_vec()),
            topology_spread_constraints: Some(vec![self.spread(world)]),
            ..confined(world, self.container(world))
        }
    }

    fn container(&self, world: &World) -> Container {
        let ports = self
            .port
            .into_iter()
            .chain([(names::ADMIN_PORT_NAME, ADMIN_PORT)]);
        Container {
            name: names::CONTAINER.to_owned(),
            image: Some(image(world).to_owned()),
            image_pull_policy: Some(format!("{:?}", world.settings.image_pull_policy)),
            args: Some(vec![
                self.command.to_owned(),
                "--config".to_owned(),
                chatbot_crds::config::CONFIG_FILE.to_owned(),
            ]),
            ports: Some(
                ports
                    .map(|(name, port)| container_port(name, port))
                    .collect(),
            ),
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
            security_context: Some(unprivileged()),
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

/// A pod under Pod Security `restricted`, which never talks to the Kubernetes API.
#[must_use]
pub fn confined(world: &World, container: Container) -> PodSpec {
    let secrets = world.settings.image_pull_secrets.iter();
    let secrets = secrets.map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        containers: vec![container],
        image_pull_secrets: some(secrets.collect::<Vec<_>>()),
        priority_class_name: priority_class(world).cloned(),
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
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        ..PodSpec::default()
    }
}

/// A container that gains no right and writes to its volumes alone.
#[must_use]
pub fn unprivileged() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        ..SecurityContext::default()
    }
}

/// A folder that lives as long as its pod.
#[must_use]
pub fn scratch(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

/// Puts volumes and their places into a pod's first container.
pub fn put_in(pod: &mut PodSpec, volumes: Vec<(Volume, VolumeMount)>) {
    for (volume, at) in volumes {
        pod.volumes.get_or_insert_default().push(volume);
        if let Some(container) = pod.containers.first_mut() {
            container.volume_mounts.get_or_insert_default().push(at);
        }
    }
}

/// The Secrets of the broker and of the store, each with its place. One that is missing stops what needs it, which says
/// so, and not the pod.
#[must_use]
pub fn backbone_secrets(backbone: &Backbone) -> Vec<(Volume, VolumeMount)> {
    let secrets = backbone.secrets().into_iter();
    secrets
        .map(|secret| {
            let name = secret.directory.trim_start_matches('/').replace('/', "-");
            let ca = secret.key.as_deref();
            optional_secret(&name, &secret.name, ca, &secret.directory)
        })
        .collect()
}

/// A Secret at a folder, all of it, or one key as the trusted authority's certificate. The pod starts without it, too.
#[must_use]
pub fn optional_secret(
    name: &str,
    secret: &str,
    ca: Option<&str>,
    folder: &str,
) -> (Volume, VolumeMount) {
    let volume = Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            optional: Some(true),
            items: ca.map(|key| {
                vec![KeyToPath {
                    key: key.to_owned(),
                    path: CA_FILE.to_owned(),
                    mode: None,
                }]
            }),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    (volume, mount(name, folder, true))
}

/// How a Deployment's pods are replaced while it goes on serving.
#[must_use]
pub fn rolling(max_surge: IntOrString, max_unavailable: IntOrString) -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(max_surge),
            max_unavailable: Some(max_unavailable),
        }),
    }
}

/// A Deployment of one of these components takes no pod of before away: it counts no new one as available, ever. It is
/// changed back in time, and no pod is replaced by that.
#[must_use]
pub fn kept_beside(keeping: &[Component], mut object: Object) -> Object {
    if let Manifest::Deployment(deployment) = &mut object.manifest
        && object.component.is_some_and(|one| keeping.contains(&one))
    {
        let spec = deployment.spec.get_or_insert_default();
        // The one must be less than the other, which so large means without end.
        spec.min_ready_seconds = Some(i32::MAX - 1);
        spec.progress_deadline_seconds = Some(i32::MAX);
    }
    object
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

/// A port of a container.
#[must_use]
pub fn container_port(name: &str, port: u16) -> ContainerPort {
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
            port: IntOrString::String(names::ADMIN_PORT_NAME.to_owned()),
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
