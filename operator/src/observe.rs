//! Gathers everything that a decision may depend on.

mod children;
mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chatbot_crds::settings::{ModelSource, SystemPrompt};
use chatbot_crds::{ChatBotClusterStatus, ConditionType, Fault, Faults, Reason, Settings};
use chatbot_plan::foresight::Foresight;
use chatbot_plan::memory::Memory;
use chatbot_plan::world::{
    ClaimSeen, EvictedPod, Identity, Leaving, ObjectKey, Observed, PodSeen, PrometheusSeen, Signal,
    World,
};
use chatbot_plan::{http_route, status};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::DynamicObject;
use kube::{Api, Resource, ResourceExt};
use serde_json::Value;

use crate::context::{Context, is_newer};
use crate::error::Error;
use crate::project;
use crate::report::{status_of, whole};
use crate::watch::Guarded;

/// What a pass finds.
pub struct Sight {
    /// Which resource.
    pub cluster: Identity,
    /// What is there.
    pub observed: Observed,
    /// Children as they are, for comparing and for writing.
    pub children: BTreeMap<ObjectKey, Arc<DynamicObject>>,
    /// The version of the resource that was looked at.
    pub version: Option<String>,
    /// When.
    pub now: Timestamp,
    /// What is wanted, or why that cannot be told.
    pub settings: Result<Settings, Faults>,
    /// What the operator may not read, in the API server's words: it is unknown, and everything else goes on.
    pub forbidden: Vec<String>,
}

/// Looks at everything that concerns a resource.
pub async fn observe(resource: &Guarded, context: &Context) -> Result<Sight, Error> {
    context.caches.wait().await?;
    let cluster = identity(resource);
    let newest = context.desk(&cluster.uid, |desk| desk.generation);
    if cluster.generation < newest && !is_newest(&cluster, context).await? {
        return Err(Error::Outdated {
            object: format!("ChatBotCluster {}", cluster.name),
        });
    }
    context.desk(&cluster.uid, |desk| desk.generation = cluster.generation);
    let settings = settings(resource, &cluster, context).await?;
    let (children, hidden) = children::seen(&cluster, context).await?;
    let (status, version) = last_status(resource, &cluster, context).await?;
    let now = Timestamp::now();
    let seen = |kind: &'static str| {
        children
            .iter()
            .filter(move |(key, _)| key.kind == kind)
            .filter(|(_, object)| project::is_ours(object.as_ref(), &cluster))
            .map(|(key, object)| (key.name.clone(), object))
    };
    let strays = children::strays(&cluster, hidden, context).await?;
    let memory = memory(&cluster, &children);
    let (pods, prometheus, nodes, claim, system_prompt) = futures::join!(
        pods(&cluster, context),
        prometheus(settings.as_ref().ok(), context),
        nodes::nodes(settings.as_ref().ok(), &memory, &status, context, now),
        claim(&cluster, settings.as_ref().ok(), &status, context, now),
        system_prompt(&cluster, settings.as_ref().ok(), context, now),
    );
    let mut forbidden = Vec::new();
    let observed = Observed {
        children: children
            .iter()
            .map(|(key, object)| (key.clone(), project::child(object.as_ref(), &cluster.uid)))
            .chain(strays)
            .collect(),
        deployments: seen("Deployment")
            .map(|(name, object)| (name, project::deployment(object)))
            .collect(),
        autoscalers: seen("HorizontalPodAutoscaler")
            .map(|(name, object)| (name, project::autoscaler(object)))
            .collect(),
        served_ingresses: seen("Ingress")
            .filter(|(_, object)| project::is_served(object))
            .map(|(name, _)| name)
            .collect(),
        routes: seen(http_route::KIND)
            .map(|(name, object)| (name, project::route(object)))
            .collect(),
        absent_kinds: context.caches.absent(),
        pods,
        evicted: evicted(&cluster, context),
        in_trouble_since: in_trouble_since(&cluster, context),
        nodes: allowed(nodes, &mut forbidden)?,
        claim: allowed(claim, &mut forbidden)?,
        system_prompt: allowed(system_prompt, &mut forbidden)?,
        prometheus,
        signals: Box::default(),
        leaving: leaving(resource),
        status,
    };
    Ok(Sight {
        cluster,
        observed,
        children,
        version,
        now,
        settings,
        forbidden,
    })
}

