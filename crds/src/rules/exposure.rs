//! The rules of `exposure`.

use super::text::{is_host, is_label, is_object_name};
use super::{Broken, OBJECT_NAME};
use crate::spec::{Exposure, HttpRouteExposure, ParentRef};

/// A DNS name: its last label begins with a letter, so that no address is one.
pub(crate) const HOST_PATTERN: &str =
    "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])*[a-z]([-a-z0-9]{0,61}[a-z0-9])?$";
pub(crate) const HOST: &str =
    "must be a DNS name such as 'chat.example.com', without a scheme, a port or a wildcard";
pub(crate) const ONE_ROUTE: &str = "`ingress` and `httpRoute` may not be set together";
pub(crate) const GATEWAY_TLS: &str =
    "`tls` may not be set with `httpRoute`: the Gateway's listener holds the certificate";
pub(crate) const NAMESPACE: &str = "must be a namespace: lower-case letters, digits and '-'";
/// `namespace` is a reserved word of CEL: without its escape the rule is of unbounded cost to the server.
/// The Gateway API refuses a route that names one listener twice, or a Gateway and a listener of it.
pub(crate) const DISTINCT_PARENTS_RULE: &str = "self.all(p, self.exists_one(q, q.name == p.name && \
    (has(q.__namespace__) ? q.__namespace__ : '') == (has(p.__namespace__) ? p.__namespace__ : '') && \
    (!has(q.sectionName) || !has(p.sectionName) || q.sectionName == p.sectionName)))";
pub(crate) const DISTINCT_PARENTS: &str =
    "entries with the same Gateway must each have a `sectionName` of their own";

impl Broken {
    pub(super) fn exposure(&mut self, exposure: &Exposure) {
        let path = "spec.exposure";
        self.unless(
            is_host(&exposure.host),
            &format!("{path}.host"),
            &exposure.host,
            HOST,
        );
        let both = exposure.ingress.is_some() && exposure.http_route.is_some();
        self.unless(!both, path, "", ONE_ROUTE);
        if let Some(tls) = &exposure.tls {
            let path = format!("{path}.tls");
            self.unless(exposure.http_route.is_none(), &path, "", GATEWAY_TLS);
            let name = &tls.secret_ref.name;
            let path = format!("{path}.secretRef.name");
            self.unless(is_object_name(name), &path, name, OBJECT_NAME);
        }
        if let Some(ingress) = &exposure.ingress {
            let path = format!("{path}.ingress");
            if let Some(class) = &ingress.class_name {
                let path = format!("{path}.className");
                self.unless(is_object_name(class), &path, class, OBJECT_NAME);
            }
            self.annotations(&format!("{path}.annotations"), ingress.annotations.as_ref());
        }
        if let Some(route) = &exposure.http_route {
            self.http_route(&format!("{path}.httpRoute.parentRefs"), route);
        }
    }

    fn http_route(&mut self, path: &str, route: &HttpRouteExposure) {
        let distinct = route.parent_refs.iter().all(|parent| {
            let same = route
                .parent_refs
                .iter()
                .filter(|other| overlap(parent, other));
            same.count() == 1
        });
        self.unless(distinct, path, "", DISTINCT_PARENTS);
        for (index, parent) in route.parent_refs.iter().enumerate() {
            let at = |field: &str| format!("{path}[{index}].{field}");
            let name = &parent.name;
            self.unless(is_object_name(name), &at("name"), name, OBJECT_NAME);
            if let Some(namespace) = &parent.namespace {
                self.unless(is_label(namespace), &at("namespace"), namespace, NAMESPACE);
            }
            if let Some(section) = &parent.section_name {
                self.unless(
                    is_object_name(section),
                    &at("sectionName"),
                    section,
                    OBJECT_NAME,
                );
            }
        }
    }
}

/// Whether two entries name the same listener.
fn overlap(one: &ParentRef, other: &ParentRef) -> bool {
    one.name == other.name
        && one.namespace == other.namespace
        && (one.section_name.is_none()
            || other.section_name.is_none()
            || one.section_name == other.section_name)
}
