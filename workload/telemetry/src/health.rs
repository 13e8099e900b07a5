//! Readiness, with its reason.

use std::sync::{Arc, Mutex};

use crate::locked;

/// The parts of a process, each with the reason why it is not ready.
#[derive(Clone, Default)]
pub(crate) struct Parts(Arc<Mutex<Vec<Part>>>);

struct Part {
    name: &'static str,
    unready: Option<String>,
}

impl Parts {
    pub(crate) fn add(&self, name: &'static str) -> Health {
        let mut parts = locked(&self.0);
        parts.push(Part {
            name,
            unready: Some("starting".to_owned()),
        });
        Health {
            parts: self.clone(),
            index: parts.len() - 1,
        }
    }

    pub(crate) fn unready(&self) -> Option<String> {
        let parts = locked(&self.0);
        if parts.is_empty() {
            return Some("starting".to_owned());
        }
        let reasons: Vec<_> = parts
            .iter()
            .filter_map(|part| {
                part.unready
                    .as_ref()
                    .map(|reason| format!("{}: {reason}", part.name))
            })
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// The health of one part of a process. Whether the process lives is told by its answering at all.
#[derive(Clone)]
pub struct Health {
    parts: Parts,
    index: usize,
}

impl Health {
    /// The part does its work.
    pub fn ready(&self) {
        self.set(None);
    }

    /// The part does not do its work now, and why, for a person.
    pub fn unready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, unready: Option<String>) {
        if let Some(part) = locked(&self.parts.0).get_mut(self.index) {
            part.unready = unready;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_part_is() {
        let parts = Parts::default();
        assert_eq!(parts.unready().as_deref(), Some("starting"));
        let gateway = parts.add("gateway");
        let worker = parts.add("worker");
        gateway.ready();
        assert_eq!(parts.unready().as_deref(), Some("worker: starting"));
        worker.ready();
        assert_eq!(parts.unready(), None);
        gateway.unready("draining");
        assert_eq!(parts.unready().as_deref(), Some("gateway: draining"));
    }
}
