//! An HTTPRoute of the Gateway API: the little of it that is written here, and the little that is read. A crate with
//! all of the Gateway API's types would be built for these few fields.

use chatbot_crds::spec::ParentRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// The kind, as in a manifest.
pub const KIND: &str = "HTTPRoute";
/// The version of its group, as in a manifest.
const API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// An HTTPRoute as it is applied.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    api_version: &'static str,
    kind: &'static str,
    /// Its metadata.
    pub metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    parent_refs: Vec<ParentRef>,
    hostnames: Vec<String>,
    rules: Vec<Rule>,
}

/// Without a match it takes every request of the hosts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    backend_refs: Vec<BackendRef>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct BackendRef {
    name: String,
    port: i32,
}

impl HttpRoute {
    /// Every request of a host, from these Gateways to a port of a Service.
    #[must_use]
    pub fn new(
        metadata: ObjectMeta,
        host: &str,
        parents: &[ParentRef],
        service: String,
        port: i32,
    ) -> Self {
        let backend = BackendRef {
            name: service,
            port,
        };
        Self {
            api_version: API_VERSION,
            kind: KIND,
            metadata,
            spec: Spec {
                parent_refs: parents.to_vec(),
                hostnames: vec![host.to_owned()],
                rules: vec![Rule {
                    backend_refs: vec![backend],
                }],
            },
        }
    }
}

/// An HTTPRoute as it was seen: what Gateways say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSeen {
    /// The generation of its spec.
    pub generation: i64,
    /// What controllers say of it, by parent.
    pub parents: Vec<ParentStatus>,
}

/// What one controller says of a route and one parent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The parent, as the route names it.
    pub parent_ref: ParentRef,
    /// What is said.
    #[serde(default)]
    pub conditions: Vec<RouteCondition>,
}

/// A condition of a route at a parent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteCondition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Why, in words.
    #[serde(default)]
    pub message: String,
    /// The generation that it was said of.
    #[serde(default)]
    pub observed_generation: Option<i64>,
}

impl RouteSeen {
    /// Why a parent does not take the route, as far as is known.
    #[must_use]
    pub fn refusal(&self, parent: &ParentRef, namespace: &str) -> Option<String> {
        let said: Vec<&RouteCondition> = self
            .parents
            .iter()
            .filter(|status| is_same(&status.parent_ref, parent, namespace))
            .flat_map(|status| &status.conditions)
            // What was said of an older spec is not said of this one.
            .filter(|condition| {
                condition
                    .observed_generation
                    .is_none_or(|seen| seen >= self.generation)
            })
            .collect();
        let refused = said.iter().find(|condition| {
            ["Accepted", "ResolvedRefs"].contains(&condition.kind.as_str())
                && condition.status == "False"
        });
        if let Some(condition) = refused {
            let RouteCondition {
                reason, message, ..
            } = condition;
            return Some(format!("{reason}: {message}"));
        }
        let accepted = said
            .iter()
            .any(|condition| condition.kind == "Accepted" && condition.status == "True");
        (!accepted).then(|| {
            "nobody has accepted the route yet; see whether the Gateway is there and its controller runs".to_owned()
        })
    }
}

impl RouteSeen {
    /// The parents of a route that is to have these: until all of them take it, whatever their spec was then, those that
    /// take it go on.
    #[must_use]
    pub fn keeping(&self, wanted: &[ParentRef], namespace: &str) -> Vec<ParentRef> {
        let taking: Vec<&ParentRef> = self
            .parents
            .iter()
            .filter(|status| {
                let mut said = status.conditions.iter();
                said.any(|condition| condition.kind == "Accepted" && condition.status == "True")
            })
            .map(|status| &status.parent_ref)
            .collect();
        let is_taking = |parent: &ParentRef| {
            let mut taking = taking.iter();
            taking.any(|one| is_same(one, parent, namespace))
        };
        let mut parents = wanted.to_vec();
        if !wanted.iter().all(is_taking) {
            for parent in taking {
                if !parents.iter().any(|one| is_same(one, parent, namespace)) {
                    parents.push(parent.clone());
                }
            }
        }
        parents
    }
}

