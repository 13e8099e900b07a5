//! What the operator keeps in memory of the cluster: its resources, its own children and pods, nothing else. One table
//! of kinds drives it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::future::ready;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatbot_crds::ChatBotCluster;
use chatbot_plan::kinds::{KINDS, Kind};
use chatbot_plan::names;
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::Config;
use kube::runtime::{Controller, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::error::Error;
use crate::presence::{PATIENCE, Presence};
use crate::project::{shrink, shrink_pod};

/// A resource, or what is wrong with it: one that cannot be read must not stop all the others.
pub type Guarded = DeserializeGuard<ChatBotCluster>;

/// Seconds after which a watch is renewed: a connection that has gone silent is noticed five seconds later.
const WATCH_SECONDS: u32 = 25;

/// Objects in one page of a list: whole objects are held until they are shrunk, of all kinds at once.
const PAGE: u32 = 50;

/// The caches.
#[derive(Clone)]
pub struct Caches {
    children: HashMap<&'static str, Store<DynamicObject>>,
    presences: HashMap<&'static str, Presence>,
    pods: Store<Pod>,
    refused: Refused,
    filled: Arc<OnceCell<bool>>,
}

/// The watches that the API server refuses, by their resource, in its words.
type Refused = Arc<Mutex<BTreeMap<String, String>>>;

/// The resource type of a kind.
#[must_use]
pub fn api_resource(kind: &Kind) -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
        kind.plural,
    )
}

/// A controller over every resource of the cluster and everything that belongs to them, and its caches. Everything is
/// listed anew after a while, whatever the watches have told.
#[must_use]
pub fn controller(client: &Client, relist: Duration) -> (Controller<Guarded>, Caches) {
    let refused = Refused::default();
    let mut controller = main_stream(client, relist, &refused);
    let mut children = HashMap::new();
    let mut presences = HashMap::new();
    for kind in KINDS {
        let presence = Presence::of(kind);
        presences.insert(kind.kind, presence.clone());
        let noted = presence.clone();
        let resource = api_resource(kind);
        let writer = Writer::new(resource.clone());
        children.insert(kind.kind, writer.as_reader());
        let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
        let stream = followed((api, resource.clone()), ours(), relist, &writer, &refused)
            .filter_map(move |event| ready(presence.heed(event)))
            .modify(|object| shrink(kind.kind, object))
            .reflect(writer)
            .inspect_ok(move |event| noted.note(event))
            .touched_objects();
        controller = controller.watches_stream_with(stream, |child| concerned(&child), resource);
    }
    let writer = Writer::default();
    let caches = Caches {
        children,
        presences,
        pods: writer.as_reader(),
        refused: refused.clone(),
        filled: Arc::default(),
    };
    let api = Api::<Pod>::all(client.clone());
    let pods = followed((api, ()), ours(), relist, &writer, &refused)
        .modify(shrink_pod)
        .reflect(writer)
        .touched_objects();
    (
        controller.watches_stream(pods, |pod| cluster_of(&pod)),
        caches,
    )
}