/// What may not be read is not known, and told; what cannot be read for another reason ends the pass.
fn allowed<T>(
    looked: Result<Signal<T>, Error>,
    forbidden: &mut Vec<String>,
) -> Result<Signal<T>, Error> {
    match looked {
        Err(Error::Observe {
            source: kube::Error::Api(status),
            ..
        }) if status.code == 403 => {
            forbidden.push(status.message);
            Ok(Signal::Unknown(Reason::Forbidden))
        }
        looked => looked,
    }
}

impl Sight {
    /// The world, when it is known what is wanted in it.
    pub fn world(&self, context: &Context) -> Result<World, Faults> {
        Ok(World {
            now: self.now,
            cluster: self.cluster.clone(),
            release: context.release.clone(),
            settings: self.settings.clone()?,
            foresight: Foresight::default(),
            observed: self.observed.clone(),
            memory: memory(&self.cluster, &self.children),
        })
    }
}

/// What holds a resource back that is to go.
fn leaving(resource: &Guarded) -> Option<Leaving> {
    let metadata = resource.meta();
    metadata.deletion_timestamp.as_ref()?;
    Some(Leaving::Resource {
        finalizers: metadata.finalizers.clone().unwrap_or_default(),
    })
}

pub(crate) fn identity(resource: &Guarded) -> Identity {
    Identity {
        namespace: resource.namespace().unwrap_or_default(),
        name: resource.name_any(),
        uid: resource.uid().unwrap_or_default(),
        generation: resource.meta().generation.unwrap_or_default(),
    }
}

/// Whether the API server itself has no newer generation than one that is older than what was seen: the cluster may have
/// been restored from a backup. Otherwise the list lags behind.
async fn is_newest(cluster: &Identity, context: &Context) -> Result<bool, Error> {
    let found = whole(cluster, context).await?;
    Ok(found.is_some_and(|found| {
        found.uid().as_ref() == Some(&cluster.uid)
            && found.metadata.generation == Some(cluster.generation)
    }))
}

/// What is wanted. Of a resource that cannot be read, such as one that was stored under an older schema, the schema of
/// today tells the fields that are in the way.
async fn settings(
    resource: &Guarded,
    cluster: &Identity,
    context: &Context,
) -> Result<Result<Settings, Faults>, Error> {
    let unreadable = match &resource.0 {
        Ok(readable) => return Ok(Settings::of(readable)),
        Err(unreadable) => unreadable,
    };
    let mut faults = vec![Fault {
        path: "spec".to_owned(),
        value: String::new(),
        remedy: format!("cannot be read: {}", unreadable.error),
    }];
    let found = whole(cluster, context).await?;
    if let Some(spec) = found.as_ref().and_then(|found| found.data.get("spec")) {
        faults.extend(chatbot_crds::spec_faults(spec));
    }
    Ok(Err(Faults(faults)))
}

/// The status as it was last written, by the cache's account or by our own when that is newer, and its version.
pub(crate) async fn last_status(
    resource: &Guarded,
    cluster: &Identity,
    context: &Context,
) -> Result<(ChatBotClusterStatus, Option<String>), Error> {
    let reported = context.desk(&cluster.uid, |desk| {
        // A copy is kept only until the caches have it.
        desk.reported
            .take_if(|reported| !is_newer(reported.as_ref(), resource));
        desk.reported.clone()
    });
    let newest = reported.as_deref().unwrap_or(resource);
    match &newest.0 {
        Ok(cluster) => Ok((
            cluster.status.clone().unwrap_or_default(),
            newest.resource_version(),
        )),
        // The cache keeps nothing of what cannot be read. Without its status every pass would seem to be the first.
        Err(_) => Ok(whole(cluster, context).await?.map_or_else(
            || (ChatBotClusterStatus::default(), newest.resource_version()),
            |found| (status_of(&found), found.resource_version()),
        )),
    }
}

/// What was remembered. What cannot be read is not known; it is said once per look, since it should never be.
fn memory(cluster: &Identity, children: &BTreeMap<ObjectKey, Arc<DynamicObject>>) -> Memory {
    let key = children::memory_key(cluster);
    let text = children
        .get(&key)
        .filter(|object| project::is_ours(object.as_ref(), cluster))
        .and_then(|object| object.data.get("memory").and_then(Value::as_str));
    match text.map(Memory::read) {
        Some(Ok(memory)) => memory,
        Some(Err(error)) => {
            tracing::warn!(%error, name = key.name, "the memory cannot be read: nothing is known of before");
            Memory::default()
        }
        None => Memory::default(),
    }
}