/// Whether two references name the same parent of a route in this namespace.
fn is_same(one: &ParentRef, other: &ParentRef, namespace: &str) -> bool {
    let place = |parent: &ParentRef| {
        let of = parent.namespace.as_deref().unwrap_or(namespace).to_owned();
        (parent.name.clone(), of, parent.section_name.clone())
    };
    place(one) == place(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parent(name: &str) -> ParentRef {
        ParentRef {
            name: name.to_owned(),
            namespace: None,
            section_name: None,
        }
    }

    /// A route of generation 2, of which a controller says this at the Gateway `public`.
    fn said(conditions: &serde_json::Value) -> RouteSeen {
        let reference = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "chat" });
        let status =
            json!({ "parentRef": reference, "controllerName": "x", "conditions": conditions });
        RouteSeen {
            generation: 2,
            parents: vec![serde_json::from_value(status).unwrap()],
        }
    }

    fn condition(kind: &str, status: &str, seen: i64) -> serde_json::Value {
        json!({ "type": kind, "status": status, "reason": "Why", "message": "in words", "observedGeneration": seen })
    }

    #[test]
    fn a_route_is_taken_when_its_gateway_says_so_of_this_generation() {
        for (conditions, word) in [
            (
                json!([
                    condition("Accepted", "True", 2),
                    condition("ResolvedRefs", "True", 2)
                ]),
                None,
            ),
            (
                json!([
                    condition("Accepted", "True", 2),
                    condition("ResolvedRefs", "False", 2)
                ]),
                Some("Why: in words"),
            ),
            (
                json!([condition("Accepted", "False", 2)]),
                Some("Why: in words"),
            ),
            (
                json!([condition("Accepted", "True", 1)]),
                Some("nobody has"),
            ),
            (
                json!([condition("Accepted", "False", 1)]),
                Some("nobody has"),
            ),
            (json!([]), Some("nobody has")),
        ] {
            let refusal = said(&conditions).refusal(&parent("public"), "chat");
            match word {
                None => assert_eq!(refusal, None, "{conditions}"),
                Some(word) => assert!(refusal.unwrap().starts_with(word), "{conditions}"),
            }
        }
    }

    #[test]
    fn gateways_that_take_a_route_go_on_until_those_that_are_asked_for_do() {
        let taken = said(&json!([condition("Accepted", "True", 1)]));
        let names = |route: &RouteSeen, wanted: &[&str]| -> Vec<String> {
            let wanted: Vec<_> = wanted.iter().map(|name| parent(name)).collect();
            let kept = route.keeping(&wanted, "chat").into_iter();
            kept.map(|parent| parent.name).collect()
        };
        assert_eq!(names(&taken, &["other"]), ["other", "public"]);
        assert_eq!(names(&taken, &["public"]), ["public"]);
        assert_eq!(names(&taken, &["public", "other"]), ["public", "other"]);
        let refused = said(&json!([condition("Accepted", "False", 1)]));
        assert_eq!(names(&refused, &["other"]), ["other"]);
        assert_eq!(names(&RouteSeen::default(), &["other"]), ["other"]);
        let mut both = taken;
        let mut other = both.parents[0].clone();
        other.parent_ref = parent("other");
        both.parents.push(other);
        assert_eq!(names(&both, &["other"]), ["other"], "it takes it");
    }

    #[test]
    fn what_another_gateway_says_does_not_count() {
        let route = said(&json!([condition("Accepted", "True", 2)]));
        assert!(route.refusal(&parent("internal"), "chat").is_some());
        assert!(route.refusal(&parent("public"), "other").is_some());
        let listener = ParentRef {
            section_name: Some("https".to_owned()),
            ..parent("public")
        };
        assert!(route.refusal(&listener, "chat").is_some());
    }
}
