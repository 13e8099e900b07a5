//! A resource's own objects: those that the caches show, and those that somebody has hidden from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chatbot_plan::kinds::{KINDS, Kind};
use chatbot_plan::world::{Child, Identity, ObjectKey};
use kube::api::DynamicObject;
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::error::Error;
use crate::project;
use crate::watch::api_resource;

/// The children that the caches show, and the names of those that they no longer show.
pub(super) fn shown(
    cluster: &Identity,
    context: &Context,
) -> (BTreeMap<ObjectKey, Arc<DynamicObject>>, Vec<ObjectKey>) {
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
        let Some(kind) = KINDS.iter().find(|kind| kind.kind == key.kind) else {
            continue;
        };
        let api: Api<DynamicObject> = Api::namespaced_with(
            context.client.clone(),
            &cluster.namespace,
            &api_resource(kind),
        );
        let found = match api.get_metadata_opt(&key.name).await {
            Ok(found) => found,
            // What may not be read is looked for again.
            Err(kube::Error::Api(status)) if status.code == 403 => continue,
            Err(source) => {
                let what = format!("{} {}", key.kind, key.name);
                return Err(Error::Observe { what, source });
            }
        };
        match found.filter(|found| project::is_owned(found, &cluster.uid)) {
            Some(found) => strays.push((key, project::child(&found, &cluster.uid))),
            None => context.desk(&cluster.uid, |desk| desk.is_gone(&key)),
        }
    }
    Ok(strays)
}