async fn pods(cluster: &Identity, context: &Context) -> Vec<PodSeen> {
    let mut pods: Vec<PodSeen> = context
        .caches
        .pods(&cluster.namespace, &cluster.name)
        .iter()
        .filter_map(|pod| crate::pods::seen(pod))
        .collect();
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    let asked = pods
        .iter()
        .filter(|pod| !pod.ending)
        .filter_map(|pod| Some((pod.uid.clone(), pod.ip.clone()?)))
        .collect();
    let mut states = context.reports.ask(asked).await;
    for pod in &mut pods {
        if let Some(state) = states.remove(&pod.uid) {
            pod.state = state;
        }
    }
    pods
}

fn evicted(cluster: &Identity, context: &Context) -> Vec<EvictedPod> {
    let pods = context.caches.pods(&cluster.namespace, &cluster.name);
    let pods = pods.iter();
    pods.filter_map(|pod| crate::pods::evicted(pod)).collect()
}

fn in_trouble_since(cluster: &Identity, context: &Context) -> BTreeMap<String, Timestamp> {
    let pods = context.caches.pods(&cluster.namespace, &cluster.name);
    let known = pods.iter();
    known
        .filter_map(|pod| Some((pod.uid()?, crate::pods::in_trouble_since(pod)?)))
        .collect()
}

async fn prometheus(settings: Option<&Settings>, context: &Context) -> Signal<PrometheusSeen> {
    match settings.and_then(|settings| settings.monitoring.prometheus.as_ref()) {
        Some(named) => context.prometheuses.ask(&named.url).await,
        None => Signal::Unknown(Reason::Pending),
    }
}

/// The model's claim; not asked for while the model is served by as many as are wanted.
async fn claim(
    cluster: &Identity,
    settings: Option<&Settings>,
    status: &ChatBotClusterStatus,
    context: &Context,
    now: Timestamp,
) -> Result<Signal<Option<ClaimSeen>>, Error> {
    let served = is_true(status, ConditionType::ModelReady, cluster)
        && is_true(status, ConditionType::InferenceReady, cluster);
    let Some(settings) = settings.filter(|_| !served) else {
        return Ok(Signal::Unknown(Reason::Pending));
    };
    let ModelSource::PersistentVolumeClaim { claim_name, .. } = &settings.inference.model;
    let claim =
        Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), &cluster.namespace)
            .get_opt(claim_name)
            .await
            .map_err(|source| Error::Observe {
                what: format!("claim {claim_name}"),
                source,
            })?;
    let value = claim.map(|claim| {
        let created = claim.metadata.creation_timestamp.map(|created| created.0);
        let status = claim.status.unwrap_or_default();
        ClaimSeen {
            phase: status.phase.unwrap_or_default(),
            access_modes: status.access_modes.unwrap_or_default(),
            created,
        }
    });
    Ok(Signal::Known { value, at: now })
}

/// The keys of the ConfigMap with the system prompt, if it is there.
async fn system_prompt(
    cluster: &Identity,
    settings: Option<&Settings>,
    context: &Context,
    now: Timestamp,
) -> Result<Signal<Option<BTreeSet<String>>>, Error> {
    let Some(SystemPrompt::ConfigMap(reference)) =
        settings.and_then(|settings| settings.conversation.system_prompt.as_ref())
    else {
        return Ok(Signal::Unknown(Reason::Pending));
    };
    let name = &reference.name;
    let found = Api::<ConfigMap>::namespaced(context.client.clone(), &cluster.namespace)
        .get_opt(name)
        .await
        .map_err(|source| Error::Observe {
            what: format!("ConfigMap {name}"),
            source,
        })?;
    let value = found.map(|found| {
        let texts = found.data.unwrap_or_default().into_keys();
        texts
            .chain(found.binary_data.unwrap_or_default().into_keys())
            .collect()
    });
    Ok(Signal::Known { value, at: now })
}

/// Whether the status says so of the present generation.
fn is_true(status: &ChatBotClusterStatus, kind: ConditionType, cluster: &Identity) -> bool {
    status::find(status, kind).is_some_and(|condition| {
        condition.status == "True" && condition.observed_generation == Some(cluster.generation)
    })
}
