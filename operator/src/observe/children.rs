//! A resource's own objects: those that the caches show, and those that somebody has hidden from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chatbot_plan::kinds::{KINDS, Kind};
use chatbot_plan::names;
use chatbot_plan::world::{Child, Identity, ObjectKey};
use kube::api::DynamicObject;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::error::Error;
use crate::project;
use crate::watch::api_resource;

/// Children, by kind and name.
pub(super) type Children = BTreeMap<ObjectKey, Arc<DynamicObject>>;

/// The children that are seen, and the names of those that the caches no longer show.
///
/// The memory is looked for by its name where the caches do not show it: they may not have it yet, or somebody has taken
/// its label. Taken for absent it would be written anew, and what it says would be lost.
pub(super) async fn seen(
    cluster: &Identity,
    context: &Context,
) -> Result<(Children, Vec<ObjectKey>), Error> {
    let (mut children, mut hidden) = shown(cluster, context);
    let memory = memory_key(cluster);
    if !children.contains_key(&memory)
        && let Some(found) = by_name(&memory, cluster, context).await?
    {
        hidden.retain(|key| *key != memory);
        children.insert(memory, Arc::new(found));
    }
    Ok((children, hidden))
}

/// Where the memory is.
pub(super) fn memory_key(cluster: &Identity) -> ObjectKey {
    ObjectKey {
        kind: "ConfigMap",
        name: names::memory(cluster),
    }
}

/// One of ours, as the API server has it.
async fn by_name(
    key: &ObjectKey,
    cluster: &Identity,
    context: &Context,
) -> Result<Option<DynamicObject>, Error> {
    let Some(api) = api(key, cluster, context) else {
        return Ok(None);
    };
    let found = match api.get_opt(&key.name).await {
        // It cannot be written either, which is told then.
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        found => found.map_err(|source| unread(key, source))?,
    };
    Ok(found
        .filter(|found| project::is_ours(found, cluster))
        .map(|mut found| {
            project::shrink(key.kind, &mut found);
            found
        }))
}

/// The children that the caches show, and the names of those that they no longer show.
fn shown(cluster: &Identity, context: &Context) -> (Children, Vec<ObjectKey>) {
    let cached = |kind: &'static Kind| {
        let objects = context
            .caches
            .children(kind, &cluster.namespace, &cluster.name);
        objects.into_iter().map(|object| {
            let key = ObjectKey {
                kind: kind.kind,
                name: object.name_any(),
            };
            (key, object)
        })
    };
    context.desk(&cluster.uid, |desk| {
        let children = KINDS
            .iter()
            .flat_map(cached)
            .map(|(key, object)| {
                let newest = desk.newest(&key, object);
                (key, newest)
            })
            .collect();
        let hidden = desk.hidden(&children);
        (children, hidden)
    })
}

/// Children without the label by which the caches find them: somebody has taken it. Of the others that are no longer shown
/// nothing is left.
pub(super) async fn strays(
    cluster: &Identity,
    hidden: Vec<ObjectKey>,
    context: &Context,
) -> Result<Vec<(ObjectKey, Child)>, Error> {
    let mut strays = Vec::new();
    for key in hidden {
        let Some(api) = api(&key, cluster, context) else {
            continue;
        };
        let found = match api.get_metadata_opt(&key.name).await {
            // What may not be read is looked for again.
            Err(kube::Error::Api(status)) if status.code == 403 => continue,
            found => found.map_err(|source| unread(&key, source))?,
        };
        match found.filter(|found| project::is_owned(found, &cluster.uid)) {
            Some(found) => strays.push((key, project::child(&found, &cluster.uid))),
            None => context.desk(&cluster.uid, |desk| desk.is_gone(&key)),
        }
    }
    Ok(strays)
}

fn api(key: &ObjectKey, cluster: &Identity, context: &Context) -> Option<Api<DynamicObject>> {
    let kind = KINDS.iter().find(|kind| kind.kind == key.kind)?;
    let client = context.client.clone();
    let resource = api_resource(kind);
    Some(Api::namespaced_with(client, &cluster.namespace, &resource))
}

fn unread(key: &ObjectKey, source: kube::Error) -> Error {
    let what = format!("{} {}", key.kind, key.name);
    Error::Observe { what, source }
}
