//! What is kept of an object in memory: its metadata, a fingerprint of what somebody wants of it, and the little of
//! its state that a decision depends on.

use chatbot_crds::ChatBotCluster;
use chatbot_plan::http_route::{self, RouteSeen};
use chatbot_plan::names;
use chatbot_plan::world::{AutoscalerCondition, AutoscalerSeen, Child, DeploymentSeen, Identity};
use k8s_openapi::api::apps::v1::DeploymentStatus;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerStatus;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

/// Reduces a child to what is kept.
pub fn shrink(kind: &str, object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
    object.data = match kind {
        "ConfigMap" => json!({
            "fingerprint": fingerprint(&object.data),
            "memory": object.data.pointer(&format!("/data/{}", names::MEMORY_KEY)),
        }),
        "Deployment" => json!({
            "fingerprint": fingerprint(&object.data),
            "replicas": object.data.pointer("/spec/replicas"),
            "paused": object.data.pointer("/spec/paused"),
            "status": object.data.get("status"),
        }),
        "HorizontalPodAutoscaler" => json!({
            "fingerprint": fingerprint(&object.data),
            "status": { "conditions": object.data.pointer("/status/conditions") },
        }),
        "Ingress" => json!({
            "fingerprint": fingerprint(&object.data),
            "addresses": object.data.pointer("/status/loadBalancer/ingress"),
        }),
        http_route::KIND => json!({
            "fingerprint": fingerprint(&object.data),
            "status": { "parents": object.data.pointer("/status/parents") },
        }),
        _ => json!({ "fingerprint": fingerprint(&object.data) }),
    };
}

/// The hash of what somebody wants of an object: neither its status nor a Deployment's replicas, which others set.
fn fingerprint(data: &Value) -> String {
    let mut wanted = data.clone();
    if let Some(fields) = wanted.as_object_mut() {
        fields.remove("status");
        if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut)
            && spec.contains_key("template")
        {
            spec.remove("replicas");
        }
    }
    names::hash(&wanted.to_string())
}

/// The fingerprint of a shrunk object.
#[must_use]
pub fn fingerprint_of(object: &DynamicObject) -> &str {
    object
        .data
        .get("fingerprint")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Reduces a pod to what is kept.
pub fn shrink_pod(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    if let Some(spec) = &mut pod.spec {
        let mut volumes = spec.volumes.take().unwrap_or_default();
        volumes.retain(|volume| volume.config_map.is_some());
        let kept = |container: Container| Container {
            name: container.name,
            resources: container.resources,
            ports: container.ports,
            ..Container::default()
        };
        let before = spec.init_containers.take().unwrap_or_default();
        let containers = std::mem::take(&mut spec.containers);
        *spec = PodSpec {
            volumes: Some(volumes),
            node_name: spec.node_name.take(),
            init_containers: Some(before.into_iter().map(kept).collect()),
            containers: containers.into_iter().map(kept).collect(),
            ..PodSpec::default()
        };
    }
}

/// A child as the plan sees it.
#[must_use]
pub fn child(object: &impl ResourceExt, owner_uid: &str) -> Child {
    Child {
        uid: object.uid().unwrap_or_default(),
        owned: is_owned(object, owner_uid),
        hash: object.annotations().get(names::HASH_ANNOTATION).cloned(),
        created: object.creation_timestamp().map(|created| created.0),
    }
}

/// Whether an object's controller is the given one.
#[must_use]
pub fn is_owned(object: &impl ResourceExt, owner_uid: &str) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.uid == owner_uid)
}

/// Whether an object is ours to write: owned by this resource, or one of its children that has lost its owner. Such a
/// one has no controller and every mark of our last write; whatever lacks one of them may be anybody's.
#[must_use]
pub fn is_ours(object: &impl ResourceExt, cluster: &Identity) -> bool {
    let has = |label: &str, value: &str| object.labels().get(label).is_some_and(|is| is == value);
    let is_marked = has(names::MANAGED_BY_LABEL, names::MANAGED_BY)
        && has(names::CLUSTER_LABEL, &cluster.name)
        && object.annotations().contains_key(names::HASH_ANNOTATION);
    let mut owners = object.owner_references().iter();
    is_owned(object, &cluster.uid)
        || is_marked && owners.all(|owner| owner.controller != Some(true))
}

