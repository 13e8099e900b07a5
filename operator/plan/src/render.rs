//! Objects in full: fragments of pods joined, labels, owners and hashes written.

use std::collections::BTreeMap;

use chatbot_crds::config::ADMIN_PORT;
use chatbot_crds::spec::PodMonitors;
use chatbot_crds::{ChatBotCluster, Settings};
use k8s_openapi::DeepMerge;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube_core::Resource;
use serde_json::Value;

use crate::http_route;
use crate::manifest::{Manifest, Object};
use crate::names;
use crate::proposal::Component;
use crate::votes::{Settled, split};
use crate::world::{Identity, ObjectKey};

/// An object ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Which.
    pub key: ObjectKey,
    /// The component it belongs to.
    pub component: Option<Component>,
    /// The hash of everything in it.
    pub hash: String,
    /// The hash of its pod template, when it has one.
    pub revision: Option<String>,
    /// The object.
    pub manifest: Value,
}

impl Rendered {
    /// Whether it holds what is remembered: what follows from that is not done without it.
    #[must_use]
    pub fn is_memory(&self, cluster: &Identity) -> bool {
        self.key.kind == "ConfigMap" && self.key.name == names::memory(cluster)
    }

    /// The objects that it acts on, reads or sends to by their names alone, whoever has them.
    #[must_use]
    pub fn relies_on(&self, cluster: &Identity) -> Vec<ObjectKey> {
        let services: &[Component] = match (self.key.kind, self.component) {
            ("Ingress" | http_route::KIND, _) => &[Component::Adapters],
            ("Deployment", Some(Component::Adapters)) => &[Component::Broker, Component::Store],
            ("Deployment", Some(Component::Workers)) => {
                &[Component::Broker, Component::Store, Component::Inference]
            }
            _ => &[],
        };
        let scaled = self
            .component
            .filter(|_| self.key.kind == "HorizontalPodAutoscaler");
        let volumes = self.manifest.pointer("/spec/template/spec/volumes");
        let mounted = volumes.and_then(Value::as_array).into_iter().flatten();
        let of = |kind, name: &str| ObjectKey {
            kind,
            name: name.to_owned(),
        };
        let services = services
            .iter()
            .map(|one| of("Service", &names::workload(cluster, *one)));
        let scaled = scaled.map(|one| of("Deployment", &names::workload(cluster, one)));
        let mounted = mounted
            .filter_map(|volume| volume.pointer("/configMap/name"))
            .filter_map(Value::as_str)
            .map(|name| of("ConfigMap", name));
        services.chain(scaled).chain(mounted).collect()
    }
}

/// What the objects are completed with.
pub struct Rendering<'a> {
    /// Whose objects.
    pub cluster: &'a Identity,
    /// What is wanted.
    pub settings: &'a Settings,
    /// The joined pods.
    pub pods: &'a BTreeMap<Component, PodSpec>,
    /// The settled votes.
    pub settled: &'a BTreeMap<Component, Settled>,
}

/// Joins fragments of a pod: containers, environment, mounts and volumes by name; of anything else the last one given
/// wins, so each such field has one author.
#[must_use]
pub fn join(fragments: impl IntoIterator<Item = PodSpec>) -> PodSpec {
    fragments
        .into_iter()
        .fold(PodSpec::default(), |mut pod, fragment| {
            pod.merge_from(fragment);
            pod
        })
}

impl Rendering<'_> {
    /// Completes an object. None when it belongs to a component that has no pods in this plan.
    #[must_use]
    pub fn complete(&self, object: Object) -> Option<Rendered> {
        let Object {
            component,
            mut manifest,
        } = object;
        let mut revision = None;
        match &mut manifest {
            Manifest::Deployment(deployment) => {
                revision = Some(self.fill_template(deployment, component?)?);
            }
            Manifest::HorizontalPodAutoscaler(autoscaler) => {
                let bounds = split(self.settled.get(&component?)?, 0);
                let spec = autoscaler.spec.get_or_insert_default();
                spec.min_replicas = i32::try_from(bounds.min).ok();
                spec.max_replicas = i32::try_from(bounds.max).unwrap_or(i32::MAX);
            }
            Manifest::ConfigMap(_)
            | Manifest::Service(_)
            | Manifest::PodDisruptionBudget(_)
            | Manifest::NetworkPolicy(_)
            | Manifest::Ingress(_)
            | Manifest::HttpRoute(_)
            | Manifest::PodMonitor(_) => {}
        }
        let metadata = manifest.metadata_mut();
        metadata.namespace = Some(self.cluster.namespace.clone());
        metadata
            .labels
            .get_or_insert_default()
            .extend(names::labels(self.cluster, component));
        metadata.owner_references = Some(vec![owner(self.cluster)]);
        let hash = names::hash(&manifest.to_json().ok()?.to_string());
        manifest
            .metadata_mut()
            .annotations
            .get_or_insert_default()
            .insert(names::HASH_ANNOTATION.to_owned(), hash.clone());
        Some(Rendered {
            key: manifest.key(),
            component,
            hash,
            revision,
            manifest: manifest.to_json().ok()?,
        })
    }

    /// What offers the pod to be scraped, which does not depend on the kinds that the cluster has: a kind that comes
    /// later replaces no pod. The user's own annotations go over it.
    fn annotations(&self, pod: &PodSpec) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::new();
        if self.settings.monitoring.pod_monitors == PodMonitors::Auto && tells(pod) {
            annotations.insert(names::SCRAPE_ANNOTATION.to_owned(), "true".to_owned());
            annotations.insert(
                names::SCRAPE_PORT_ANNOTATION.to_owned(),
                ADMIN_PORT.to_string(),
            );
        }
        annotations.extend(self.settings.pod_annotations.clone());
        annotations
    }

    fn fill_template(&self, deployment: &mut Deployment, component: Component) -> Option<String> {
        let pod = self.pods.get(&component)?;
        let mut labels = self.settings.pod_labels.clone();
        labels.extend(names::labels(self.cluster, Some(component)));
        labels.extend(names::selector(self.cluster, component));
        let mut template = PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels),
                annotations: Some(self.annotations(pod)),
                ..ObjectMeta::default()
            }),
            spec: Some(pod.clone()),
        };
        let revision = names::hash(&serde_json::to_string(&template).ok()?);
        template
            .metadata
            .get_or_insert_default()
            .annotations
            .get_or_insert_default()
            .insert(names::REVISION_ANNOTATION.to_owned(), revision.clone());
        let spec = deployment.spec.get_or_insert_default();
        spec.selector = LabelSelector {
            match_labels: Some(names::selector(self.cluster, component)),
            ..LabelSelector::default()
        };
        spec.template = template;
        Some(revision)
    }
}

/// Whether a pod tells about itself.
fn tells(pod: &PodSpec) -> bool {
    let ports = pod
        .containers
        .iter()
        .flat_map(|one| one.ports.iter().flatten());
    ports
        .into_iter()
        .any(|port| port.name.as_deref() == Some(names::ADMIN_PORT_NAME))
}

fn owner(cluster: &Identity) -> OwnerReference {
    OwnerReference {
        api_version: ChatBotCluster::api_version(&()).into_owned(),
        kind: ChatBotCluster::kind(&()).into_owned(),
        name: cluster.name.clone(),
        uid: cluster.uid.clone(),
        controller: Some(true),
        // Not `blockOwnerDeletion`: it would need the right to change the resource's finalizers.
        block_owner_deletion: None,
    }
}
