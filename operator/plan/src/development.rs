//! A broker or a store in one pod, for development: no knobs, and what it holds is lost with it.
//!
//! The servers are run directly, at the paths that the public images have, so that any image with the same layout does.

use chatbot_crds::settings::Resources;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, PodSecurityContext, PodSpec, Probe,
    TCPSocketAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::manifest::{Manifest, Object};
use crate::names;
use crate::object::{named, service};
use crate::pod::{confined, container_port, mount, put_in, scratch, unprivileged};
use crate::proposal::{Action, Component};
use crate::world::World;

/// Where a server keeps what it holds.
pub const DATA_DIRECTORY: &str = "/data";
/// The variable that a server's arguments may name: the pod's identity.
pub const POD_UID: &str = "POD_UID";
const PORT: &str = "server";
/// Seconds that a server has to end in order.
const GRACE_SECONDS: i64 = 30;

/// A server for development.
pub struct Server<'a> {
    /// Its image.
    pub image: &'a str,
    /// What is run.
    pub command: Vec<String>,
    /// Its port.
    pub port: u16,
    /// Requests and limits.
    pub resources: Resources,
    /// Volumes beside the one for data and the one for temporary files.
    pub volumes: Vec<(Volume, VolumeMount)>,
    /// What is run before it, with the same volumes.
    pub before: Option<Vec<String>>,
}

impl Server<'_> {
    /// The pod.
    #[must_use]
    pub fn pod(self, world: &World) -> PodSpec {
        let container = self.container(names::CONTAINER, self.command.clone());
        let before = self
            .before
            .as_ref()
            .map(|command| self.container("prepare", command.clone()));
        let served = Container {
            ports: Some(vec![container_port(PORT, self.port)]),
            startup_probe: Some(probe(1, 300)),
            readiness_probe: Some(probe(3, 2)),
            liveness_probe: Some(probe(10, 6)),
            ..container
        };
        let mut pod = confined(world, served);
        if let Some(security) = &mut pod.security_context {
            let user = security.run_as_user;
            *security = PodSecurityContext {
                // Its volumes are made by root.
                fs_group: user,
                ..security.clone()
            };
        }
        pod.termination_grace_period_seconds = Some(GRACE_SECONDS);
        // Another class would be another pod, and what this one holds would be gone: for a class that may not exist.
        pod.priority_class_name
            .clone_from(&world.release.priority_class);
        let mut volumes = vec![
            (scratch("data"), mount("data", DATA_DIRECTORY, false)),
            (scratch("tmp"), mount("tmp", "/tmp", false)),
        ];
        volumes.extend(self.volumes);
        put_in(&mut pod, volumes);
        pod.init_containers = before.map(|before| {
            let mounts = pod.containers.first();
            vec![Container {
                volume_mounts: mounts.and_then(|container| container.volume_mounts.clone()),
                ..before
            }]
        });
        pod
    }

    fn container(&self, name: &str, command: Vec<String>) -> Container {
        Container {
            name: name.to_owned(),
            image: Some(self.image.to_owned()),
            image_pull_policy: Some("IfNotPresent".to_owned()),
            command: Some(command),
            env: Some(vec![pod_uid()]),
            resources: self.resources.requirements(),
            security_context: Some(unprivileged()),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            ..Container::default()
        }
    }
}

/// What a pod holds ends with it: another is another server.
fn pod_uid() -> EnvVar {
    EnvVar {
        name: POD_UID.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.uid".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// The Service and the Deployment of a server. There is never more than one pod: two would hold different things.
#[must_use]
pub fn objects(world: &World, component: Component, port: u16) -> Vec<Object> {
    let deployment = Deployment {
        metadata: named(names::workload(&world.cluster, component)),
        spec: Some(DeploymentSpec {
            strategy: Some(DeploymentStrategy {
                type_: Some("Recreate".to_owned()),
                rolling_update: None,
            }),
            revision_history_limit: Some(2),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    };
    vec![
        Object {
            component: Some(component),
            manifest: Manifest::Service(Box::new(service(world, component, PORT, port))),
        },
        Object {
            component: Some(component),
            manifest: Manifest::Deployment(Box::new(deployment)),
        },
    ]
}

/// Takes back what somebody scaled.
#[must_use]
pub fn keep_one(world: &World, component: Component) -> Option<Action> {
    let name = names::workload(&world.cluster, component);
    let seen = world.observed.deployments.get(&name)?;
    (seen.desired != 1).then(|| Action::Scale {
        deployment: name,
        resource_version: seen.resource_version.clone(),
        replicas: 1,
    })
}

fn probe(period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String(PORT.to_owned()),
            host: None,
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}
