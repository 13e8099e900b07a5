//! The rules of `cache`.

use std::time::Duration;

use super::{Broken, DURATION, between};
use crate::spec::{Cache, MemoryCache};

pub(crate) const MAX_MEMORY: &str =
    "`maxMemory` must be a quantity from 0 to 1P, such as '256Mi'; 0 switches the cache off";

impl Broken {
    pub(super) fn cache(&mut self, cache: &Cache) {
        let ttl = &cache.answers.ttl;
        let remedy = match ttl.length() {
            None => Some(DURATION.to_owned()),
            Some(length) => (length > Duration::from_hours(24)).then(|| between("0s", "24h")),
        };
        if let Some(remedy) = remedy {
            self.unless(false, "spec.cache.answers.ttl", ttl.as_str(), &remedy);
        }
        for (name, MemoryCache { max_memory }) in
            [("context", &cache.context), ("results", &cache.results)]
        {
            self.unless(
                max_memory.is_within_bounds(),
                &format!("spec.cache.{name}.maxMemory"),
                max_memory.as_str(),
                MAX_MEMORY,
            );
        }
    }
}