/// Whether an object's controller is a resource of the same name that is no more: the API server's garbage collector has
/// yet to come to it.
#[must_use]
pub fn is_of_predecessor(object: &ObjectMeta, cluster: &Identity) -> bool {
    let mut owners = object.owner_references.iter().flatten();
    owners.any(|owner| {
        owner.controller == Some(true)
            && owner.api_version == ChatBotCluster::api_version(&())
            && owner.kind == ChatBotCluster::kind(&())
            && owner.name == cluster.name
            && owner.uid != cluster.uid
    })
}

/// A Deployment as the plan sees it.
#[must_use]
pub fn deployment(object: &DynamicObject) -> DeploymentSeen {
    let status: DeploymentStatus = parse(&object.data, "status");
    let condition = |kind: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind)
    };
    let count = |number: Option<i32>| {
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(0)
    };
    DeploymentSeen {
        resource_version: object.resource_version().unwrap_or_default(),
        current: status.observed_generation >= object.metadata.generation,
        desired: object
            .data
            .get("replicas")
            .and_then(Value::as_u64)
            .and_then(|replicas| u32::try_from(replicas).ok())
            .unwrap_or(1),
        replicas: count(status.replicas),
        updated: count(status.updated_replicas),
        ready: count(status.ready_replicas),
        paused: object.data.get("paused").and_then(Value::as_bool) == Some(true),
        progress: condition("Progressing")
            .and_then(|condition| condition.reason.clone())
            .unwrap_or_default(),
        failure: condition("ReplicaFailure")
            .filter(|condition| condition.status == "True")
            .map(|condition| nameless(condition.message.as_deref().unwrap_or_default())),
    }
}

/// Why pods cannot be made, without the name of the one that was tried last: it changes with every try.
fn nameless(failure: &str) -> String {
    let name = ["pods \"", "Pod \""]
        .into_iter()
        .find_map(|kind| failure.strip_prefix(kind))
        .and_then(|rest| rest.split_once('"'))
        .and_then(|(name, _)| name.rsplit_once('-'));
    match name {
        Some((start, end)) => {
            failure.replacen(&format!("{start}-{end}\""), &format!("{start}-*\""), 1)
        }
        None => failure.to_owned(),
    }
}

/// An autoscaler as the plan sees it.
#[must_use]
pub fn autoscaler(object: &DynamicObject) -> AutoscalerSeen {
    let status: HorizontalPodAutoscalerStatus = parse(&object.data, "status");
    let condition = |kind: &str| {
        let found = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind)?;
        Some(AutoscalerCondition {
            status: found.status == "True",
            reason: found.reason.clone().unwrap_or_default(),
            message: found.message.clone().unwrap_or_default(),
        })
    };
    AutoscalerSeen {
        active: condition("ScalingActive"),
        limited: condition("ScalingLimited"),
    }
}

/// Whether somebody serves an Ingress at an address.
#[must_use]
pub fn is_served(object: &DynamicObject) -> bool {
    let addresses = object.data.get("addresses").and_then(Value::as_array);
    addresses.is_some_and(|addresses| !addresses.is_empty())
}

/// An `HTTPRoute` as the plan sees it.
#[must_use]
pub fn route(object: &DynamicObject) -> RouteSeen {
    let parents = object.data.pointer("/status/parents");
    let parents = parents.and_then(Value::as_array).into_iter().flatten();
    RouteSeen {
        generation: object.metadata.generation.unwrap_or_default(),
        // A parent that is no Gateway of ours cannot be read, and is not asked about.
        parents: parents
            .filter_map(|parent| serde_json::from_value(parent.clone()).ok())
            .collect(),
    }
}

