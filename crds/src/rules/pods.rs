//! The rules of what pods have in common: resources, nodes, taints.

use std::collections::BTreeMap;

use super::text::{is_device, is_label_value, is_qualified_name};
use super::{
    Broken, LABEL_VALUE, LIMIT_KEYS, LIMIT_OF_MEMORY, LIMITS_ABOVE_0, QUANTITIES, REQUEST_KEYS,
    REQUEST_OF_CPU, TAINT_KEY, TOLERATION_OPERATOR, TOLERATION_SECONDS, WITHIN_LIMITS, with_values,
};
use crate::spec::{Resources, Toleration, TolerationEffect, TolerationOperator};

const MEBIBYTE_IN_NANO: i128 = (1 << 20) * 1_000_000_000;

impl Broken {
    pub(super) fn pods(
        &mut self,
        path: &str,
        resources: Option<&Resources>,
        node_selector: Option<&BTreeMap<String, String>>,
        tolerations: Option<&[Toleration]>,
    ) {
        if let Some(resources) = resources {
            self.resources(&format!("{path}.resources"), resources);
        }
        self.labels(&format!("{path}.nodeSelector"), node_selector, &[]);
        for (index, toleration) in tolerations.unwrap_or_default().iter().enumerate() {
            let path = format!("{path}.tolerations[{index}]");
            let matches = match toleration.operator {
                Some(TolerationOperator::Exists) => toleration.value.is_none(),
                _ => toleration.key.is_some(),
            };
            self.unless(matches, &path, "", TOLERATION_OPERATOR);
            let evicts = toleration.effect == Some(TolerationEffect::NoExecute);
            self.unless(
                toleration.toleration_seconds.is_none() || evicts,
                &path,
                "",
                TOLERATION_SECONDS,
            );
            if let Some(key) = &toleration.key {
                self.unless(
                    is_qualified_name(key),
                    &format!("{path}.key"),
                    key,
                    TAINT_KEY,
                );
            }
            if let Some(value) = &toleration.value {
                let path = format!("{path}.value");
                self.unless(is_label_value(value), &path, value, LABEL_VALUE);
            }
        }
    }

    fn resources(&mut self, path: &str, resources: &Resources) {
        let standard = |key: &str| ["cpu", "memory", "ephemeral-storage"].contains(&key);
        for (field, quantities) in [
            ("requests", &resources.requests),
            ("limits", &resources.limits),
        ] {
            let path = format!("{path}.{field}");
            for (key, quantity) in quantities.iter().flatten() {
                let path = format!("{path}.{key}");
                let value = quantity.as_str();
                self.unless(quantity.is_within_bounds(), &path, value, QUANTITIES);
                let none = quantity.nano() == Some(0) && !key.contains('/');
                let no_cpu = none && field == "requests" && key == "cpu";
                self.unless(!no_cpu, &path, value, REQUEST_OF_CPU);
                let no_limit = none && field == "limits";
                self.unless(!no_limit, &path, value, LIMITS_ABOVE_0);
                let too_little = (1..MEBIBYTE_IN_NANO).contains(&quantity.nano().unwrap_or(0));
                let is_memory = field == "limits" && key == "memory";
                self.unless(!(is_memory && too_little), &path, value, LIMIT_OF_MEMORY);
                match field {
                    "requests" => self.unless(standard(key), &path, value, REQUEST_KEYS),
                    _ => self.unless(
                        standard(key) || (is_device(key) && quantity.is_integer()),
                        &path,
                        value,
                        LIMIT_KEYS,
                    ),
                }
            }
        }
        let (Some(requests), Some(limits)) = (&resources.requests, &resources.limits) else {
            return;
        };
        for (key, message) in WITHIN_LIMITS {
            let (Some(request), Some(limit)) = (requests.get(key), limits.get(key)) else {
                continue;
            };
            let within = match (request.nano(), limit.nano()) {
                (Some(request), Some(limit)) => request <= limit,
                _ => true, // told as no quantity
            };
            let [of_request, of_limit] =
                ["requests", "limits"].map(|field| format!("`{field}.{key}`"));
            self.unless(
                within,
                &format!("{path}.requests.{key}"),
                request.as_str(),
                &with_values(message, [(&of_request, request), (&of_limit, limit)]),
            );
        }
    }
}
