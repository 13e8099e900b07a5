//! How the service is reached from outside, in plain values.

use std::collections::BTreeMap;

use crate::spec::{self, ParentRef};

/// How the service is reached from outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The public DNS name.
    pub host: String,
    /// The Secret with the host's certificate.
    pub tls: Option<String>,
    /// What brings traffic to the pods.
    pub route: Route,
}

/// What brings traffic from outside to the pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A balancer in front of the Service, which passes connections on as they are.
    Service,
    /// An Ingress.
    Ingress {
        /// Its class; absent: the cluster's default.
        class_name: Option<String>,
        /// Its annotations.
        annotations: BTreeMap<String, String>,
    },
    /// An `HTTPRoute` at these Gateways.
    HttpRoute(Vec<ParentRef>),
}

impl Exposure {
    /// The exposure of a spec in which no fault was found, of a resource in this namespace.
    pub(super) fn of(exposure: &spec::Exposure, namespace: &str) -> Self {
        let route = match (&exposure.ingress, &exposure.http_route) {
            (Some(ingress), _) => Route::Ingress {
                class_name: ingress.class_name.clone(),
                annotations: ingress.annotations.clone().unwrap_or_default(),
            },
            (None, Some(route)) => Route::HttpRoute(parents(&route.parent_refs, namespace)),
            (None, None) => Route::Service,
        };
        Self {
            host: exposure.host.clone(),
            tls: exposure.tls.as_ref().map(|tls| tls.secret_ref.name.clone()),
            route,
        }
    }

    /// Where people reach it. A Gateway holds the certificate itself, so that what it serves is taken to be TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let is_tls = self.tls.is_some() || matches!(self.route, Route::HttpRoute(_));
        let scheme = if is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// Where platforms reach it: they call nothing without TLS, which may end at something in front.
    #[must_use]
    pub fn platforms_url(&self) -> String {
        format!("https://{}", self.host)
    }

    /// The Secret whose certificate the pods themselves serve, when they do.
    #[must_use]
    pub fn served_by_pods(&self) -> Option<&str> {
        self.tls.as_deref().filter(|_| self.route == Route::Service)
    }

    /// The origins of pages under the host. Without a certificate of our own, TLS may end at something in front.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let mut origins = vec![format!("https://{}", self.host)];
        if self.tls.is_none() {
            origins.push(format!("http://{}", self.host));
        }
        origins
    }
}

/// Each Gateway once: a rule of the schema does not know the resource's own namespace, and takes it for another.
fn parents(named: &[ParentRef], own: &str) -> Vec<ParentRef> {
    let mut parents: Vec<ParentRef> = Vec::new();
    for parent in named {
        let parent = ParentRef {
            namespace: parent.namespace.clone().filter(|named| named != own),
            ..parent.clone()
        };
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    // A Gateway has all its listeners.
    let whole: Vec<ParentRef> = parents
        .iter()
        .filter(|parent| parent.section_name.is_none())
        .cloned()
        .collect();
    parents.retain(|parent| {
        let without_section = ParentRef {
            section_name: None,
            ..parent.clone()
        };
        parent.section_name.is_none() || !whole.contains(&without_section)
    });
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_is_named_with_and_without_the_own_namespace_is_one() {
        let parent = |name: &str, namespace: Option<&str>| ParentRef {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            section_name: None,
        };
        let named = [
            parent("public", None),
            parent("public", Some("chat")),
            parent("public", Some("other")),
        ];
        let once = [parent("public", None), parent("public", Some("other"))];
        assert_eq!(parents(&named, "chat"), once);
    }
}
