//! What the operator keeps in memory of the cluster: its resources, its own children and pods, nothing else. One table
//! of kinds drives it.

use std::collections::HashMap;
use std::sync::Arc;

use chatbot_crds::ChatBotCluster;
use chatbot_plan::kinds::{KINDS, Kind};
use chatbot_plan::names;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::Config;
use kube::runtime::{Controller, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::OnceCell;

use crate::error::Error;
use crate::project::{shrink, shrink_pod};

/// A resource, or what is wrong with it: one that cannot be read must not stop all the others.
pub type Guarded = DeserializeGuard<ChatBotCluster>;

/// Seconds after which a watch is renewed: a connection that was dropped without a word is noticed then.
const WATCH_SECONDS: u32 = 120;

/// The caches.
#[derive(Clone)]
pub struct Caches {
    children: HashMap<&'static str, Store<DynamicObject>>,
    pods: Store<Pod>,
    filled: Arc<OnceCell<bool>>,
}

/// The resource type of a kind.
#[must_use]
pub fn api_resource(kind: &Kind) -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(kind.group, kind.version, kind.kind),
        kind.plural,
    )
}

/// A controller over every resource of the cluster and everything that belongs to them, and its caches.
#[must_use]
pub fn controller(client: &Client) -> (Controller<Guarded>, Caches) {
    let mut controller = main_stream(client);
    let mut children = HashMap::new();
    for kind in KINDS {
        let resource = api_resource(kind);
        let writer = Writer::new(resource.clone());
        children.insert(kind.kind, writer.as_reader());
        let stream = watcher(
            Api::<DynamicObject>::all_with(client.clone(), &resource),
            ours(),
        )
        .default_backoff()
        .modify(|object| shrink(kind.kind, object))
        .reflect(writer)
        .touched_objects();
        controller = controller.owns_stream_with(stream, resource);
    }
    let writer = Writer::default();
    let caches = Caches {
        children,
        pods: writer.as_reader(),
        filled: Arc::default(),
    };
    let pods = watcher(Api::<Pod>::all(client.clone()), ours())
        .default_backoff()
        .modify(shrink_pod)
        .reflect(writer)
        .touched_objects();
    (
        controller.watches_stream(pods, |pod| cluster_of(&pod)),
        caches,
    )
}

fn main_stream(client: &Client) -> Controller<Guarded> {
    let writer = Writer::<Guarded>::default();
    let reader = writer.as_reader();
    let stream = watcher(
        Api::<Guarded>::all(client.clone()),
        renewed(Config::default()),
    )
    .default_backoff()
    .modify(|guarded| guarded.managed_fields_mut().clear())
    .reflect(writer)
    .applied_objects()
    // The operator's own status is no news.
    .predicate_filter(
        predicates::generation,
        kube::runtime::PredicateConfig::default(),
    );
    Controller::for_stream(stream, reader)
}

fn ours() -> Config {
    renewed(Config::default().labels(&format!(
        "{}={}",
        names::MANAGED_BY_LABEL,
        names::MANAGED_BY
    )))
}

fn renewed(config: Config) -> Config {
    config.timeout(WATCH_SECONDS)
}

/// A pod's owner is a ReplicaSet: its resource is told by its label.
fn cluster_of(pod: &Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get(names::CLUSTER_LABEL)?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
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
        for store in self.children.values() {
            if store.wait_until_ready().await.is_err() {
                return false;
            }
        }
        self.pods.wait_until_ready().await.is_ok()
    }

    /// The children of a kind that carry a resource's label.
    #[must_use]
    pub fn children(&self, kind: &Kind, namespace: &str, cluster: &str) -> Vec<Arc<DynamicObject>> {
        self.children
            .get(kind.kind)
            .map(|store| store.state_filter(|object| belongs(object, namespace, cluster)))
            .unwrap_or_default()
    }

    /// The pods that carry a resource's label.
    #[must_use]
    pub fn pods(&self, namespace: &str, cluster: &str) -> Vec<Arc<Pod>> {
        self.pods
            .state_filter(|pod| belongs(pod, namespace, cluster))
    }
}

fn belongs(object: &impl ResourceExt, namespace: &str, cluster: &str) -> bool {
    object.namespace().as_deref() == Some(namespace)
        && object
            .labels()
            .get(names::CLUSTER_LABEL)
            .map(String::as_str)
            == Some(cluster)
}

/// Everything a controller reports about its own work, for the log.
pub async fn drain(
    mut work: impl Stream<
        Item = Result<
            (ObjectRef<Guarded>, kube::runtime::controller::Action),
            kube::runtime::controller::Error<Error, watcher::Error>,
        >,
    > + Unpin,
) {
    while let Some(result) = work.next().await {
        match result {
            // Failed passes are logged where they happen, with the resource's name; what is not found was deleted
            // while it waited for its turn.
            Ok(_)
            | Err(
                kube::runtime::controller::Error::ReconcilerFailed(..)
                | kube::runtime::controller::Error::ObjectNotFound(_),
            ) => {}
            Err(error) => {
                tracing::warn!(error = %crate::error::in_full(&error), "a watch failed and is repeated");
            }
        }
    }
}
