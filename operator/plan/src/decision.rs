//! What the capabilities that look ahead decide, beside votes. It is shown on recorded traces first: nothing carries it
//! out on a cluster yet, and a plan that was not asked for any of it has none.

use jiff::{SignedDuration, Timestamp};

/// Something decided. Each names exactly what was looked at, so that it is refused when that is no longer so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// A pod stops counting for its Deployment, which makes another; it goes on serving.
    Detach {
        /// The pod.
        pod: String,
        /// Its identity.
        uid: String,
        /// The version that was looked at.
        resource_version: String,
    },
    /// A pod that was detached counts for its Deployment again, which lets the one go that was to take its place: it
    /// takes waiting ones first.
    Attach {
        /// The pod.
        pod: String,
        /// Its identity.
        uid: String,
        /// The version that was looked at.
        resource_version: String,
    },
    /// A pod is deleted.
    Delete {
        /// The pod.
        pod: String,
        /// Its identity.
        uid: String,
        /// The time that it has to end.
        grace: SignedDuration,
    },
    /// A node takes no more pods.
    Taint {
        /// The node.
        node: String,
        /// Its identity.
        uid: String,
        /// When it will be gone.
        deadline: Timestamp,
    },
    /// A node takes pods again.
    Untaint {
        /// The node.
        node: String,
        /// Its identity.
        uid: String,
    },
    /// A training job is asked to write a checkpoint.
    Checkpoint {
        /// The job.
        job: String,
        /// Its identity.
        uid: String,
    },
    /// A training job is stopped.
    Suspend {
        /// The job.
        job: String,
        /// Its identity.
        uid: String,
    },
    /// Training may have so much at once.
    Quota {
        /// CPU, in thousandths.
        cpu_milli: u64,
        /// Memory, in bytes.
        memory_bytes: u64,
    },
    /// So many nodes of any kind are held by placeholders.
    Placeholders {
        /// Nodes.
        nodes: u32,
    },
    /// So many more are held by placeholders that only a spot node takes: they wait where there is none.
    SpotPlaceholders {
        /// Nodes.
        nodes: u32,
    },
    /// The last revision that worked is served again.
    RollBack {
        /// The revision that is left.
        from: String,
        /// The revision that is served.
        to: String,
    },
    /// Calls to what fails are held back, and messages wait in the queue.
    OpenCircuit,
}

/// What a capability found, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which capability.
    pub by: &'static str,
    /// One word.
    pub reason: &'static str,
    /// In words: what, and what to do about it.
    pub message: String,
}
