//! Every generated name, label and annotation, in one place.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::proposal::Component;
use crate::world::Identity;

/// The name under which the operator writes with server-side apply.
pub const FIELD_MANAGER: &str = "chatbot-operator";
/// The Lease of the operator that leads.
pub const LEASE: &str = "chatbot-operator";
/// The Lease's namespace, one for the whole cluster: operators of several installations serve the same resources.
pub const LEASE_NAMESPACE: &str = "kube-system";
/// The resource version of what is not there: an apply with it creates, and is refused where there is something. No
/// object ever has it, since a new store begins with it.
pub const ABSENT: &str = "1";
/// The resource a child belongs to.
pub const CLUSTER_LABEL: &str = "chatbot.dev/cluster";
/// The component a child belongs to.
pub const COMPONENT_LABEL: &str = "chatbot.dev/component";
/// Whether a pod counts for its Deployment (`active`) or is on its way out (`leaving`).
pub const SLOT_LABEL: &str = "chatbot.dev/slot";
/// The value of [`SLOT_LABEL`] on every pod that a Deployment creates.
pub const SLOT_ACTIVE: &str = "active";
/// Everything the operator watches carries this label.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "chatbot-operator";
/// When the platform takes a node, as its agent has heard: a time in RFC 3339.
pub const RECLAIM_ANNOTATION: &str = "chatbot.dev/reclaim-deadline";
/// The identity of the node that [`RECLAIM_ANNOTATION`] is about.
pub const RECLAIM_UID_ANNOTATION: &str = "chatbot.dev/reclaim-uid";
/// Whether a node's agent has the model verified and in memory.
pub const WARM_ANNOTATION: &str = "chatbot.dev/warm";
/// What a node costs an hour; goes over every list of prices.
pub const PRICE_LABEL: &str = "chatbot.dev/hourly-price";
/// The taint of a node that is about to be taken.
pub const RECLAIM_TAINT: &str = "chatbot.dev/reclaim";
/// The hash of what was planned, on every child.
pub const HASH_ANNOTATION: &str = "chatbot.dev/hash";
/// The hash of the pod template, on every pod: which plan a pod was made from.
pub const REVISION_ANNOTATION: &str = "chatbot.dev/revision";

/// Whether a pod is to be scraped, as Prometheus is commonly configured to ask.
pub const SCRAPE_ANNOTATION: &str = "prometheus.io/scrape";
/// The port at which it is.
pub const SCRAPE_PORT_ANNOTATION: &str = "prometheus.io/port";

/// The container that does a pod's work: of the product's own image, unless another engine is named.
pub const CONTAINER: &str = "chatbot";
/// The container beside another engine that asks it.
pub const EXAMINER: &str = "examiner";
/// What the port is called at which a pod tells about itself.
pub const ADMIN_PORT_NAME: &str = "admin";
/// Where the configuration is mounted; the folder of [`chatbot_crds::config::CONFIG_FILE`].
pub const CONFIG_DIRECTORY: &str = "/config";
/// The key of the configuration in its ConfigMap.
pub const CONFIG_KEY: &str = "config.yaml";
/// The key of the memory in its ConfigMap.
pub const MEMORY_KEY: &str = "memory.json";

/// The name of a component's Deployment, Service, budget and autoscaler.
#[must_use]
pub fn workload(cluster: &Identity, component: Component) -> String {
    format!("{}-{}", cluster.name, component.as_str())
}

/// The name of a component's configuration: another content is another name, so that a pod never sees a change.
#[must_use]
pub fn config(cluster: &Identity, component: Component, content: &str) -> String {
    format!(
        "{}-{}-{}",
        cluster.name,
        component.as_str(),
        &hash(content)[..10]
    )
}

/// The name of the ConfigMap that holds the operator's memory.
#[must_use]
pub fn memory(cluster: &Identity) -> String {
    format!("{}-memory", cluster.name)
}

/// The name of the `PodMonitor`.
#[must_use]
pub fn monitor(cluster: &Identity) -> String {
    cluster.name.clone()
}

/// The labels by which a component's Deployment and budget select pods.
#[must_use]
pub fn selector(cluster: &Identity, component: Component) -> BTreeMap<String, String> {
    let mut labels = service_selector(cluster, component);
    labels.insert(SLOT_LABEL.to_owned(), SLOT_ACTIVE.to_owned());
    labels
}

/// The labels by which a component's Service selects pods: those that are leaving go on serving.
#[must_use]
pub fn service_selector(cluster: &Identity, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CLUSTER_LABEL.to_owned(), cluster.name.clone()),
        (COMPONENT_LABEL.to_owned(), component.as_str().to_owned()),
    ])
}

/// The labels of every child.
#[must_use]
pub fn labels(cluster: &Identity, component: Option<Component>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (CLUSTER_LABEL.to_owned(), cluster.name.clone()),
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
        ("app.kubernetes.io/name".to_owned(), "chatbot".to_owned()),
        (
            "app.kubernetes.io/instance".to_owned(),
            cluster.name.clone(),
        ),
    ]);
    if let Some(component) = component {
        labels.insert(COMPONENT_LABEL.to_owned(), component.as_str().to_owned());
        labels.insert(
            "app.kubernetes.io/component".to_owned(),
            component.as_str().to_owned(),
        );
    }
    labels
}

/// The hash of a text, in hexadecimal: the first 64 bits of SHA-256 and 64 more, enough that two plans never collide.
#[must_use]
pub fn hash(content: &str) -> String {
    let digest = Sha256::digest(content.as_bytes());
    let first: [u8; 16] = std::array::from_fn(|index| digest[index]);
    format!("{:032x}", u128::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            namespace: "chat".to_owned(),
            name: "support".to_owned(),
            uid: "1".to_owned(),
            generation: 1,
        }
    }

    #[test]
    fn a_configuration_is_named_by_its_content() {
        let one = config(&identity(), Component::Inference, "a");
        let other = config(&identity(), Component::Inference, "b");
        assert_ne!(one, other);
        assert_eq!(one, config(&identity(), Component::Inference, "a"));
    }

    #[test]
    fn the_longest_cluster_name_makes_valid_service_names() {
        let mut identity = identity();
        identity.name = "a".repeat(40);
        for component in Component::ALL {
            assert!(workload(&identity, component).len() <= 63);
            assert!(config(&identity, component, "x").len() <= 63);
        }
    }

    #[test]
    fn a_pod_that_is_leaving_is_still_selected_by_the_service() {
        let service = service_selector(&identity(), Component::Inference);
        let deployment = selector(&identity(), Component::Inference);
        assert!(!service.contains_key(SLOT_LABEL));
        assert!(
            service
                .iter()
                .all(|(key, value)| deployment.get(key) == Some(value))
        );
    }
}
