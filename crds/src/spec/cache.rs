//! What is kept to be used again.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Quantity, duration, shapes};
use crate::rules::cache as rules;

/// What the workers keep to be used again, nearest first: answers in their own memory, sessions in their own memory,
/// answers in the store. An answer is kept of a question without a history, under model, prompt and question; nothing that
/// one user wrote is given to another.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Answers in the store, shared by all workers.
    #[serde(default)]
    pub answers: AnswersCache,

    /// Sessions in each worker's memory, so that one which has not changed is not sent again.
    #[serde(default)]
    pub context: MemoryCache,

    /// Answers in each worker's memory.
    #[serde(default)]
    pub results: MemoryCache,
}

/// Answers in the store.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswersCache {
    /// How long an answer is given again; `0s` switches it off. A model published under the same path is heard after it.
    #[serde(default = "ttl")]
    #[x_kube(validation = duration::syntax(), validation = duration::between("0s", "24h"))]
    pub ttl: Duration,
}

/// A cache in memory.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = shapes::not_negative("maxMemory", rules::MAX_MEMORY))]
#[serde(rename_all = "camelCase")]
pub struct MemoryCache {
    /// The most memory that it takes in a worker; `0` switches it off. The worker's own memory limit grows with it.
    #[serde(default = "max_memory")]
    pub max_memory: Quantity,
}

impl Default for AnswersCache {
    fn default() -> Self {
        Self { ttl: ttl() }
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self {
            max_memory: max_memory(),
        }
    }
}

fn ttl() -> Duration {
    "10m".into()
}

fn max_memory() -> Quantity {
    "256Mi".into()
}
