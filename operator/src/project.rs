//! What is kept of an object in memory: its metadata, a fingerprint of what somebody wants of it, and the little of
//! its state that a decision depends on.

use chatbot_plan::names;
use chatbot_plan::world::{AutoscalerCondition, AutoscalerSeen, Child, DeploymentSeen};
use k8s_openapi::api::apps::v1::DeploymentStatus;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerStatus;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt;
use kube::api::DynamicObject;
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
            "status": object.data.get("status"),
        }),
        "HorizontalPodAutoscaler" => json!({
            "fingerprint": fingerprint(&object.data),
            "status": { "conditions": object.data.pointer("/status/conditions") },
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
        let containers = std::mem::take(&mut spec.containers);
        *spec = PodSpec {
            volumes: Some(volumes),
            node_name: spec.node_name.take(),
            containers: containers
                .into_iter()
                .map(|container| Container {
                    name: container.name,
                    resources: container.resources,
                    ..Container::default()
                })
                .collect(),
            ..PodSpec::default()
        };
    }
}

/// A child as the plan sees it.
#[must_use]
pub fn child(object: &DynamicObject, owner_uid: &str) -> Child {
    Child {
        uid: object.uid().unwrap_or_default(),
        owned: is_owned(object, owner_uid),
        hash: object.annotations().get(names::HASH_ANNOTATION).cloned(),
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
        progress: condition("Progressing")
            .and_then(|condition| condition.reason.clone())
            .unwrap_or_default(),
        failure: condition("ReplicaFailure")
            .filter(|condition| condition.status == "True")
            .map(|condition| condition.message.clone().unwrap_or_default()),
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
    fn the_memory_is_kept_and_other_data_is_not() {
        let memory = object(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a-memory" },
            "data": { "memory.json": "{}", "other": "x" },
        }));
        assert_eq!(memory.data.get("memory"), Some(&json!("{}")));
        assert!(!memory.data.to_string().contains("other"));
    }
}
