//! What the operator owns and what it must see. One table: it drives the watches, the order of applying, pruning and
//! the operator's permissions, so that none of them can be forgotten.

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In the namespace of the resource: owned by it, collected with it.
    Namespaced,
    /// Cluster-wide: never owned by a namespaced resource.
    Cluster,
}

/// A kind that the operator deals with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// The kind, as in a manifest.
    pub kind: &'static str,
    /// The resource, as in a URL.
    pub plural: &'static str,
    /// Where its objects live.
    pub scope: Scope,
    /// What the operator does with it.
    pub verbs: &'static [&'static str],
    /// What brings the kind to a cluster that does not have it; absent for Kubernetes' own.
    pub provider: Option<&'static str>,
}

impl Kind {
    /// `apiVersion` as in a manifest.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

const OWNED: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// The kinds of the operator's own children, in the order in which they are applied: what a pod needs comes before it.
/// All are watched, and pruned when they are no longer planned.
pub const KINDS: &[Kind] = &[
    owned("", "v1", "ConfigMap", "configmaps"),
    owned("", "v1", "Service", "services"),
    owned(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    ),
    owned(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    ),
    owned("apps", "v1", "Deployment", "deployments"),
    owned(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    owned("networking.k8s.io", "v1", "Ingress", "ingresses"),
    Kind {
        provider: Some("the Gateway API (https://gateway-api.sigs.k8s.io) and a controller of it"),
        ..owned("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
    },
    Kind {
        provider: Some("the Prometheus operator (https://prometheus-operator.dev)"),
        ..owned("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")
    },
];

/// What the operator reads or writes besides its own children.
pub const SEEN: &[Kind] = &[
    seen(
        "",
        "v1",
        "Pod",
        "pods",
        Scope::Namespaced,
        &["list", "watch"],
    ),
    seen(
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        Scope::Namespaced,
        &["get"],
    ),
    seen("", "v1", "Node", "nodes", Scope::Cluster, &["list"]),
    // Where the operator sets a number of replicas it writes this subresource: no applied Deployment carries one.
    seen(
        "apps",
        "v1",
        "Scale",
        "deployments/scale",
        Scope::Namespaced,
        &["patch"],
    ),
    seen(
        "events.k8s.io",
        "v1",
        "Event",
        "events",
        Scope::Namespaced,
        &["create", "patch"],
    ),
];

/// The place of a kind in the order of applying; kinds that are not owned come last.
#[must_use]
pub fn order(kind: &str) -> usize {
    KINDS
        .iter()
        .position(|owned| owned.kind == kind)
        .unwrap_or(KINDS.len())
}

/// What to install where a kind is absent.
#[must_use]
pub fn provider(kind: &str) -> &'static str {
    KINDS
        .iter()
        .find(|owned| owned.kind == kind)
        .and_then(|owned| owned.provider)
        .unwrap_or("what provides it")
}

const fn owned(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Kind {
    seen(group, version, kind, plural, Scope::Namespaced, OWNED)
}

const fn seen(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    scope: Scope,
    verbs: &'static [&'static str],
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
        scope,
        verbs,
        provider: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_needs_is_applied_before_it() {
        assert!(order("ConfigMap") < order("Deployment"));
        assert!(order("PodDisruptionBudget") < order("Deployment"));
        assert!(order("Deployment") < order("HorizontalPodAutoscaler"));
    }

    #[test]
    fn every_owned_kind_is_namespaced_and_never_a_secret() {
        for kind in KINDS {
            assert_eq!(kind.scope, Scope::Namespaced, "{}", kind.kind);
            assert_ne!(kind.kind, "Secret");
        }
        assert!(SEEN.iter().all(|kind| kind.kind != "Secret"));
    }
}
