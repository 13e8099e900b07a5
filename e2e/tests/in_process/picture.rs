//! What is in a namespace, without what differs from one namespace or one moment to another: names given by content,
//! identities, versions, times.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use chatbot_operator::watch::{Caches, api_resource};
use chatbot_plan::kinds::{KINDS, Kind};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// Everything that the operator makes or says, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(Vec<String>);

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Picture {
    /// The present one.
    pub async fn take(client: &Client, namespace: &str) -> Result<Self> {
        let mut objects = Vec::new();
        let mut configurations = Vec::new();
        for kind in KINDS {
            for object in list(client, kind, namespace).await? {
                if object.name_any() == "kube-root-ca.crt" {
                    continue; // in every namespace
                }
                if kind.kind == "ConfigMap" && !object.name_any().ends_with("-memory") {
                    configurations.push(object.name_any());
                }
                objects.push(child(kind, object)?);
            }
        }
        objects.extend(revisions(client, namespace).await?);
        objects.extend(statuses(client, namespace).await?);
        let mut lines: Vec<String> = objects
            .iter()
            .map(|object| nameless(&object.to_string(), namespace, &configurations))
            .collect();
        lines.sort();
        Ok(Self(lines))
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        let start = format!("{{\"kind\":\"{kind}\",");
        self.0
            .iter()
            .filter(|line| line.starts_with(&start))
            .count()
    }

    /// The lines that one has and the other has not, for a person.
    pub fn differences(&self, other: &Self) -> String {
        let lines = |of: &Self, without: &Self, sign: char| {
            let own: Vec<String> =
                of.0.iter()
                    .filter(|line| !without.0.contains(line))
                    .map(|line| format!("{sign} {line}"))
                    .collect();
            own
        };
        [lines(self, other, '+'), lines(other, self, '-')]
            .concat()
            .join("\n")
    }
}

/// The objects of a kind; none where there is no such kind.
async fn list(client: &Client, kind: &Kind, namespace: &str) -> Result<Vec<DynamicObject>> {
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &api_resource(kind));
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn child(kind: &Kind, object: DynamicObject) -> Result<Value> {
    let (name, owners) = (object.name_any(), object.owner_references().to_vec());
    let (labels, mut annotations) = (object.labels().clone(), object.annotations().clone());
    annotations.remove(chatbot_plan::names::HASH_ANNOTATION);
    let mut data = object.data;
    if let Some(fields) = data.as_object_mut() {
        fields.remove("status");
    }
    // Addresses and ports that the API server has given.
    for given in ["clusterIP", "clusterIPs"] {
        if let Some(spec) = data.pointer_mut("/spec").and_then(Value::as_object_mut) {
            spec.remove(given);
        }
    }
    let ports = data.pointer_mut("/spec/ports");
    for port in ports.and_then(Value::as_array_mut).into_iter().flatten() {
        port["nodePort"].take();
    }
    if let Some(annotations) = data.pointer_mut("/spec/template/metadata/annotations") {
        annotations[chatbot_plan::names::REVISION_ANNOTATION].take();
    }
    if let Some(memory) = data.pointer_mut("/data/memory.json") {
        let mut remembered: Value = serde_json::from_str(memory.as_str().unwrap_or_default())?;
        for given in ["revision", "podUid"] {
            if let Some(completed) = remembered["completed"].as_object_mut() {
                completed.remove(given);
            }
        }
        *memory = remembered;
    }
    let owners: Vec<_> = owners
        .into_iter()
        .map(|owner| json!([owner.kind, owner.name, owner.controller]))
        .collect();
    Ok(json!({
        "kind": kind.kind, "name": name, "labels": labels, "annotations": annotations,
        "owners": owners, "data": data,
    }))
}

/// A rollout more than there need be shows as a ReplicaSet more.
async fn revisions(client: &Client, namespace: &str) -> Result<Vec<Value>> {
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), namespace);
    let sets = sets.list(&ListParams::default()).await?.items.into_iter();
    Ok(sets
        .map(|set| {
            let owner = set.owner_references().first().map(|owner| &owner.name);
            let revision = set.annotations().get("deployment.kubernetes.io/revision");
            let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
            json!({ "revision": revision, "of": owner, "replicas": replicas })
        })
        .collect())
}

async fn statuses(client: &Client, namespace: &str) -> Result<Vec<Value>> {
    let described = ApiResource::erase::<chatbot_crds::ChatBotCluster>(&());
    let resources = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &described);
    let mut statuses = Vec::new();
    for resource in resources.list(&ListParams::default()).await? {
        let mut status = resource.data["status"].clone();
        for list in ["conditions", "channels"] {
            for entry in status[list].as_array_mut().into_iter().flatten() {
                entry["lastTransitionTime"].take();
            }
        }
        statuses.push(json!({ "resource": resource.name_any(), "status": status }));
    }
    Ok(statuses)
}

/// A configuration is named by its content, in which the namespace is.
fn nameless(text: &str, namespace: &str, configurations: &[String]) -> String {
    let mut text = text.to_owned();
    for name in configurations {
        let part = name
            .rsplit_once('-')
            .map_or(name.as_str(), |(part, _)| part);
        text = text.replace(name, &format!("{part}-CONTENT"));
    }
    text.replace(namespace, "NAMESPACE")
}

/// Whether every Deployment has all its pods, ready and of the newest template, and no other.
pub async fn is_rolled_out(client: &Client, namespace: &str) -> Result<bool> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let deployments = deployments.list(&ListParams::default()).await?;
    Ok(deployments.iter().all(|deployment| {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let wanted = wanted.filter(|wanted| *wanted > 0);
        deployment.status.as_ref().is_some_and(|status| {
            status.observed_generation == deployment.metadata.generation
                && [
                    status.replicas,
                    status.updated_replicas,
                    status.ready_replicas,
                    status.available_replicas,
                ]
                .iter()
                .all(|count| count.filter(|count| *count > 0) == wanted)
        })
    }))
}

/// Whether the caches show what the API server has.
pub async fn is_shown(
    client: &Client,
    caches: &Caches,
    namespace: &str,
    cluster: &str,
) -> Result<bool> {
    let versions = |objects: &mut dyn Iterator<Item = (String, Option<String>)>| {
        objects.collect::<BTreeMap<_, _>>()
    };
    for kind in KINDS {
        let stored = list(client, kind, namespace).await?;
        let stored = versions(
            &mut stored
                .iter()
                .filter(|object| {
                    object
                        .labels()
                        .get(chatbot_plan::names::CLUSTER_LABEL)
                        .is_some()
                })
                .map(|object| (object.name_any(), object.resource_version())),
        );
        let shown = caches.children(kind, namespace, cluster);
        let shown = versions(
            &mut shown
                .iter()
                .map(|object| (object.name_any(), object.resource_version())),
        );
        if stored != shown {
            return Ok(false);
        }
    }
    Ok(true)
}