fn main_stream(client: &Client, relist: Duration, refused: &Refused) -> Controller<Guarded> {
    let writer = Writer::<Guarded>::default();
    let reader = writer.as_reader();
    let api = Api::<Guarded>::all(client.clone());
    let all = renewed(Config::default());
    let stream = followed((api, ()), all, relist, &writer, refused)
        .modify(|guarded| guarded.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        // The operator's own status is no news.
        .predicate_filter(
            predicates::generation,
            kube::runtime::PredicateConfig::default(),
        );
    Controller::for_stream(stream, reader).trigger_backoff(NoPause)
}

/// Each watch waits by itself after it has failed. Besides, kube's controllers wait before all of them at once, longer
/// for each that fails: of a dozen that are cut together, the last would be deaf for minutes.
struct NoPause;

impl Iterator for NoPause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for NoPause {
    fn reset(&mut self) {}
}

/// A watch that begins with a list again and again: one that is resumed never tells what it has once left out.
fn followed<K>(
    (api, of): (Api<K>, K::DynamicType),
    config: Config,
    relist: Duration,
    writer: &Writer<K>,
    refused: &Refused,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Send + Sync,
{
    let (store, refused) = (writer.as_reader(), refused.clone());
    let resource = K::plural(&of).into_owned();
    let begin = move || {
        let end = Box::pin(tokio::time::sleep(relist));
        let watch = watcher(api.clone(), config.clone()).take_until(end);
        watch.boxed()
    };
    futures::stream::unfold((begin, None), |(begin, watch)| async move {
        let mut watch = watch.unwrap_or_else(&begin);
        loop {
            match watch.next().await {
                Some(event) if is_over(&event) => return Some((event, (begin, None))),
                Some(event) => return Some((event, (begin, Some(watch)))),
                None => watch = begin(),
            }
        }
    })
    .inspect(move |event| note_refusal(&refused, &resource, event))
    .try_filter(move |event| ready(is_news(event, &store, &of)))
    .default_backoff()
}

/// Whether a watch begins anew, with a list. One cannot go on from where it was: kube 5.0 tries that for ever when it is
/// told so at once, and not in the stream. One was refused: when the right is back it would go on without a word, and
/// nobody would know.
fn is_over<K>(event: &watcher::Result<watcher::Event<K>>) -> bool {
    match event {
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) => {
            matches!(status.code, 403 | 410)
        }
        Err(watcher::Error::WatchError(status)) => status.code == 403,
        _ => false,
    }
}

/// A watch without the right to it ends in words; one that goes on has it again.
fn note_refusal<K>(refused: &Refused, resource: &str, event: &watcher::Result<watcher::Event<K>>) {
    let status = match event {
        // The list itself has not been answered yet.
        Ok(watcher::Event::Init) => return,
        Ok(_) => None,
        Err(
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status),
        ) => Some(status),
        Err(_) => return,
    };
    let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
    match status.filter(|status| status.code == 403) {
        Some(status) => refused.insert(resource.to_owned(), status.message.clone()),
        None => refused.remove(resource),
    };
}

/// What tells of an older version than the one that is known is no news: it came late, or from a server that lags.
/// Lists are believed: a cluster that was restored from a backup has older versions.
fn is_news<K>(event: &watcher::Event<K>, store: &Store<K>, of: &K::DynamicType) -> bool
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    let (watcher::Event::Apply(object) | watcher::Event::Delete(object)) = event else {
        return true;
    };
    let version = |object: &K| {
        let version = object.meta().resource_version.as_deref();
        version.and_then(|version| version.parse::<u64>().ok())
    };
    store
        .get(&ObjectRef::from_obj_with(object, of.clone()))
        .is_none_or(|known| version(&known) <= version(object))
}

fn ours() -> Config {
    renewed(Config::default().labels(&format!(
        "{}={}",
        names::MANAGED_BY_LABEL,
        names::MANAGED_BY
    )))
}

fn renewed(config: Config) -> Config {
    config.timeout(WATCH_SECONDS).page_size(PAGE)
}

/// A pod's owner is a ReplicaSet: its resource is told by its label.
fn cluster_of(labelled: &impl ResourceExt) -> Option<ObjectRef<Guarded>> {
    let name = labelled.labels().get(names::CLUSTER_LABEL)?;
    Some(ObjectRef::new(name).within(&labelled.namespace()?))
}

/// The resources that a child concerns: its owner's and its label's, since either may have been taken from it.
fn concerned(child: &DynamicObject) -> Vec<ObjectRef<Guarded>> {
    let namespace = child.namespace().unwrap_or_default();
    let owners = child
        .owner_references()
        .iter()
        .filter(|owner| owner.controller == Some(true) && owner.kind == ChatBotCluster::kind(&()));
    let mut concerned: Vec<_> = owners
        .map(|owner| ObjectRef::new(&owner.name).within(&namespace))
        .collect();
    concerned.extend(cluster_of(child).filter(|labelled| !concerned.contains(labelled)));
    concerned
}

