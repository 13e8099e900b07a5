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
    /// The exposure of a spec in which no fault was found.
    pub(super) fn of(exposure: &spec::Exposure) -> Self {
        let route = match (&exposure.ingress, &exposure.http_route) {
            (Some(ingress), _) => Route::Ingress {
                class_name: ingress.class_name.clone(),
                annotations: ingress.annotations.clone().unwrap_or_default(),
            },
            (None, Some(route)) => Route::HttpRoute(route.parent_refs.clone()),
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
