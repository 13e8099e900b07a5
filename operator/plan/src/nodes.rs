//! What each node is for, and whether inference instances may run on it.

mod notice;
mod room;
mod uses;

use std::collections::BTreeMap;

use chatbot_crds::settings::NodeCapacity;
use k8s_openapi::api::core::v1::Toleration;

use crate::names;
use crate::world::{NodeSeen, Taint};

pub use notice::{UNTIMED, leaving, odd};
pub use room::free;
pub use uses::{NodeUse, admits, is_spot, is_warm, standby, uses};

/// What makes a node a candidate for instances.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// Labels that it must have.
    pub selector: &'a BTreeMap<String, String>,
    /// Taints that it may have.
    pub tolerations: &'a [Toleration],
}

impl Candidates<'_> {
    /// The hash of the question: another selector is another question, with an answer of its own.
    #[must_use]
    pub fn hash(&self) -> String {
        let tolerations = serde_json::to_string(self.tolerations).unwrap_or_default();
        names::hash(&format!("{:?} {tolerations}", self.selector))
    }

    /// The smallest capacity of the candidates: an instance sized by it fits on every one of them. CPU and memory are
    /// taken apart, since the node with the fewest CPUs need not be the one with the least memory.
    #[must_use]
    pub fn smallest(&self, nodes: &[NodeSeen]) -> Option<NodeCapacity> {
        let candidates = || nodes.iter().filter(|node| self.admits(node));
        Some(NodeCapacity {
            cpu_milli: candidates().map(|node| node.cpu_milli).min()?,
            memory_bytes: candidates().map(|node| node.memory_bytes).min()?,
        })
    }

    fn admits(&self, node: &NodeSeen) -> bool {
        let labelled = self
            .selector
            .iter()
            .all(|(key, value)| node.labels.get(key) == Some(value));
        node.open && labelled && node.taints.iter().all(|taint| self.tolerates(taint))
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        taint.effect == "PreferNoSchedule"
            || self.tolerations.iter().any(|toleration| {
                let effect = toleration
                    .effect
                    .as_deref()
                    .is_none_or(|effect| effect == taint.effect);
                let key = toleration.key.as_deref().is_none_or(|key| key == taint.key);
                let exists = toleration.operator.as_deref() == Some("Exists");
                effect
                    && key
                    && (exists || toleration.value.as_deref().unwrap_or("") == taint.value)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, cpu_milli: u64, memory_bytes: u64) -> NodeSeen {
        NodeSeen {
            name: name.to_owned(),
            uid: name.to_owned(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::from([("pool".to_owned(), "models".to_owned())]),
            taints: Vec::new(),
            open: true,
            cpu_milli,
            memory_bytes,
        }
    }

    fn tainted(node: NodeSeen) -> NodeSeen {
        NodeSeen {
            taints: vec![Taint {
                key: "dedicated".to_owned(),
                value: "models".to_owned(),
                effect: "NoSchedule".to_owned(),
            }],
            ..node
        }
    }

    #[test]
    fn an_instance_fits_on_every_candidate() {
        let selector = BTreeMap::from([("pool".to_owned(), "models".to_owned())]);
        let candidates = Candidates {
            selector: &selector,
            tolerations: &[],
        };
        let mut other = node("d", 100, 100);
        other.labels.clear();
        let mut cordoned = node("e", 100, 100);
        cordoned.open = false;
        let nodes = [
            node("a", 8000, 16),
            node("b", 4000, 32),
            tainted(node("c", 1, 1)),
            other,
            cordoned,
        ];
        assert_eq!(
            candidates.smallest(&nodes),
            Some(NodeCapacity {
                cpu_milli: 4000,
                memory_bytes: 16
            })
        );
    }

    #[test]
    fn a_tolerated_taint_makes_a_candidate() {
        let nodes = [tainted(node("a", 8000, 16))];
        let selector = BTreeMap::new();
        let smallest = |toleration: Option<Toleration>| {
            let tolerations: Vec<Toleration> = toleration.into_iter().collect();
            Candidates {
                selector: &selector,
                tolerations: &tolerations,
            }
            .smallest(&nodes)
        };
        assert_eq!(smallest(None), None);
        let equal = Toleration {
            key: Some("dedicated".to_owned()),
            value: Some("models".to_owned()),
            ..Toleration::default()
        };
        assert!(smallest(Some(equal.clone())).is_some());
        assert!(
            smallest(Some(Toleration {
                value: Some("web".to_owned()),
                ..equal
            }))
            .is_none()
        );
        let everything = Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        };
        assert!(smallest(Some(everything)).is_some());
    }
}
