//! The partitioned logs that a message goes through, behind traits: in memory here, Kafka in a cluster.
//!
//! Two logs with equal partition counts: what is in `inbound[p]` is answered in `response[p]`. A log is append-only;
//! an offset, once given, never changes its meaning. Groups only suggest who should work and remember progress: the
//! truth is in the logs (see the message guarantee in `ARCHITECTURE.md`).

pub mod journal;
pub mod memory;

use async_trait::async_trait;
use chatbot_message::Preview;
use thiserror::Error;

/// Position of a record in one partition of one log.
pub type Offset = u64;

/// The two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Messages, as accepted.
    Inbound,
    /// The journal: owners, replies, deliveries.
    Response,
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position.
    pub offset: Offset,
    /// Milliseconds since the epoch when the log took it.
    pub appended_at: i64,
    /// Its content, JSON of the types of the room that wrote it.
    pub value: Vec<u8>,
}

/// Progress of a group in one partition: the next offset to read, and a checkpoint that rides with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The lowest unsettled offset.
    pub offset: Offset,
    /// At most 4,096 bytes; states a fact about the logs, so it stays true whoever commits it.
    pub metadata: String,
}

/// Why a log refused.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// It is certain that nothing was written.
    #[error("failed to write to the log: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// It may have been written, now or later: the writer must drop its epoch.
    #[error("failed to learn whether the record was written: {reason}")]
    OutcomeUnknown {
        /// Why.
        reason: String,
    },
    /// Reading failed, for now.
    #[error("failed to read from the log: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// Partitioned, append-only logs with group offsets.
#[async_trait]
pub trait Log: Send + Sync {
    /// Identity of these logs: offsets of another identity mean nothing. A log in memory has a new one every start.
    fn identity(&self) -> &str;
    /// Partitions of each topic, at least 1.
    fn partitions(&self) -> u32;
    /// Appends one record; returns when it is durable (for this log's meaning of durable).
    async fn append(&self, topic: Topic, partition: u32, value: Vec<u8>) -> Result<Offset, Error>;
    /// Records from `from` on, at most `limit`; waits until there is at least one. Where retention has removed `from`,
    /// it begins at [`Log::start`]. Dropping the future loses nothing.
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: Offset,
        limit: usize,
    ) -> Result<Vec<Record>, Error>;
    /// The offset of the oldest record that retention has left.
    async fn start(&self, topic: Topic, partition: u32) -> Result<Offset, Error>;
    /// The offset that the next record will get.
    async fn end(&self, topic: Topic, partition: u32) -> Result<Offset, Error>;
    /// Commits progress of `group`.
    async fn commit(
        &self,
        group: &str,
        topic: Topic,
        partition: u32,
        commit: Commit,
    ) -> Result<(), Error>;
    /// Committed progress of `group`; the default when it never committed.
    async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Commit, Error>;
}

/// Answers under way, beside the journal: lossy, unordered across messages, never the truth.
#[async_trait]
pub trait Previews: Send + Sync {
    /// Offers a preview to whoever watches now.
    async fn publish(&self, preview: Preview);
    /// Previews from now on. A slow reader misses some.
    fn subscribe(&self) -> futures::stream::BoxStream<'static, Preview>;
}