/// What cannot be read is as good as not said yet.
fn parse<T: Default + serde::de::DeserializeOwned>(data: &Value, field: &str) -> T {
    data.get(field)
        .filter(|value| !value.is_null())
        .and_then(|value| serde_json::from_value(value.clone()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> DynamicObject {
        let mut object: DynamicObject = serde_json::from_value(value).unwrap();
        let kind = object.types.as_ref().unwrap().kind.clone();
        shrink(&kind, &mut object);
        object
    }

    fn deployment_with(replicas: u32, image: &str, ready: u32) -> DynamicObject {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "a", "generation": 2, "managedFields": [{ "manager": "x" }] },
            "spec": { "replicas": replicas, "template": { "spec": { "containers": [{ "image": image }] } } },
            "status": { "observedGeneration": 2, "readyReplicas": ready },
        }))
    }

    #[test]
    fn status_and_scaling_are_no_drift_and_an_image_is() {
        let before = deployment_with(1, "a", 0);
        assert_eq!(
            fingerprint_of(&before),
            fingerprint_of(&deployment_with(9, "a", 9))
        );
        assert_ne!(
            fingerprint_of(&before),
            fingerprint_of(&deployment_with(1, "b", 0))
        );
        assert_eq!(before.metadata.managed_fields, None);
    }

    #[test]
    fn a_deployment_is_read_from_its_projection() {
        let seen = deployment(&deployment_with(3, "a", 2));
        assert_eq!((seen.desired, seen.ready, seen.current), (3, 2, true));
    }

    #[test]
    fn what_keeps_pods_from_being_made_is_told_in_the_same_words_at_every_try() {
        let words = |pod: &str| format!("pods \"chat-{pod}\" is forbidden: exceeded quota: small");
        assert_eq!(nameless(&words("6f4c-x7k2p")), words("6f4c-*"));
        let invalid = |pod: &str| format!("Pod \"chat-{pod}\" is invalid: spec.containers[0]");
        assert_eq!(nameless(&invalid("6f4c-x7k2p")), invalid("6f4c-*"));
        assert_eq!(nameless("pods \"x"), "pods \"x");
        assert_eq!(nameless("no \"a-b\""), "no \"a-b\"");
    }

    #[test]
    fn a_child_that_lost_its_owner_is_ours_and_nobody_else_s_object_is() {
        let cluster = Identity {
            namespace: "n".to_owned(),
            name: "a".to_owned(),
            uid: "1".to_owned(),
            generation: 1,
        };
        let marked = |annotations: Value, owners: Value| {
            let labels = json!({
                names::MANAGED_BY_LABEL: names::MANAGED_BY, names::CLUSTER_LABEL: "a",
            });
            object(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": "a", "labels": labels, "annotations": annotations, "ownerReferences": owners },
            }))
        };
        let owner = |uid: &str, controller: bool| json!([{ "apiVersion": "v1", "kind": "K", "name": "n", "uid": uid, "controller": controller }]);
        let hash = json!({ names::HASH_ANNOTATION: "h" });
        assert!(is_ours(&marked(json!({}), owner("1", true)), &cluster));
        assert!(is_ours(&marked(hash.clone(), json!([])), &cluster));
        assert!(is_ours(&marked(hash.clone(), owner("2", false)), &cluster));
        assert!(!is_ours(&marked(hash, owner("2", true)), &cluster));
        assert!(!is_ours(&marked(json!({}), json!([])), &cluster));
    }

    #[test]
    fn what_a_resource_of_the_same_name_has_left_is_told_from_what_is_somebody_else_s() {
        let cluster = Identity {
            namespace: "n".to_owned(),
            name: "a".to_owned(),
            uid: "2".to_owned(),
            generation: 1,
        };
        let of = |kind: &str, name: &str, uid: &str| {
            let owner = json!({ "apiVersion": "chatbot.dev/v1alpha1", "kind": kind, "name": name, "uid": uid,
                "controller": true });
            let object: ObjectMeta =
                serde_json::from_value(json!({ "ownerReferences": [owner] })).unwrap();
            is_of_predecessor(&object, &cluster)
        };
        assert!(of("ChatBotCluster", "a", "1"));
        assert!(!of("ChatBotCluster", "a", "2"));
        assert!(!of("ChatBotCluster", "b", "1"));
        assert!(!of("Other", "a", "1"));
    }

    #[test]
    fn the_memory_is_kept_and_other_data_is_not() {
        let memory = object(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a-memory" },
            "data": { "memory.json": "{}", "other": "x" },
        }));
        assert_eq!(memory.data.get("memory"), Some(&json!("{}")));
        assert!(!memory.data.to_string().contains("other"));
    }
}