impl Caches {
    /// Waits until everything has been listed once: what is not there before that may well be.
    ///
    /// One waits for all: of several that wait for the same store, kube 5.0 wakes only the one that came last.
    pub async fn wait(&self) -> Result<(), Error> {
        let filled = self.filled.get_or_init(|| self.filled()).await;
        if *filled { Ok(()) } else { Err(Error::Ending) }
    }

    async fn filled(&self) -> bool {
        for kind in KINDS {
            let Some(store) = self.children.get(kind.kind) else {
                continue;
            };
            // A kind that is not there has nothing to be listed.
            if self.is_there(kind).await && store.wait_until_ready().await.is_err() {
                return false;
            }
        }
        self.pods.wait_until_ready().await.is_ok()
    }

    async fn is_there(&self, kind: &Kind) -> bool {
        let Some(presence) = self.presences.get(kind.kind) else {
            return true;
        };
        let is_refused = || self.refusals().contains_key(kind.plural);
        presence.answered(PATIENCE, is_refused).await && !presence.is_absent()
    }

    /// What the operator may not watch, in the API server's words.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.refusals().values().cloned().collect()
    }

    fn refusals(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The children of a kind that carry a resource's label.
    #[must_use]
    pub fn children(&self, kind: &Kind, namespace: &str, cluster: &str) -> Vec<Arc<DynamicObject>> {
        self.children
            .get(kind.kind)
            .filter(|_| !self.absent().contains(kind.kind))
            .map(|store| store.state_filter(|object| belongs(object, namespace, cluster)))
            .unwrap_or_default()
    }

    /// The kinds that the cluster does not have.
    #[must_use]
    pub fn absent(&self) -> BTreeSet<&'static str> {
        let absent = self.presences.iter();
        absent
            .filter(|(_, presence)| presence.is_absent())
            .map(|(kind, _)| *kind)
            .collect()
    }

    /// The identities of all pods that are there.
    #[must_use]
    pub fn pod_uids(&self) -> HashSet<String> {
        let pods = self.pods.state();
        pods.iter().filter_map(|pod| pod.uid()).collect()
    }

    /// The pods that carry a resource's label.
    #[must_use]
    pub fn pods(&self, namespace: &str, cluster: &str) -> Vec<Arc<Pod>> {
        self.pods
            .state_filter(|pod| belongs(pod, namespace, cluster))
    }
}

fn belongs(object: &impl ResourceExt, namespace: &str, cluster: &str) -> bool {
    object.meta().namespace.as_deref() == Some(namespace)
        && object
            .labels()
            .get(names::CLUSTER_LABEL)
            .map(String::as_str)
            == Some(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn child(label: Option<&str>, owner: Option<(&str, bool)>) -> DynamicObject {
        let owners = owner.map(|(name, controls)| {
            json!([{
                "apiVersion": "chatbot.dev/v1alpha1", "kind": "ChatBotCluster", "name": name, "uid": "u",
                "controller": controls,
            }])
        });
        let labels = label.map(|name| json!({ names::CLUSTER_LABEL: name }));
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "a", "namespace": "chat", "labels": labels, "ownerReferences": owners },
        }))
        .unwrap()
    }

    #[test]
    fn a_child_robbed_of_its_owner_or_its_label_still_concerns_its_resource() {
        let names = |child| -> Vec<String> {
            let concerned = concerned(&child);
            assert!(
                concerned
                    .iter()
                    .all(|one| one.namespace.as_deref() == Some("chat"))
            );
            concerned.into_iter().map(|one| one.name).collect()
        };
        assert_eq!(names(child(Some("a"), Some(("a", true)))), ["a"]);
        assert_eq!(names(child(Some("a"), None)), ["a"]);
        assert_eq!(names(child(None, Some(("a", true)))), ["a"]);
        assert_eq!(
            names(child(Some("stolen"), Some(("a", true)))),
            ["a", "stolen"]
        );
        assert!(names(child(None, Some(("a", false)))).is_empty());
    }
}
