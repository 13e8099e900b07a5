//! How the service is watched, in plain values.

use std::collections::BTreeMap;

use crate::spec::{self, PodMonitors};

/// How the service is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// The Prometheus that scrapes the pods.
    pub prometheus: Option<Prometheus>,
    /// Labels of the `PodMonitor`.
    pub labels: BTreeMap<String, String>,
    /// Whether the pods are offered to be scraped.
    pub pod_monitors: PodMonitors,
}

/// A Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// Where its HTTP API is, from wherever in the cluster it is asked, without a slash at the end.
    pub url: String,
    /// The namespace of its Service; absent when it is known by no Service's name.
    pub namespace: Option<String>,
}

impl Monitoring {
    /// Of a resource in a namespace.
    pub(super) fn of(monitoring: &spec::Monitoring, namespace: &str) -> Self {
        let prometheus = monitoring.prometheus.as_ref();
        Self {
            prometheus: prometheus.map(|prometheus| Prometheus::at(&prometheus.url, namespace)),
            labels: monitoring.labels.clone().unwrap_or_default(),
            pod_monitors: monitoring.pod_monitors,
        }
    }
}

impl Prometheus {
    /// A Service is `name`, `name.namespace`, or either with `svc` and the cluster's domain after it.
    fn at(url: &str, own: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let rest = rest.trim_end_matches('/');
        let (authority, path) = rest
            .find('/')
            .map_or((rest, ""), |start| rest.split_at(start));
        let (host, port) = authority
            .find(':')
            .map_or((authority, ""), |start| authority.split_at(start));
        let labels: Vec<&str> = host.split('.').collect();
        let (host, namespace) = match labels[..] {
            [_] if host.starts_with('[') => (host.to_owned(), None),
            [name] => (format!("{name}.{own}"), Some(own.to_owned())),
            [_, namespace] | [_, namespace, "svc", ..] => {
                (host.to_owned(), Some(namespace.to_owned()))
            }
            _ => (host.to_owned(), None),
        };
        Self {
            url: format!("http://{host}{port}{path}"),
            namespace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_name_and_anything_else_is_outside() {
        for (given, url, namespace) in [
            ("http://prom", "http://prom.chat", Some("chat")),
            ("http://prom:9090/", "http://prom.chat:9090", Some("chat")),
            (
                "http://prom.watch:9090/api",
                "http://prom.watch:9090/api",
                Some("watch"),
            ),
            (
                "http://prom.watch.svc",
                "http://prom.watch.svc",
                Some("watch"),
            ),
            (
                "http://p.watch.svc.cluster.local:1",
                "http://p.watch.svc.cluster.local:1",
                Some("watch"),
            ),
            ("http://prom.example.com", "http://prom.example.com", None),
            ("http://10.0.0.1:9090", "http://10.0.0.1:9090", None),
            ("http://[::1]:9090", "http://[::1]:9090", None),
        ] {
            let found = Prometheus::at(given, "chat");
            assert_eq!(found.url, url);
            assert_eq!(found.namespace.as_deref(), namespace, "{given}");
        }
    }
}
