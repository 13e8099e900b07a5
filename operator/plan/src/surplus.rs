//! What is pruned: children that nothing plans, holds or may still read.

use std::collections::{BTreeMap, BTreeSet};

use crate::names;
use crate::proposal::{Component, Proposal, Surplus};
use crate::render::Rendered;
use crate::rollout::Rollout;
use crate::world::{ObjectKey, World};

/// Configurations of edits that never worked that are kept, per component, beside the one that works.
const KEPT_CONFIGS: usize = 8;

/// Children that nothing needs any more. A configuration is needed as long as a pod mounts it, or an old `ReplicaSet`
/// may still make such a pod; the operator's own broker and store as long as pods may be left that talk to them.
pub fn of(
    world: &World,
    objects: &[Rendered],
    proposals: &[Proposal],
    rollout: &Rollout,
) -> Vec<Surplus> {
    let planned: BTreeSet<&ObjectKey> = objects
        .iter()
        .map(|object| &object.key)
        .chain(proposals.iter().flat_map(|proposal| &proposal.held))
        .collect();
    let mounted: BTreeSet<&str> = world
        .observed
        .pods
        .iter()
        .flat_map(|pod| pod.config_maps.iter().map(String::as_str))
        .collect();
    let too_many = too_many(world, &planned);
    let is_planned = |name: &str| {
        let mut planned = planned.iter();
        planned.any(|key| key.kind == "Deployment" && key.name == name)
    };
    let outgoing: Vec<String> = [Component::Broker, Component::Store]
        .map(|component| names::workload(&world.cluster, component))
        .into_iter()
        .filter(|name| !is_planned(name))
        .collect();
    let needed = |key: &ObjectKey| {
        let is_config = key.kind == "ConfigMap";
        let is_mounted = is_config && mounted.contains(key.name.as_str());
        let may_be_mounted =
            is_config && !rollout.is_complete() && !too_many.contains(key.name.as_str());
        is_mounted || may_be_mounted || outgoing.contains(&key.name) && !rollout.is_over()
    };
    world
        .observed
        .children
        .iter()
        .filter(|(key, child)| child.owned && !planned.contains(key) && !needed(key))
        .map(|(key, child)| Surplus {
            key: key.clone(),
            uid: child.uid.clone(),
        })
        .collect()
}

/// Configurations that no pod mounts and no old `ReplicaSet` can still ask for. A Deployment keeps the pods that work and
/// tries the latest: of edits that never worked the last are kept, and so is the first, which is of what works.
fn too_many<'a>(world: &'a World, planned: &BTreeSet<&ObjectKey>) -> BTreeSet<&'a str> {
    let mut unplanned: Vec<_> = world
        .observed
        .children
        .iter()
        .filter(|(key, child)| key.kind == "ConfigMap" && child.owned && !planned.contains(key))
        .map(|(key, child)| (child.created, key.name.as_str()))
        .collect();
    unplanned.sort_unstable();
    let mut of_component: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, name) in unplanned {
        let component = name
            .rsplit_once('-')
            .map_or(name, |(component, _)| component);
        of_component.entry(component).or_default().push(name);
    }
    let surplus = |names: Vec<&'a str>| {
        let last = names.len().saturating_sub(KEPT_CONFIGS);
        names.into_iter().take(last).skip(1).collect::<Vec<_>>()
    };
    of_component.into_values().flat_map(surplus).collect()
}
